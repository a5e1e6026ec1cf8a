"""diskcache made safe: text keys, our own bytes in the row, and no way to a pickle or a side file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import diskcache

from agentctl.errors import DamagedRecord, StoreError
from agentctl.json import Json
from agentctl.store.codec import Codec

DATABASE = "cache.db"
"""The file diskcache keeps in its folder."""
MODE = 16
"""Of every row of ours. diskcache's own are 0 to 4; 4 is a pickle."""
SYNC_NORMAL, SYNC_FULL = 1, 2
"""SQLite's `synchronous`: with WAL, NORMAL survives a killed process and FULL a power cut."""

_UNLIMITED = 2**62
_SETTINGS: dict[str, int | str] = {
    "statistics": 0,
    "tag_index": 0,
    "eviction_policy": "none",
    "size_limit": _UNLIMITED,
    "cull_limit": 0,
    "sqlite_auto_vacuum": 1,
    "sqlite_cache_size": 2**11,
    "sqlite_journal_mode": "wal",
    # diskcache's default maps the file into memory: one that is cut short kills the process with SIGBUS
    "sqlite_mmap_size": 0,
    "sqlite_synchronous": SYNC_NORMAL,
    # about 4 MB of WAL. A checkpoint stands still for its fsync, some milliseconds whatever its pages: with 400 of
    # them, fsyncs were half of what a step costs, and the longest stop was no shorter
    "sqlite_wal_autocheckpoint": 1000,
    "sqlite_trusted_schema": 0,
    "disk_min_file_size": 0,
    "disk_pickle_protocol": 0,
}
_ADD = (
    "INSERT INTO Cache (key, raw, store_time, access_count, size, mode, value) VALUES (?, 1, ?, 0, 0, ?, ?)"
)
_COUNTERS = ("count", "size", "hits", "misses")


class Sealed(NamedTuple):
    """Bytes from a Codec, to be stored as they are."""

    blob: bytes


class SafeDisk(diskcache.Disk):  # type: ignore[misc]  # diskcache is untyped
    """How diskcache keeps keys and values here. Nothing of the base class that pickles or opens files is left."""

    def __init__(self, directory: str, **kept: Json) -> None:
        super().__init__(directory)
        self._codec = Codec()

    def put(self, key: object) -> tuple[str, bool]:
        if type(key) is not str:
            raise TypeError(f"a key of the store is text, not {type(key).__name__}")
        return key, True

    def get(self, key: object, raw: object) -> str:
        # CVE-2025-69872: diskcache unpickles a key whose row says raw = 0
        if type(key) is not str or raw != 1:
            raise DamagedRecord("a key of the store is not text: agentctl never wrote it")
        return key

    def store(self, value: Json, read: bool, key: object = None) -> tuple[int, int, None, bytes]:
        if read:
            raise TypeError("the store takes values, not open files")
        if type(value) is Sealed:
            return 0, MODE, None, value.blob
        return 0, MODE, None, self._codec.seal(value, b"")

    def fetch(self, mode: object, filename: object, value: object, read: bool) -> Json:
        # CVE-2025-69872: diskcache unpickles the value of a row whose mode is 4, or of the file it names
        if mode != MODE or filename is not None or read:
            raise DamagedRecord(f"the row has mode {mode!r}, agentctl writes {MODE}: it is not ours")
        return self._codec.unseal(value, b"")

    def filename(self, key: object = None, value: object = None) -> tuple[str, str]:
        raise TypeError("the store keeps every value in its row")

    def remove(self, file_path: str) -> None:
        """Nothing: no row of ours has a side file, and a forged name could be any file of this user."""


