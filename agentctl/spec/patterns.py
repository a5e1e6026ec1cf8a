"""Regular expressions of a file: whether they can be used, and whether they could backtrack without end.

Values are checked by an engine that never backtracks, so such a pattern harms no run; but it also goes to model
providers and to whoever reads the schema, whose engines do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from re import _constants as op  # type: ignore[attr-defined]  # the parser that `re` itself uses has no public name
from re import _parser as parser  # type: ignore[attr-defined]
from typing import NamedTuple

from agentctl.json import Json

_MANY = 16
"""A repeat up to so many counts as one without end: the ways multiply with each."""
_ASCII = frozenset(range(128))
_BEYOND = -1
"""Stands for all that is not ASCII."""
_ALL = _ASCII | {_BEYOND}
_REPEATS = (op.MAX_REPEAT, op.MIN_REPEAT)
_CLASSES = {
    op.CATEGORY_DIGIT: frozenset(map(ord, "0123456789")),
    op.CATEGORY_SPACE: frozenset(map(ord, " \t\n\r\f\v")),
    op.CATEGORY_WORD: frozenset(code for code in _ASCII if chr(code).isalnum() or code == ord("_"))
    | {_BEYOND},
}
_OTHERS = {
    op.CATEGORY_NOT_DIGIT: op.CATEGORY_DIGIT,
    op.CATEGORY_NOT_SPACE: op.CATEGORY_SPACE,
    op.CATEGORY_NOT_WORD: op.CATEGORY_WORD,
}

Parts = Sequence[tuple[Json, Json]]
"""What the parser makes of a pattern: operations with their arguments."""


def needs_backtracking(pattern: str) -> bool:
    """Whether it looks around or refers back, which no engine does in linear time."""
    return any(
        kind in (op.ASSERT, op.ASSERT_NOT, op.GROUPREF, op.GROUPREF_EXISTS)
        for kind, _ in _walk(_parsed(pattern))
    )


def backtracks_without_end(pattern: str) -> bool:
    """Whether a repeat can go over the same text in many ways: `(a+)+`, `(\\w+\\s?)*`, `(a+|b)*`.

    Only what is certain; a pattern that cannot be parsed here is none.
    """
    return any(
        kind in _REPEATS and argument[1] >= _MANY and _is_ambiguous(argument[2])
        for kind, argument in _walk(_parsed(pattern))
    )


def why_unreadable(pattern: str) -> str | None:
    """What is wrong with it as a regular expression; None when that is not known."""
    try:
        parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return None


def _parsed(pattern: str) -> Parts:
    try:
        parsed: Parts = list(parser.parse(pattern))
    except (re.error, OverflowError, RecursionError):
        return ()
    return parsed


def _walk(parts: Parts) -> Iterator[tuple[Json, Json]]:
    waiting = list(parts)
    while waiting:
        kind, argument = waiting.pop()
        yield kind, argument
        for inner in _inside(kind, argument):
            waiting.extend(inner)


def _inside(kind: Json, argument: Json) -> list[Parts]:
    if kind in (*_REPEATS, op.POSSESSIVE_REPEAT):
        return [argument[2]]
    if kind is op.SUBPATTERN:
        return [argument[3]]
    if kind is op.BRANCH:
        return [*argument[1]]
    if kind in (op.ASSERT, op.ASSERT_NOT):
        return [argument[1]]
    return [argument] if kind is op.ATOMIC_GROUP else []


def _is_ambiguous(body: Parts) -> bool:
    """Whether the body, said again and again, can match one text in two ways."""
    parts = _flat(body)
    if (run := _run_of(parts)) is not None and run.letters and (run.in_two_ways or run.least != run.most):
        return True
    if len(parts) == 1 and parts[0][0] is op.BRANCH:
        return any(map(_is_ambiguous, parts[0][1][1]))
    for place, (kind, argument) in enumerate(parts):
        letters = _letters(argument[2]) if kind in _REPEATS and argument[1] >= _MANY else None
        others = parts[:place] + parts[place + 1 :]
        if letters and all(_can_be(other, letters) for other in others):
            return True
    return False


class _Run(NamedTuple):
    """What a part says of texts of one letter: which letters, how many of them, and whether in two ways."""

    letters: frozenset[int]
    least: int
    most: int
    in_two_ways: bool


def _run_of(parts: Parts) -> _Run | None:
    """As which runs of one letter some parts can be matched; None when that is not known."""
    whole = _Run(_ALL, 0, 0, False)
    for kind, argument in parts:
        one = _run_of_part(kind, argument)
        if one is None:
            return None
        letters, least, most, twice = whole
        whole = _Run(letters & one.letters, least + one.least, most + one.most, twice or one.in_two_ways)
    return whole


def _run_of_part(kind: Json, argument: Json) -> _Run | None:
    if kind in _REPEATS:
        inner = _run_of(_flat(argument[2]))
        low, high = argument[0], min(int(argument[1]), _MANY)
        return None if inner is None else inner._replace(least=inner.least * low, most=inner.most * high)
    if kind is op.BRANCH:
        runs = [_run_of(_flat(branch)) for branch in argument[1]]
        known = [run for run in runs if run is not None]
        if len(known) < len(runs):
            return None
        letters = frozenset.intersection(*(run.letters for run in known))
        return _Run(letters, min(run.least for run in known), max(run.most for run in known), True)
    own = _letters([(kind, argument)])
    return None if own is None else _Run(own, 1, 1, False)


def _can_be(part: tuple[Json, Json], letters: frozenset[int]) -> bool:
    """Whether a part may match nothing, or some text of these letters alone."""
    kind, argument = part
    if kind in _REPEATS:
        inner = _letters(argument[2])
        return argument[0] == 0 or (inner is not None and bool(inner & letters))
    own = _letters([part])
    return own is not None and bool(own & letters)


def _flat(parts: Parts) -> list[tuple[Json, Json]]:
    """The parts, with those of plain groups in their place."""
    found: list[tuple[Json, Json]] = []
    for kind, argument in parts:
        found += _flat(argument[3]) if kind is op.SUBPATTERN else [(kind, argument)]
    return found


def _letters(parts: Parts) -> frozenset[int] | None:
    """The letters that a part of one letter matches; None for what is longer, or not known."""
    flat = _flat(parts)
    if len(flat) != 1:
        return None
    kind, argument = flat[0]
    if kind is op.LITERAL:
        return frozenset((_code(argument),))
    if kind is op.NOT_LITERAL:
        return _ALL - {_code(argument)}
    if kind is op.ANY:
        return _ALL - {ord("\n")}
    return _class(argument) if kind is op.IN else None


def _class(items: Json) -> frozenset[int]:
    """The letters of `[…]`."""
    found: frozenset[int] = frozenset()
    for kind, argument in items:
        if kind is op.LITERAL:
            found |= {_code(argument)}
        elif kind is op.RANGE:
            low, high = argument
            found |= {code for code in _ASCII if low <= code <= high} | ({_BEYOND} if high > 127 else set())
        elif kind is op.CATEGORY:
            found |= _CLASSES.get(argument) or _ALL - (_CLASSES[_OTHERS[argument]] - {_BEYOND})
    return _ALL - found if items and items[0][0] is op.NEGATE else found


def _code(code: int) -> int:
    return code if code < 128 else _BEYOND
