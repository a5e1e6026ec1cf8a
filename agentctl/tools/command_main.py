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
    from collections.abc import Callable

    from agentctl.json import Json
    from agentctl.tools import keeper, usage
else:
    import keeper
    import usage


def main() -> None:
    door = socket.socket(fileno=int(sys.argv[1]))
    door.set_inheritable(False)
    keeper.adopt_orphans()
    gc.disable()  # a collection in a fork would copy every page it looks at
    woken = keeper.wake_on_children()
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


def _fork_keeper(given: list[int], reports: dict[int, int], ours: tuple[int, ...]) -> None:
    order, out, err, report, control = given
    pid = os.fork()
    if pid == 0:
        try:
            for end in (*reports.values(), *ours):  # another command's report must end without us
                os.close(end)
            os.setsid()  # what signals its whole session reaches neither the starter nor another command
            for end, number in ((control, 0), (out, 1), (err, 2)):
                os.dup2(end, number)
                os.close(end)
            with os.fdopen(order, "rb") as file:
                Keeper(json.loads(file.read()), report).keep()
            os._exit(0)
        finally:
            os._exit(1)  # of its child, too: what could not become the program has not done its work
    for end in (order, out, err, control):
        os.close(end)
    reports[pid] = report


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
        strays = [pid for pid in keeper.children(os.getpid()) if pid not in reports]
        if not sum(map(keeper.killed, strays)):
            break  # what another user has started is not ours to end, and nobody waits for it
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
        (status, said), (held, block) = (os.pipe(), os.pipe()) if self.isolated else ((-1, -1), (-1, -1))
        child = keeper.fork_kept(lambda: self.start(said, held))
        if child == 0:
            os._exit(127)
        heard: dict[int, Callable[[], bool]] = {}
        if self.isolated is not None:
            os.close(said)
            os.close(held)
            heard = {status: lambda: self._hear(status, block)}
        ended, over = keeper.keep(child, self._over(child), heard, grouped=True)
        if over is not None:
            tell(self.report, {"over": over})
        for hear in heard.values():
            while hear():
                continue
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
            os.chdir("/" if self.isolated is not None else _bytes(order["folder"]))
            _limit(self.limits)
            words = [_bytes(word) for word in order["words"]]
            env = {_bytes(name): _bytes(value) for name, value in order["env"].items()}
            os.execve(_bytes(order["program"]), words, env)
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

    def _over(self, child: int) -> Callable[[], str | None] | None:
        return (lambda: usage.over_limit(child, self.limits)) if self.limits else None

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


def _bytes(text: str) -> bytes:
    """As they were, also where they are no UTF-8: a folder or a variable may hold any."""
    return text.encode("utf-8", "surrogateescape")


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


if __name__ == "__main__":
    main()
