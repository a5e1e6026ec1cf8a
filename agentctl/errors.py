"""What can go wrong, as a tree: each failure knows its exit code and says what would be right."""

from __future__ import annotations

from typing import Literal

ErrorClass = Literal[
    "timeout",
    "rate_limited",
    "server",
    "refused",
    "bad_answer",
    "tool_failed",
    "tool_unavailable",
    "limit",
]
"""The classes that `on_error` routes by."""

FailureClass = ErrorClass | Literal["expression"]
"""What a node's failure can be: an expression that failed is the file's own fault, and only `else` takes it."""

Origin = Literal["model", "tool", "breaker", "engine"]
"""Where a node's failure comes from; of a `breaker` it is that a call was not made."""


class AgentctlError(Exception):
    """Root of everything agentctl raises on purpose; `exit_code` is what the command line exits with."""

    exit_code = 70

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AgentctlError):
    """Wrong usage, an unreadable file, or something refused: exit 2."""

    exit_code = 2


class CannotRun(AgentctlError):
    """What the run needs is not to be had (provider, key, model, store): exit 3."""

    exit_code = 3


class StoreError(CannotRun):
    """The store cannot be read or written: full, locked, removed, cut short or damaged."""


class DamagedRecord(StoreError):
    """A stored record whose bytes do not match their checksum."""


class ThreadBusy(UsageError):
    """Another writer holds the thread."""


class NodeError(AgentctlError):
    """A node could not do its work; `on_error` may route it by `error_class`."""

    exit_code = 4

    def __init__(
        self,
        error_class: FailureClass,
        message: str,
        *,
        hint: str | None = None,
        origin: Origin = "engine",
    ) -> None:
        super().__init__(message, hint=hint)
        self.error_class: FailureClass = error_class
        self.origin: Origin = origin


class ModelError(NodeError):
    """A model call that gave no usable answer.

    `retry_after` is in seconds, when the server said so. `retryable` is true for timeouts, connection errors,
    408, 409, 429 and 5xx.
    """

    exit_code = 3

    def __init__(
        self,
        error_class: ErrorClass,
        message: str,
        *,
        hint: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(error_class, message, hint=hint, origin="model")
        self.retryable = retryable
        self.retry_after = retry_after
        self.exit_code = 4 if error_class == "bad_answer" else 3


class ToolError(NodeError):
    """A tool call that failed, or a tool that cannot be called now.

    `retryable` is false where the same call would fail in the same way. `retry_after` is in seconds, when a server
    said so.
    """

    def __init__(
        self,
        error_class: ErrorClass,
        message: str,
        *,
        hint: str | None = None,
        retryable: bool = True,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(error_class, message, hint=hint, origin="tool")
        self.retryable = retryable
        self.retry_after = retry_after


class BreakerOpen(ToolError):
    """A call that was not made, because too many before it failed. No budget is used, and no try follows."""

    def __init__(self, message: str, retry_in: float = 0.0) -> None:
        """`retry_in`: seconds until it may be tried again."""
        hint = "wait until then, or give the node a way on: on_error: {tool_unavailable: …}"
        super().__init__("tool_unavailable", message, hint=hint, retryable=False)
        self.origin = "breaker"
        self.retry_in = retry_in
