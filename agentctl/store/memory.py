"""Threads, memo and breakers in memory: for runs that keep nothing, and for an outage of the disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from agentctl.errors import StoreError, ThreadBusy
from agentctl.json import Json, decode, encode
from agentctl.store.names import check_name
from agentctl.store.protocols import CLOSED, BreakerState, Head, MemoEntry


@dataclass
class MemoryContents:
    """What stores in memory hold. Two stores over the same contents stand for two processes at one folder."""

    logs: dict[str, list[str]] = field(default_factory=dict)
    """Records as text: bytes of the encoder's would each keep the kilobyte they were written into."""
    heads: dict[str, Head] = field(default_factory=dict)
    """In the order of writing."""
    files: dict[str, bytes] = field(default_factory=dict)
    writers: dict[str, MemoryThreadStore] = field(default_factory=dict)


class MemoryThreadStore:
    """A ThreadStore that ends with the process."""

    def __init__(self, contents: MemoryContents | None = None) -> None:
        self.contents = MemoryContents() if contents is None else contents
        self._closed = False

    async def open(self, thread: str) -> MemoryThreadLog:
        self._check_usable(thread)
        self._claim(thread)
        return MemoryThreadLog(self, thread)

    async def heads(self) -> list[Head]:
        self._check_usable()
        known = self.contents.heads
        headless = [self._headless(thread) for thread in sorted(self.contents.logs) if thread not in known]
        return [*headless, *reversed(known.values())]

    async def head(self, thread: str) -> Head | None:
        self._check_usable(thread)
        found = self.contents.heads.get(thread)
        if found is None and thread in self.contents.logs:
            return self._headless(thread)
        return found

    async def read(self, thread: str, first: int = 1, last: int | None = None) -> list[tuple[int, Json]]:
        self._check_usable(thread)
        begin = max(first, 1) - 1
        log = self.contents.logs.get(thread, [])[begin : None if last is None else max(last, 0)]
        return [(seq, decode(record)) for seq, record in enumerate(log, begin + 1)]

    async def save_file(self, digest: str, text: Json) -> None:
        self._check_usable()
        self.contents.files.setdefault(digest, encode(text))

    async def load_file(self, digest: str) -> Json | None:
        self._check_usable()
        found = self.contents.files.get(digest)
        return None if found is None else decode(found)

    async def remove(self, thread: str) -> None:
        self._check_usable(thread)
        self._claim(thread)
        self.contents.logs.pop(thread, None)
        self.contents.heads.pop(thread, None)
        self.give_up(thread)

    async def close(self) -> None:
        self._closed = True
        for thread in [thread for thread, store in self.contents.writers.items() if store is self]:
            self.give_up(thread)

    def give_up(self, thread: str) -> None:
        self.contents.writers.pop(thread, None)

    def _claim(self, thread: str) -> None:
        if thread in self.contents.writers:
            raise ThreadBusy(
                f"thread `{thread}` is being written by this process", hint="wait until it is done, or end it"
            )
        self.contents.writers[thread] = self

    def _headless(self, thread: str) -> Head:
        return Head(thread=thread, seq=len(self.contents.logs[thread]))

    def _check_usable(self, thread: str | None = None) -> None:
        if self._closed:
            raise StoreError("the store is closed")
        if thread is not None:
            check_name(thread)


class MemoryThreadLog:
    """The one writer of one thread, from `MemoryThreadStore.open`."""

    def __init__(self, store: MemoryThreadStore, thread: str) -> None:
        self._store = store
        self._thread = thread
        self._records = store.contents.logs.get(thread, [])
        self._closed = False

    @property
    def thread(self) -> str:
        return self._thread

    @property
    def seq(self) -> int:
        return len(self._records)

    async def append(self, records: Sequence[Json], *, sync: bool = False) -> int:
        self._check_open()
        encoded = [encode(record).decode() for record in records]
        if encoded:
            self._store.contents.logs[self._thread] = self._records
            self._records += encoded
        return self.seq

    async def read(self, first: int = 1, last: int | None = None) -> list[tuple[int, Json]]:
        self._check_open()
        return await self._store.read(self._thread, first, last)

    async def save_head(self, head: Head) -> None:
        self._check_open()
        if head.thread != self._thread:
            raise ValueError(f"a head of thread `{head.thread}` given to the log of `{self._thread}`")
        self._store.contents.heads.pop(self._thread, None)
        self._store.contents.heads[self._thread] = head

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            if self._store.contents.writers.get(self._thread) is self._store:
                self._store.give_up(self._thread)

    def _check_open(self) -> None:
        if self._closed or self._store.contents.writers.get(self._thread) is not self._store:
            raise StoreError(f"the log of thread `{self._thread}` is closed")


class MemoryMemo:
    """A Memo that ends with the process; the oldest entries go when there are more than `most`."""

    def __init__(self, *, most: int = 10_000, clock: Callable[[], float] = time.time) -> None:
        self._most = most
        self._clock = clock
        self._entries: dict[str, bytes] = {}
        self._under_way: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def get(self, key: str) -> MemoEntry | None:
        found = self._entries.get(key)
        if found is None:
            return None
        value, stored, seconds, max_age = decode(found)
        if max_age is not None and not 0 <= self._clock() - stored <= max_age:
            return None
        return MemoEntry(value, stored, seconds)

    async def put(
        self,
        key: str,
        entry: MemoEntry,
        *,
        max_age: float | None,
        about: Mapping[str, Json] | None = None,
        details: Mapping[str, Json] | None = None,
    ) -> None:
        self._entries.pop(key, None)
        self._entries[key] = encode([entry.value, entry.stored, entry.seconds, max_age])
        while len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]

    @asynccontextmanager
    async def leading(self, key: str, patience: float) -> AsyncIterator[None]:
        lock = self._under_way.setdefault(key, asyncio.Lock())
        claimed = False
        with suppress(TimeoutError):
            claimed = await asyncio.wait_for(lock.acquire(), patience)
        try:
            yield
        finally:
            if claimed:
                lock.release()

    async def lost(self, key: str) -> dict[str, Json]:
        found = self._entries.get(key)
        if found is None:
            return {}
        _, stored, _, max_age = decode(found)
        age = self._clock() - stored
        if age < 0 or max_age is None:
            return {"clock": stored}
        return {"expired": round(age - max_age, 3)}

    async def close(self) -> None:
        self._entries.clear()


class MemoryBreakers:
    """Breakers that end with the process."""

    def __init__(self) -> None:
        self._states: dict[str, BreakerState] = {}
        self._claimed: set[str] = set()

    async def get(self, key: str) -> BreakerState:
        return self._states.get(key, CLOSED)

    async def change(
        self, key: str, to: Callable[[BreakerState], BreakerState]
    ) -> tuple[BreakerState, BreakerState]:
        before = self._states.get(key, CLOSED)
        after = self._states[key] = to(before)
        return before, after

    async def recover(self, key: str, error: StoreError) -> None:
        self._states.pop(key, None)

    def claim(self, trial: str) -> None:
        self._claimed.add(trial)

    def release(self, trial: str) -> None:
        self._claimed.discard(trial)

    def is_claimed(self, trial: str) -> bool:
        return trial in self._claimed

    async def close(self) -> None:
        """Nothing: it ends with the process."""
