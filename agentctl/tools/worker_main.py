"""The worker process of Python tools: started by exec, by path, with nothing of agentctl imported.

It is two processes. The child runs the calls, one at a time. The keeper, its parent, never runs a tool's code, so
that nothing a tool does can keep it from hearing that agentctl wants the worker ended, or is gone: then it kills
whatever came of the child, daemons with a session of their own among them, and exits.

The keeper listens on stdin: a byte or the end of file ends it. Calls and replies travel over a socket of their own,
each as four bytes of length, a letter and that much less one of JSON:
  R {"result": …}   is sent as the bare JSON of the result      E {"kind", "message", "traceback"}   a failure
"""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sys
import time

TYPE_CHECKING = False  # `typing` itself would take 5 ms of every start
if TYPE_CHECKING:
    from asyncio import Runner
    from collections.abc import Callable
    from types import ModuleType

    from agentctl.json import Json

LONGEST_MESSAGE = 2_000
"""Characters of an exception's message."""
OVER = ("processes", "memory", "time")
"""Limits on a worker and all that came of it together, for which its keeper ends it."""
_TICK = 0.02
"""Seconds between two looks at them."""
_FRAMES = 8
_HERE = os.path.dirname(__file__)
_PATIENCE = 5.0
"""Seconds in which what was killed must be gone."""
_CO_COROUTINE = 0x80
"""Of a code object: `async def` (inspect.CO_COROUTINE)."""
_LONG_NUMBER = re.compile(rb"\d{19}")


class Unsaid(Exception):
    """A result that cannot be sent: no JSON, or too much of it."""


def main(
    work: Callable[[int, Json], None] | None = None, over: Callable[[int, Json], str | None] | None = None
) -> None:
    """Keep a child that does the work of a worker, unless another work is given; end it when it is over a limit."""
    channel, order = int(sys.argv[1]), json.loads(sys.argv[2])
    child = fork_kept(lambda: (work or serve)(channel, order))
    if child:
        os.close(channel)
        ended = keep(child, None if over is None else lambda: over(child, order)) or 0
        os._exit(128 + os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else os.waitstatus_to_exitcode(ended))


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
    """Let orphans of the tool become the keeper's children; the system call that did it, where there is one."""
    prctl = _prctl()
    if prctl is not None:
        prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    return prctl


def _prctl() -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    try:
        import ctypes
    except ImportError:  # an interpreter built without libffi: the process group is all there is then
        return None
    return ctypes.CDLL(None).prctl


# --- the keeper -------------------------------------------------------------------------------------------------


