"""Branches and items side by side: each sees the state as the node began, and what they write is in the order written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from agentctl import units
from agentctl.engine.budget import Budget
from agentctl.engine.effects import result_of
from agentctl.engine.signals import LimitReached
from agentctl.engine.steps import YIELD_EVERY, Passage, Steps, as_node_error
from agentctl.engine.turn import Turn
from agentctl.errors import NodeError
from agentctl.expressions import ExpressionError
from agentctl.graph.plan import MapNode, Node, ParallelNode, SetNode
from agentctl.json import Json
from agentctl.nodes.saving import worth_referring
from agentctl.nodes.turn import NodeResult, Place, Reference
from agentctl.state import Write


async def fan_out(turn: Turn, path: str, place: Place, node: ParallelNode | MapNode) -> NodeResult:
    """See NodeTurn; `path` begins those of everything inside.

    What is inside is read from the tape where it is there. But how works that were cut short ended is on the tape as a
    whole, for what was over by then is chance.
    """
    known = turn.effects.known(place)
    if known is not None:
        turn.budget.add(known["used"])
        result_of(known, place)
    part = turn.budget.part()
    work: Callable[[], Awaitable[NodeResult]]
    if isinstance(node, ParallelNode):
        work = _Branches(turn, part, path, node).run
    else:
        work = _Items(turn, part, path, node).run
    return await turn.effects.whole(place, node.kind, work, part.part_json)


class _Unit(Steps):
    """One branch or item."""

    async def run(self, node: Node, name: str, path: str) -> NodeResult | NodeError:
        """What it wants written, or its error. Raises LimitReached, Waiting."""
        self._begin(node, path, name)
        try:
            result, error = await self._work(node)
        except BaseException as ended:
            self._leave("limit" if isinstance(ended, LimitReached) else "interrupted", str(ended) or None)
            raise
        skips = error is not None and _skips(node, error)
        self._end(node, result, error, None, "skipped" if skips else None)
        return result if error is None else error


class _Branches:
    """The branches of a `parallel`."""

    def __init__(self, turn: Turn, budget: Budget, path: str, node: ParallelNode) -> None:
        self.turn = turn
        self.budget = budget
        self.path = path
        self.node = node
        self.results: list[NodeResult] = [NodeResult()] * len(node.branches)

    async def run(self) -> NodeResult:
        branches = self.node.branches
        limit = min(self.turn.budget.limits.concurrency, len(branches))
        await _side_by_side(self.turn, iter(range(len(branches))), self._branch, limit)
        writes: list[Write] = []
        references: list[Reference] = []
        for result in self.results:
            references += _moved(result.references, len(writes))
            writes += result.writes
        return NodeResult(writes, tuple(references))

    async def _branch(self, index: int) -> None:
        branch = self.node.branches[index]
        unit = _unit(self.turn, self.budget, {})
        try:
            found = await unit.run(branch, branch.name, f"{self.path}/{branch.name}")
        finally:
            unit.watch.close()
        if isinstance(found, NodeResult):
            self.results[index] = found
        elif not _skips(branch, found):
            raise found


class _Items:
    """The items of a `map`."""

    def __init__(self, turn: Turn, budget: Budget, path: str, node: MapNode) -> None:
        self.turn = turn
        self.budget = budget
        self.path = path
        self.node = node
        self.items: Sequence[Json] = ()
        self.values: list[Json] = []
        self.references: list[Reference] = []
        self.failed = 0
        self.allowed = 0

    async def run(self) -> NodeResult:
        node, turn = self.node, self.turn
        over = node.over(turn.names)
        if not isinstance(over, list | tuple):
            raise NodeError("expression", f"`over` of map `{node.name}` gives no array")
        self.items, self.values = over, [None] * len(over)
        self.allowed = units.share_of(node.tolerate, len(over))
        if isinstance(node.do, SetNode):
            await self._evaluate(node.do)
        else:
            most = turn.budget.limits.concurrency
            limit = min(node.concurrency or most, most, len(over))
            await _side_by_side(turn, iter(range(len(over))), self._item, limit)
        field = node.save.whole
        if field is None:
            return NodeResult()
        # which item was done first is chance
        return NodeResult([(field, self.values)], tuple(sorted(self.references, key=lambda one: one.at)))

    async def _item(self, index: int) -> None:
        path = f"{self.path}[{index}]"
        unit = _unit(self.turn, self.budget, {self.node.item: self.items[index], "index": index})
        try:
            found = await unit.run(self.node.do, f"{self.node.name}[{index}]", path)
        finally:
            unit.watch.close()
        error = self._take(index, found) if isinstance(found, NodeResult) else found
        if error is not None:
            self._miss(index, error)

    def _take(self, index: int, result: NodeResult) -> NodeError | None:
        """Put an item's answer in its place."""
        [(_, value)] = result.writes
        key = self.node.result
        if key is not None:
            if not isinstance(value, dict) or key not in value:
                return NodeError("bad_answer", f"the answer has no `{key}`, which `result` names")
            value = value[key]
        self.values[index] = value
        if result.references and worth_referring(value):
            found = result.references[0]
            part = found.part if key is None else (*found.part, key)
            self.references.append(Reference((0, 1, index), found.effect, part))
        return None

    def _miss(self, index: int, error: NodeError) -> None:
        """An item failed: its place stays empty. Raises NodeError when too many have."""
        self.failed += 1
        if self.failed > self.allowed:
            most = f"`tolerate` allows {self.allowed}" if self.allowed else "none may"
            message = (
                f"{self.failed} of {len(self.items)} items failed, and {most}; item {index}: {error.message}"
            )
            raise NodeError("limit", message, hint=error.hint)

    async def _evaluate(self, node: SetNode) -> None:
        """Items that are worked out at once: nothing is asked of the world."""
        pause = Place(f"{self.path}~yield")
        names = dict(self.turn.names)
        yielded = time.monotonic()
        if self.turn.effects.known(pause) is not None:
            await self.turn.effects.pause(pause, 0)
        for index, item in enumerate(self.items):
            names[self.node.item], names["index"] = item, index
            failed: NodeError | None
            try:
                found: Json = {field: value(names) for field, value in node.values}
            except ExpressionError as error:
                failed = as_node_error(error)
            else:
                failed = self._take(index, NodeResult([("", found)]))
            if failed is not None:
                self._tell(index, failed)
                self._miss(index, failed)
            if time.monotonic() - yielded > YIELD_EVERY:
                await self.turn.effects.pause(pause, 0)
                yielded = time.monotonic()

    def _tell(self, index: int, error: NodeError) -> None:
        """Of items that are worked out, only one that fails is an event."""
        turn, path = self.turn, f"{self.path}[{index}]"
        turn.events.publish(
            "step.ended",
            turn.step,
            path,
            node=f"{self.node.name}[{index}]",
            kind="set",
            status="error",
            seconds=0.0,
            next=None,
            saved=[],
            error=error.message,
        )


