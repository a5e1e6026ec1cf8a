"""SQLite through `apsw`, the one home of it: a database for one process to write at a time, every page checksummed."""

from __future__ import annotations

import os
import random
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
import apsw.sqlite_extra

from agentctl.errors import CannotRun, StoreError, UsageError
from agentctl.store.disk import DamagedStore, check_file
from agentctl.store.documents.vectors import load_vectors

APPLICATION = 0x61637473
"""`acts`: what SQLite keeps in the header of a file of ours."""
FORMAT = 1
PATIENCE = 5.0
"""Seconds that another process's transaction is waited for."""
_CHECKSUM = 8
"""Bytes at the end of each page, for the checksum."""
_VFS = "cksmvfs"
_ABANDONED = 60.0
"""Seconds; to make an empty database takes some milliseconds."""
_SETTINGS = """
    PRAGMA synchronous = full;
    PRAGMA trusted_schema = 0;
    PRAGMA mmap_size = 0;
    PRAGMA journal_size_limit = 4194304;
"""


class LockedStore(StoreError):
    """Another process writes, and did not let go in time."""


def create(path: Path, schema: str) -> None:
    """Make a database, whole or not at all; of two processes one does, and the other finds it. Raises StoreError."""
    begun = path.with_name(f".{path.name}.{os.getpid()}.{random.randbytes(4).hex()}")
    with errors(path):
        _sweep(path)
        try:
            os.close(os.open(begun, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            connection = apsw.Connection(str(begun), vfs=_vfs())
            try:
                connection.reserve_bytes("main", _CHECKSUM)
                # the file of a database in WAL mode could not be renamed: what was written is beside it
                connection.execute(
                    f"PRAGMA page_size = 4096; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {FORMAT};"
                    f"BEGIN IMMEDIATE; {schema}; COMMIT"
                )
            finally:
                connection.close()
            with suppress(FileExistsError):
                path.hardlink_to(begun)
        finally:
            begun.unlink(missing_ok=True)


def connect(path: Path, *, patience: float = PATIENCE) -> apsw.Connection:
    """A connection to a database that is there. Raises StoreError, UsageError when another user owns it."""
    _check_ours(path)
    with errors(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=_vfs())
        try:
            _prepare(connection, path, patience)
        except BaseException:
            connection.close()
            raise
    return connection


@contextmanager
def errors(path: Path) -> Iterator[None]:
    """Within it, what SQLite and the system raise becomes a StoreError that names the file."""
    try:
        yield
    except apsw.Error as error:
        raise _explained(path, error) from error
    except OSError as error:
        raise StoreError(f"the store in {path} cannot be used: {error.strerror or error}") from error


@contextmanager
def writing(connection: apsw.Connection) -> Iterator[None]:
    """One transaction, begun at once as a writer's; undone when anything is raised within."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # a COMMIT that failed may leave its transaction open, or have ended it
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def reading(connection: apsw.Connection) -> Iterator[None]:
    """One view of the database for several questions; writers are not held up."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _prepare(connection: apsw.Connection, path: Path, patience: float) -> None:
    connection.set_busy_handler(_waiting(patience))
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.execute(_SETTINGS).fetchall()  # it stops at each row that a PRAGMA answers
    application = connection.pragma("application_id")
    version = connection.pragma("user_version")
    if application != APPLICATION or connection.reserve_bytes("main") != _CHECKSUM:
        raise DamagedStore(
            f"{path} is no store of agentctl", hint="name another `path`, or move the file away"
        )
    if version != FORMAT:
        raise StoreError(
            f"the store in {path} has format {version}, and this agentctl knows {FORMAT}",
            hint="a newer agentctl wrote it: use that one",
        )
    connection.pragma("journal_mode", "wal")
    load_vectors(connection)


def _sweep(path: Path) -> None:
    """Remove what a killed process began to make."""
    for begun in path.parent.glob(f".{path.name}.*"):
        with suppress(FileNotFoundError):
            if time.time() - begun.stat().st_mtime > _ABANDONED:
                begun.unlink()


def _waiting(patience: float) -> Callable[[int], bool]:
    """Asks again every few milliseconds: SQLite's own handler sleeps a tenth of a second, and starves."""
    began = 0.0

    def wait(tries: int) -> bool:
        nonlocal began
        now = time.monotonic()
        if tries == 0:
            began = now
        if now - began > patience:
            return False
        time.sleep(random.uniform(0.001, 0.004))
        return True

    return wait


def _vfs() -> str:
    """The layer that checks every page as it is read; it is the library's own, and loaded once."""
    if _VFS not in apsw.vfs_names():
        try:
            apsw.sqlite_extra.load(apsw.Connection(":memory:"), "cksumvfs")
        except (apsw.sqlite_extra.NotAvailable, apsw.Error) as error:
            raise CannotRun(
                f"this build of apsw has no checksums for pages: {error}",
                hint="install it from its wheel: pip install --only-binary apsw apsw",
            ) from error
    return _VFS


def _check_ours(path: Path) -> None:
    """Raises UsageError for another user's file, DamagedStore for an empty one; takes others' rights away."""
    check_file(path)
    with errors(path):
        found = path.stat()
        if found.st_uid != os.geteuid():
            raise UsageError(
                f"the store in {path} belongs to another user (uid {found.st_uid}, you are {os.geteuid()})",
                hint="name a `path` of your own",
            )
        if stat.S_IMODE(found.st_mode) & 0o077:
            path.chmod(0o600)


def _explained(path: Path, error: apsw.Error) -> StoreError:
    code = getattr(error, "extendedresult", 0)
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return LockedStore(
            f"the store in {path} is being written by another process, which did not let go in time",
            hint="a stopped process holds what it holds: let it go on (kill -CONT) or end it",
        )
    if isinstance(error, apsw.FullError):
        return StoreError(f"the store in {path} cannot be written: the disk is full", hint="free some space")
    if code == apsw.SQLITE_IOERR_DATA:
        return _damaged(path, "a page does not match its checksum")
    if isinstance(error, apsw.CorruptError | apsw.NotADBError) or code == apsw.SQLITE_IOERR_SHORT_READ:
        return _damaged(path, str(error))
    return StoreError(f"the store in {path} cannot be used: {error}")


def _damaged(path: Path, why: str) -> DamagedStore:
    return DamagedStore(
        f"the store in {path} is damaged: {why}", hint="put a copy back, or move the file away to begin anew"
    )
