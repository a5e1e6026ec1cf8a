"""Tools that are programs: a list of words without a shell, in the file's folder, with little of our environment."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from agentctl.errors import ToolError
from agentctl.expressions import ExpressionError
from agentctl.graph.plan import CommandWork, SandboxPlan, ToolPlan
from agentctl.json import Json
from agentctl.tools.answers import Unreadable, quoted, read_json, read_text
from agentctl.tools.call import Call
from agentctl.tools.command_process import CommandProcess, Ended, TooMuch
from agentctl.tools.command_starter import CommandStarter
from agentctl.tools.kept import signal_name
from agentctl.tools.sandbox.isolated import Grants, find_bubblewrap, isolated_order
from agentctl.tools.sandbox.profiles import CallLimits, granted
from agentctl.tools.sandbox.refusals import refusals

INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""The variables of ours that a program is given; all others are those of the file."""
KEY_VARIABLE = "AGENTCTL_IDEMPOTENCY_KEY"


_LACKS_MEMORY = ("memoryerror", "cannot allocate memory", "out of memory", "bad_alloc", "memory exhausted")


class _Run(NamedTuple):
    """One run of a program: what was asked, under the name it is spoken of, and what bounds it."""

    work: CommandWork
    call: Call
    name: str
    limits: CallLimits | None
    isolated: bool


