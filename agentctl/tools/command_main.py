"""The starter of commands and the keepers it forks: started by exec, by path, with nothing of agentctl imported.

The starter is warm: for every command it is given an order and forks a keeper, which starts the program as its child,
in a process group of its own, with nothing on stdin. When the child ends, or agentctl wants it to, or it is over a
limit, the keeper ends whatever came of it. When a keeper is killed, what it kept becomes the starter's, which ends it.

An order is `{"program", "words", "env", "folder"}`, with `limits` and `isolated` for a sandbox. The keeper reports in
lines of JSON: `{"keeper", "child"}`, process ids; `{"errno"}` when there was no starting it; `{"over"}`, the limit
for which it was ended; `{"status", "exit", "memory", "time"}` when it has ended. The end of the report is the end of
every process that came of the command.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentctl.json import Json
    from agentctl.tools import worker_main
else:
    import worker_main

TICK = 0.02
"""Seconds between two looks at what a command uses."""
_CLOCK = os.sysconf("SC_CLK_TCK")


def main() -> None:
    door = socket.socket(fileno=int(sys.argv[1]))
    door.set_inheritable(False)
    worker_main.adopt_orphans()
    gc.disable()  # a collection in a fork would copy every page it looks at
    woken = _wake_on_children()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)  # not SIG_IGN, which an exec would keep
    reports: dict[int, int] = {}
    is_open = True
    while is_open or reports:
        ready, _, _ = select.select([woken, door.fileno()] if is_open else [woken], [], [])
        if door.fileno() in ready:
            _, given, _, _ = socket.recv_fds(door, 1, 5)
            is_open = bool(given)
            for end in given:
                os.set_inheritable(end, False)
            if given:
                _fork_keeper(given, reports, (woken, door.fileno()))
        if woken in ready:
            os.read(woken, 4096)
            _bury(reports)


def _wake_on_children() -> int:
    """A descriptor that can be read when a child has ended."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return woken


def _fork_keeper(given: list[int], reports: dict[int, int], ours: tuple[int, ...]) -> None:
    order, out, err, report, control = given
    keeper = os.fork()
    if keeper == 0:
        try:
            for end in (*reports.values(), *ours):  # another command's report must end without us
                os.close(end)
            os.setsid()  # what signals its whole session reaches neither the starter nor another command
            for end, number in ((control, 0), (out, 1), (err, 2)):
                os.dup2(end, number)
                os.close(end)
            with os.fdopen(order, "rb") as file:
                Keeper(json.loads(file.read()), report).keep()
        finally:
            os._exit(0)
    for end in (order, out, err, control):
        os.close(end)
    reports[keeper] = report


def _bury(reports: dict[int, int]) -> None:
    """Take in the keepers that ended, and end what a killed one has left: that has become ours."""
    ended = []
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid:
            if pid in reports:
                ended.append(pid)
            continue
        strays = [pid for pid in children(os.getpid()) if pid not in reports]
        if not strays:
            break
        for stray in strays:
            _kill(stray)
        time.sleep(0.0005)
    for pid in ended:
        os.close(reports.pop(pid))


# --- a keeper -----------------------------------------------------------------------------------------------------