async def _side_by_side(
    turn: Turn, numbers: Iterator[int], run: Callable[[int], Awaitable[None]], limit: int
) -> None:
    """Run all, at most `limit` at a time, and no more across the turn than it allows; the first error ends them.

    One worker goes on in the step's own place, so that works inside works never wait for each other; the others take
    a free slot of the turn.
    """

    async def work() -> None:
        task = asyncio.current_task()
        for number in numbers:
            try:
                await run(number)
            except asyncio.CancelledError:
                if (task is not None and task.cancelling()) or turn.effects.watch.stopping:
                    raise
                raise NodeError("tool_failed", "a call was cancelled from within") from None

    async def work_in_place() -> None:
        await work()
        for waiting in others:
            if not waiting.is_working:
                waiting.task.cancel()

    others: list[_Waiting] = []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(work_in_place())
            for _ in range(limit - 1):
                others.append(_Waiting(group, turn.slots, work))
    except BaseExceptionGroup as errors:
        first = errors.exceptions[0]
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None


class _Waiting:
    """A worker that waits for a slot."""

    def __init__(
        self, group: asyncio.TaskGroup, slots: asyncio.Semaphore, work: Callable[[], Awaitable[None]]
    ) -> None:
        self.is_working = False
        self._slots = slots
        self._work = work
        self.task = group.create_task(self._run())

    async def _run(self) -> None:
        async with self._slots:
            self.is_working = True
            await self._work()


def _unit(turn: Turn, budget: Budget, names: Mapping[str, Json]) -> _Unit:
    """What runs one branch or item in the task that calls this."""
    watch = turn.effects.watch.beside()
    beside = turn.beside(turn.effects.watched_by(watch), budget)
    if names:
        beside.names = {**beside.names, **names}
    return _Unit(beside, Passage(""))


def _skips(node: Node, error: NodeError) -> bool:
    return node.on_error.get(error.error_class, node.on_error.get("else")) == "skip"


def _moved(references: Sequence[Reference], by: int) -> Iterator[Reference]:
    """References into writes that come after others."""
    for found in references:
        first, *rest = found.at
        assert isinstance(first, int)
        yield Reference((first + by, *rest), found.effect, found.part)
