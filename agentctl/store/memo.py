"""The memo on disk: results of identical tool calls, the oldest dropped first when room runs out."""

from __future__ import annotations

import asyncio
import shutil
import time
import warnings
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from math import isinf
from pathlib import Path

from agentctl.errors import DamagedRecord, StoreError
from agentctl.json import Json
from agentctl.store.clock import MachineClock, Moment, seconds_between
from agentctl.store.codec import place_of
from agentctl.store.disk import DamagedStore, create_cache, making
from agentctl.store.locks import FileLock, WriterLocks
from agentctl.store.protocols import MemoEntry
from agentctl.store.table import Table

FOLDER, LOCK = "memo", "memo.lock"
ABOUT = "about."
"""Before a key: what is said of its answer. A row of its own, so that a hit does not read it."""
DETAILS = "details."
"""Before a digest: the parts that it stands for."""
SETTINGS: dict[str, int | str] = {
    "eviction_policy": "least-recently-stored",  # least-recently-used would write on every read
    "cull_limit": 10,
}
_UNDER_WAY = "memo.calls.lock"
_PATIENCE = 1.0
"""Seconds: a result that cannot be remembered is no reason to hold a run up for longer."""
_LARGEST_SHARE = 8
"""One result takes at most this part of the room, so that it does not drive all others out."""
_FIRST_LOOK, _LAST_LOOK = 0.002, 0.03
"""Seconds between two looks at a call of another process; each is half as long again as the one before."""


