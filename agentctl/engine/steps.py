"""The steps of one graph: what a node run is, wherever its graph stands and however it is kept."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from agentctl.engine.effects import error_record
from agentctl.engine.jobs import start_job
from agentctl.engine.routing import Routed, route
from agentctl.engine.signals import Cut, CutReason, LimitReached
from agentctl.engine.turn import Turn
from agentctl.engine.watch import Deadline
from agentctl.errors import NodeError
from agentctl.expressions import ExpressionError
from agentctl.graph.plan import AgentNode, AskNode, Node, SetNode, ToolNode
from agentctl.json import Json, encode
from agentctl.nodes.turn import NodeResult, Place, Reference
from agentctl.nodes.verbs import run_node, run_set
from agentctl.retry import Backoff
from agentctl.state import Write

YIELD_EVERY = 0.02
"""Seconds after which a graph that never waits lets the loop run, so that Ctrl-C is heard."""
NOTHING = NodeResult()


@dataclass(slots=True)
class Passage:
    """Where a turn is and how it goes on; what a checkpoint makes durable."""

    next: str
    elapsed: float = 0.0
    """Seconds of the turn so far, waiting not counted."""
    limit: LimitReached | None = None
    """The limit that was met, once it was: `on_limit` then runs, or has run."""
    failure: dict[str, Json] | None = None
    """The error of the step that ended the turn, as the log keeps it."""
    updates: int = 0
    """Bytes of updates since the last snapshot."""


class Steps:
    """Runs nodes of a graph; where a step stands and what is kept of it is for the class beneath to say."""

    def __init__(self, turn: Turn, passage: Passage) -> None:
        self.turn = turn
        self.passage = passage
        self.watch = turn.effects.watch
        self.path = self.name = ""
        """Of the step under way."""
        self._open: Node | None = None
        """The node whose step has begun and not ended."""
        self._yielded = self._step_began = time.monotonic()

    def _begin(self, node: Node, path: str, name: str = "") -> None:
        """Say that a step begins; a branch or an item has a `name` of its own."""
        self.path, self.name = path, name or node.name
        events = self.turn.events
        if events.wants("step.started"):
            events.publish("step.started", self.turn.step, path, node=self.name, kind=node.kind)
        self._open, self._step_began = node, time.monotonic()

    async def _work(self, node: Node) -> tuple[NodeResult, NodeError | None]:
        """What the node wants written, or its error. Raises LimitReached."""
        outcome = self._set(node) if type(node) is SetNode else await self._attempts(node)
        return (outcome, None) if isinstance(outcome, NodeResult) else (NOTHING, outcome)

    def _end(
        self,
        node: Node,
        result: NodeResult,
        error: NodeError | None,
        next: str | None,
        status: str | None = None,
    ) -> None:
        """Say that a step is over, and how where that is more than well or not."""
        self._open = None
        if self.turn.events.wants("step.ended"):
            seconds = time.monotonic() - self._step_began
            if error is None:
                self._step_ended(node, "ok", None, seconds, next, [name for name, _ in result.writes])
            else:
                self._step_ended(node, status or "error", error.message, seconds, next)

    def _leave(self, status: str, error: str | None) -> None:
        """End a step that was begun, in the events; its thread goes on with it when it is resumed."""
        node, self._open = self._open, None
        if node is not None and self.turn.events.wants("step.ended"):
            self._step_ended(node, status, error, time.monotonic() - self._step_began)

    def _meet(self, reached: LimitReached) -> None:
        """A limit of the turn is met: it ends what is under way."""
        raise reached

    def _keep(
        self,
        record: dict[str, Json],
        writes: list[Write],
        encoded: bytes,
        references: Sequence[Reference],
    ) -> None:
        """Put the writes of a step into its record; `encoded` are they as JSON."""
        raise NotImplementedError

    def _time_left(self) -> float | None:
        """Seconds that the turn has left; None when the work around this sees to it."""
        return None

    def _settle(
        self, node: Node, record: dict[str, Json], result: NodeResult, error: NodeError | None
    ) -> tuple[Routed | None, NodeError | None]:
        """Apply the result and decide where to go; an error on the way takes the place of the result."""
        if error is None:
            error = self._apply(record, result)
        target = None
        if error is not None:
            record["err"] = {"node": node.name, **error_record(error)}
            target = node.on_error.get(error.error_class, node.on_error.get("else"))
            if target is None:
                return None, error
        try:
            routed = self._route(node, target or result.next)
            return self._within_size(routed), error
        except (NodeError, ExpressionError) as broken:
            failure = as_node_error(broken)
            record["err"] = {"node": node.name, **error_record(failure)}
            return None, failure

    def _apply(self, record: dict[str, Json], result: NodeResult) -> NodeError | None:
        """Fold the result into the state and put it into the record; an unfit one changes nothing."""
        if not result.writes:
            return None
        turn = self.turn
        try:
            writes = turn.state.prepare(result.writes)
        except NodeError as error:
            return error
        encoded = encode(writes)
        self._keep(record, writes, encoded, result.references)
        for trimmed in turn.state.apply(writes, encoded):
            turn.events.publish(
                "context.trimmed", turn.step, self.path, field=trimmed.field, dropped=trimmed.dropped
            )
        return None

    def _route(self, node: Node, target: str | None) -> Routed:
        """Follow routers from a target (`skip` and None stand for `then`) to a node or the end."""
        return self._follow(node.then if target is None or target == "skip" else target)

    def _follow(self, target: str) -> Routed:
        """Through routers to a node or the end. Raises NodeError, ExpressionError."""
        turn = self.turn
        routed = route(turn.graph, target, turn.names)
        if routed.via and turn.events.wants("route.decided"):
            for router, to in routed.via:
                turn.events.publish("route.decided", turn.step, self.path, router=router, to=to)
        return routed

    def _within_size(self, routed: Routed) -> Routed:
        """Where to go, unless the state has grown over its size."""
        turn = self.turn
        if turn.state.size <= turn.budget.limits.state_size:
            return routed
        try:
            turn.budget.check_state(turn.state.size)
        except LimitReached as reached:
            self._meet(reached)
            return Routed(self.passage.next, routed.via)
        return routed

    def _set(self, node: SetNode) -> NodeResult | NodeError:
        try:
            return run_set(self.turn, node)
        except ExpressionError as error:
            return as_node_error(error)

    async def _attempts(self, node: Node) -> NodeResult | NodeError:
        """Try the node as often as its `retry` says."""
        turn = self.turn
        backoff = Backoff(attempts=node.attempts)
        for attempt in range(1, node.attempts + 1):
            place = Place(self.path, attempt)
            try:
                return await self._once(node, place)
            except (NodeError, ExpressionError) as error:
                failure = as_node_error(error)
                # an open breaker is there so that what fails is left alone
                if attempt == node.attempts or failure.origin == "breaker":
                    return failure
            await turn.effects.pause(place._replace(path=f"{self.path}~pause"), backoff.wait(attempt))
        raise AssertionError("a node has at least one attempt")

    async def _once(self, node: Node, place: Place) -> NodeResult:
        """One try, within its time. Raises NodeError(timeout) or LimitReached(time) when it is cut short."""
        watch = self.watch
        around = None if isinstance(node, AskNode) else self._begin_watch(node)
        try:
            if node.background is not None:
                return await start_job(self.turn, place, node)
            return await run_node(self.turn, node, place)
        except Cut as cut:
            raise self._cut_error(node, cut) from None
        except asyncio.CancelledError:
            rang = watch.rang
            if rang is None:
                raise
            watch.taken()
            raise self._cut_error(node, rang) from None
        finally:
            if not isinstance(node, AskNode):
                watch.end(around)

    def _begin_watch(self, node: Node) -> Deadline | None:
        """Arm the timer with the nearest of what bounds one try of a node."""
        nearest = self._time_left()
        reason: CutReason = "time"
        if isinstance(node, AgentNode | ToolNode):
            step_time = self.turn.budget.limits.step_time
            if nearest is None or step_time <= nearest:
                nearest, reason = step_time, "step_time"
        if node.timeout is not None and (nearest is None or node.timeout <= nearest):
            nearest, reason = node.timeout, "timeout"
        return self.watch.begin(inf if nearest is None else nearest, reason, self.path)

    def _cut_error(self, node: Node, cut: Cut) -> NodeError | LimitReached | Cut:
        limits = self.turn.budget.limits
        if cut.reason == "time":
            return LimitReached("time", limits.time, limits.time)
        if cut.by != self.path:
            return cut  # the timer is that of some work around this
        seconds = node.timeout if cut.reason == "timeout" else limits.step_time
        name = f"timeout of node `{node.name}`" if cut.reason == "timeout" else "limits.step_time"
        return NodeError("timeout", f"`{node.name}` took longer than {seconds:g}s ({name})")

    def _step_ended(
        self,
        node: Node,
        status: str,
        error: str | None,
        seconds: float,
        next: str | None = None,
        saved: Sequence[str] = (),
    ) -> None:
        self.turn.events.publish(
            "step.ended",
            self.turn.step,
            self.path,
            node=self.name,
            kind=node.kind,
            status=status,
            seconds=seconds,
            next=next,
            saved=list(saved),
            error=error,
        )


def as_node_error(error: NodeError | ExpressionError) -> NodeError:
    """What failed, as a node's error."""
    if isinstance(error, NodeError):
        return error
    return NodeError("expression", error.message, hint=error.hint)
