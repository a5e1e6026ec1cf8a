"""Work done once for many who ask, and many works side by side."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import Generic, TypeVar, cast

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class SingleFlight(Generic[K, V]):
    """Identical calls under way share one run (single-flight, after golang.org/x/sync/singleflight).

    Nothing is remembered: a call that comes after the run has ended starts another. For one event loop.
    """

    def __init__(self) -> None:
        self._waiting: dict[K, deque[asyncio.Future[_Landing[V] | None]]] = {}

    def __len__(self) -> int:
        """How many keys are under way."""
        return len(self._waiting)

    async def run(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        """The value of `work`, run by the first caller of `key` and shared with those who come meanwhile.

        A run that fails, fails for all of them with the same error. A leader that is cancelled passes the
        lead on: the next in line starts its own `work`, and the others go on waiting.
        """
        if key in self._waiting:
            landing = await self._wait(key)
            if landing is not None:
                return landing.value()
        else:
            self._waiting[key] = deque()
        return await self._lead(key, work)

    async def _wait(self, key: K) -> _Landing[V] | None:
        """The leader's landing, or None when the lead is ours now."""
        # A future for each: cancelling one who waits on a shared future would cancel it for all.
        place: asyncio.Future[_Landing[V] | None] = asyncio.get_running_loop().create_future()
        self._waiting[key].append(place)
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.result() is None:
                self._pass_on(key)  # cancelled in the moment between being given the lead and taking it
            raise

    async def _lead(self, key: K, work: Callable[[], Awaitable[V]]) -> V:
        try:
            value = await work()
        except Exception as error:
            self._land(key, _Landing(error=error, traceback=error.__traceback__))
            raise
        except BaseException:
            self._pass_on(key)
            raise
        self._land(key, _Landing(found=value))
        return value

    def _land(self, key: K, landing: _Landing[V]) -> None:
        for place in self._waiting.pop(key):
            if not place.done():
                place.set_result(landing)

    def _pass_on(self, key: K) -> None:
        line = self._waiting[key]
        while line:
            place = line.popleft()
            if not place.done():
                place.set_result(None)
                return
        del self._waiting[key]


class _Landing(Generic[V]):
    """How a run ended. Not an exception on the future: nobody may be left to retrieve it."""

    __slots__ = ("_error", "_found", "_traceback")

    def __init__(
        self,
        *,
        found: V | None = None,
        error: Exception | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._found = found
        self._error = error
        self._traceback = traceback

    def value(self) -> V:
        if self._error is not None:
            # With the leader's traceback each time, or 10,000 waiters would grow one chain of 10,000 frames.
            raise self._error.with_traceback(self._traceback)
        return cast(V, self._found)


async def side_by_side(
    works: Sequence[Callable[[], Awaitable[T]]], limit: int, *, apart: bool = False
) -> list[T | BaseException]:
    """Run all works, at most `limit` (>= 1) at a time; results in the order of `works`, errors among them.

    No task per item: `limit` workers take the next work each, and a single worker is the caller itself, unless they
    must be `apart` from it, so that they can be cancelled alone.
    When the caller is cancelled, what is running is cancelled and awaited, and the rest never begins.
    """
    if limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    results: list[T | BaseException | None] = [None] * len(works)
    numbered = iter(enumerate(works))
    workers = min(limit, len(works))
    if workers == 1 and not apart:
        await _take_turns(numbered, results)
    elif workers:
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(_take_turns(numbered, results))
    return cast(list[T | BaseException], results)


async def _take_turns(
    numbered: Iterator[tuple[int, Callable[[], Awaitable[T]]]], results: list[T | BaseException | None]
) -> None:
    """Take works until there are none; every worker draws from the same iterator."""
    task = cast("asyncio.Task[None]", asyncio.current_task())
    cancels = task.cancelling()
    for index, work in numbered:
        try:
            results[index] = await work()
        except asyncio.CancelledError as error:
            if task.cancelling() > cancels:
                raise
            results[index] = error  # the work was cancelled from within, and the caller was not
        except Exception as error:  # noqa: BLE001 - errors are results here; the caller judges them
            results[index] = error
