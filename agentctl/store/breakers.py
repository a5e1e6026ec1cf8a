"""Breakers on disk: which tools have failed too often, known to every process of a project."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from agentctl.errors import DamagedRecord, StoreError
from agentctl.json import Json
from agentctl.store.codec import place_of
from agentctl.store.disk import DamagedStore, StoreErrors, create_cache, making
from agentctl.store.locks import FileLock, WriterLocks
from agentctl.store.protocols import CLOSED, BreakerState
from agentctl.store.table import Table

_PATIENCE = 0.25
"""Seconds: whoever holds the lock awaits nothing, and a stopped process is no reason to hold a call up for longer."""
_SETTINGS: dict[str, int | str] = {
    # a definition that changed leaves its row behind: the oldest go
    "eviction_policy": "least-recently-stored",
    "size_limit": 4 * 1024**2,
    "cull_limit": 10,
}


class DiskBreakers:
    """Breakers in `folder/breakers`, made when first written. For one thread of the process at a time.

    Nothing here waits for the event loop, so that a cancellation never comes between a call and what is kept
    of it.
    """

    def __init__(self, folder: Path, *, patience: float = _PATIENCE) -> None:
        self._folder = folder / "breakers"
        self._path = str(self._folder)
        self._table = Table(self._folder, patience=patience, settings=_SETTINGS)
        self._lock = FileLock(folder / "breakers.lock", patience)
        self._trials = WriterLocks(folder / "trials.lock")

    async def get(self, key: str) -> BreakerState:
        """See Breakers: one row read; nothing but a look for the folder while no tool has ever failed."""
        return self._read(key)

    async def change(
        self, key: str, to: Callable[[BreakerState], BreakerState]
    ) -> tuple[BreakerState, BreakerState]:
        """See Breakers."""
        with self._lock.held_sync():
            before = self._read(key)
            after = to(before)
            if after != before:
                self._write(key, after)
        return before, after

    async def recover(self, key: str, error: StoreError) -> None:
        """See Breakers."""
        self._table.close()
        with self._lock.held_sync():
            if isinstance(error, DamagedStore):
                shutil.rmtree(self._folder, ignore_errors=True)
            elif isinstance(error, DamagedRecord):
                self._table.write(delete=[key])

    def claim(self, trial: str) -> None:
        """See Breakers: a lock that dies with its process."""
        with StoreErrors(self._folder):
            self._trials.claim(trial)

    def release(self, trial: str) -> None:
        self._trials.release(trial)

    def is_claimed(self, trial: str) -> bool:
        with StoreErrors(self._folder):
            return self._trials.is_claimed(trial)

    async def close(self) -> None:
        try:
            if self._table.has_written:
                with self._lock.held_sync():
                    self._table.close(small=True)
        finally:
            self._table.close()
            self._trials.close()
            self._lock.close()

    def _read(self, key: str) -> BreakerState:
        if not self._there():
            return CLOSED
        value = self._table.get(key)
        return CLOSED if value is None else _state(value, key)

    def _write(self, key: str, state: BreakerState) -> None:
        """Under the lock. What is closed and has not failed needs no row."""
        if not self._there():
            with making(self._folder) as begun:
                create_cache(begun, **_SETTINGS)
        if state == CLOSED:
            self._table.write(delete=[key])
        else:
            blob = self._table.codec.seal(msgspec.to_builtins(state), place_of(key))
            self._table.write(put=[(key, blob)])

    def _there(self) -> bool:
        # os.path, for a Path costs three times as much, and this is asked twice for each call
        return self._table.is_open or os.path.exists(self._path)


def _state(value: Json, key: str) -> BreakerState:
    try:
        return msgspec.convert(value, BreakerState)
    except msgspec.ValidationError as error:
        raise DamagedRecord(f"the row `{key}` holds no breaker: {error}") from error
