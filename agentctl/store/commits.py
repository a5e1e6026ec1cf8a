"""When appends are committed: at once when nobody waits, together when several do."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from agentctl.errors import StoreError
from agentctl.store.locks import FileLock

T = TypeVar("T")
_MOST = 256
"""Appends in one transaction: more would hold the event loop up for longer than they save."""
_RETRY = 0.002


class GroupCommit(Generic[T]):
    """Commits one item inline when it comes alone, and those of one turn of the event loop in one transaction.

    `write` commits a batch or raises StoreError; it is called with the lock held, and awaits nothing. What is
    given is written in the order given, whether or not whoever gave it still waits.
    """

    def __init__(self, lock: FileLock, write: Callable[[Sequence[T]], None]) -> None:
        self._lock = lock
        self._write = write
        self._waiting: deque[tuple[T, asyncio.Future[None]]] = deque()
        self._turn: tuple[asyncio.AbstractEventLoop, asyncio.Task[object] | None] | None = None
        self._deadline: float | None = None

    async def commit(self, item: T, *, alone: bool) -> None:
        """Returns when the item is committed. `alone` says that nobody else is about to commit. Raises StoreError."""
        if alone and not self._waiting and self._is_first() and self._lock.try_acquire():
            try:
                self._write((item,))
            finally:
                self._lock.release()
            return
        await self._enqueue(item)

    async def drain(self) -> None:
        """Returns when everything given so far is committed or has failed."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + 2 * self._lock.patience
        while self._waiting:
            if loop.time() > latest:
                raise StoreError("appends were left behind by an event loop that has ended")
            await asyncio.sleep(0 if self._deadline is None else _RETRY)

    def _is_first(self) -> bool:
        """True unless another task has committed in this turn of the loop: then there are several."""
        turn = asyncio.get_running_loop(), asyncio.current_task()
        if self._turn is None or self._turn[0] is not turn[0]:
            self._turn = turn
            turn[0].call_soon(self._end_turn)
        return self._turn == turn

    def _end_turn(self) -> None:
        self._turn = None

    def _enqueue(self, item: T) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        self._waiting.append((item, done))
        if len(self._waiting) == 1:
            loop.call_soon(self._flush)
        return done

    def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            if not self._lock.try_acquire():
                self._wait_or_give_up(loop)
                return
        except StoreError as error:
            self._settle(len(self._waiting), error)
            return
        self._deadline = None
        batch = [item for item, _ in list(self._waiting)[:_MOST]]
        outcome: StoreError | None = StoreError("the append was interrupted")
        try:
            self._write(batch)
            outcome = None
        except StoreError as error:
            outcome = error
        finally:
            self._lock.release()
            self._settle(len(batch), outcome)
            if self._waiting:
                loop.call_soon(self._flush)

    def _wait_or_give_up(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._deadline is None:
            self._deadline = loop.time() + self._lock.patience
        if loop.time() < self._deadline:
            loop.call_later(_RETRY, self._flush)
            return
        self._deadline = None
        self._settle(len(self._waiting), self._lock.refusal())

    def _settle(self, count: int, error: StoreError | None) -> None:
        for _ in range(count):
            _, done = self._waiting.popleft()
            if done.done():  # whoever gave it was cancelled
                continue
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)
