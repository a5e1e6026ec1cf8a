"""Locks between processes: one around writes, and one for the writer of each thread."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import struct
import sys
import time
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path

from agentctl.errors import StoreError, ThreadBusy

PATIENCE = 5.0
"""Seconds that a lock is waited for: its holder may be stopped, and then it never lets go."""
_POLL = 0.002


class _LockFile:
    """A lock file kept open. Programs started from here do not inherit it, and a fork gives its copy up,
    so that a lock dies with the process that took it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None
        self._inode = (0, 0)
        self._pid = os.getpid()
        os.register_at_fork(after_in_child=_Forget(weakref.ref(self)))

    def fd(self) -> int:
        """The open file; opened anew when the path leads elsewhere by now. Raises StoreError."""
        if os.getpid() != self._pid:
            raise StoreError("this store was opened before a fork; open it again in the child")
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return self._open()
        if self._fd is None or (found.st_dev, found.st_ino) != self._inode:
            return self._open()
        return self._fd

    @property
    def held(self) -> int | None:
        """The open file, wherever its path leads by now."""
        return self._fd

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> int:
        self.close()
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(f"the store cannot be used: {self.path}: {error.strerror}") from error
        found = os.fstat(fd)
        self._inode = (found.st_dev, found.st_ino)
        self._fd = fd
        return fd


class _Forget:
    """Closes a lock file in a forked child, if it is still in use."""

    def __init__(self, file: weakref.ref[_LockFile]) -> None:
        self._file = file

    def __call__(self) -> None:
        file = self._file()
        if file is not None:
            file.close()


class FileLock:
    """A lock between processes for a moment's work: within it nothing may be awaited.

    flock on a descriptor that stays open costs 2 µs; opening the file each time would cost ten times that.
    """

    def __init__(self, path: Path, patience: float = PATIENCE) -> None:
        self.patience = patience
        self._file = _LockFile(path)
        self._locked: int | None = None

    def try_acquire(self) -> bool:
        fd = self._file.fd()
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._locked = fd
        return True

    def release(self) -> None:
        if self._locked is not None:
            fcntl.flock(self._locked, fcntl.LOCK_UN)
            self._locked = None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Wait for the lock without holding the event loop up. Raises StoreError when it takes too long."""
        deadline = time.monotonic() + self.patience
        while not self.try_acquire():
            if time.monotonic() > deadline:
                raise self.refusal()
            await asyncio.sleep(_POLL)
        try:
            yield
        finally:
            self.release()

    @contextmanager
    def held_sync(self) -> Iterator[None]:
        """As `held`, where there is no event loop."""
        deadline = time.monotonic() + self.patience
        while not self.try_acquire():
            if time.monotonic() > deadline:
                raise self.refusal()
            time.sleep(_POLL)
        try:
            yield
        finally:
            self.release()

    def refusal(self) -> StoreError:
        """What to raise when the lock is not to be had."""
        return StoreError(
            f"the store is locked: {_flock_holder(self._file.path)} has held {self._file.path}"
            f" for more than {self.patience:g} s",
            hint="a stopped process holds what it holds: let it go on (kill -CONT) or end it",
        )

    def close(self) -> None:
        self._file.close()


# struct flock of fcntl(2), without l_pid's padding
_FLOCK = "qqihh" if sys.platform == "darwin" else "hhqqi"
_PID_BITS = 22
"""Linux counts process ids to 2**22."""
_SLOTS = 128
_SLOT = struct.Struct("<QId")


class WriterLocks:
    """The claims of this store on threads: one lock file for all, a range of it for each thread.

    They are locks on the open file description, so that two stores in one process exclude each other, too.
    The length of a range is the holder's process id: the kernel tells it to whoever is refused, and it is
    right at every moment. Since when it is held is written into the file itself.
    """

    def __init__(self, path: Path) -> None:
        self._file = _LockFile(path)
        self._held: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._held)

    def claim(self, thread: str) -> None:
        """Raises ThreadBusy, naming the holder."""
        if thread in self._held:
            raise _busy(thread, os.getpid(), self._held[thread])
        place = _place(thread)
        while not self._try_lock(place):
            holder = self._holder(place)
            if holder is not None:
                raise _busy(thread, holder, self._since(place, holder))
        self._held[thread] = time.time()
        slot = _SLOT.pack(place, os.getpid(), self._held[thread])
        os.pwrite(self._file.fd(), slot, place % _SLOTS * _SLOT.size)

    def try_claim(self, name: str) -> bool:
        """Claim what is free; of a holder nothing is said."""
        if name in self._held or not self._try_lock(_place(name)):
            return False
        self._held[name] = time.time()
        return True

    def is_claimed(self, thread: str) -> bool:
        """Whether this store or another holds it."""
        return thread in self._held or self._holder(_place(thread)) is not None

    def release(self, thread: str) -> None:
        fd = self._file.held
        if self._held.pop(thread, None) is not None and fd is not None:
            _fcntl(fd, _SET, fcntl.F_UNLCK, _place(thread) << _PID_BITS, 1 << _PID_BITS)

    def close(self) -> None:
        """Give every thread up."""
        self._held.clear()
        self._file.close()

    def _try_lock(self, place: int) -> bool:
        try:
            _fcntl(self._file.fd(), _SET, fcntl.F_WRLCK, place << _PID_BITS, os.getpid())
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _holder(self, place: int) -> int | None:
        """The process that holds a place; None when it has just let go."""
        kind, length = _fcntl(self._file.fd(), _GET, fcntl.F_WRLCK, place << _PID_BITS, 1)
        return None if kind == fcntl.F_UNLCK else length

    def _since(self, place: int, pid: int) -> float | None:
        """Unix seconds; None when another thread's holder has overwritten it."""
        slot = os.pread(self._file.fd(), _SLOT.size, place % _SLOTS * _SLOT.size)
        if len(slot) != _SLOT.size:
            return None
        found_place, found_pid, since = _SLOT.unpack(slot)
        return since if (found_place, found_pid) == (place, pid) else None


