"""A call of a Python tool, wherever it runs: which function it is, and how it can fail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from agentctl.errors import ToolError
from agentctl.graph.plan import SandboxPlan
from agentctl.json import Json


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
    sandbox: SandboxPlan | None = None
    """What it may use; None: all that we may."""
    granted: tuple[tuple[int, int], ...] = ()
    """What its grants are: device and number of each."""
    bounded_only: bool = False
    """Of a sandbox, only the limits on what is used hold: the profile `process`."""

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
        *,
        retryable: bool = True,
    ) -> None:
        super().__init__(error_class, message, retryable=retryable)
        self.details = details


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
    if kind == "unconfined":
        message = (
            f"its sandbox cannot be made on this machine: {message}; `agentctl doctor` says what is missing"
        )
        return PythonToolError("tool_unavailable", message, retryable=False)
    if kind == "missing":
        return PythonToolError("tool_unavailable", message, traceback)
    return PythonToolError("tool_failed", message, traceback)