class CommandTools:
    """Runs the programs of command tools. `mask` takes secrets out of what is quoted of them. For one event loop."""

    def __init__(
        self,
        env: Mapping[str, str],
        mask: Callable[[Json], Json],
        *,
        isolate: bool = True,
        store: Path | None = None,
    ) -> None:
        """`env` are the variables of the file: a program is given those that its tool may have.

        `store` is agentctl's own folder, which no isolated program sees. Without `isolate` a tool with a
        `sandbox` is bounded by its limits only: the profile `process`.
        """
        kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self._declared = dict(env)
        self._env = {"PATH": os.defpath, **kept}
        self._mask = mask
        self._isolate = isolate
        self._store = store
        self._starter = CommandStarter()
        self._grants: dict[SandboxPlan, Grants] = {}
        self._running: set[CommandProcess] = set()
        self._endings: set[asyncio.Task[None]] = set()

    def prepare(self, tool: ToolPlan) -> None:
        """Warm the starter up and resolve what a tool is granted, before anything runs."""
        # what cannot be had yet, a call finds or says
        with contextlib.suppress(OSError, ToolError):
            self._starter.start()
            if tool.sandbox is not None and self._isolate:
                self._granted(tool.sandbox)

    async def call(self, work: CommandWork, call: Call) -> Json:
        """What the program prints, at most `max_result` bytes of it. Raises ToolError.

        It ends, with everything it started, when it exits, when its time is over and when the caller is cancelled.
        """
        tool = call.tool
        words = self._words(work, call)
        limits = None if tool.sandbox is None else CallLimits.of(tool.sandbox, tool.timeout)
        run = _Run(work, call, words[0], limits, isolated=limits is not None and self._isolate)
        try:
            running = CommandProcess(self._starter, self._order(run, words), tool.max_result)
        except OSError as error:
            raise ToolError("tool_unavailable", f"`{words[0]}` cannot be started: {error}") from error
        self._running.add(running)
        try:
            async with asyncio.timeout(tool.timeout):
                ended = await running.ended()
        except TimeoutError:
            said = self._said(running.stderr)
            message = f"`{words[0]}` did not end within {tool.timeout:g}s, so it was ended{said}"
            raise ToolError("timeout", message) from None
        except TooMuch:
            self._tell_violation(run, "output", f"more than {tool.max_result:,} bytes")
            raise _too_much(words[0], tool.max_result) from None
        finally:
            await asyncio.shield(self._begin_end(running))
        self._refuse_failure(run, ended)
        return _read(work, words[0], ended.stdout)

    async def close(self) -> None:
        """End all that runs."""
        for running in list(self._running):
            self._begin_end(running)
        await asyncio.gather(*self._endings)
        await self._starter.close()

    def _words(self, work: CommandWork, call: Call) -> list[str]:
        names: dict[str, Json] = {"args": call.arguments, "run": call.run, "env": self._declared}
        try:
            words = [str(word(names)) for word in work.words]
        except ExpressionError as error:
            raise ToolError("tool_failed", error.message, hint=error.hint, retryable=False) from error
        for word in words:
            if "\0" in word:
                message = f"no argument of a program can hold a NUL character, as `{quoted(word)}` would"
                raise ToolError("tool_failed", message, retryable=False)
        return words

    def _order(self, run: _Run, words: list[str]) -> Json:
        declared = {name: self._declared[name] for name in run.call.tool.env if name in self._declared}
        env = {**self._env, **declared}
        if run.call.idempotency_key is not None:
            env = {**env, KEY_VARIABLE: run.call.idempotency_key.replace("\0", "")}
        name, folder = words[0], run.work.folder
        program = os.path.join(folder, name) if "/" in name else shutil.which(name, path=env["PATH"])
        if program is None or (run.isolated and not os.path.exists(program)):
            raise ToolError(
                "tool_unavailable",
                f"there is no program `{name}` on this machine",
                hint="install it, or put its folder on PATH",
                retryable=False,
            )
        if not run.isolated:
            limits = run.limits.as_json() if run.limits is not None else None
            return {"program": program, "words": words, "env": env, "folder": str(folder), "limits": limits}
        return self._isolated(run, os.path.abspath(program), words, env)

    def _isolated(self, run: _Run, program: str, words: list[str], env: Mapping[str, str]) -> Json:
        sandbox, bubblewrap = run.call.tool.sandbox, find_bubblewrap()
        assert sandbox is not None
        assert run.limits is not None
        if bubblewrap is None:
            raise ToolError("tool_unavailable", "there is no bubblewrap to isolate it", retryable=False)
        return isolated_order(
            bubblewrap,
            sandbox,
            self._granted(sandbox),
            run.limits,
            program=program,
            words=words,
            env=env,
            folder=run.work.folder,
        )

    def _granted(self, sandbox: SandboxPlan) -> Grants:
        """What it grants, its links resolved when first asked. Raises ToolError."""
        grants = self._grants.get(sandbox)
        if grants is None:
            grants = self._grants[sandbox] = Grants.resolve(sandbox, self._store)
        grants.check()
        return grants

    def _refuse_failure(self, run: _Run, ended: Ended) -> None:
        name = run.name
        if ended.errno is not None:
            raise _not_started(name, ended.errno)
        if ended.over is not None:
            raise self._over(run, ended.over)
        if ended.status is None:
            raise ToolError("tool_failed", f"`{name}` was killed together with its keeper")
        code = os.waitstatus_to_exitcode(ended.status)
        if run.isolated and code >= 0:
            code = self._code_inside(run, ended)
        if code in run.work.ok_codes:
            return
        refused = False
        if run.limits is not None:
            self._refuse_excess(run, run.limits, ended, code)
            refused = self._tell_refusals(run, ended)
        how = (
            f"was killed by {signal_name(-code) or f'signal {-code}'}"
            if code < 0
            else f"exited with code {code}"
        )
        hint = f"its sandbox grants: {granted(run.call.tool.sandbox)}" if run.call.tool.sandbox else None
        message = f"`{name}` {how}{self._said(ended.stderr or ended.stdout)}"
        raise ToolError("tool_failed", message, hint=hint, retryable=not refused)

    def _code_inside(self, run: _Run, ended: Ended) -> int:
        """The exit code of the program itself; below 0 the signal that killed it."""
        if ended.exit is None:
            said = self._said(ended.stderr)
            raise ToolError("tool_unavailable", f"`{run.name}` cannot be started in its sandbox{said}")
        return 128 - ended.exit if 128 < ended.exit < 128 + signal.NSIG else ended.exit

    def _refuse_excess(self, run: _Run, limits: CallLimits, ended: Ended, code: int) -> None:
        """Raise for a failure that came of a limit which the kernel kept."""
        said = ended.stderr.decode(errors="replace").lower()
        if code == -signal.SIGXCPU or ended.time > limits.time:
            raise self._over(run, "time")
        if code == -signal.SIGXFSZ:
            raise self._over(run, "file_size")
        if ended.memory > 0.9 * limits.memory or any(each in said for each in _LACKS_MEMORY):
            raise self._over(run, "memory", self._said(ended.stderr))
        if code == -signal.SIGSYS:
            self._tell_violation(run, "kernel", "a system call of another architecture")

    def _over(self, run: _Run, what: str, said: str = "") -> ToolError:
        assert run.limits is not None
        self._tell_violation(run, what, f"more than {run.limits.said(what)}")
        return run.limits.exceeded(run.name, what, said)

    def _tell_refusals(self, run: _Run, ended: Ended) -> bool:
        """Tell what it was refused; whether there was anything, which another try would be refused, too."""
        sandbox = run.call.tool.sandbox
        if not run.isolated or sandbox is None:
            return False
        found = refusals(ended.stderr.decode(errors="replace"), sandbox, run.work.folder)
        for refusal in found:
            self._tell_violation(run, refusal.what, refusal.tried)
        return bool(found)

    def _tell_violation(self, run: _Run, what: str, tried: str) -> None:
        if run.limits is not None:
            run.call.tell("sandbox.violation", {"what": what, "tried": tried})

    def _said(self, output: bytes) -> str:
        said = quoted(str(self._mask(output.decode(errors="replace"))), last=True)
        return f": {said}" if said else ""

    def _begin_end(self, running: CommandProcess) -> asyncio.Task[None]:
        self._running.discard(running)
        running.kill()
        ending = asyncio.create_task(running.end())
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
        return ending


def _read(work: CommandWork, name: str, stdout: bytes) -> Json:
    """A text without the line break at its end, or JSON."""
    try:
        if work.answers_text:
            return read_text(stdout).removesuffix("\n").removesuffix("\r")
        return read_json(stdout)
    except Unreadable as error:
        hint = None if work.answers_text else "its `returns` is no string, so it has to print JSON"
        raise ToolError("tool_failed", f"`{name}` printed {error}", hint=hint) from None


def _not_started(name: str, number: int) -> ToolError:
    if number == errno.E2BIG:
        return ToolError("tool_failed", f"the arguments of `{name}` are too long", retryable=False)
    said = os.strerror(number)
    if number == errno.ENOEXEC:
        said = "it is no program, and has no line that begins with #! and says what runs it"
    return ToolError("tool_unavailable", f"`{name}` cannot be started: {said}", retryable=False)


def _too_much(name: str, most: int) -> ToolError:
    return ToolError(
        "tool_failed",
        f"`{name}` printed more than its max_result of {most:,} bytes, so it was ended",
        hint="let it print less, or raise `max_result`",
        retryable=False,
    )
