"""Threads on disk: all logs in one diskcache, all heads in another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

from agentctl.errors import DamagedRecord, StoreError
from agentctl.json import Json
from agentctl.store.codec import place_of
from agentctl.store.commits import GroupCommit
from agentctl.store.disk import StoreErrors, create_cache, making
from agentctl.store.locks import PATIENCE, FileLock, Presence, WriterLocks
from agentctl.store.names import check_name
from agentctl.store.protocols import Head
from agentctl.store.records import Records, Tail, first_check
from agentctl.store.table import Table
from agentctl.store.wal import boot_id

Durability = Literal["normal", "full"]
_FILE = "@"


class _HeadRow(msgspec.Struct, frozen=True):
    """A head as it lies in its row, with what shows whether the log was cut since."""

    head: Head
    last: int
    """The log's last record when this was written."""
    synced: int
    """The last record known to be synced: it must be there even after a power cut."""
    boot: str
    """The machine's boot: with no power cut since, `last` must be there, too."""


@dataclass(frozen=True, slots=True)
class _Append:
    log: DiskThreadLog
    packed: Sequence[bytes]
    sync: bool


class DiskThreadStore:
    """A ThreadStore in `folder/threads`, made when first written. For one thread of the process at a time."""

    def __init__(
        self, folder: Path, *, durability: Durability = "normal", patience: float = PATIENCE
    ) -> None:
        self._folder = folder / "threads"
        self._full = durability == "full"
        self._presence = Presence(folder / "writers.lock")
        self._logs = Table(self._folder / "logs", patience=patience, presence=self._presence)
        self._heads = Table(self._folder / "heads", patience=patience, presence=self._presence)
        self._records = Records(self._logs)
        self._lock = FileLock(folder / "threads.lock", patience)
        self._writers = WriterLocks(folder / "writers.lock")
        self._commits: GroupCommit[_Append] = GroupCommit(self._lock, self._write_batch)
        self._boot = boot_id()
        self._exists = False
        self._closed = False

    async def open(self, thread: str) -> DiskThreadLog:
        self._check_usable(thread)
        self._writers.claim(thread)
        try:
            row = self._head_row(thread)
            tail = self._records.tail(thread) if self._there() else Tail(0, first_check(thread))
            self._check_end(thread, tail, row)
        except BaseException:
            self._writers.release(thread)
            raise
        return DiskThreadLog(self, thread, tail, 0 if row is None else row.synced)

    async def heads(self) -> list[Head]:
        self._check_usable()
        if not self._there():
            return []
        known = [_head_row(key, value).head for key, value in self._heads.values()]
        names = {head.thread for head in known}
        # threads whose process was killed before it wrote a head
        headless = [self._headless(name) for name in self._records.threads() if name not in names]
        return [*headless, *reversed(known)]

    async def head(self, thread: str) -> Head | None:
        self._check_usable(thread)
        row = self._head_row(thread)
        if row is not None:
            return row.head
        if not self._there() or self._records.tail(thread).seq == 0:
            return None
        self._heads.check_whole()  # a killed process left no head, or a damaged index hides it
        return self._headless(thread)

    async def read(self, thread: str, first: int = 1, last: int | None = None) -> list[tuple[int, Json]]:
        self._check_usable(thread)
        if not self._there() or (last is not None and last < first):
            return []
        row = self._head_row(thread)  # before the log: its writer writes it after
        records, tail = self._records.read(thread, max(first, 1), last)
        if tail is not None:
            self._check_end(thread, tail, row)
        return records

    async def save_file(self, digest: str, text: Json) -> None:
        self._check_usable()
        key = _FILE + digest
        if self._there() and self._logs.get(key) is not None:
            return
        blob = self._logs.codec.seal(text, place_of(key))
        async with self._lock.held():
            self._make()
            self._logs.write(put=[(key, blob)])

    async def load_file(self, digest: str) -> Json | None:
        self._check_usable()
        if not self._there():
            return None
        text = self._logs.get(_FILE + digest)
        if text is None:
            self._logs.check_whole()  # it was never kept, or a damaged index hides it
        return text

    async def remove(self, thread: str) -> None:
        self._check_usable(thread)
        self._writers.claim(thread)
        try:
            if self._there():
                async with self._lock.held():
                    # the head first: a log without a head is still listed, a head without its log is damage
                    self._heads.write(delete=[thread], sync=True)
                    self._logs.write(delete=self._records.all_keys(thread), sync=True)
        finally:
            self._writers.release(thread)

    async def close(self) -> None:
        """Close the store small. What was acknowledged is safe before, and however this ends."""
        if self._closed:
            return
        try:
            await self._commits.drain()
        finally:
            self._closed = True
            await self._close_tables()
            self._presence.close()
            self._writers.close()
            self._lock.close()

    # what a log asks of its store

    async def append(self, log: DiskThreadLog, records: Sequence[Json], sync: bool) -> None:
        self._check_usable()
        item = _Append(log, [self._logs.codec.pack(record) for record in records], sync or self._full)
        await self._commits.commit(item, alone=len(self._writers) <= 1)

    async def save_head(self, log: DiskThreadLog, head: Head) -> None:
        self._check_usable()
        row = _HeadRow(head, log.seq, log.synced, self._boot)
        blob = self._heads.codec.seal(msgspec.to_builtins(row), place_of(log.thread))
        async with self._lock.held():
            self._make()
            # a fresh row: heads are listed in the order of writing, whatever the clock says
            self._heads.write(delete=[log.thread], add=[(log.thread, blob)])

    async def give_up(self, thread: str) -> None:
        try:
            await self._commits.drain()
        finally:
            self._writers.release(thread)

    # private

    def _check_usable(self, thread: str | None = None) -> None:
        if self._closed:
            raise StoreError("the store is closed")
        if thread is not None:
            check_name(thread)

    def _there(self) -> bool:
        """Whether anything was ever stored. Once it was, what is missing is an error."""
        if not self._exists and self._folder.exists():
            # both, so that a store put in the place of this one is noticed by whichever is asked first
            self._logs.connect()
            self._heads.connect()
            self._exists = True
        return self._exists

    def _make(self) -> None:
        """Make the databases, both or none. Under the lock."""
        if self._there():
            return
        with making(self._folder) as begun:
            begun.mkdir(mode=0o700)
            create_cache(begun / "logs")
            create_cache(begun / "heads")
        with StoreErrors(self._folder):
            _sync_folders(self._folder / "logs", self._folder / "heads", self._folder, self._folder.parent)
        self._there()

    def _write_batch(self, batch: Sequence[_Append]) -> None:
        """Commit appends in one transaction. Under the lock."""
        self._make()
        rows: list[tuple[str, bytes]] = []
        left: list[str] = []
        tails: dict[DiskThreadLog, Tail] = {}
        for log, packed in ((item.log, item.packed) for item in batch):
            if log.unsure and log not in tails:
                left += self._records.keys_from(log.thread, log.seq + 1)
            added, tails[log] = self._records.rows_after(log.thread, tails.get(log, log.tail), packed)
            rows += added
        sync = any(item.sync for item in batch)
        for log in tails:
            log.unsure = True
        self._logs.write(delete=left, add=rows, sync=sync)
        for log, tail in tails.items():
            log.advance(tail, sync)

    def _head_row(self, thread: str) -> _HeadRow | None:
        value = self._heads.get(thread) if self._there() else None
        return None if value is None else _head_row(thread, value)

    def _headless(self, thread: str) -> Head:
        self._records.check_listed(thread)
        return Head(thread=thread, seq=self._records.tail(thread).seq)

    def _check_end(self, thread: str, tail: Tail, row: _HeadRow | None) -> None:
        """Raises DamagedRecord when a log ends before its time."""
        if row is not None:
            known = max(row.synced, row.last) if row.boot == self._boot else row.synced
            if tail.seq < known and self._head_row(thread) is not None:  # else it was removed meanwhile
                raise DamagedRecord(
                    f"thread `{thread}` ends at record {tail.seq}, but record {known} was written: the rest is lost"
                )
        if self._there() and (row is None or row.last != tail.seq):
            self._records.check_nothing_hidden(thread, tail)

    async def _close_tables(self) -> None:
        if not (self._logs.has_written or self._heads.has_written):
            self._logs.close()
            self._heads.close()
            return
        try:
            async with self._lock.held():
                self._logs.close(small=True)
                self._heads.close(small=True)
        except StoreError:
            # locked or removed: nothing is lost by leaving the WAL for the next one to fold in
            self._logs.close()
            self._heads.close()


