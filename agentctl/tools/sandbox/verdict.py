"""What became of a sandboxed Python call: what it was refused, told as events, and its failure in one sentence."""

from __future__ import annotations

import errno
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final, get_args

from agentctl.graph.plan import SandboxPlan
from agentctl.json import Json, decode
from agentctl.tools.keeper import EXIT_CODES
from agentctl.tools.kept import signal_name
from agentctl.tools.python_call import PythonToolError, failed
from agentctl.tools.sandbox.profiles import PROCESSES, Guarantee, spelled

MOST_PRINTED: Final = 1024 * 1024
"""Bytes that one call may print."""
Tell = Callable[[str, dict[str, Json]], None]
_MAY_NOT: Final[dict[Guarantee, str]] = {
    "files": "may read only the files that it grants",
    "writes": "may write only the files that it grants",
    "network": "may not use the network",
    "secrets": "may not look into other processes",
    "signals": "may not act on other processes",
    "namespaces": "may make no namespaces or mounts",
    "kernel": "may not use that part of the kernel",
    "processes": "may start no process",
    "memory": "may not share memory",
}
_ENDLESS: Final = 2**31
_REFUSED: Final = (errno.EPERM, errno.EACCES, errno.EROFS)


class Verdict:
    """What is known of one call while it runs and when it has ended."""

    def __init__(self, sandbox: SandboxPlan, timeout: float | None, tell: Tell | None) -> None:
        self._sandbox = sandbox
        seconds = sandbox.time if sandbox.time is not None else timeout
        self.time = _ENDLESS if seconds is None else math.ceil(seconds)
        """Whole seconds of processor time: the kernel counts no finer."""
        self._tell = tell
        self._refused: dict[str, Guarantee] = {}

    def refused(self, body: bytes) -> None:
        """The watcher saw a system call that is not allowed."""
        said = decode(body)
        names: tuple[Guarantee, ...] = get_args(Guarantee)
        self._violated(next((name for name in names if name == said["what"]), "kernel"), str(said["call"]))

    def read(self, letter: bytes, body: bytes, details: str) -> Json:
        """The result. Raises PythonToolError for any other reply; `details` are what the call printed last."""
        if letter == b"R":
            try:
                return decode(body)
            except ValueError:
                raise self.of_nonsense() from None
        raise self.of_reply(letter, body, details)

    def of_reply(self, letter: bytes, body: bytes, details: str) -> PythonToolError:
        """The error of a reply that is no result."""
        try:
            said = decode(body)
            return self.of_end(said, details) if letter == b"D" else self.of_failure(said)
        except (ValueError, KeyError, TypeError, AttributeError):  # the tool may have written it itself
            return self.of_nonsense()

    def of_failure(self, failure: Json) -> PythonToolError:
        """The error of a call that says itself why it failed."""
        cause = failure.get("cause") or {}
        if cause.get("type") == "MemoryError" or cause.get("errno") == errno.ENOMEM:
            return self._over("memory", failure["kind"])
        if cause.get("errno") == errno.EFBIG:
            return self._over("file_size")
        path = cause.get("path")
        if path is not None and self._is_hidden(path, cause.get("errno")):
            writes = bool(cause.get("errno") == errno.EROFS)
            self._violated("writes" if writes else "files", path)
        elif cause.get("errno") in (errno.EPERM, errno.EACCES) and path is None and not self._refused:
            self._violated("kernel", "a system call")
        error = failed(failure)
        if failure["kind"] == "load" and "ModuleNotFoundError" in error.message:
            error.hint = (
                "what is not installed, and stands beside no tool, has to be granted: `files: {read: […]}`"
            )
        if not self._refused:
            return error
        why = " and ".join(dict.fromkeys(_MAY_NOT.get(what, what) for what in self._refused.values()))
        return PythonToolError(
            error.error_class if error.error_class == "tool_unavailable" else "tool_failed",
            f"{error.message}; in its sandbox it {why}",
            error.details,
            retryable=False,
        )

    def of_end(self, end: Json, details: str) -> PythonToolError:
        """The error of a call that ended without a word: `code` and `time`."""
        code, seconds = int(end["code"]), float(end["time"])
        if code == -signal.SIGXCPU or (code == -signal.SIGKILL and seconds >= self.time):
            return self._over("time")
        name = signal_name(-code) if code < 0 else None
        if name == "SIGSYS":
            self._violated("kernel", "a system call of another architecture")
        if name in ("SIGABRT", "SIGSEGV", "SIGBUS") and "emory" in details:
            return self._over("memory")
        how = f"was killed by {name}" if name else "exited" if code == 0 else f"exited with code {code}"
        return PythonToolError("tool_failed", f"its worker {how} before it answered", details)

    def of_death(self, error: PythonToolError, code: int | None, *, flooded: bool) -> PythonToolError:
        """The error of a call whose whole worker died, with this exit code; `flooded`: because of what it printed."""
        if not flooded:
            over = next((limit for limit, known in EXIT_CODES.items() if known == code), None)
            if code == 128 + signal.SIGXCPU:
                over = "time"
            return self._over(over) if over else error
        self._violated("output", "print")
        message = f"it printed more than {spelled(MOST_PRINTED)}, so it was ended"
        return PythonToolError("tool_failed", message, retryable=False)

    def of_nonsense(self) -> PythonToolError:
        """The error of a call whose answer is not in the form that ours has."""
        self._violated("output", "answer")
        return PythonToolError("tool_failed", "its answer could not be read", retryable=False)

    def _over(self, what: str, kind: str = "raised") -> PythonToolError:
        if what == "time":
            self._violated("time", "processor time")
            message = f"it went over its limit of {self.time}s of processor time, so it was ended"
            return PythonToolError("timeout", message, retryable=False)
        told: dict[str, Guarantee] = {"memory": "memory", "processes": "processes"}
        self._violated(told.get(what, "output"), what)
        limits = {
            "memory": f"{spelled(self._sandbox.memory)} of memory",
            "processes": f"{PROCESSES} processes",
        }
        limit = limits.get(what, "what one file may hold")
        if kind == "load":
            message = f"its module could not be loaded: it went over its limit of {limit}"
            return PythonToolError("tool_unavailable", message, retryable=False)
        return PythonToolError("tool_failed", f"it went over its limit of {limit}", retryable=False)

    def _is_hidden(self, path: str, number: int | None) -> bool:
        """Whether a file could not be used because of the sandbox: it is there, outside of what is granted."""
        if not os.path.isabs(path):
            return False
        if number in _REFUSED:
            return True
        granted = (*self._sandbox.read, *self._sandbox.write)
        is_granted = any(
            Path(os.path.realpath(path)).is_relative_to(os.path.realpath(each)) for each in granted
        )
        return number == errno.ENOENT and not is_granted and os.path.lexists(path)

    def _violated(self, what: Guarantee, tried: str) -> None:
        if tried not in self._refused:
            self._refused[tried] = what
            if self._tell is not None:
                self._tell("sandbox.violation", {"what": what, "tried": tried})
