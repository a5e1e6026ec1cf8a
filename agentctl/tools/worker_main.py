"""The worker process of Python tools: started by exec, by path, with nothing of agentctl imported.

It is two processes: the child runs the calls, one at a time, and its keeper never runs a tool's code.

Calls and replies travel over a socket of their own, each as four bytes of length, a letter and that much less one of
JSON:
  R {"result": …}   is sent as the bare JSON of the result      E {"kind", "message", "traceback"}   a failure
"""

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False  # `typing` itself would take 5 ms of every start
if TYPE_CHECKING:
    from asyncio import Runner
    from collections.abc import Callable
    from types import ModuleType

    from agentctl.json import Json
    from agentctl.tools import keeper, reply
else:
    import keeper
    import reply

_CO_COROUTINE = 0x80
"""Of a code object: `async def` (inspect.CO_COROUTINE)."""


def main(
    work: Callable[[int, Json], None] | None = None, over: Callable[[int, Json], str | None] | None = None
) -> None:
    """Keep a child that does the work of a worker, unless another work is given; end it when it is over a limit."""
    channel, order = int(sys.argv[1]), json.loads(sys.argv[2])
    child = keeper.fork_kept(lambda: (work or serve)(channel, order))
    if child:
        os.close(channel)
        ended, limit = keeper.keep(child, None if over is None else lambda: over(child, order))
        os._exit(keeper.EXIT_CODES[limit] if limit is not None else _exit_code(ended or 0))


def _exit_code(ended: int) -> int:
    return 128 + os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else os.waitstatus_to_exitcode(ended)


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
        send(channel, b"E", reply.failure("load", error))
        return
    send(channel, b"R", b"true")
    worker = os.getpid()
    while len(header := requests.read(4)) == 4:
        request = json.loads(requests.read(int.from_bytes(header, "big")))
        answer = tools.answer(module, request)
        if os.getpid() != worker:
            os._exit(1)  # a fork of the tool's that came back here: the call has its answer already
        send(channel, *answer)


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
            return b"E", reply.failure("missing", NameError(f"the module has no `{request['function']}`"))
        try:
            value = self._value(function, request["arguments"])
        except BaseException as error:  # noqa: BLE001 - whatever the tool does, `sys.exit()` too, is reported
            return b"E", reply.failure("raised", error)
        finally:
            _flush()
        try:
            return b"R", reply.encode_result(value, request["max_result"])
        except reply.Unsaid as error:
            return b"E", reply.failure("unsaid", error)

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


if __name__ == "__main__":
    main()
