"""What can go wrong with an MCP server, in words that follow its name."""

from __future__ import annotations

from agentctl.errors import CannotRun, ToolError


class NotServed(Exception):
    """A server that cannot be used. `again` is false where the next try would fail in the same way."""

    def __init__(self, message: str, *, again: bool = True) -> None:
        super().__init__(message)
        self.again = again


class Unreachable(CannotRun):
    """A server that cannot be used now; it may be another time."""


class SessionLost(Exception):
    """A server that knows nothing of the session any more: it was started anew."""


def is_unknown(tool: str, said: str) -> bool:
    """Whether a text says no more than that there is no such tool, as servers do in their three ways."""
    words = said.lower().translate(_MARKS).split()
    while words[:1] in (["error"], ["mcp"]) or words[:1] == ["-32602"]:
        del words[0]
    name = tool.lower().translate(_MARKS)
    return " ".join(words) in {form.format(name) for form in _FORMS}


def unknown(tool: str, said: str) -> ToolError:
    return ToolError("tool_unavailable", f"it has no tool `{tool}` any more: {said}", retryable=False)


_MARKS = str.maketrans("", "", "'\"`:.")
_FORMS = (
    "unknown tool {}",
    "unknown tool",
    "no such tool {}",
    "no tool named {}",
    "tool {} not found",
    "tool not found {}",
    "tool {} does not exist",
    "tool {} is not known",
)
