"""The one door to the world: an answer is recorded as soon as it is there, and a recorded one is never asked again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from typing import Protocol, Self, TypeVar

from agentctl.engine.masking import Mask
from agentctl.engine.signals import Cut, LimitReached
from agentctl.engine.tape import Tape
from agentctl.engine.watch import Watch
from agentctl.errors import BreakerOpen, ModelError, NodeError, ToolError
from agentctl.json import Json
from agentctl.nodes.turn import Place

T = TypeVar("T")


class Log(Protocol):
    """Where records go: a thread's log, or the comparison of a replay."""

    async def append(self, records: Sequence[Json], *, sync: bool = False) -> int: ...


class Mismatch(Exception):
    """What is asked of a recorded effect is not what was asked when it was recorded."""

    def __init__(self, code: str, message: str, place: Place, expected: Json, actual: Json) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place
        self.expected = expected
        self.actual = actual


Answer = dict[str, Json]
"""What an effect puts on the tape beside its key: `res`, and `usage`, `cost`, `memo` where they apply."""


class Effects:
    """Effects of one turn, live or recorded: the only difference is whether there is a world to ask."""

    def __init__(
        self, tape: Tape, log: Log, watch: Watch, *, live: bool, secrets: Sequence[str] = ()
    ) -> None:
        self.tape = tape
        self.log = log
        self.watch = watch
        self.live = live
        self.mask = Mask(secrets)
        self.recorded = 0
        """Answers that came from the tape."""
        self._notes: list[Json] = []
        """Nested steps that are not in the log yet; shared with what runs inside."""
        self._held: list[Json] = []
        self._held_sync = False

    def watched_by(self, watch: Watch) -> Self:
        """These effects for what runs beside other work, under a watch of its own."""
        beside = copy(self)
        beside.watch = watch
        return beside

    def known(self, place: Place) -> Json | None:
        """The record of an effect that was already there, if it was."""
        return self.tape.effects.get(place.key)

    async def perform(
        self,
        place: Place,
        of: str,
        request: str,
        ask: Callable[[], Awaitable[Answer]],
        *,
        shown: Json = None,
        tool: str = "",
        write: bool = False,
        last: bool = False,
        used: Callable[[], dict[str, Json]] | None = None,
    ) -> Json:
        """The record of the effect at this place: read from the tape, or asked of the world and recorded.

        `request` is a digest of what is asked, `shown` what a person is shown of it. A `write` is synced. What is
        the `last` effect of its step, and went well, is written in one transaction with the checkpoint that
        follows at once; `used` gives what is put down beside it in any case. Raises what the effect raised: ModelError, ToolError, Cut, LimitReached; Mismatch when
        the tape has something else or, in a replay, nothing.
        """
        record = self.known(place)
        if record is None:
            if not self.live:
                raise Mismatch("D10", f"a {of} call that was not recorded", place, None, shown)
            record = {"kind": "effect", "key": place.key, "of": of, "req": request}
            if tool:
                record["tool"] = tool
            await self._ask(record, ask, write, last, used)
        else:
            self._compare(record, place, of, request, shown)
            self.recorded += 1
        return result_of(record, place)

    async def pause(self, place: Place, seconds: float) -> None:
        """Wait, in a live run; a timer of the work around that rings meanwhile is put on the tape. Raises Cut."""
        if self._held:
            await self.keep([])
        record = self.known(place)
        if record is None and self.live:
            record = await self._wait(place, seconds)
        if record is not None:
            raise Cut(record["cut"], record["by"])

    async def _wait(self, place: Place, seconds: float) -> Json | None:
        """The record of the timer that rang, if one did."""
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            cut = self.watch.rang
            if cut is None:
                raise
            record = {"kind": "effect", "key": place.key, "of": "timer", "cut": cut.reason, "by": cut.by}
            mine = self.watch.taken()
            await self.record([record])
            if not mine:
                raise
            return record
        return None

    async def whole(
        self, place: Place, of: str, work: Callable[[], Awaitable[T]], used: Callable[[], Json]
    ) -> T:
        """What works side by side come to. Where they are cut short, which were over by then is chance: how it
        ended, and what was used, is put on the tape in their place. Raises NodeError, Cut, LimitReached."""
        passed_on = None
        try:
            return await work()
        except asyncio.CancelledError as error:
            if self.watch.rang is None:
                raise
            ended: Cut | LimitReached | NodeError = self.watch.rang
            passed_on = None if self.watch.taken() else error
        except (NodeError, LimitReached) as error:
            ended = error
        if self.live:
            record = {
                "kind": "effect",
                "key": place.key,
                "of": of,
                **_ending(ended, self.mask),
                "used": used(),
            }
            await self.record([record])
        raise passed_on or ended

    async def note(self, step: Json) -> None:
        """Put down a nested step that is over, with whatever is put down next; in a replay it is compared at once."""
        if not self.live:
            await self.log.append([step])
        elif step["path"] not in self.tape.inner:
            self._notes.append(step)
            self.tape.take(step)

    async def intend(self, place: Place, tool: str, arguments: Json) -> None:
        """Write down, synced, that a write is about to be made here."""
        record = {"kind": "intent", "key": place.key, "tool": tool, "args": arguments}
        await self.log.append([record], sync=True)
        self.tape.take(record)

    async def record(self, records: list[Json], *, sync: bool = False) -> None:
        """Append to the log and take into the tape."""
        await self.keep(records, sync=sync)
        for record in records:
            self.tape.take(record)

    async def keep(self, records: list[Json], *, sync: bool = False) -> None:
        """Append to the log alone, after what is held: a checkpoint is on no tape.

        A cancelled append is still made (a log's contract), so a cancellation that comes here counts at the
        next wait instead: what was answered stays answered.
        """
        if self._held:
            records, sync = [*self._held, *records], sync or self._held_sync
            self._held = []
        if self._notes:
            records = [*self._notes, *records]
            self._notes.clear()
        try:
            await self.log.append(records, sync=sync)
        except asyncio.CancelledError:
            self.watch.again()

    async def _ask(
        self,
        record: dict[str, Json],
        ask: Callable[[], Awaitable[Answer]],
        write: bool,
        last: bool,
        used: Callable[[], dict[str, Json]] | None,
    ) -> None:
        """Ask the world and complete the record."""
        began = time.perf_counter()
        passed_on = None
        try:
            record.update(self.mask(await ask()))
        except asyncio.CancelledError as error:
            cut = self.watch.rang
            if cut is None:
                raise
            record["cut"], record["by"] = cut.reason, cut.by
            passed_on = None if self.watch.taken() else error
        except LimitReached as reached:
            record["limit"] = [reached.limit, reached.used, reached.allowed]
        except NodeError as error:
            record["err"] = self.mask(error_record(error))
        record["sec"] = round(time.perf_counter() - began, 4)
        if used is not None:
            record.update(used())
        if last and "res" in record:
            self._held, self._held_sync = [record], write
            self.tape.take(record)
        else:
            await self.record([record], sync=write)
        if passed_on is not None:
            raise passed_on

    def _compare(self, record: Json, place: Place, of: str, request: str, shown: Json) -> None:
        if record["of"] == "timer":
            return
        if record["of"] != of:
            message = f"a {of} call where a {record['of']} call was recorded"
            raise Mismatch("D11", message, place, record["of"], of)
        if record.get("req", request) != request:
            message = f"the {of} call asks something else than was recorded"
            raise Mismatch("D12", message, place, f"digest {record['req']}", shown)


