"""A keeper: it runs nothing itself, and ends what it started with whatever came of it. Imported by path, alone.

Nothing that a tool does can keep it from hearing that agentctl wants the end, or is gone: it listens on stdin, where a
byte or the end of file says so. Then it kills all that came of its child, daemons with a session of their own among
them.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

TYPE_CHECKING = False  # `typing` itself would take 5 ms of every start
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EXIT_CODES = {"processes": 200, "memory": 201, "time": 202}
"""Of a keeper that ended a worker for a limit on all that came of it."""
_TICK = 0.02
"""Seconds between two looks at what is used."""
_PATIENCE = 5.0
"""Seconds in which what was killed must be gone."""


def fork_kept(work: Callable[[], None]) -> int:
    """Do the work in a child that dies with this process; the child's id, 0 in the child once the work is over."""
    prctl = adopt_orphans()
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        if prctl is not None:
            prctl(1, signal.SIGKILL, 0, 0, 0)  # PR_SET_PDEATHSIG: a killed keeper takes the child along
        if os.getppid() == keeper:
            work()
    return child


def adopt_orphans() -> Callable[..., int] | None:
    """Let orphans of the tool become this process's children; the system call that did it, where there is one."""
    prctl = _prctl()
    if prctl is not None:
        prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    return prctl


def keep(
    child: int,
    over: Callable[[], str | None] | None = None,
    heard: Mapping[int, Callable[[], bool]] | None = None,
    *,
    grouped: bool = False,
) -> tuple[int | None, str | None]:
    """Wait until the child ends, agentctl wants it to, or it is `over` a limit, and leave nothing behind.

    The child's wait status, None when its end was not waited for; and that limit. What is `heard` is called when its
    descriptor can be read, until it returns False. `grouped`: the child has a process group of its own.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a tool may signal its whole group
    woken = wake_on_children()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for output in (1, 2):  # so that their end is seen when the tool's processes are gone
        os.dup2(nowhere, output)
    ended, limit = _kept(child, woken, over, dict(heard or {}))
    _end_all(child if grouped else 0)
    return ended, limit


def wake_on_children() -> int:
    """A descriptor that can be read when a child has ended."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return woken


def children(pid: int) -> list[int]:
    """The children of a process, dead ones not yet reaped among them; none when it is gone."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found = []
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += [int(each) for each in file.read().split()]
        except OSError:
            if not os.path.exists("/proc/thread-self/children"):  # a kernel without CONFIG_PROC_CHILDREN
                every = map(int, filter(str.isdigit, os.listdir("/proc")))
                return [each for each in every if _parent(each) == pid]
    return found


def killed(pid: int) -> bool:
    """Whether it was there to be killed."""
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False  # gone, or a program of another user, through sudo: not ours to end
    return True


def _prctl() -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    try:
        import ctypes
    except ImportError:  # an interpreter built without libffi: the process group is all there is then
        return None
    return ctypes.CDLL(None).prctl


def _kept(
    child: int, woken: int, over: Callable[[], str | None] | None, heard: dict[int, Callable[[], bool]]
) -> tuple[int | None, str | None]:
    look = time.monotonic() + _TICK
    ended = _reaped(child)
    while ended is None:
        ready, _, _ = select.select([0, woken, *heard], [], [], None if over is None else _TICK)
        if 0 in ready:
            break
        for end in [each for each in heard if each in ready]:
            if not heard[end]():
                del heard[end]
        if woken in ready:
            os.read(woken, 4096)
            ended = _reaped(child)
        # by the clock: one whose children end all the time is looked at, too
        if ended is None and over is not None and time.monotonic() >= look:
            if (limit := over()) is not None:
                return None, limit
            look = time.monotonic() + _TICK
    return ended, None


def _reaped(child: int) -> int | None:
    """Take in every process that ended; the child's wait status, when it was among them."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status


def _end_all(group: int) -> None:
    """Kill children until there are none that we may kill: those of a killed child become the keeper's own."""
    if sys.platform != "linux":
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            return
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        found = children(os.getpid())
        if found and not sum(map(killed, found)):
            return
        time.sleep(0.001)


def _parent(pid: int) -> int:
    """Read from /proc, where `ppid` is the fourth field."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:  # it ended meanwhile
        return 0