class Keeper:
    """Runs one command to its end."""

    def __init__(self, order: dict[str, Json], report: int) -> None:
        self.order = order
        self.report = report
        self.limits: dict[str, Json] = order.get("limits") or {}
        self.isolated: dict[str, Json] | None = order.get("isolated")
        self.said = b""
        """What bubblewrap says."""
        self.exit: int | None = None
        """The exit code that bubblewrap saw."""

    def keep(self) -> None:
        status, block = _pipe_pair() if self.isolated is not None else ((-1, -1), (-1, -1))
        child = worker_main.fork_kept(lambda: self.start(status[1], block[0]))
        if child == 0:
            os._exit(127)
        for end in (status[1], block[0]):
            if end >= 0:
                os.close(end)
        ended, over = self.wait(child, status[0], block[1])
        if over is not None:
            tell(self.report, {"over": over})
        if ended is not None:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent = used.ru_utime + used.ru_stime
            tell(
                self.report,
                {"status": ended, "exit": self.exit, "memory": used.ru_maxrss * 1024, "time": spent},
            )

    def start(self, status: int, block: int) -> None:
        """Become the program; return when that cannot be."""
        os.setpgid(0, 0)  # what signals its whole group does not hit the keeper
        # before it runs: it may kill its keeper at once
        tell(self.report, {"keeper": os.getppid(), "child": os.getpid()})
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # Python ignores them, and an exec would keep it so
        order = self.order
        try:
            if self.isolated is not None:
                self._lay_out(status, block)
            os.chdir("/" if self.isolated is not None else order["folder"])
            _limit(self.limits)
            words = [word.encode() for word in order["words"]]
            env = {name.encode(): value.encode() for name, value in order["env"].items()}
            os.execve(order["program"].encode(), words, env)
        except OSError as error:
            tell(self.report, {"errno": error.errno})

    def _lay_out(self, status: int, block: int) -> None:
        """Put the descriptors where bubblewrap is told that they are."""
        assert self.isolated is not None
        os.dup2(status, self.isolated["status"])
        os.dup2(block, self.isolated["block"])
        for number, data in self.isolated["data"].items():
            file = os.memfd_create("data")
            os.write(file, base64.b64decode(data))
            os.lseek(file, 0, os.SEEK_SET)
            os.dup2(file, int(number))

    def wait(self, child: int, status: int, block: int) -> tuple[int | None, str | None]:
        """Until it ends, or agentctl wants its end, or it is over a limit. Its wait status, and that limit."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # a tool may signal its whole group
        woken = _wake_on_children()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for output in (1, 2):  # so that their end is seen when the tool's processes are gone
            os.dup2(nowhere, output)
        watched = [0, woken, status] if status >= 0 else [0, woken]
        ended, over = worker_main._reaped(child), None
        while ended is None and over is None:
            ready, _, _ = select.select(watched, [], [], TICK if self.limits else None)
            if 0 in ready:
                break
            if status in ready and not self._hear(status, block):
                watched.remove(status)
            if woken in ready:
                os.read(woken, 4096)
                ended = worker_main._reaped(child)
            if not ready:
                over = over_limit(child, self.limits)
        if sys.platform != "linux":
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # it is no more of the keeper's group
        worker_main._end_all(child)
        if status in watched:
            while self._hear(status, block):
                pass
        return ended, over

    def _hear(self, status: int, block: int) -> bool:
        """Take in what bubblewrap says; whether it may say more."""
        data = os.read(status, 4096)
        *lines, self.said = (self.said + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            self.exit = said.get("exit-code", self.exit)
            if "child-pid" in said:
                self._let_in(said["child-pid"], block)
        return bool(data)

    def _let_in(self, pid: int, block: int) -> None:
        """Bound the processes inside: in its own user namespace, where no other process of this user counts."""
        most = self.limits.get("processes")
        if most is not None:
            try:
                resource.prlimit(pid, resource.RLIMIT_NPROC, (most, most))
            except ProcessLookupError:
                return
        os.write(block, b"x")


def tell(report: int, said: dict[str, Json]) -> None:
    os.write(report, json.dumps(said).encode() + b"\n")


def _pipe_pair() -> tuple[tuple[int, int], tuple[int, int]]:
    return os.pipe(), os.pipe()


def _limit(limits: dict[str, Json]) -> None:
    """Bounds of each process, which the kernel keeps; those of all together are watched."""
    if not limits:
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_CPU, -int(-limits["time"] // 1) + 1)
    _lower(resource.RLIMIT_DATA, limits["memory"])
    _lower(resource.RLIMIT_FSIZE, limits["file_size"])
    _lower(resource.RLIMIT_NOFILE, limits["open_files"])


def _lower(which: int, most: int) -> None:
    _, hard = resource.getrlimit(which)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (most, most))


# --- what a command uses ------------------------------------------------------------------------------------------


def over_limit(root: int, limits: dict[str, Json]) -> str | None:
    """The limit that a process and all that came of it are over: `processes`, `memory` or `time`."""
    every = []
    for pid in descendants(root):
        every.append(pid)
        if len(every) > limits["processes"]:
            return "processes"
    # what processes share counts once for each in the quick sum, so that the exact one, which is slow, is rare
    most = limits["memory"] // 1024
    if sum(_memory(pid, "status", ("RssAnon", "RssShmem")) for pid in every) > most and (
        sum(_memory(pid, "smaps_rollup", ("Pss_Anon", "Pss_Shmem")) for pid in every) > most
    ):
        return "memory"
    return "time" if sum(map(_ticks, every)) / _CLOCK > limits["time"] else None


def descendants(root: int) -> Iterator[int]:
    """A process and all that came of it."""
    stack = [root]
    while stack:
        pid = stack.pop()
        yield pid
        stack += children(pid)


def children(pid: int) -> list[int]:
    """The children of a process, from /proc; none when it is gone."""
    found = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as file:
                found += [int(child) for child in file.read().split()]
    except OSError:  # it ended meanwhile
        return found
    return found


def _memory(pid: int, file: str, names: tuple[str, ...]) -> int:
    """Some fields of a file of /proc, added up, in KiB."""
    found = 0
    try:
        with open(f"/proc/{pid}/{file}") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name in names:
                    found += int(value.split()[0])
    except OSError:
        return found
    return found


def _ticks(pid: int) -> int:
    """Processor time, that of its ended children too, in ticks of the clock."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return sum(int(field) for field in file.read().rpartition(b")")[2].split()[11:15])
    except OSError:
        return 0


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return  # gone, or a program of another user, through sudo: not ours to end


if __name__ == "__main__":
    main()
