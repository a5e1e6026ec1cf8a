"""A condition over closed fields, tried with every value they can have."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from math import prod

from msgspec import Struct

from agentctl.check.shapes import closed_values, value_text
from agentctl.expressions import Analysis, ExpressionError, compile_bare
from agentctl.json import Json

_MOST_CASES = 256
_GROWS = re.compile(r"\*|\b(?:replace|join|indent|tojson)\b")
"""What may make much of little: a case of such a condition could take as long as a run of it may."""

Path = tuple[str, ...]


class Table(Struct, frozen=True):
    """A condition's answers: what it reads, every case named by its values, and those where it is true."""

    paths: tuple[str, ...]
    cases: frozenset[str]
    true: frozenset[str]


class Patience:
    """How much of trying cases a file is worth, in characters of conditions: what is tried last may go untried."""

    def __init__(self, characters: int = 10_000_000) -> None:
        self._left = characters

    def lasts(self, cases: int, text: str) -> bool:
        """Whether so many cases of a condition can still be tried; they are counted as tried."""
        self._left -= cases * len(text)
        return self._left >= 0


def truth_table(text: str, analysis: Analysis, state: Json, patience: Patience) -> Table | None:
    """The answer for each case; None unless all that is read is closed state.

    Cases are tried by running the expression, which is pure, on made-up states.
    """
    domains = _domains(analysis, state) if not analysis.problems else None
    if not domains or _GROWS.search(text) or not patience.lasts(prod(map(len, domains.values())), text):
        return None
    condition = compile_bare(text)
    answers: dict[str, bool] = {}
    for values in product(*domains.values()):
        try:
            answer = condition({"state": _state(dict(zip(domains, values, strict=True)))})
        except ExpressionError:
            return None
        if not isinstance(answer, bool):
            return None
        answers[", ".join(map(value_text, values))] = answer
    true = frozenset(case for case, answer in answers.items() if answer)
    return Table(tuple(".".join(path) for path in domains), frozenset(answers), true)


def _domains(analysis: Analysis, state: Json) -> Mapping[Path, tuple[Json, ...]] | None:
    """The values of each path that is read, by path in order of name; None when one of them is open, or they are too many."""
    domains: dict[Path, tuple[Json, ...]] = {}
    cases = 1
    for reference in analysis.references:
        path = tuple(step for step in reference.path if isinstance(step, str))
        values = (
            _values(state, path) if reference.root == "state" and len(path) == len(reference.path) else None
        )
        if values is None or reference.guarded:
            return None
        if path not in domains:
            domains[path] = values
            cases *= len(values)
        if cases > _MOST_CASES:
            return None
    return dict(sorted(domains.items()))


def _values(state: Json, path: Path) -> tuple[Json, ...] | None:
    schema = state
    for step in path:
        schema = schema.get("properties", {}).get(step) if isinstance(schema, dict) else None
    return closed_values(schema) if isinstance(schema, dict) and schema else None


def _state(values: Mapping[Path, Json]) -> Json:
    state: dict[str, Json] = {}
    for path, value in values.items():
        place = state
        for step in path[:-1]:
            place = place.setdefault(step, {})
        place[path[-1]] = value
    return state