class Cache(diskcache.Cache):  # type: ignore[misc]  # diskcache is untyped
    """A diskcache that can take rows by the dozen."""

    def add_new(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Add rows whose keys are not there yet, within `transact`. Raises sqlite3.IntegrityError.

        `set` looks each key up before, which for a log costs as much again as writing it.
        """
        now = time.time()
        self._con.executemany(_ADD, [(key, now, MODE, blob) for key, blob in rows])


class StoreErrors:
    """Within it, what diskcache, SQLite and the system raise becomes a StoreError that names the store."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:  # as after nearly every read
            return
        if isinstance(error, diskcache.Timeout):
            raise _explained(self._path, _why_not(self._path)) from error
        if isinstance(error, sqlite3.Error | OSError):
            raise _explained(self._path, error) from error
        if isinstance(error, UnicodeDecodeError):  # SQLite quotes a damaged schema as it finds it
            raise DamagedStore(f"the store in {self._path} is damaged: a text in it is no UTF-8") from error


class DamagedStore(StoreError):
    """A file of the store that SQLite cannot make sense of."""


def create_cache(folder: Path, **settings: int | str) -> None:
    """Make an empty cache in a folder that is not there yet, and close it. Raises StoreError."""
    with StoreErrors(folder):
        folder.mkdir(mode=0o700)
        Cache(str(folder), disk=SafeDisk, **{**_SETTINGS, **settings}).close()


@contextmanager
def making(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes the name `folder` at the end; under a lock. Raises StoreError.

    What was begun and not finished, by a killed process too, is removed: a full disk needs the space, and a
    container gives every process the same number.
    """
    begun = folder.with_name(f"{folder.name}.new")
    with StoreErrors(folder.parent):
        if begun.exists():
            shutil.rmtree(begun)
        try:
            yield begun
            begun.rename(folder)
        except BaseException:
            shutil.rmtree(begun, ignore_errors=True)
            raise


def open_cache(folder: Path, patience: float, **settings: int | str) -> Cache:
    """An existing cache, for writing. The caller holds the store's file lock: opening writes, too.

    Raises StoreError, and never makes a new one where an old one cannot be read.
    """
    path = folder / DATABASE
    with StoreErrors(folder):
        check_file(path)
        _check_settings(path, patience)
        cache = Cache(str(folder), timeout=patience, disk=SafeDisk, **{**_SETTINGS, **settings})
    if cache.directory != str(folder):
        cache.close()
        raise StoreError(
            f"the path {folder} holds a $NAME or ~ that diskcache expands to {cache.directory}",
            hint="keep the store in a folder without $ in its path",
        )
    return cache


def check_file(path: Path) -> None:
    """Raises StoreError when a database file is gone or empty, which SQLite would take for a new one."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise DamagedStore(f"the store is damaged: {path} is gone") from None
    if size == 0:
        raise DamagedStore(f"the store is damaged: {path} is empty (0 bytes), it was cut short")


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def checkpoint(path: Path) -> bool:
    """Move what the WAL holds into the database and cut it; False when a reader is in the way."""
    if not wal_of(path).exists():
        return True
    connection = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        [(busy, _, _)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.close()
    return not busy


def _check_settings(path: Path, patience: float) -> None:
    """See to it that the database is ours and can be written, before diskcache acts on what it says.

    diskcache makes attributes and PRAGMA statements of the rows of its Settings table, and waits for a
    minute for a lock.
    """
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        rows = connection.execute("SELECT key, value FROM Settings").fetchall()
        connection.execute("ROLLBACK")
    finally:
        connection.close()
    for key, value in rows:
        kind = type(_SETTINGS.get(key, 0))
        if (key not in _SETTINGS and key not in _COUNTERS) or type(value) is not kind:
            raise DamagedStore(f"{path} holds a setting that agentctl never writes: {key!r} = {value!r}")


def _why_not(path: Path) -> sqlite3.Error | OSError:
    """Why a transaction could not begin: diskcache says Timeout whatever it was."""
    database = path / DATABASE
    try:
        os.stat(database)
        connection = sqlite3.connect(database, timeout=0, isolation_level=None)
    except (sqlite3.Error, OSError) as error:
        return error
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.Error as error:
        return error
    finally:
        with suppress(sqlite3.Error):
            connection.close()
    return sqlite3.OperationalError("database is locked")


def _explained(path: Path, error: sqlite3.Error | OSError) -> StoreError:
    said = str(error)
    if isinstance(error, OSError):
        return StoreError(f"the store in {path} cannot be used: {said}")
    if "locked" in said or "busy" in said:
        return StoreError(
            f"the store in {path} is locked by another program",
            hint="close the program that has the database open, or wait for it",
        )
    if "full" in said:
        return StoreError(f"the store in {path} cannot be written: the disk is full", hint="free some space")
    if isinstance(error, sqlite3.OperationalError) and (
        "unable" in said or "readonly" in said or "I/O" in said
    ):
        return StoreError(f"the store in {path} cannot be used: {said}")
    return DamagedStore(f"the store in {path} is damaged: {said}")