def result_of(record: Json, place: Place) -> Json:
    """The record of an effect that went well. Raises what it raised when it did not."""
    if "cut" in record:
        raise Cut(record["cut"], record.get("by", place.path))
    if "limit" in record:
        raise LimitReached(*record["limit"])
    if "err" in record:
        raise error_from_record(record["err"])
    return record


def _ending(ended: Cut | LimitReached | NodeError, mask: Mask) -> dict[str, Json]:
    match ended:
        case Cut():
            return {"cut": ended.reason, "by": ended.by}
        case LimitReached():
            return {"limit": [ended.limit, ended.used, ended.allowed]}
        case NodeError():
            masked: dict[str, Json] = mask(error_record(ended))
            return {"err": masked}


def error_record(error: NodeError) -> dict[str, Json]:
    """An error as the tape keeps it."""
    kept: dict[str, Json] = {"class": error.error_class, "message": error.message, "origin": error.origin}
    if error.hint:
        kept["hint"] = error.hint
    return kept


def error_from_record(kept: Json) -> NodeError:
    """The error a tape kept, of the same kind as when it was raised."""
    hint = kept.get("hint")
    match kept["origin"]:
        case "model":
            return ModelError(kept["class"], kept["message"], hint=hint)
        case "tool":
            return ToolError(kept["class"], kept["message"], hint=hint)
        case "breaker":
            return BreakerOpen(kept["message"])
        case _:
            return NodeError(kept["class"], kept["message"], hint=hint)
