"""What ends work before it is done, other than an error of a node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agentctl.errors import UsageError
from agentctl.json import Json

CutReason = Literal["timeout", "step_time", "time"]
LimitName = Literal[
    "recursion",
    "time",
    "tokens",
    "cost",
    "tool_calls",
    "state_size",
    "depth",
    "step.tokens",
    "step.tool_calls",
    "max_visits",
]
"""Keys below `limits`; the last one is a node's."""


class Cut(Exception):
    """A timer rang while the work was under way. `by` is the path of the step, or the call, whose timer it is."""

    def __init__(self, reason: CutReason, by: str) -> None:
        super().__init__(f"{reason} of {by}")
        self.reason: CutReason = reason
        self.by = by


class LimitReached(Exception):
    """A limit of the turn is met. `used` and `allowed` are in the limit's own unit."""

    def __init__(self, limit: LimitName, used: float, allowed: float) -> None:
        key = limit if limit == "max_visits" else f"limits.{limit}"
        super().__init__(f"{key} is met: {_number(used)} of {_number(allowed)}")
        self.limit: LimitName = limit
        self.used = used
        self.allowed = allowed


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


@dataclass(frozen=True, slots=True)
class Question:
    """What a suspended turn waits for.

    `kind` is `ask` for a question of the graph, `approval` for a call that a tier has a person approve, `outcome`
    for a write that was begun and whose end nobody saw.
    `deadline` is in Unix seconds.
    """

    id: str
    kind: Literal["ask", "approval", "outcome"]
    text: str
    choices: tuple[str, ...] = ()
    deadline: float | None = None

    def as_json(self) -> dict[str, Json]:
        return {
            "id": self.id,
            "kind": self.kind,
            "question": self.text,
            "choices": list(self.choices),
            "deadline": self.deadline,
        }


class Waiting(Exception):
    """The turn cannot go on without a person."""

    def __init__(self, question: Question, refused: UsageError | None = None) -> None:
        """`refused` says why the answer that was given is none; the question stays open."""
        super().__init__(question.text)
        self.question = question
        self.refused = refused