class Presence:
    """Says to other processes that one is there that has a store open for writing, for as long as it lives."""

    def __init__(self, path: Path) -> None:
        self._file = _LockFile(path)

    def show(self) -> None:
        _fcntl(self._file.fd(), _SET, fcntl.F_RDLCK, _PRESENCE, 1)

    def others(self) -> bool:
        kind, _ = _fcntl(self._file.fd(), _GET, fcntl.F_WRLCK, _PRESENCE, 1)
        return kind != fcntl.F_UNLCK

    def close(self) -> None:
        self._file.close()


_PRESENCE = 2**63 - 2
"""A byte at the end of what a file can have, in a range that one thread name in 2**41 has."""
_SET = fcntl.F_OFD_SETLK
_GET = fcntl.F_OFD_GETLK


def _fcntl(fd: int, command: int, kind: int, start: int, length: int) -> tuple[int, int]:
    """One fcntl(2) call on a range; the kind and the length it answers."""
    if _FLOCK == "qqihh":
        answer = fcntl.fcntl(fd, command, struct.pack(_FLOCK, start, length, 0, kind, os.SEEK_SET))
        _, length, _, kind, _ = struct.unpack(_FLOCK, answer)
    else:
        answer = fcntl.fcntl(fd, command, struct.pack(_FLOCK, kind, os.SEEK_SET, start, length, 0))
        kind, _, _, length, _ = struct.unpack(_FLOCK, answer)
    return kind, length


def _place(thread: str) -> int:
    """41 bits: with the process id's 22 they make the 63 that a file offset has."""
    return int.from_bytes(hashlib.blake2b(thread.encode(), digest_size=8).digest()) >> 23


def _busy(thread: str, pid: int, since: float | None) -> ThreadBusy:
    who = "this process" if pid == os.getpid() else f"process {pid}"
    stopped = " (stopped)" if _is_stopped(pid) else ""
    when = "" if since is None else f" since {datetime.fromtimestamp(since).isoformat(' ', 'seconds')}"
    return ThreadBusy(
        f"thread `{thread}` is being written by {who}{stopped}{when}",
        hint="wait until it is done, or end it; its lock goes with it",
    )


def _is_stopped(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except OSError:
        return False


def _flock_holder(path: Path) -> str:
    """`process N`, as Linux lists it."""
    try:
        inode = str(path.stat().st_ino)
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return "another process"
    for line in lines:
        fields = line.split()
        if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == inode:
            return f"process {fields[4]}"
    return "another process"
