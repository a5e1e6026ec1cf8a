"""Warm worker processes for Python tools: kept between calls, killed when a call must end."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from agentctl.errors import ToolError
from agentctl.graph.plan import SandboxPlan
from agentctl.json import Json, decode
from agentctl.tools.process import WorkerDied, WorkerProcess
from agentctl.tools.python_call import PythonCall, PythonToolError, failed, timed_out, with_ours
from agentctl.tools.sandbox.isolated import Grants
from agentctl.tools.sandbox.template import environment, program, sandbox_order
from agentctl.tools.sandbox.verdict import MOST_PRINTED, Tell, Verdict

MAX_IDLE = 8
START_TIMEOUT = 60.0
"""Seconds for a worker to start, load the module and run its setup; a call's own timeout begins after it."""


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
        store: Path | None = None,
    ) -> None:
        """`store` is agentctl's own folder, which no sandboxed tool sees."""
        self._store = store
        self._max_idle = max_idle
        self._start_timeout = start_timeout
        self._env = env
        self._on_output = on_output
        self._idle: list[tuple[PythonCall, WorkerProcess]] = []
        """The one used last stands last; the call is without its function."""
        self._busy: set[WorkerProcess] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._grants: dict[SandboxPlan, Grants] = {}
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
        tell: Tell | None = None,
    ) -> Json:
        """The function's result as JSON, at most `max_result` bytes. Raises PythonToolError.

        `timeout` in seconds. When it runs out, or the caller is cancelled, the worker is killed with everything
        it started. The key and the context are given to the function only when they are not None. `on_output` is
        given what is printed during the call, in the place of the pool's own; `tell` events of a sandbox.
        """
        request: dict[str, Json] = {
            "function": spec.function,
            "arguments": with_ours(arguments, idempotency_key, context),
            "max_result": max_result,
        }
        verdict = Verdict(spec.sandbox, timeout, tell) if spec.sandbox else None
        if verdict is not None:
            request["time"] = verdict.time
        spec = self._as_granted(spec)
        worker = await self._take(spec, verdict)
        worker.on_output = on_output or self._on_output
        try:
            async with asyncio.timeout(timeout):
                letter, body = await worker.ask(request, max_result)
        except TimeoutError:
            await self._end(worker)
            raise timed_out(timeout) from None
        except WorkerDied:
            error = await self._death(worker, "tool_failed", "before it answered")
            if verdict is not None:
                error = verdict.of_death(error, worker.exit_code, flooded=worker.has_flooded)
            raise error from None
        except BaseException:
            await self._end(worker)
            raise
        self._give_back(spec, worker)
        if verdict is not None:
            return verdict.read(letter, body, worker.last_words)
        if letter == b"R":
            return decode(body)
        raise failed(decode(body))

    def prepare(self, sandbox: SandboxPlan) -> None:
        """Resolve the links of what a sandbox grants, before anything runs that could plant others."""
        with suppress(ToolError):  # what is not there yet, a call finds or says
            self._grants.setdefault(sandbox, Grants.resolve(sandbox, self._store))

    async def close(self) -> None:
        """End every worker. Idle ones run their atexit handlers; calls under way fail."""
        self._closed = True
        idle = [worker for _, worker in self._idle]
        self._idle.clear()
        for worker in list(self._busy):
            self._begin_end(worker)
        await asyncio.gather(*self._endings, *(worker.retire() for worker in idle))

    def _as_granted(self, spec: PythonCall) -> PythonCall:
        """The call with what its grants are now: a worker sees those that were there when it was started."""
        if spec.sandbox is None or spec.bounded_only:
            return spec
        grants = self._grants.get(spec.sandbox)
        if grants is None:
            grants = self._grants[spec.sandbox] = Grants.resolve(spec.sandbox, self._store)
        grants.check()
        stats = [os.stat(real) for _, real in (*grants.read, *grants.write)]
        return replace(spec, granted=tuple((each.st_dev, each.st_ino) for each in stats))

    async def _take(self, spec: PythonCall, verdict: Verdict | None) -> WorkerProcess:
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
                worker.on_refusal = verdict.refused if verdict else None
                return worker
        return await self._start(spec, verdict)

    async def _start(self, spec: PythonCall, verdict: Verdict | None) -> WorkerProcess:
        order: dict[str, Json] = {
            "folder": str(spec.root),
            "module": spec.module,
            "file": str(spec.file),
            "setup": spec.setup or "",
        }
        try:
            if spec.sandbox is None or verdict is None:
                worker = WorkerProcess(spec.root, order, self._env, self._on_output)
            else:
                order["sandbox"] = self._confinement(spec, spec.sandbox)
                worker = self._sandboxed(spec, order, verdict)
        except OSError as error:
            raise PythonToolError("tool_unavailable", f"its worker cannot be started: {error}") from error
        worker.on_refusal = verdict.refused if verdict else None
        self._busy.add(worker)
        await self._await_loaded(worker, verdict)
        return worker

    def _confinement(self, spec: PythonCall, sandbox: SandboxPlan) -> Json:
        return sandbox_order(spec, sandbox, self._grants.get(sandbox, Grants((), ())))

    def _sandboxed(self, spec: PythonCall, order: dict[str, Json], verdict: Verdict) -> WorkerProcess:
        main, private = program(spec), None
        if spec.bounded_only:
            private = tempfile.TemporaryDirectory(prefix="agentctl-", ignore_cleanup_errors=True)
            order["time"] = verdict.time
        env = environment(private.name) if private else environment()
        return WorkerProcess(
            spec.root, order, env, self._on_output, program=main, most_output=MOST_PRINTED, private=private
        )

    async def _await_loaded(self, worker: WorkerProcess, verdict: Verdict | None) -> None:
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
            raise (
                failed(decode(body)) if verdict is None else verdict.of_reply(letter, body, worker.last_words)
            )

    def _give_back(self, spec: PythonCall, worker: WorkerProcess) -> None:
        self._busy.discard(worker)
        worker.on_output = self._on_output
        if self._closed or not worker.is_ready or spec.bounded_only:
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
    return replace(call, function=spec.function) == spec