def keep(child: int, over: Callable[[], str | None] | None = None) -> int | None:
    """Wait until the child ends, agentctl wants it to, or it is `over` a limit, and leave nothing behind.

    The child's wait status; None when agentctl did not wait for its end. Over a limit, that of a child which exits
    with 200 and the limit's place in OVER.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a tool may signal its whole group
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for output in (1, 2):  # so that their end is seen when the tool's processes are gone
        os.dup2(nowhere, output)
    ended = _reaped(child)
    while ended is None:
        ready, _, _ = select.select([0, woken], [], [], None if over is None else _TICK)
        if 0 in ready:
            break
        if woken in ready:
            os.read(woken, 4096)
            ended = _reaped(child)
        elif over is not None and (limit := over()) is not None:
            ended = (200 + OVER.index(limit)) << 8
    _end_all(child)
    return ended


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


def _end_all(child: int) -> None:
    """Kill children until there are none: those of a killed child become the keeper's own."""
    if sys.platform != "linux":
        os.killpg(0, signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        for pid in _children():
            try:
                os.kill(pid, signal.SIGKILL)
            except PermissionError:
                continue  # a program of another user, through sudo: not ours to end
        _reaped(child)
        try:
            if os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                time.sleep(0.001)
        except ChildProcessError:
            return


def _children() -> list[int]:
    """Its own children, dead ones not yet reaped among them. Read from /proc, where `ppid` is the fourth field."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        return [
            pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _parent(pid) == os.getpid()
        ]


def _parent(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except OSError:  # it ended meanwhile
        return 0


# --- the child --------------------------------------------------------------------------------------------------


def serve(channel: int, order: Json) -> None:
    """Load the module, run its setup, then answer calls until the channel is closed."""
    read_nothing()
    os.set_inheritable(channel, False)
    sys.argv = [order["file"]]
    tools = Tools(order["folder"])
    requests = os.fdopen(channel, "rb", closefd=False)
    try:
        module = tools.load(order["module"], order["file"])
        tools.set_up(order["setup"])
    except BaseException as error:  # noqa: BLE001 - whatever the module does, `sys.exit()` too, is reported
        send(channel, b"E", failure("load", error))
        return
    send(channel, b"R", b"true")
    worker = os.getpid()
    while len(header := requests.read(4)) == 4:
        request = json.loads(requests.read(int.from_bytes(header, "big")))
        reply = tools.answer(module, request)
        if os.getpid() != worker:
            os._exit(1)  # a fork of the tool's that came back here: the call has its answer already
        send(channel, *reply)


def read_nothing() -> None:
    """Let stdin be empty."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)


def send(channel: int, letter: bytes, body: bytes) -> None:
    """A reply: its letter, and its body as JSON."""
    frame = memoryview((len(body) + 1).to_bytes(4, "big") + letter + body)
    while frame:
        frame = frame[os.write(channel, frame) :]


class Tools:
    """The modules of one folder, and the loop that their async functions share."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._runner: Runner | None = None
        sys.path.insert(0, folder)

    def load(self, name: str, file: str) -> ModuleType:
        """The module, under its own name; under another when that is one of Python's, so that nothing breaks."""
        if name.partition(".")[0] not in sys.stdlib_module_names:
            __import__(name)
            module = sys.modules[name]
            if os.path.samefile(module.__file__ or "", file):
                return module
        import importlib.util

        private = f"_tool_{name.replace('.', '_')}"
        spec = importlib.util.spec_from_file_location(private, file)
        if spec is None or spec.loader is None:
            raise ImportError(f"{file} is no module")
        module = sys.modules[private] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def set_up(self, reference: str) -> None:
        """Call `module:function`, once."""
        if reference:
            name, _, function = reference.partition(":")
            file = os.path.join(self._folder, *name.split("."))
            package = os.path.join(file, "__init__.py")
            module = self.load(name, package if os.path.isfile(package) else f"{file}.py")
            self._value(getattr(module, function), {})

    def answer(self, module: ModuleType, request: Json) -> tuple[bytes, bytes]:
        """The reply to one call: its letter and its body."""
        function = getattr(module, request["function"], None)
        if function is None:
            return b"E", failure("missing", NameError(f"the module has no `{request['function']}`"))
        try:
            value = self._value(function, request["arguments"])
        except BaseException as error:  # noqa: BLE001 - whatever the tool does, `sys.exit()` too, is reported
            return b"E", failure("raised", error)
        finally:
            _flush()
        try:
            return b"R", encode_result(value, request["max_result"])
        except Unsaid as error:
            return b"E", failure("unsaid", error)

    def warm_up(self, module: ModuleType) -> None:
        """Import what its async functions need, which takes longer than a call."""
        codes = (getattr(each, "__code__", None) for each in vars(module).values())
        if any(code is not None and code.co_flags & _CO_COROUTINE for code in codes):
            self._new_runner()

    def begin_anew(self) -> None:
        """In a fork: a loop of its own, for the parent's cannot serve two processes."""
        self._runner = None

    def _value(self, function: Callable[..., Json], arguments: dict[str, Json]) -> Json:
        value = function(**arguments)
        if not hasattr(value, "__await__"):
            return value
        if self._runner is None:
            self._runner = self._new_runner()

        async def awaited() -> Json:
            return await value

        return self._runner.run(awaited())

    def _new_runner(self) -> Runner:
        """One loop for the worker's life: what setup opens on it serves every call."""
        sys.path.remove(self._folder)  # a `queue.py` beside the graph is not asyncio's
        try:
            import asyncio
        finally:
            sys.path.insert(0, self._folder)
        return asyncio.Runner()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            continue  # the tool closed it, or put something else in its place


# --- shared with calls in process ---------------------------------------------------------------------------------


def encode_result(value: Json, limit: int) -> bytes:
    """A result as JSON in UTF-8, at most `limit` bytes. Raises Unsaid."""
    try:
        body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise Unsaid("the result holds text that is no Unicode (a lone surrogate)") from None
    except RecursionError:
        raise Unsaid("the result is nested too deeply for JSON") from None
    except ValueError as error:
        reason = "it contains itself" if "ircular" in str(error) else "it holds NaN or an infinity"
        raise Unsaid(f"the result is no JSON: {reason}") from None
    except TypeError as error:
        raise Unsaid(f"the result is no JSON: {error}; return texts, numbers, lists and dicts") from None
    if len(body) > limit:
        raise Unsaid(f"the result is {len(body):,} bytes, over its max_result of {limit:,}")
    if _LONG_NUMBER.search(body) and _has_long_integer(value):
        raise Unsaid("the result holds an integer of more than 64 bits; return it as a text")
    return body


def _has_long_integer(value: Json) -> bool:
    if isinstance(value, int):
        return not -(2**63) <= value < 2**64
    if isinstance(value, dict):
        return any(map(_has_long_integer, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_has_long_integer, value))


def failure(kind: str, error: BaseException) -> bytes:
    """A failure as JSON. `kind`: load, missing, raised or unsaid."""
    said = str(error) if kind in ("unsaid", "missing") else describe(error)
    return json.dumps(
        {"kind": kind, "message": said, "traceback": frames(error), "cause": _cause(error)}
    ).encode()


def _cause(error: BaseException) -> Json:
    """The first failure of the machine behind an error: what it is, and the path that it is about."""
    step: BaseException | None = error
    for _ in range(_FRAMES):
        if isinstance(step, MemoryError):
            return {"type": "MemoryError"}
        if isinstance(step, OSError) and step.errno is not None:
            path = step.filename if isinstance(step.filename, str) else None
            return {"type": "OSError", "errno": step.errno, "path": path}
        step = step.__cause__ or step.__context__ if step is not None else None
    return None


def describe(error: BaseException) -> str:
    """`ValueError: no such page`"""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception's own __str__ can fail, too
        text = ""
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:LONGEST_MESSAGE]


def frames(error: BaseException) -> str:
    """The tool's own frames, the innermost last, a line each. By hand: `traceback` takes 5 ms to import."""
    lines = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        ours = os.path.dirname(code.co_filename) == _HERE or code.co_filename.startswith("<frozen")
        if not ours and f"{os.sep}asyncio{os.sep}" not in code.co_filename:
            lines.append(f"{code.co_filename}:{step.tb_lineno} in {code.co_name}")
        step = step.tb_next
    return "\n".join(lines[-_FRAMES:])


if __name__ == "__main__":
    main()
