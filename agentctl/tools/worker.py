"""Warm worker processes for Python tools: kept between calls, killed when a call must end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentctl.errors import ToolError
from agentctl.json import Json, decode
from agentctl.tools.process import WorkerDied, WorkerProcess

MAX_IDLE = 8
START_TIMEOUT = 60.0
"""Seconds for a worker to start, load the module and run its setup; a call's own timeout begins after it."""


@dataclass(frozen=True, slots=True)
class PythonCall:
    """Which function is called, and where it is. Paths are absolute."""

    file: Path
    function: str
    folder: Path | None = None
    """Where the graph file stands: the worker's working directory, and what the module may import from."""
    setup: str | None = None
    """`module:function`, run once in a worker."""
    code: str = ""
    """Digest of its code: a worker that loaded other code is not used."""

    @property
    def root(self) -> Path:
        return self.folder or self.file.parent

    @property
    def module(self) -> str:
        place = self.file.relative_to(self.root).with_suffix("")
        return ".".join(place.parent.parts if place.name == "__init__" else place.parts)


class PythonToolError(ToolError):
    """A failed call of a Python tool. `details`: its traceback, or what the worker printed last."""

    def __init__(
        self,
        error_class: Literal["tool_failed", "timeout", "tool_unavailable"],
        message: str,
        details: str = "",
    ) -> None:
        super().__init__(error_class, message)
        self.details = details


class WorkerPool:
    """Workers for any number of tools. Each takes one call at a time and serves one module with one setup.

    `on_output` is given what tools print, in the order printed. For one event loop; `close` it.
    """

    def __init__(
        self,
        *,
        max_idle: int = MAX_IDLE,
        start_timeout: float = START_TIMEOUT,
        env: Mapping[str, str] | None = None,
        on_output: Callable[[str], None] | None = None,
    ) -> None:
        self._max_idle = max_idle
        self._start_timeout = start_timeout
        self._env = env
        self._on_output = on_output
        self._idle: list[tuple[PythonCall, WorkerProcess]] = []
        """The one used last stands last; the call is without its function."""
        self._busy: set[WorkerProcess] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._closed = False

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
    ) -> Json:
        """The function's result as JSON, at most `max_result` bytes. Raises PythonToolError.

        `timeout` in seconds. When it runs out, or the caller is cancelled, the worker is killed with everything
        it started. The key and the context are given to the function only when they are not None. `on_output` is
        given what is printed during the call, in the place of the pool's own.
        """
        request = {
            "function": spec.function,
            "arguments": with_ours(arguments, idempotency_key, context),
            "max_result": max_result,
        }
        worker = await self._take(spec)
        worker.on_output = on_output or self._on_output
        try:
            async with asyncio.timeout(timeout):
                letter, body = await worker.ask(request, max_result)
        except TimeoutError:
            await self._end(worker)
            raise timed_out(timeout) from None
        except WorkerDied:
            raise await self._death(worker, "tool_failed", "before it answered") from None
        except BaseException:
            await self._end(worker)
            raise
        self._give_back(spec, worker)
        if letter == b"R":
            return decode(body)
        raise failed(decode(body))

    async def close(self) -> None:
        """End every worker. Idle ones run their atexit handlers; calls under way fail."""
        self._closed = True
        idle = [worker for _, worker in self._idle]
        self._idle.clear()
        for worker in list(self._busy):
            self._begin_end(worker)
        await asyncio.gather(*self._endings, *(worker.retire() for worker in idle))

    async def _take(self, spec: PythonCall) -> WorkerProcess:
        """A worker that has loaded the module: an idle one, else a new one."""
        if self._closed:
            raise PythonToolError("tool_unavailable", "the workers are closed")
        for position in range(len(self._idle) - 1, -1, -1):
            call, worker = self._idle[position]
            if not worker.is_ready:
                del self._idle[position]
                self._begin_end(worker)
            elif _serves(call, spec):
                del self._idle[position]
                self._busy.add(worker)
                return worker
        return await self._start(spec)

    async def _start(self, spec: PythonCall) -> WorkerProcess:
        order = {
            "folder": str(spec.root),
            "module": spec.module,
            "file": str(spec.file),
            "setup": spec.setup or "",
        }
        try:
            worker = WorkerProcess(spec.root, order, self._env, self._on_output)
        except OSError as error:
            raise PythonToolError("tool_unavailable", f"its worker cannot be started: {error}") from error
        self._busy.add(worker)
        await self._await_loaded(worker)
        return worker

    async def _await_loaded(self, worker: WorkerProcess) -> None:
        try:
            async with asyncio.timeout(self._start_timeout):
                await worker.connect()
                letter, body = await worker.reply(0)
        except TimeoutError:
            await self._end(worker)
            message = f"its module was not loaded and set up within {self._start_timeout:g}s"
            raise PythonToolError("tool_unavailable", message, worker.last_words) from None
        except WorkerDied:
            raise await self._death(worker, "tool_unavailable", "while its module was loaded") from None
        except BaseException:
            await self._end(worker)
            raise
        if letter != b"R":
            await self._end(worker)
            raise failed(decode(body))

    def _give_back(self, spec: PythonCall, worker: WorkerProcess) -> None:
        self._busy.discard(worker)
        worker.on_output = self._on_output
        if self._closed or not worker.is_ready:
            self._begin_end(worker)
            return
        self._idle.append((spec, worker))
        if len(self._idle) > self._max_idle:
            self._begin_end(self._idle.pop(0)[1])

    async def _death(
        self, worker: WorkerProcess, error_class: Literal["tool_failed", "tool_unavailable"], when: str
    ) -> PythonToolError:
        how = await worker.how_it_ended()
        await self._end(worker)
        return PythonToolError(error_class, f"its worker {how} {when}", worker.last_words)

    async def _end(self, worker: WorkerProcess) -> None:
        """Kill at once, and wait until it is gone; the waiting goes on elsewhere when we are cancelled."""
        await asyncio.shield(self._begin_end(worker))

    def _begin_end(self, worker: WorkerProcess) -> asyncio.Task[None]:
        self._busy.discard(worker)
        worker.kill()
        ending = asyncio.create_task(worker.end())
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        return ending


def _serves(call: PythonCall, spec: PythonCall) -> bool:
    return (call.file, call.root, call.setup, call.code) == (spec.file, spec.root, spec.setup, spec.code)


def with_ours(arguments: dict[str, Json], idempotency_key: str | None, context: Json) -> dict[str, Json]:
    """The arguments with what agentctl adds; an argument of the tool's own by that name comes first."""
    ours = {"idempotency_key": idempotency_key, "context": context}
    return {name: value for name, value in ours.items() if value is not None} | arguments


def timed_out(timeout: float | None) -> PythonToolError:
    return PythonToolError("timeout", f"no answer within {timeout:g}s, so it was ended")


def failed(failure: Json) -> PythonToolError:
    """What a worker says of a failure, as an error."""
    kind, message, traceback = failure["kind"], failure["message"], failure["traceback"]
    if kind == "load":
        return PythonToolError("tool_unavailable", f"its module could not be loaded: {message}", traceback)
    if kind == "missing":
        return PythonToolError("tool_unavailable", message, traceback)
    return PythonToolError("tool_failed", message, traceback)
