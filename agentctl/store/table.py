"""One diskcache in one folder: written in whole transactions, read beside the writer."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from agentctl.errors import DamagedRecord, StoreError
from agentctl.json import Json
from agentctl.spec.reading import read_start
from agentctl.store.codec import Codec, place_of
from agentctl.store.disk import (
    DATABASE,
    MODE,
    SYNC_FULL,
    SYNC_NORMAL,
    Cache,
    DamagedStore,
    Sealed,
    StoreErrors,
    check_file,
    checkpoint,
    open_cache,
    wal_of,
)
from agentctl.store.locks import Presence
from agentctl.store.wal import boot_id, is_damaged

_BOOT = "boot"
_COLUMNS = "key, raw, mode, filename, value"
_GET = f"SELECT {_COLUMNS} FROM Cache WHERE key = ?"
_RANGE = f"SELECT {_COLUMNS} FROM Cache WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?"
_RANGE_DOWN = f"SELECT {_COLUMNS} FROM Cache WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT ?"
_KEYS = "SELECT key FROM Cache WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?"
_KEYS_DOWN = "SELECT key FROM Cache WHERE key BETWEEN ? AND ? ORDER BY key DESC LIMIT ?"
_ALL = f"SELECT {_COLUMNS} FROM Cache ORDER BY rowid"
_LATER = "SELECT key FROM Cache WHERE rowid > (SELECT rowid FROM Cache WHERE key = ?) LIMIT ?"


class Row(NamedTuple):
    """A row that has the form of ours; its bytes are not checked yet."""

    key: str
    blob: bytes


class Table:
    """Rows of text keys and sealed bytes.

    Reading goes through a read-only connection that never checkpoints and never waits for a writer. Whoever
    writes or closes holds the store's file lock, and awaits nothing meanwhile: SQLite before 3.51.3 can
    corrupt a WAL that several processes write, and diskcache lets a second task join a transaction.
    """

    def __init__(
        self,
        folder: Path,
        *,
        patience: float,
        presence: Presence | None = None,
        settings: Mapping[str, int | str] | None = None,
    ) -> None:
        """`presence` of the processes that write here lets a damaged WAL be told from one in use; without it
        nobody looks, which is right for what may be lost."""
        self.folder = folder
        self.codec = Codec()
        self._path = folder / DATABASE
        self._patience = patience
        self._settings = settings or {}
        self._cache: Cache | None = None
        self._reader: sqlite3.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._errors = StoreErrors(folder)
        self._pid = os.getpid()
        self._presence = presence
        self._boot = boot_id()

    # writing

    def write(
        self,
        *,
        delete: Iterable[str] = (),
        put: Iterable[tuple[str, bytes]] = (),
        add: Iterable[tuple[str, bytes]] = (),
        sync: bool = False,
    ) -> None:
        """One transaction, in the order of the arguments: rows to delete, to put, and to add under new keys.

        With `sync` it survives a power cut. Raises StoreError, and then a later reader sees nothing of it.
        """
        with self._errors:
            cache = self._writer()
            try:
                if sync:
                    # by connection, and outside of a transaction, where it would be passed over
                    cache.reset("sqlite_synchronous", SYNC_FULL, update=False)
                with cache.transact():
                    for key in delete:
                        cache.delete(key)
                    for key, blob in put:
                        cache.set(key, Sealed(blob))
                    cache.add_new(add)
                if sync:
                    cache.reset("sqlite_synchronous", SYNC_NORMAL, update=False)
            except BaseException:
                # a COMMIT that failed leaves its transaction open, and the next one would join it
                self._drop_writer()
                raise

    # reading

    def connect(self) -> None:
        """Open the file for reading, before the first question. Raises StoreError."""
        self._connection()

    def get(self, key: str) -> Json | None:
        """The value of a key. Raises DamagedRecord."""
        rows = self._select(_GET, (key,))
        if not rows:
            return None
        return self._value(_row(rows[0]))

    def range(self, first: str, last: str, *, limit: int = -1, down: bool = False) -> list[Row]:
        """Rows from one key to another, both included, in their order, or the last ones first."""
        return [_row(row) for row in self._select(_RANGE_DOWN if down else _RANGE, (first, last, limit))]

    def keys(self, first: str, last: str, *, limit: int = -1, down: bool = False) -> list[str]:
        """Keys of a range, whatever is in their rows."""
        return [_key(row) for row in self._select(_KEYS_DOWN if down else _KEYS, (first, last, limit))]

    def values(self) -> list[tuple[str, Json]]:
        """Every row, in the order of writing. Raises DamagedStore when some cannot be found."""
        connection = self._connection()
        with self._errors:
            connection.execute("BEGIN")
            try:
                rows = connection.execute(_ALL).fetchall()
                counted = connection.execute("SELECT value FROM Settings WHERE key = 'count'").fetchall()
            finally:
                connection.execute("ROLLBACK")
        if counted != [(len(rows),)]:
            raise DamagedStore(f"{self._path} is damaged: {len(rows)} rows are found, {counted} were counted")
        return [(row.key, self._value(row)) for row in map(_row, rows)]

    def keys_after(self, key: str, limit: int) -> list[str]:
        """Keys of rows written after that of a key, found without the index of keys."""
        return [_key(row) for row in self._select(_LATER, (key, limit))]

    def check_whole(self) -> None:
        """Read the whole file and compare its indexes. Raises DamagedStore."""
        [(said,)] = self._select("PRAGMA integrity_check(1)", ())
        if said != "ok":
            raise DamagedStore(f"{self._path} is damaged: {said}")

    @property
    def has_written(self) -> bool:
        return self._cache is not None

    @property
    def is_open(self) -> bool:
        return self._inode is not None

    def close(self, *, small: bool = False) -> None:
        """Let go of the files. `small`, under the lock, moves what the WAL holds into the database."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        with self._errors:
            if self._cache is not None:
                cache, self._cache = self._cache, None
                cache.close()
            if small and self._path.exists():
                checkpoint(self._path)
        self._inode = None

    # private

    def _value(self, row: Row) -> Json:
        try:
            return self.codec.unseal(row.blob, place_of(row.key))
        except DamagedRecord as error:
            raise DamagedRecord(
                f"the row `{row.key}` in {self.folder} is damaged: {error.message}"
            ) from error

    def _select(self, statement: str, values: tuple[str | int, ...]) -> list[tuple[Json, ...]]:
        connection = self._connection()
        with self._errors:
            return connection.execute(statement, values).fetchall()

    def _writer(self) -> Cache:
        self._check_place()
        if self._cache is None:
            self._announce()
            self._cache = open_cache(self.folder, self._patience, **self._settings)
            self._note_place()
        return self._cache

    def _drop_writer(self) -> None:
        if self._cache is not None:
            cache, self._cache = self._cache, None
            with suppress(sqlite3.Error):  # the error that brought us here is the one to tell
                cache.close()

    def _connection(self) -> sqlite3.Connection:
        if self._presence is not None or self._reader is None:
            self._check_place()
        else:
            # what may be lost is read on from a file that was removed: looking costs a third of reading
            self._check_process()
        if self._reader is None:
            check_file(self._path)
            self._check_wal()
            with self._errors:
                self._reader = sqlite3.connect(
                    f"file:{quote(str(self._path))}?mode=ro",
                    uri=True,
                    timeout=self._patience,
                    isolation_level=None,
                    check_same_thread=False,
                )
                self._reader.execute("PRAGMA trusted_schema = OFF")
                self._reader.execute("PRAGMA query_only = ON")
            self._note_place()
        return self._reader

    def _announce(self) -> None:
        """Say that we write here, and that the WAL is of this boot: a power cut would excuse gaps in it."""
        if self._presence is not None:
            self._presence.show()
            if self._noted_boot() != self._boot and checkpoint(self._path):
                (self.folder / _BOOT).write_text(self._boot)

    def _check_wal(self) -> None:
        """Raises DamagedStore when SQLite, as it takes up what a killed process left, would drop some of it."""
        wal = wal_of(self._path)
        if self._presence is None or not self._boot or not wal.exists() or not wal.stat().st_size:
            return
        if self._noted_boot() == self._boot and not self._presence.others() and is_damaged(wal):
            raise DamagedStore(f"{wal} is damaged: what was written last cannot be read")

    def _noted_boot(self) -> str | None:
        try:
            return read_start(self.folder / _BOOT).decode()
        except FileNotFoundError:
            return None

    def _note_place(self) -> None:
        found = os.stat(self._path)
        self._inode = (found.st_dev, found.st_ino)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError("this store was opened before a fork; open it again in the child")

    def _check_place(self) -> None:
        """SQLite writes on into a file that was removed, and nobody will ever read it."""
        self._check_process()
        if self._inode is None:
            return
        try:
            found = os.stat(self._path)
        except OSError as error:
            raise StoreError(f"the store was removed while in use: {self._path}: {error.strerror}") from error
        if (found.st_dev, found.st_ino) != self._inode:
            raise StoreError(f"the store was replaced while in use: {self._path} is another file by now")


def _row(row: tuple[Json, ...]) -> Row:
    key, raw, mode, filename, blob = row
    if type(key) is not str or raw != 1 or mode != MODE or filename is not None or type(blob) is not bytes:
        raise DamagedRecord(f"the row of {key!r} is damaged: its mode is {mode!r}, agentctl writes {MODE}")
    return Row(key, blob)


def _key(row: tuple[Json, ...]) -> str:
    (key,) = row
    if type(key) is not str:
        raise DamagedRecord(f"a key of the store is damaged: {key!r} is none that agentctl writes")
    return key
