"""The profiles of the sandbox: which guarantees each one gives, and which one a tool gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentctl.errors import ToolError
from agentctl.graph.plan import CommandWork, PythonWork, SandboxPlan, ToolPlan
from agentctl.json import Json

Profile = Literal["process", "restricted", "isolated"]
Guarantee = Literal[
    "files",
    "writes",
    "network",
    "secrets",
    "signals",
    "namespaces",
    "kernel",
    "processes",
    "memory",
    "time",
    "output",
    "left_behind",
]
PROFILES: tuple[Profile, ...] = ("process", "restricted", "isolated")
GUARANTEES: dict[Guarantee, str] = {
    "files": "reads no file that is not granted",
    "writes": "writes no file that is not granted",
    "network": "opens no connection",
    "secrets": "sees no variable or memory of other processes",
    "signals": "signals no process outside",
    "namespaces": "makes no namespace and mounts nothing",
    "kernel": "reaches no tracing, keyrings, bpf or io_uring",
    "processes": "a fork bomb is ended",
    "memory": "memory is bounded",
    "time": "processor time is bounded",
    "output": "output is bounded",
    "left_behind": "no process is left behind",
}
GIVEN: dict[Profile, tuple[Guarantee, ...]] = {
    "process": ("processes", "memory", "time", "output", "left_behind"),
    "restricted": tuple(GUARANTEES),
    "isolated": tuple(GUARANTEES),
}
PROCESSES = 256
"""Processes and threads of one sandboxed call."""
OPEN_FILES = 1024


def profile_of(tool: ToolPlan) -> Profile | None:
    """The profile that a tool's `sandbox` asks for; None where it asks for none."""
    match tool.work if tool.sandbox is not None else None:
        case CommandWork():
            return "isolated"
        case PythonWork():
            return "restricted"
        case _:
            return None


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What one call may use: bytes, seconds and numbers."""

    time: float
    memory: int
    processes: int = PROCESSES
    open_files: int = OPEN_FILES

    @classmethod
    def of(cls, sandbox: SandboxPlan, timeout: float) -> CallLimits:
        return cls(sandbox.time if sandbox.time is not None else timeout, sandbox.memory)

    def as_json(self) -> Json:
        return {
            "time": self.time,
            "memory": self.memory,
            "file_size": self.memory,
            "processes": self.processes,
            "open_files": self.open_files,
        }

    def said(self, what: str) -> str:
        """One of them: `64MB of memory`."""
        return {
            "time": f"{self.time:g}s of processor time",
            "memory": f"{spelled(self.memory)} of memory",
            "file_size": f"{spelled(self.memory)} for one file",
            "processes": f"{self.processes} processes",
        }[what]

    def exceeded(self, name: str, what: str, said: str = "") -> ToolError:
        """The error of a call that met one of them, which it would meet again."""
        limit = self.said(what)
        key = {"time": "sandbox.time", "memory": "sandbox.memory", "file_size": "sandbox.memory"}.get(what)
        return ToolError(
            "timeout" if what == "time" else "tool_failed",
            f"`{name}` went over its limit of {limit}, so it was ended{said}",
            hint=f"let it do less, or raise `{key}`" if key else "let it start fewer",
            retryable=False,
        )


def spelled(size: int) -> str:
    """`64MB`"""
    for factor, unit in ((1024**3, "GB"), (1024**2, "MB"), (1024, "KB")):
        if size >= factor:
            return f"{size / factor:.3g}{unit}"
    return f"{size} bytes"


def granted(sandbox: SandboxPlan) -> str:
    """What a sandbox grants, for a person: `no network; reads ./notes`."""
    found = ["network" if sandbox.network else "no network"]
    for verb, paths in (("reads", sandbox.read), ("writes", sandbox.write)):
        if paths:
            found.append(f"{verb} {', '.join(str(path) for path in paths)}")
    return "; ".join(found) if sandbox.read or sandbox.write else f"{found[0]}, no files"