class DiskMemo:
    """A Memo in `folder/memo`, made when first written. For one thread of the process at a time.

    It is a cache: what cannot be read is a miss, what cannot be kept is forgotten, and a file that is damaged
    is begun anew. `on_trouble` hears of each such failure of the files; by default it is a RuntimeWarning.

    Ages are measured by the machine's own time since it was started, which nobody sets; for an entry of an
    earlier start, or of another machine, by the clock.
    """

    def __init__(
        self,
        folder: Path,
        *,
        size_limit: int,
        on_trouble: Callable[[StoreError], None] | None = None,
        clock: Callable[[], Moment] | None = None,
        patience: float = _PATIENCE,
    ) -> None:
        self._folder = folder / FOLDER
        self._settings = {**SETTINGS, "size_limit": size_limit}
        self._table = Table(self._folder, patience=patience, settings=self._settings)
        self._lock = FileLock(folder / LOCK, patience)
        self._under_way = WriterLocks(folder / _UNDER_WAY)
        self._largest = size_limit // _LARGEST_SHARE
        self._on_trouble = on_trouble or _warn
        self._clock = clock or MachineClock()
        self._detailed: set[str] = set()
        """Details that this process has written."""

    async def get(self, key: str) -> MemoEntry | None:
        """See Memo. An entry that seems to come from the future, by the clock, is too old: the clock was set back
        since, and how old it really is cannot be told."""
        # as `_read`, which would cost a hit a coroutine more
        try:
            value = self._table.get(key) if self._there() else None
        except (DamagedRecord, StoreError):
            value = await self._read(key)
        if value is None:
            return None
        result, stored, seconds, max_age, boot, up = value
        if max_age is not None and self._age(stored, boot, up) > max_age:
            return None
        return MemoEntry(result, stored, seconds)

    async def lost(self, key: str) -> dict[str, Json]:
        """See Memo."""
        about = await self._read(ABOUT + key)
        if about is None:
            return {}
        if about.get("too_large"):
            return {"too_large": about["size"]}
        age = self._age(about["stored"], about["boot"], about["up"])
        if about["max_age"] is None or age <= about["max_age"]:
            return {"evicted": about["stored"]}
        return {"clock": about["stored"]} if isinf(age) else {"expired": round(age - about["max_age"], 3)}

    async def put(
        self,
        key: str,
        entry: MemoEntry,
        *,
        max_age: float | None,
        about: Mapping[str, Json] | None = None,
        details: Mapping[str, Json] | None = None,
    ) -> None:
        now = self._clock()
        blob = self._sealed(key, [entry.value, entry.stored, entry.seconds, max_age, now.boot, now.uptime])
        rows = [(key, blob)] if len(blob) <= self._largest else []
        fresh = {name: value for name, value in (details or {}).items() if name not in self._detailed}
        rows += [(DETAILS + name, self._sealed(DETAILS + name, value)) for name, value in fresh.items()]
        if about is not None:
            said = await self._about(key, entry, max_age, len(blob), now, about)
            rows.append((ABOUT + key, self._sealed(ABOUT + key, said)))
        if not rows:
            return
        try:
            async with self._lock.held():
                self._make()
                self._table.write(put=rows)
        except StoreError as error:
            await self._recover(error)
        else:
            self._detailed.update(fresh)

    @asynccontextmanager
    async def leading(self, key: str, patience: float) -> AsyncIterator[None]:
        """See Memo. The lead is a lock that dies with its process."""
        claimed = await self._claim(key, patience)
        try:
            yield
        finally:
            if claimed:
                self._under_way.release(key)

    async def close(self) -> None:
        try:
            if self._table.has_written:
                async with self._lock.held():
                    self._table.close(small=True)
        except StoreError as error:
            self._on_trouble(error)
        finally:
            self._table.close()
            self._lock.close()
            self._under_way.close()

    def _age(self, stored: float, boot: str, up: float) -> float:
        return seconds_between(Moment(boot=boot, uptime=up, wall=stored), self._clock())

    async def _read(self, key: str) -> Json | None:
        try:
            return self._table.get(key) if self._there() else None
        except DamagedRecord:
            await self._forget(key)
        except StoreError as error:
            await self._recover(error)
        return None

    async def _about(
        self,
        key: str,
        entry: MemoEntry,
        max_age: float | None,
        size: int,
        now: Moment,
        about: Mapping[str, Json],
    ) -> dict[str, Json]:
        before = await self._read(ABOUT + key)
        said = {
            **about,
            "stored": entry.stored,
            "first": entry.stored if before is None else before["first"],
            "seconds": entry.seconds,
            "max_age": max_age,
            "size": size,
            "boot": now.boot,
            "up": now.uptime,
        }
        if size > self._largest:
            said["too_large"] = True
        return said

    def _sealed(self, key: str, value: Json) -> bytes:
        return self._table.codec.seal(value, place_of(key))

    async def _claim(self, key: str, patience: float) -> bool:
        deadline, wait = time.monotonic() + patience, _FIRST_LOOK
        try:
            while not self._under_way.try_claim(key):
                if time.monotonic() > deadline:
                    return False
                await asyncio.sleep(wait)
                wait = min(wait * 1.5, _LAST_LOOK)
        except StoreError as error:
            self._on_trouble(error)
            return False
        return True

    def _there(self) -> bool:
        return self._table.is_open or self._folder.exists()

    def _make(self) -> None:
        """Make the database, whole or not at all. Under the lock."""
        if self._there():
            return
        with making(self._folder) as begun:
            create_cache(begun, **self._settings)

    async def _forget(self, key: str) -> None:
        try:
            async with self._lock.held():
                self._table.write(delete=[key])
        except StoreError as error:
            await self._recover(error)

    async def _recover(self, error: StoreError) -> None:
        """Say what failed, and begin anew: with the same files, or without them when they are damaged."""
        self._on_trouble(error)
        self._detailed.clear()
        try:
            self._table.close()
            if isinstance(error, DamagedStore):
                async with self._lock.held():
                    shutil.rmtree(self._folder, ignore_errors=True)
        except StoreError as other:
            self._on_trouble(other)  # what cannot be mended is met again by the next call


def _warn(error: StoreError) -> None:
    warnings.warn(f"the memo failed: {error}", RuntimeWarning, stacklevel=2)
