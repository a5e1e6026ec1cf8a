"""The memo as a person looks at it: what is remembered, beside the processes that use it, and how it is forgotten."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from agentctl.errors import DamagedRecord
from agentctl.json import Json
from agentctl.store.codec import place_of
from agentctl.store.disk import DATABASE, wal_of
from agentctl.store.locks import FileLock
from agentctl.store.memo import ABOUT, DETAILS, FOLDER, LOCK, SETTINGS
from agentctl.store.table import Table

_AT_ONCE = 500
"""Rows read, or forgotten under one lock: a call that wants to be remembered waits for a second at most."""
_PATIENCE = 5.0
_END = "~"
"""After every digit and letter of a key."""


class Remembered(msgspec.Struct, frozen=True):
    """What is said of one answer."""

    key: str
    tool: str
    stored: float
    """Unix seconds."""
    first: float
    """When an answer was first stored under this key."""
    seconds: float
    """What the call took."""
    size: int
    """Bytes, as they lie on disk."""
    max_age: float | None = None
    tenant: str = ""
    thread: str = ""
    turn: int = 0
    arguments: Json = None
    """Secrets masked; None when they are large."""
    marks: dict[str, Json] = {}
    too_large: bool = False
    """The answer was too large to be kept."""


class Freed(NamedTuple):
    """What forgetting gave back."""

    entries: int
    bytes: int
    """That the files are smaller by."""


class RememberedCalls:
    """The memo of a store's folder, read beside its writers. Raises StoreError."""

    def __init__(self, folder: Path, *, size_limit: int) -> None:
        self._folder = folder / FOLDER
        self._table = Table(self._folder, patience=_PATIENCE, settings={**SETTINGS, "size_limit": size_limit})
        self._lock = FileLock(folder / LOCK, _PATIENCE)
        self.size_limit = size_limit

    @property
    def is_there(self) -> bool:
        return (self._folder / DATABASE).exists()

    @property
    def disk_size(self) -> int:
        """Bytes of its files."""
        path = self._folder / DATABASE
        return sum(file.stat().st_size for file in (path, wal_of(path)) if file.exists())

    def entries(self) -> list[Remembered]:
        """Every answer that is there, the oldest first; rows that are damaged are passed over, as a run does."""
        if not self.is_there:
            return []
        answers = set(self._table.keys("0", "g"))
        found = [entry for entry in self._abouts() if entry.key in answers]
        return sorted(found, key=lambda entry: entry.stored)

    def about(self, key: str) -> Remembered | None:
        """What is said of the answer of a key, which itself may be gone."""
        if not self.is_there:
            return None
        with suppress(DamagedRecord):
            said = self._table.get(ABOUT + key)
            return None if said is None else _entry(key, said)
        return None

    def details(self, mark: str) -> dict[str, str] | None:
        """The parts that a mark stands for, when they are still known."""
        if not self.is_there:
            return None
        with suppress(DamagedRecord):
            found: dict[str, str] | None = self._table.get(DETAILS + mark)
            return found
        return None

    def forget(self, keys: Collection[str]) -> Freed:
        """Forget answers, and give their room back to the disk."""
        return self._delete([name for key in keys for name in (key, ABOUT + key)], len(keys))

    def forget_all(self) -> Freed:
        """Forget everything, what is said of answers that are gone too."""
        if not self.is_there:
            return Freed(0, 0)
        keys = self._table.keys("", _END)
        return self._delete(keys, sum(not key.startswith((ABOUT, DETAILS)) for key in keys))

    def close(self) -> None:
        self._table.close()
        self._lock.close()

    def _delete(self, rows: list[str], entries: int) -> Freed:
        if not rows:
            return Freed(0, 0)
        before = self.disk_size
        for first in range(0, len(rows), _AT_ONCE):
            with self._lock.held_sync():
                self._table.write(delete=rows[first : first + _AT_ONCE])
        with self._lock.held_sync():
            self._table.close(small=True)
        return Freed(entries, max(0, before - self.disk_size))

    def _abouts(self) -> Iterator[Remembered]:
        first = ABOUT
        while rows := self._table.range(first, ABOUT + _END, limit=_AT_ONCE):
            for row in rows:
                with suppress(DamagedRecord):
                    said = self._table.codec.unseal(row.blob, place_of(row.key))
                    yield _entry(row.key.removeprefix(ABOUT), said)
            first = rows[-1].key + " "  # the lowest text after it


def _entry(key: str, said: dict[str, Json]) -> Remembered:
    return msgspec.convert({**said, "key": key}, Remembered)
