"""The worker of sandboxed Python tools: a warm template from which every call is forked.

Four processes, of which the last two run the tool's code. The keeper ends all. The watcher leaves the
namespaces we live in and passes requests and replies on; it never sees the tool's code, and it alone allows a fork,
one for each request. The template is confined in full, then loads the module and runs its setup. A call is a fork of
the template with its own bound on processor time; it answers the template and is over, with everything of it.

The watcher speaks the worker's protocol, with two letters more:
  V {"what", "call"}               something was tried and refused      D {"code", "time"}   a call ended unanswered
`code` is what `os.waitstatus_to_exitcode` makes of its end, `time` its seconds of processor time.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from agentctl.json import Json
    from agentctl.tools import reply, usage, worker_main
    from agentctl.tools.sandbox import confine, kernel
else:
    import confine
    import kernel
    import reply
    import usage
    import worker_main

_RECEIVE, _RESPOND = 0xC0502100, 0xC0182101
"""SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND."""
_CONTINUE = 1
_PLAIN_FORK = signal.SIGCHLD
_FORK_NOTES = 0x01200000
"""CLONE_CHILD_SETTID, CLONE_CHILD_CLEARTID: what a C library adds to a fork."""
_MOST_TOLD = 16
"""Things told of one call."""
_INTERPRETER = 16 * 1024 * 1024
"""Bytes that Python takes itself."""
_FAILURE = 64 * 1024
"""Bytes a reply may be longer than a result."""


def main() -> None:
    worker_main.main(watch)


def bounded_main() -> None:
    """The worker of one call that is bounded, and confined in nothing else."""
    worker_main.main(serve_bounded, over=_over)


def _over(child: int, order: Json) -> str | None:
    bounds = order["sandbox"]
    limits = {
        "processes": bounds["processes"],
        "memory": bounds["memory"] + _INTERPRETER,
        "time": order["time"],
    }
    return usage.over_limit(child, limits)


def serve_bounded(channel: int, order: Json) -> None:
    """As a plain worker does, in the folder named by HOME and within limits, those on its own processes too."""
    confine.limit(order["sandbox"], confine.address_space())
    seconds = order["time"]
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    os.chdir(os.environ["HOME"])
    worker_main.serve(channel, order)


# --- the watcher ------------------------------------------------------------------------------------------------


def watch(channel: int, order: Json) -> None:
    """Confine a template, then pass on what is asked and answered until the channel is closed."""
    worker_main.read_nothing()
    try:
        confine.leave(order["sandbox"])
        kernel.die_with_parent()
    except OSError as error:
        worker_main.send(channel, b"E", _unconfined(error))
        return
    ours, theirs = socket.socketpair()
    template = os.fork()
    if template == 0:
        ours.close()
        os.close(channel)
        be_template(theirs, order)
        os._exit(0)
    theirs.close()
    word, listeners, _, _ = socket.recv_fds(ours, 1, 1)
    if word == b"L":
        _Watcher(channel, ours, listeners[0], template, order["sandbox"]["told"]).run()
    elif word == b"E":
        _pass_on(ours.fileno(), channel, _FAILURE)


class _Watcher:
    """The only one who may speak to agentctl, and who may allow what the filter leaves open."""

    def __init__(
        self, channel: int, inner: socket.socket, listener: int, template: int, told: dict[str, list[str]]
    ) -> None:
        self._channel = channel
        self._inner = inner.fileno()
        self._listener = listener
        self._template = template
        self._told = told
        self._may_fork = False
        self._most = _FAILURE
        """Bytes of a reply."""
        self._said: set[str] = set()

    def run(self) -> None:
        poll = select.poll()
        for end in (self._channel, self._inner, self._listener):
            poll.register(end, select.POLLIN)
        going = True
        while going:
            for end, _ in poll.poll():
                if end == self._listener:
                    self._decide()
                elif end == self._inner:
                    going = _pass_on(self._inner, self._channel, self._most)
                else:
                    going = self._ask()

    def _ask(self) -> bool:
        """Pass a request on; False when there will be none."""
        header = _read(self._channel, 4)
        if len(header) < 4:
            return False
        request = _read(self._channel, int.from_bytes(header, "big"))
        self._most = json.loads(request)["max_result"] + _FAILURE + 1
        self._may_fork = True
        self._said.clear()
        _write(self._inner, header + request)
        return True

    def _decide(self) -> None:
        note = bytearray(80)  # struct seccomp_notif
        try:
            fcntl.ioctl(self._listener, _RECEIVE, note, True)
            call, process, _, number, _, _, first = struct.unpack_from("=QIIiIQQ", note)
            name, what = self._told[str(number)]
            if process == self._template and self._may_fork and _is_fork(name, first):
                self._may_fork = False
                answer = struct.pack("=QqiI", call, 0, 0, _CONTINUE)
            else:
                self._tell(name, what)
                answer = struct.pack("=QqiI", call, 0, -errno.EPERM, 0)
            fcntl.ioctl(self._listener, _RESPOND, answer)
        except FileNotFoundError:  # whoever asked was killed meanwhile
            return

    def _tell(self, name: str, what: str) -> None:
        if name not in self._said and len(self._said) < _MOST_TOLD:
            self._said.add(name)
            worker_main.send(self._channel, b"V", json.dumps({"what": what, "call": name}).encode())


def _is_fork(name: str, flags: int) -> bool:
    return name == "fork" or (name == "clone" and flags & ~_FORK_NOTES == _PLAIN_FORK)


def _pass_on(source: int, sink: int, most: int) -> bool:
    """One frame of at most so many bytes; False when there will be none."""
    header = _read(source, 4)
    size = int.from_bytes(header, "big")
    if len(header) < 4 or size > most:
        return False
    _write(sink, header + _read(source, size))
    return True


# --- the template -----------------------------------------------------------------------------------------------


def be_template(outside: socket.socket, order: Json) -> None:
    """Confine this process, load the module, then fork a child for each call."""
    channel = outside.fileno()
    os.closerange(3, channel)
    os.closerange(channel + 1, 65536)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # which the first process of a namespace does not feel
    try:
        confine.settle(order["sandbox"])
        listener = confine.lock(order["sandbox"])
    except OSError as error:
        _write(channel, b"E")
        worker_main.send(channel, b"E", _unconfined(error))
        return
    socket.send_fds(outside, [b"L"], [listener])
    os.close(listener)
    sys.argv = [order["file"]]
    tools = worker_main.Tools(order["folder"])
    try:
        module = tools.load(order["module"], order["file"])
        tools.set_up(order["setup"])
        tools.warm_up(module)
        _refuse_threads()
        _empty(confine.PRIVATE)
    except BaseException as error:  # noqa: BLE001 - whatever the module does, `sys.exit()` too, is reported
        worker_main.send(channel, b"E", reply.failure("load", error))
        return
    worker_main.send(channel, b"R", b"true")
    while len(header := _read(channel, 4)) == 4:
        request = json.loads(_read(channel, int.from_bytes(header, "big")))
        said = _call(tools, module, request, channel)
        worker_main.send(channel, said[:1], said[1:])
        _empty(confine.PRIVATE)  # what cannot be removed ends the template: no later call may find it


def _call(tools: worker_main.Tools, module: ModuleType, request: Json, channel: int) -> bytes:
    """The reply of a fork, when it and all that came of it are gone."""
    answers, answer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(channel)
            os.close(answers)
            _answer(tools, module, request, answer)
        finally:
            os._exit(1)
    os.close(answer)
    most = request["max_result"] + _FAILURE
    said = _read(answers, most + 1)
    os.close(answers)
    if len(said) > most:
        os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    _end_others()
    if status == 0 and 0 < len(said) <= most:
        return said
    end = {"code": os.waitstatus_to_exitcode(status), "time": used.ru_utime + used.ru_stime}
    return b"D" + json.dumps(end).encode()


def _answer(tools: worker_main.Tools, module: ModuleType, request: Json, answer: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (request["time"], request["time"] + 1))
    tools.begin_anew()
    letter, body = tools.answer(module, request)
    _write(answer, letter + body)
    os._exit(0)


def _end_others() -> None:
    """Kill whatever is left in the namespace; there should be nothing."""
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.wait()
    except (ProcessLookupError, ChildProcessError):
        return


def _refuse_threads() -> None:
    threading = sys.modules.get("threading")
    if threading is not None and threading.active_count() > 1:
        raise RuntimeError(
            "it starts a thread as it is loaded, which a sandboxed call would be without; start it in the call"
        )


def _empty(folder: str) -> None:
    """Remove what is in a folder, however deep. Raises OSError."""
    mark, count = os.urandom(8).hex(), 0
    while names := os.listdir(folder):
        for name in names:
            path = f"{folder}/{name}"
            if os.path.islink(path) or not os.path.isdir(path):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in os.listdir(path):
                moved, count = f"{path}/{inner}", count + 1
                if os.path.isdir(moved) and not os.path.islink(moved):
                    os.chmod(moved, 0o700)  # a folder that moves is written to
                os.rename(moved, f"{folder}/{mark}{count}")
            os.rmdir(path)


def _unconfined(error: OSError) -> bytes:
    return json.dumps({"kind": "unconfined", "message": str(error), "traceback": ""}).encode()


def _read(end: int, size: int) -> bytes:
    """That many bytes, or those that there are until the end."""
    found = bytearray()
    while len(found) < size and (data := os.read(end, min(size - len(found), 65536))):
        found += data
    return bytes(found)


def _write(end: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(end, left) :]
