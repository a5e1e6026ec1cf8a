"""What a YAML text is made of: nodes with their places, and problems before they have lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from agentctl.json import Json
from agentctl.spec.finding import Severity
from agentctl.spec.syntax import shown


@dataclass(frozen=True, slots=True)
class Problem:
    """A finding before it has lines and columns: `start` and `end` count characters of the text."""

    code: str
    message: str
    start: int
    end: int
    hint: str | None = None
    replacement: str | None = None
    """What to put in place of the stretch, when the mend is certain."""
    severity: Severity = "error"
    other: int | None = None
    """Where the thing that the hint speaks of stands; `{line}` in the hint is its line."""


@dataclass(slots=True)
class Node:
    """A value and its place. An alias is the node it names, so a node may stand in the tree twice."""

    start: int
    end: int
    kind: Literal["scalar", "sequence", "mapping"]
    flow: bool = False
    style: str = ""
    value: Json = None
    """Of a scalar."""
    items: list[Node] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    size: int = 1
    """Values in it, aliases expanded."""
    height: int = 0

    def data(self) -> Json:
        """Plain data, of which no part is shared."""
        match self.kind:
            case "scalar":
                return self.value
            case "sequence":
                return [item.data() for item in self.items]
            case "mapping":
                return {key: entry.node.data() for key, entry in self.entries.items()}


@dataclass(slots=True)
class Entry:
    """One key of a mapping and its value."""

    start: int
    end: int
    node: Node


@dataclass(slots=True)
class Hole:
    """An unquoted `${{ }}` inside brackets, which YAML cannot read; and the scalar it belongs to, once known."""

    start: int
    end: int
    scalar: tuple[int, int] | None = None

    def problem(self, text: str) -> Problem:
        start, end = self.scalar or (self.start, self.end)
        quoted = quote(one_line(text[start:end]))
        message = f"{shown(text[self.start : self.end])} must be quoted inside `{{ }}` and `[ ]`"
        if self.scalar is None:
            return Problem("Y007", message, self.start, self.end, f"write {quoted}")
        return Problem("Y007", message, start, end, f"write {quoted}", quoted)


def quote(text: str) -> str:
    """Text as a quoted YAML scalar, the simplest that says it."""
    if '"' not in text and "\\" not in text:
        return f'"{text}"'
    return "'" + text.replace("'", "''") + "'"


def one_line(text: str) -> str:
    return " ".join(text.split())
