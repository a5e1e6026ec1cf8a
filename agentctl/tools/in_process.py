"""Python tools run inside agentctl: no process to start or ask, and none that could be killed."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import contextvars
import hashlib
import importlib
import importlib.util
import inspect
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from types import ModuleType

from agentctl.json import Json, decode
from agentctl.spec.python_source import module_file
from agentctl.tools.printed import heard
from agentctl.tools.python_call import PythonCall, PythonToolError, failed, timed_out, with_ours
from agentctl.tools.reply import Unsaid, encode_result, failure

_GRACE = 0.5
"""Seconds in which an async function that is cancelled must have ended by itself."""
_Key = tuple[Path, str, str | None, str]


class InProcessTools:
    """The `call` of WorkerPool for `in_process: true`, with less protection.

    An async function runs on the caller's loop and is cancelled when its time is over; one that never awaits
    holds everything up. Any other function runs in a thread of its own, which is left behind when its time is
    over: it cannot be killed, and what it does later is lost. Modules are kept apart by folder.
    """

    def __init__(self) -> None:
        self._loaded: dict[_Key, asyncio.Task[ModuleType]] = {}

    async def call(
        self,
        spec: PythonCall,
        arguments: dict[str, Json],
        *,
        timeout: float | None,
        max_result: int,
        idempotency_key: str | None = None,
        context: Json = None,
        on_output: Callable[[str], None] | None = None,
        tell: Callable[[str, dict[str, Json]], None] | None = None,
    ) -> Json:
        """As WorkerPool.call. The result is a copy of what the function returned. Raises PythonToolError."""
        module = await self._module(spec)
        function = getattr(module, spec.function, None)
        if function is None:
            raise PythonToolError("tool_unavailable", f"the module has no `{spec.function}`")
        try:
            async with asyncio.timeout(timeout) as limit:
                with heard(on_output):
                    value = await _run(function, with_ours(arguments, idempotency_key, context))
            return decode(encode_result(value, max_result))
        except Unsaid as error:
            raise failed(decode(failure("unsaid", error))) from None
        except (Exception, SystemExit) as error:
            if limit.expired():
                raise timed_out(timeout) from None
            raise failed(decode(failure("raised", error))) from error

    async def close(self) -> None:
        """Nothing is held open; threads that still run end with the process."""

    async def _module(self, spec: PythonCall) -> ModuleType:
        key = (spec.file, str(spec.root), spec.setup, spec.code)
        loading = self._loaded.get(key)
        if loading is None:
            # A task, so that two first calls load once, and a cancelled one does not take the other along.
            loading = self._loaded[key] = asyncio.create_task(_load(spec))
        try:
            return await asyncio.shield(loading)
        except Exception as error:
            self._loaded.pop(key, None)
            raise failed(decode(failure("load", error))) from error


async def _load(spec: PythonCall) -> ModuleType:
    package = _private_package(spec)
    try:
        module = importlib.import_module(f"{package}.{spec.module}")
        if spec.setup is not None:
            name, _, function = spec.setup.partition(":")
            await _run(getattr(importlib.import_module(f"{package}.{name}"), function), {})
    except SystemExit as error:  # out of a task it would end agentctl
        raise ImportError(f"SystemExit: {error}") from error
    return module


async def _run(function: Callable[..., Json], arguments: dict[str, Json]) -> Json:
    if inspect.iscoroutinefunction(function):
        return await _cancellable(function(**arguments))
    value = await _in_thread(function, arguments)
    if inspect.iscoroutine(value):
        return await _cancellable(value)
    return await value if hasattr(value, "__await__") else value


async def _cancellable(work: Coroutine[Json, Json, Json]) -> Json:
    """Await the work in a task of its own: one that swallows its cancellation is closed where it waits."""
    contained = _contained(work)
    task = asyncio.create_task(contained)
    try:
        value, exit = await asyncio.shield(task)
    except asyncio.CancelledError:
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        task.cancel()
        await asyncio.wait({task}, timeout=_GRACE)
        if not task.done():
            with contextlib.suppress(RuntimeError):  # it swallows that, too: nothing else can be done to it
                contained.close()
        raise
    if exit is not None:
        raise exit
    return value


async def _contained(work: Coroutine[Json, Json, Json]) -> tuple[Json, SystemExit | None]:
    """What the work gave, or its `sys.exit()`: out of a task that would end agentctl."""
    try:
        return await work, None
    except SystemExit as exit:
        return None, exit


async def _in_thread(function: Callable[..., Json], arguments: dict[str, Json]) -> Json:
    """Run in a daemon thread: one that hangs must not keep the process from exiting, as an executor's would."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Json] = loop.create_future()
    context = contextvars.copy_context()

    def settle(value: Json, error: BaseException | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(value)
        else:
            answer.set_exception(error)

    def run() -> None:
        value: Json = None
        error: Exception | None = None
        try:
            value = context.run(function, **arguments)
        except StopIteration as stop:  # cannot be set on a future
            error = RuntimeError(f"StopIteration: {stop.value}")
        except BaseException as raised:  # noqa: BLE001 - handed to the caller
            error = raised if isinstance(raised, Exception) else RuntimeError(repr(raised))
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, value, error)

    threading.Thread(target=run, name=f"tool {function.__name__}", daemon=True).start()
    return await answer


# --- modules kept apart by folder ---------------------------------------------------------------------------------


def _private_package(spec: PythonCall) -> str:
    """The package that stands for a folder: its modules see each other, and no other folder's."""
    identity = f"{spec.root}\0{spec.setup}\0{spec.code}".encode()
    name = f"_agentctl_tools_{hashlib.blake2b(identity, digest_size=8).hexdigest()}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(spec.root)]
        sys.modules[name] = package
        sys.meta_path.insert(0, _Finder(name, spec.root))
    return name


class _Finder:
    """Finds the modules of one folder under its private package."""

    def __init__(self, package: str, folder: Path) -> None:
        self._prefix = f"{package}."
        self._folder = folder

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(self._prefix):
            return None
        file = module_file(self._folder, fullname.removeprefix(self._prefix))
        if file is None:
            return None
        loader = _Loader(fullname, str(file), self._prefix, self._folder)
        places = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            fullname, file, loader=loader, submodule_search_locations=places
        )


class _Loader(SourceFileLoader):
    """Runs a module whose `import` looks in its own folder first, in functions that are called later too."""

    def __init__(self, fullname: str, file: str, prefix: str, folder: Path) -> None:
        super().__init__(fullname, file)
        self._prefix = prefix
        self._folder = folder

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": self._import}
        super().exec_module(module)

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        first = name.partition(".")[0]
        if level or module_file(self._folder, first) is None:
            return builtins.__import__(name, globals, locals, fromlist, level)
        module = builtins.__import__(self._prefix + name, globals, locals, fromlist, 0)
        # `import a.b` binds `a`; with a fromlist Python has already returned the module itself
        return module if fromlist else sys.modules[self._prefix + first]
