"""stdout is the answer, stderr is what is said about it; each is a terminal or not on its own."""

from __future__ import annotations

import os
import sys
from typing import TextIO

from agentctl.errors import AgentctlError
from agentctl.sinks.neutral import neutral


def on_terminal(stream: TextIO) -> bool:
    """Whether a person sees what is written there."""
    return not stream.closed and stream.isatty()


def in_colour(stream: TextIO) -> bool:
    """Whether the stream takes colours: a terminal that does, unless NO_COLOR is set (no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return on_terminal(stream) or bool(os.environ.get("FORCE_COLOR"))


def can_ask() -> bool:
    """Whether there is a person to ask: what we print is seen and what is typed is read."""
    return on_terminal(sys.stdin) and on_terminal(sys.stderr)


def say(message: str) -> None:
    """A line about the work, on stderr."""
    print(message, file=sys.stderr, flush=True)


def complain(kind: str, message: str) -> None:
    """`error: …`, `hint: …` or `warning: …` on stderr, the word in colour where there is colour."""
    colour = {"error": "1;31", "warning": "1;33", "hint": "1;36"}[kind]
    word = f"\x1b[{colour}m{kind}:\x1b[0m" if in_colour(sys.stderr) else f"{kind}:"
    say(f"{word} {neutral(message)}")


def complain_about(failure: AgentctlError) -> int:
    """An error with its hint; its exit code."""
    complain("error", failure.message)
    if failure.hint:
        complain("hint", failure.hint)
    return failure.exit_code
