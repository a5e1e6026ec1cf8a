"""What analysis finds in an expression: problems, references, comparisons; and what a run can raise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from agentctl.errors import AgentctlError
from agentctl.json import Json

Path = tuple[str | int, ...]


class ExpressionError(AgentctlError):
    """An expression that cannot be evaluated: an unknown field, a wrong type, a bound met, or one not allowed.

    `text` is the whole source, `offset` and `length` the part of it that failed, in characters.
    """

    exit_code = 4

    def __init__(
        self, message: str, *, hint: str | None = None, text: str = "", offset: int = 0, length: int = 0
    ) -> None:
        super().__init__(message, hint=hint)
        self.text = text
        self.offset = offset
        self.length = length


class Mend(NamedTuple):
    """What belongs in place of `length` characters of an expression's text."""

    offset: int
    length: int
    text: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with an expression; `offset` and `length` in characters of its text."""

    code: str
    message: str
    hint: str | None
    offset: int
    length: int
    mend: Mend | None = None
    """What is certainly meant, where that is known."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A name of the scope that is read, with the whole path looked up in it: up to the first computed step."""

    root: str
    path: Path
    offset: int
    length: int
    words: tuple[tuple[int, int], ...] = ()
    """Offset and length of the root's word, then of each step's."""
    guarded: bool = False
    """True where its absence is allowed for: under `is defined`, `default`, or a branch that asked before."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two things compared, for checks that know which values are possible.

    `operator` is as written: `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `not in`. A membership test in a list that
    is written out gives one comparison by `==` or `!=` for each of its items.
    """

    operator: str
    left: Json
    right: Json
    left_span: tuple[int, int]
    right_span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Constant:
    """The value of an expression that reads nothing, or whose reading cannot change it."""

    value: Json


@dataclass(frozen=True, slots=True)
class Analysis:
    """All that is known of an expression without running it. `type` is a JSON Schema, {} = anything."""

    references: tuple[Reference, ...] = ()
    problems: tuple[Problem, ...] = ()
    type: Json = field(default_factory=dict)
    comparisons: tuple[Comparison, ...] = ()
    constant: Constant | None = None
