"""The memo on disk: results of identical tool calls, the oldest dropped first when room runs out."""

from __future__ import annotations

import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from agentctl.errors import DamagedRecord, StoreError
from agentctl.store.codec import place_of
from agentctl.store.disk import DamagedStore, create_cache, making
from agentctl.store.locks import FileLock
from agentctl.store.protocols import MemoEntry
from agentctl.store.table import Table

_PATIENCE = 1.0
"""Seconds: a result that cannot be remembered is no reason to hold a run up for longer."""
_LARGEST_SHARE = 8
"""One result takes at most this part of the room, so that it does not drive all others out."""


class DiskMemo:
    """A Memo in `folder/memo`, made when first written. For one thread of the process at a time.

    It is a cache: what cannot be read is a miss, what cannot be kept is forgotten, and a file that is damaged
    is begun anew. `on_trouble` hears of each such failure of the files; by default it is a RuntimeWarning.
    """

    def __init__(
        self,
        folder: Path,
        *,
        size_limit: int,
        on_trouble: Callable[[StoreError], None] | None = None,
        clock: Callable[[], float] = time.time,
        patience: float = _PATIENCE,
    ) -> None:
        self._folder = folder / "memo"
        self._settings: dict[str, int | str] = {
            "eviction_policy": "least-recently-stored",  # least-recently-used would write on every read
            "size_limit": size_limit,
            "cull_limit": 10,
        }
        self._table = Table(self._folder, patience=patience, settings=self._settings)
        self._lock = FileLock(folder / "memo.lock", patience)
        self._largest = size_limit // _LARGEST_SHARE
        self._on_trouble = on_trouble or _warn
        self._clock = clock

    async def get(self, key: str) -> MemoEntry | None:
        """The entry, or None. One that seems to come from the future is taken as too old: the clock was set
        back since, and how old it really is cannot be told."""
        try:
            value = self._table.get(key) if self._there() else None
        except DamagedRecord:
            await self._forget(key)
            return None
        except StoreError as error:
            await self._recover(error)
            return None
        if value is None:
            return None
        result, stored, seconds, max_age = value
        if max_age is not None and not 0 <= self._clock() - stored <= max_age:
            return None
        return MemoEntry(result, stored, seconds)

    async def put(self, key: str, entry: MemoEntry, *, max_age: float | None) -> None:
        value = [entry.value, entry.stored, entry.seconds, max_age]
        blob = self._table.codec.seal(value, place_of(key))
        if len(blob) > self._largest:
            return
        try:
            async with self._lock.held():
                self._make()
                self._table.write(put=[(key, blob)])
        except StoreError as error:
            await self._recover(error)

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
        self._table.close()
        if isinstance(error, DamagedStore):
            async with self._lock.held():
                shutil.rmtree(self._folder, ignore_errors=True)


def _warn(error: StoreError) -> None:
    warnings.warn(f"the memo failed: {error}", RuntimeWarning, stacklevel=2)
