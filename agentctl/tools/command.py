"""Tools that are programs: a list of words without a shell, in the file's folder, with little of our environment."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Mapping

from agentctl.errors import ToolError
from agentctl.expressions import ExpressionError
from agentctl.graph.plan import CommandWork
from agentctl.json import Json
from agentctl.tools.answers import Unreadable, quoted, read_json, read_text
from agentctl.tools.call import Call
from agentctl.tools.command_process import CommandProcess, Ended, TooMuch
from agentctl.tools.kept import signal_name

INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
"""The variables of ours that a program is given; all others are those of the file."""
KEY_VARIABLE = "AGENTCTL_IDEMPOTENCY_KEY"


class CommandTools:
    """Runs the programs of command tools. `mask` takes secrets out of what is quoted of them. For one event loop."""

    def __init__(self, env: Mapping[str, str], mask: Callable[[Json], Json]) -> None:
        """`env` are the variables of the file: a program is given all of them."""
        kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
        self._declared = dict(env)
        self._env = {"PATH": os.defpath, **kept, **env}
        self._mask = mask
        self._running: set[CommandProcess] = set()
        self._endings: set[asyncio.Task[None]] = set()

    async def call(self, work: CommandWork, call: Call) -> Json:
        """What the program prints, at most `max_result` bytes of it. Raises ToolError.

        It ends, with everything it started, when it exits, when its time is over and when the caller is cancelled.
        """
        tool = call.tool
        words = self._words(work, call)
        try:
            running = CommandProcess(self._order(work, words, call), work.folder, tool.max_result)
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
            raise _too_much(words[0], tool.max_result) from None
        finally:
            await asyncio.shield(self._begin_end(running))
        self._refuse_failure(work, words[0], ended)
        return _read(work, words[0], ended.stdout)

    async def close(self) -> None:
        """End all that runs."""
        for running in list(self._running):
            self._begin_end(running)
        await asyncio.gather(*self._endings)

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

    def _order(self, work: CommandWork, words: list[str], call: Call) -> Json:
        env = self._env
        if call.idempotency_key is not None:
            env = {**env, KEY_VARIABLE: call.idempotency_key.replace("\0", "")}
        name = words[0]
        program = str(work.folder / name) if "/" in name else shutil.which(name, path=env["PATH"])
        if program is None:
            raise ToolError(
                "tool_unavailable",
                f"there is no program `{name}` on this machine",
                hint="install it, or put its folder on PATH",
                retryable=False,
            )
        return {"program": program, "words": words, "env": env}

    def _refuse_failure(self, work: CommandWork, name: str, ended: Ended) -> None:
        if ended.errno is not None:
            raise _not_started(name, ended.errno)
        if ended.status is None:
            raise ToolError("tool_failed", f"`{name}` was killed together with its keeper")
        code = os.waitstatus_to_exitcode(ended.status)
        if code < 0:
            how = f"was killed by {signal_name(-code) or f'signal {-code}'}"
        elif code not in work.ok_codes:
            how = f"exited with code {code}"
        else:
            return
        raise ToolError("tool_failed", f"`{name}` {how}{self._said(ended.stderr or ended.stdout)}")

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
