"""The executor of a turn: one step of the root graph after the other, each a transaction, until the turn ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from agentctl.engine.effects import error_from_record, error_record
from agentctl.engine.routing import Routed
from agentctl.engine.signals import LimitReached, Question, Waiting
from agentctl.engine.steps import NOTHING, YIELD_EVERY, Passage, Steps, as_node_error
from agentctl.engine.tape import packed, references_to
from agentctl.engine.turn import Turn
from agentctl.errors import CannotRun, NodeError, UsageError
from agentctl.expressions import ExpressionError
from agentctl.graph.plan import END, GraphNode, Node, SetNode
from agentctl.json import Json
from agentctl.nodes.turn import NodeResult, Place, Reference
from agentctl.state import Write
from agentctl.store.protocols import Status

SNAPSHOT_FLOOR = 64 * 1024
"""Bytes of updates below which folding them is cheaper than a snapshot."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a passage stopped. `error` is as the log keeps it."""

    status: Status
    error: dict[str, Json] | None = None
    question: Question | None = None
    exit_code: int = 0
    reason: Literal["", "stopped", "cannot"] = ""
    refused: UsageError | None = None
    """Why the answer to the question that was given is none."""


class Executor(Steps):
    """Drives one turn. A live run, a resumed run and a replay are told apart only by the turn they give it."""

    def __init__(self, turn: Turn, passage: Passage) -> None:
        super().__init__(turn, passage)
        self._began = time.monotonic()
        self._before = passage.elapsed

    async def drive(self) -> Ended:
        """Run until the end, an error, a limit, a wait or a stop. Raises Mismatch in a replay."""
        try:
            return await self._drive()
        except Waiting as waiting:
            self._leave("waiting", None)
            return Ended("waiting", question=waiting.question, exit_code=6, refused=waiting.refused)
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

    def _spent(self) -> float:
        """Seconds of the turn so far, waiting for people not counted."""
        return self._before + time.monotonic() - self._began - self.watch.thought

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
            failure = error_record(as_node_error(broken))
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
        self._begin(node, str(turn.step))
        record: dict[str, Json] = {"kind": "step", "n": turn.step, "node": node.name}
        if visit > 1:
            record["visit"] = visit
        result: NodeResult = NOTHING
        error: NodeError | None
        try:
            # without a coroutine where there is nothing to wait for: it would cost more than the work
            outcome = self._set(node) if type(node) is SetNode else await self._attempts(node)
        except LimitReached as reached:
            self._meet(reached)
            error = NodeError("limit", str(reached))
            record["err"] = {"node": node.name, **error_record(error)}
            routed: Routed | None = Routed(passage.next, ())
        else:
            result, failure = (outcome, None) if isinstance(outcome, NodeResult) else (result, outcome)
            routed, error = self._settle(node, record, result, failure)
        await self._checkpoint(record, routed)
        self._end(node, result, error, routed.node if routed else None)

    def _keep(
        self,
        record: dict[str, Json],
        writes: list[Write],
        encoded: bytes,
        references: Sequence[Reference],
    ) -> None:
        """See Steps."""
        self.passage.updates += len(encoded)
        if isinstance(self._open, GraphNode):
            references = references_to(self.turn.step, writes, self.turn.effects.tape)
        if not references:
            record["up"] = writes
            return
        record["up"], refs = packed(writes, references, self.turn.effects.tape)
        if refs:
            record["refs"] = refs

    def _route(self, node: Node, target: str | None) -> Routed:
        """See Steps; after `on_limit` comes the end."""
        if self.passage.limit is not None and self.turn.graph.limits.on_limit == node.name:
            return Routed(END, ())
        return super()._route(node, target)

    def _time_left(self) -> float:
        limits = self.turn.budget.limits
        allowed = limits.time + limits.reserve_time if self.passage.limit else self.turn.budget.time_allowed()
        return max(0.0, allowed - self._spent())

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
        tape = turn.effects.tape
        if turn.effects.live and (tape.effects or tape.inner):
            tape.forget()

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
        record: dict[str, Json] = {
            "kind": "snapshot",
            "n": turn.step,
            "file": turn.graph.digest,
            "values": values,
            "digest": digest,
            "turn": inside,
        }
        if turn.open_jobs:
            record["jobs"] = dict(turn.open_jobs)
        return record

    def _may_be_late(self) -> bool:
        """Whether the tape or the clock could say that the turn's time is over."""
        if self.turn.effects.tape.effects:
            return True
        return self._spent() >= self.turn.budget.time_allowed()

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
