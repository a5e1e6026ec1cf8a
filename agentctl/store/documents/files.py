"""The databases of a store: one for each tenant, so that nothing of one can be found, counted or ranked by another."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from agentctl.errors import StoreError, UsageError
from agentctl.store.clock import MachineClock
from agentctl.store.disk import DamagedStore, wal_of
from agentctl.store.documents.database import PATIENCE, connect, create, errors
from agentctl.store.documents.table import SCHEMA, DocumentTable
from agentctl.store.wal import is_damaged

T = TypeVar("T")
_MOST_OPEN = 16
_TENANT = "tenant"
_LONGEST_LOG = 8 * 1024**2
"""Bytes that are looked through in an acceptable time; SQLite cuts the log at 4 MB, and a big batch makes it longer."""


class DocumentFiles:
    """The folder, with connections for reading and for writing; each kind is for one thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        checked: set[str] = set()
        self.readers = _Connections(self.folder, checked)
        self.writers = _Connections(self.folder, checked)


class _Connections:
    """Open databases, those last used."""

    def __init__(self, folder: Path, checked: set[str]) -> None:
        """`checked` are the tenants whose logs were looked at, by either kind."""
        self._folder = folder
        self._checked = checked
        self._open: OrderedDict[str, tuple[DocumentTable, tuple[int, int]]] = OrderedDict()
        self._under_way: tuple[object, DocumentTable] | None = None
        """The question that is being answered, and whom it was put to."""
        self._lock = threading.Lock()
        self._pid = os.getpid()

    def ask(self, tenant: str, ask: Callable[[DocumentTable], T], empty: T) -> T:
        """An answer; `empty` where the tenant has nothing yet. `interrupt` knows it by `ask`. Raises StoreError."""
        path = self._path(tenant)
        if tenant not in self._open and not path.exists():
            return empty
        return self._within(tenant, path, ask)

    def change(self, tenant: str, change: Callable[[DocumentTable], T]) -> T:
        """A change, in a database that is made when it is not there. Raises StoreError, UsageError."""
        path = self._path(tenant)
        if tenant not in self._open and not path.exists():
            prepare_folder(self._folder)
            create(path, SCHEMA)
        return self._within(tenant, path, change)

    def interrupt(self, ask: object) -> None:
        """End a question, if it is the one under way: another task's goes on. From any thread."""
        with self._lock:
            if self._under_way is not None and self._under_way[0] is ask:
                self._under_way[1].interrupt()

    def close(self) -> None:
        with self._lock:
            while self._open:
                self._open.popitem()[1][0].close()

    def _within(self, tenant: str, path: Path, work: Callable[[DocumentTable], T]) -> T:
        table = self._table(tenant, path)
        with self._lock:
            self._under_way = work, table
        try:
            with errors(path):
                return work(table)
        except StoreError:
            # a connection that failed may be left in the midst of something
            self._drop(tenant)
            raise
        finally:
            with self._lock:
                self._under_way = None

    def _table(self, tenant: str, path: Path) -> DocumentTable:
        if os.getpid() != self._pid:
            raise StoreError("this store was opened before a fork; open it again in the child")
        if tenant in self._open:
            table, file = self._open[tenant]
            if _file(path) != file:
                self._drop(tenant)
                raise StoreError(f"the store in {path} was removed or replaced while it was in use")
            self._open.move_to_end(tenant)
            return table
        if tenant not in self._checked:
            _check_log(wal_of(path))
            self._checked.add(tenant)
        return self._opened(tenant, path)

    def _opened(self, tenant: str, path: Path) -> DocumentTable:
        table = DocumentTable(connect(path, patience=PATIENCE))
        try:
            with errors(path):
                if table.fact(_TENANT) is None:
                    table.begin({_TENANT: tenant})
                if table.fact(_TENANT) != tenant:
                    raise StoreError(f"the store in {path} is another tenant's: its file was moved")
        except BaseException:
            table.close()
            raise
        with self._lock:
            self._open[tenant] = (table, _file(path))
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)[1][0].close()
        return table

    def _drop(self, tenant: str) -> None:
        with self._lock:
            table, _ = self._open.pop(tenant)
            with errors(self._path(tenant)):
                table.close()

    def _path(self, tenant: str) -> Path:
        hashed = hashlib.blake2b(tenant.encode(), digest_size=16).hexdigest()
        return self._folder / (f"tenant-{hashed}.db" if tenant else "documents.db")


def prepare_folder(folder: Path) -> None:
    """Make the folder, for nobody else to read, and see to it that it is ours. Raises UsageError, StoreError."""
    with errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise UsageError(
            f"the store in {folder} belongs to another user (uid {owner}, you are {os.geteuid()})",
            hint="name a `path` of your own",
        )


def _check_log(wal: Path) -> None:
    """Raises DamagedStore where SQLite would drop what a killed process left, without a word.

    Not of a log from before the last start of the machine: a power cut may leave what was never acknowledged.
    """
    try:
        found = wal.stat()
    except FileNotFoundError:
        return
    started = time.time() - MachineClock()().uptime
    if found.st_size <= _LONGEST_LOG and found.st_mtime > started and is_damaged(wal):
        raise DamagedStore(f"the store is damaged: its log {wal} does not match its checksums")


def _file(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_dev, found.st_ino