class DiskThreadLog:
    """The one writer of one thread, from `DiskThreadStore.open`."""

    def __init__(self, store: DiskThreadStore, thread: str, tail: Tail, synced: int) -> None:
        self._store = store
        self._thread = thread
        self._closed = False
        self.tail = tail
        self.synced = synced
        """The last record known to survive a power cut."""
        self.unsure = False
        """A commit has failed, and may have left rows behind the tail."""

    @property
    def thread(self) -> str:
        return self._thread

    @property
    def seq(self) -> int:
        return self.tail.seq

    def advance(self, tail: Tail, synced: bool) -> None:
        """Take note of a commit."""
        self.tail = tail
        self.unsure = False
        if synced:
            self.synced = tail.seq

    async def append(self, records: Sequence[Json], *, sync: bool = False) -> int:
        self._check_open()
        if records:
            await self._store.append(self, records, sync)
        return self.seq

    async def read(self, first: int = 1, last: int | None = None) -> list[tuple[int, Json]]:
        self._check_open()
        return await self._store.read(self._thread, first, last)

    async def save_head(self, head: Head) -> None:
        self._check_open()
        if head.thread != self._thread:
            raise ValueError(f"a head of thread `{head.thread}` given to the log of `{self._thread}`")
        await self._store.save_head(self, head)

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await self._store.give_up(self._thread)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the log of thread `{self._thread}` is closed")


def _head_row(thread: str, value: Json) -> _HeadRow:
    try:
        row = msgspec.convert(value, _HeadRow)
    except msgspec.ValidationError as error:
        raise DamagedRecord(
            f"the head of thread `{thread}` is not one that agentctl writes: {error}"
        ) from error
    return row


def _sync_folders(*folders: Path) -> None:
    """Make the names in folders survive a power cut, as SQLite does for what is in its files."""
    for folder in folders:
        fd = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
