"""The executor: one node after the other, each step a transaction, until the turn ends or is suspended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentctl.engine.effects import error_from_record, error_record
from agentctl.engine.routing import Routed, route
from agentctl.engine.signals import Cut, LimitReached, Question, Waiting
from agentctl.engine.tape import packed
from agentctl.engine.turn import Turn
from agentctl.errors import CannotRun, NodeError
from agentctl.expressions import ExpressionError
from agentctl.graph.plan import END, AskNode, Node, SetNode
from agentctl.json import Json, encode
from agentctl.nodes.turn import NodeResult, Place
from agentctl.nodes.verbs import run_node, run_set
from agentctl.retry import Backoff
from agentctl.store.protocols import Status

YIELD_EVERY = 0.02
"""Seconds after which a turn that never waits lets the loop run, so that Ctrl-C is heard."""
SNAPSHOT_FLOOR = 64 * 1024
"""Bytes of updates below which folding them is cheaper than a snapshot."""
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


@dataclass(frozen=True, slots=True)
class Ended:
    """How a passage stopped. `error` is as the log keeps it."""

    status: Status
    error: dict[str, Json] | None = None
    question: Question | None = None
    exit_code: int = 0
    reason: Literal["", "stopped", "cannot"] = ""


class Executor:
    """Drives one turn. A live run, a resumed run and a replay are told apart only by the turn they give it."""

    def __init__(self, turn: Turn, passage: Passage) -> None:
        self.turn = turn
        self.passage = passage
        self.watch = turn.effects.watch
        self._began = self._yielded = time.monotonic()
        self._before = passage.elapsed
        self._open: Node | None = None
        """The node whose step has begun and not ended."""
        self._step_began = self._began

    async def drive(self) -> Ended:
        """Run until the end, an error, a limit, a wait or a stop. Raises Mismatch in a replay."""
        try:
            return await self._drive()
        except Waiting as waiting:
            self._leave("waiting", None)
            return Ended("waiting", question=waiting.question, exit_code=6)
        except asyncio.CancelledError:
            if not self.watch.stopping:
                raise
            self.watch.taken()
            self._leave("interrupted", None)
            return Ended("interrupted", exit_code=130, reason="stopped")
        except CannotRun as error:
            kept = self.turn.effects.mask({"class": "cannot", "message": error.message, "hint": error.hint})
            self._leave("interrupted", kept["message"])
            return Ended("interrupted", kept, exit_code=error.exit_code, reason="cannot")
        finally:
            self.watch.close()
            self.passage.elapsed = self._spent()

    def _leave(self, status: str, error: str | None) -> None:
        """End a step that was begun, in the events; its thread goes on with it when it is resumed."""
        node, self._open = self._open, None
        if node is not None and self.turn.events.wants("step.ended"):
            self._step_ended(node, status, error, time.monotonic() - self._step_began)

    def _spent(self) -> float:
        """Seconds of the turn so far, waiting for people not counted."""
        return self._before + time.monotonic() - self._began

    async def _drive(self) -> Ended:
        turn, passage = self.turn, self.passage
        if passage.next in turn.graph.routers:
            self._begin_at_router()
        while passage.next != END:
            if self.watch.stopping:
                raise asyncio.CancelledError
            node = turn.graph.nodes[passage.next]
            try:
                await self._step(node)
            except LimitReached as reached:
                self._meet(reached)
                continue
            if time.monotonic() - self._yielded > YIELD_EVERY:
                await asyncio.sleep(0)
                self._yielded = time.monotonic()
        return self._finished()

    def _begin_at_router(self) -> None:
        """A `start` that is a router decides before the first step; it does no work, so nothing is kept of it."""
        passage = self.passage
        try:
            passage.next = self._follow(passage.next).node
        except (NodeError, ExpressionError) as broken:
            failure = error_record(_as_node_error(broken))
            passage.next, passage.failure = END, {"node": passage.next, **failure}

    def _finished(self) -> Ended:
        limit, failure = self.passage.limit, self.passage.failure
        if failure is not None:
            return Ended("failed", failure, exit_code=error_from_record(failure).exit_code)
        if limit is None:
            return Ended("done")
        return Ended("limit", {"class": "limit", "limit": limit.limit, "message": str(limit)}, exit_code=5)

    def _meet(self, reached: LimitReached) -> None:
        """Send the turn through `on_limit`, once; without one it ends here."""
        turn, passage = self.turn, self.passage
        turn.events.publish(
            "limit.reached", turn.step, limit=reached.limit, used=reached.used, allowed=reached.allowed
        )
        last = turn.graph.limits.on_limit
        passage.next = last if last is not None and passage.limit is None else END
        passage.limit = passage.limit or reached

    async def _step(self, node: Node) -> None:
        turn, passage = self.turn, self.passage
        turn.begin(node.name)
        if self._may_be_late():
            await self._check_time()
        visit = turn.budget.begin_last(node) if passage.limit else turn.budget.begin(node)
        turn.step += 1
        events = turn.events
        if events.wants("step.started"):
            events.publish("step.started", turn.step, str(turn.step), node=node.name, kind=node.kind)
        record: dict[str, Json] = {"kind": "step", "n": turn.step, "node": node.name}
        if visit > 1:
            record["visit"] = visit
        self._open, self._step_began = node, time.monotonic()
        result, error = NOTHING, None
        try:
            # without a coroutine where there is nothing to wait for: it would cost more than the work
            outcome = self._set(node) if type(node) is SetNode else await self._attempts(node)
        except LimitReached as reached:
            self._meet(reached)
            error = NodeError("limit", str(reached))
            record["err"] = {"node": node.name, **error_record(error)}
            routed: Routed | None = Routed(passage.next, ())
        else:
            result, error = (outcome, None) if isinstance(outcome, NodeResult) else (result, outcome)
            routed, error = self._settle(node, record, result, error)
        await self._checkpoint(record, routed)
        self._open = None
        if events.wants("step.ended"):
            seconds, next = time.monotonic() - self._step_began, routed.node if routed else None
            if error is None:
                self._step_ended(node, "ok", None, seconds, next, [name for name, _ in result.writes])
            else:
                self._step_ended(node, "error", error.message, seconds, next)

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
            failure = _as_node_error(broken)
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
        self.passage.updates += len(encoded)
        if result.references:
            record["up"], refs = packed(writes, result.references, turn.effects.tape)
            if refs:
                record["refs"] = refs
        else:
            record["up"] = writes
        for trimmed in turn.state.apply(writes, encoded):
            turn.events.publish("context.trimmed", turn.step, field=trimmed.field, dropped=trimmed.dropped)
        return None

    def _route(self, node: Node, target: str | None) -> Routed:
        """Follow routers from a target (`skip` and None stand for `then`) to a node or the end."""
        turn = self.turn
        chosen = node.then if target is None or target == "skip" else target
        if self.passage.limit is not None and turn.graph.limits.on_limit == node.name:
            return Routed(END, ())
        return self._follow(chosen)

    def _follow(self, target: str) -> Routed:
        """Through routers to a node or the end. Raises NodeError, ExpressionError."""
        turn = self.turn
        routed = route(turn.graph, target, turn.names)
        if routed.via and turn.events.wants("route.decided"):
            for router, to in routed.via:
                turn.events.publish("route.decided", turn.step, str(turn.step), router=router, to=to)
        return routed

    def _within_size(self, routed: Routed) -> Routed:
        """Where to go, unless the state has grown over its size."""
        turn = self.turn
        if turn.state.size <= turn.graph.limits.state_size:
            return routed
        try:
            turn.budget.check_state(turn.state.size)
        except LimitReached as reached:
            self._meet(reached)
            return Routed(self.passage.next, routed.via)
        return routed

    async def _checkpoint(self, record: dict[str, Json], routed: Routed | None) -> None:
        turn, passage = self.turn, self.passage
        passage.elapsed = self._spent()
        record["used"] = turn.budget.as_json()
        record["t"] = round(passage.elapsed, 3)
        if passage.limit is not None:
            limit = passage.limit
            record["limit"] = [limit.limit, limit.used, limit.allowed]
        if routed is not None:
            record["next"] = routed.node
            if routed.via:
                record["via"] = [router for router, _ in routed.via]
            passage.next = routed.node
        else:
            passage.next, passage.failure = END, record["err"]
        records = [record]
        if passage.updates > max(SNAPSHOT_FLOOR, 2 * turn.state.size):
            records.append(self._snapshot(record))
            passage.updates = 0
        await turn.effects.keep(records)

    def _snapshot(self, step: dict[str, Json]) -> dict[str, Json]:
        """The whole state, and where the turn is, so that nothing before it need be read."""
        turn = self.turn
        inside = {
            "next": step.get("next", END),
            "used": step["used"],
            "t": step["t"],
            "visits": turn.budget.visits,
            "calls_of": turn.budget.calls_of,
        }
        if "limit" in step:
            inside["limit"] = step["limit"]
        if self.passage.failure is not None:
            inside["failure"] = self.passage.failure
        values, digest = turn.state.values, turn.state.digest
        return {
            "kind": "snapshot",
            "n": turn.step,
            "file": turn.graph.digest,
            "values": values,
            "digest": digest,
            "turn": inside,
        }

    def _may_be_late(self) -> bool:
        """Whether the tape or the clock could say that the turn's time is over."""
        if self.turn.effects.tape.effects:
            return True
        return self._before + time.monotonic() - self._began >= self.turn.budget.time_allowed()

    async def _check_time(self) -> None:
        """Raises LimitReached when the turn's time is over; a replay takes it from the tape."""
        turn = self.turn
        place = Place(f"{turn.step + 1}", 0)
        record = turn.effects.known(place)
        if record is None and turn.effects.live and self.passage.limit is None:
            used = self._spent()
            allowed = turn.budget.time_allowed()
            if used < allowed:
                return
            limit = ["time", round(used, 3), allowed]
            record = {"kind": "effect", "key": place.key, "of": "timer", "limit": limit}
            await turn.effects.record([record])
        if record is not None:
            raise LimitReached(*record["limit"])

    def _set(self, node: SetNode) -> NodeResult | NodeError:
        try:
            return run_set(self.turn, node)
        except ExpressionError as error:
            return _as_node_error(error)

    async def _attempts(self, node: Node) -> NodeResult | NodeError:
        """Try the node as often as its `retry` says."""
        turn = self.turn
        backoff = Backoff(attempts=node.attempts)
        for attempt in range(1, node.attempts + 1):
            place = Place(str(turn.step), attempt)
            try:
                return await self._once(node, place)
            except (NodeError, ExpressionError) as error:
                failure = _as_node_error(error)
                # an open breaker is there so that what fails is left alone
                if attempt == node.attempts or failure.origin == "breaker":
                    return failure
            await turn.effects.pause(backoff.wait(attempt))
        raise AssertionError("a node has at least one attempt")

    async def _once(self, node: Node, place: Place) -> NodeResult:
        """One try, within its time. Raises NodeError(timeout) or LimitReached(time) when it is cut short."""
        turn, limits = self.turn, self.turn.graph.limits
        if not isinstance(node, AskNode):
            left = limits.time + limits.reserve_time if self.passage.limit else turn.budget.time_allowed()
            self._begin_watch(node.timeout, limits.step_time, max(0.0, left - self._spent()))
        waited = time.monotonic()
        try:
            return await run_node(turn, node, place)
        except Cut as cut:
            raise self._cut_error(node, cut) from None
        except asyncio.CancelledError:
            reason = self.watch.rang
            if reason is None:
                raise
            self.watch.taken()
            raise self._cut_error(node, Cut(reason)) from None
        finally:
            self.watch.end()
            # a person's thinking is not counted
            self._before -= time.monotonic() - waited if isinstance(node, AskNode) else turn.thought
            turn.thought = 0.0

    def _begin_watch(self, timeout: float | None, step_time: float, left: float) -> None:
        if timeout is not None and timeout <= min(step_time, left):
            self.watch.begin(timeout, "timeout")
        elif step_time <= left:
            self.watch.begin(step_time, "step_time")
        else:
            self.watch.begin(left, "time")

    def _cut_error(self, node: Node, cut: Cut) -> NodeError | LimitReached:
        limits = self.turn.graph.limits
        if cut.reason == "time":
            return LimitReached("time", limits.time, limits.time)
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
            str(self.turn.step),
            node=node.name,
            kind=node.kind,
            status=status,
            seconds=seconds,
            next=next,
            saved=list(saved),
            error=error,
        )


def _as_node_error(error: NodeError | ExpressionError) -> NodeError:
    if isinstance(error, NodeError):
        return error
    return NodeError("expression", error.message, hint=error.hint)
