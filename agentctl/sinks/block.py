"""What a terminal shows of the step that runs: facts, lines that stay, and words as they come."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from agentctl.events import Event
from agentctl.sinks.neutral import one_line
from agentctl.sinks.wording import count, duration

_NAME = 40
"""Characters of a model's or an agent's name."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line under a step. One that is `cut` is made to fit the screen; others are wrapped."""

    text: str
    style: str
    cut: bool = True
    is_live: bool = True
    """Shown while the step runs: whole results are not, they would push all else out."""


@dataclass(slots=True)
class Block:
    """A step of the root graph, with whatever goes on inside it."""

    path: str
    node: str
    kind: str
    began: float = field(default_factory=time.monotonic)
    model: str = ""
    tokens: int = 0
    lines: list[Line] = field(default_factory=list)
    inside: dict[str, Event] = field(default_factory=dict)
    """Steps of nested graphs that run, by path."""
    words: dict[str, list[str]] = field(default_factory=dict)
    """What models have streamed so far, by path."""
    speaking: str = ""
    """Where the last words came from."""

    @classmethod
    def of(cls, started: Event) -> Block:
        return cls(started.path, str(started.data["node"]), str(started.data["kind"]))

    def facts(self, seconds: float, next: str | None) -> list[tuple[str, str]]:
        """`sort  agent · local · 134 tokens · 1.2s → fix`, with styles."""
        parts = [self.kind]
        if self.model:
            parts.append(one_line(self.model, _NAME))
        if self.tokens:
            parts.append(count(self.tokens, "token"))
        parts.append(duration(seconds))
        went = f" → {next}" if next and next != "end" else ""
        return [(self.node, "bold"), ("  " + " · ".join(parts) + went, "dim")]

    def within(self, path: str) -> str:
        """Where in this step something happened: `check_facts/split `; empty for the step itself."""
        inner = path.removeprefix(self.path).strip("/")
        return f"{one_line(inner, 60)} " if inner and path != self.path else ""

    def hear(self, path: str, text: str) -> None:
        self.words.setdefault(path, []).append(text)
        self.speaking = path

    def forget(self, path: str) -> None:
        """An answer begins, or begins anew."""
        self.words.pop(path, None)

    def said(self, path: str) -> str:
        return "".join(self.words.get(path, ()))
