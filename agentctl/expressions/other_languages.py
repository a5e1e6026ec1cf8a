"""Operators and calls as other languages write them, and what they are here."""

from __future__ import annotations

from agentctl.expressions.problem import Mend, Problem

_OPERATORS = {
    "===": "==",
    "!==": "!=",
    "<>": "!=",
    "&&": "and",
    "||": "or",
    "=": "==",
    "!": "not",
}
"""The longer ones first."""
_SIGNS = ("=", "!", "<", ">", "&", "|")
_CALLS = {
    **dict.fromkeys(("len", "size", "count", "length"), "length"),
    **dict.fromkeys(("str", "toString"), "string"),
    **dict.fromkeys(("json", "dumps", "stringify"), "tojson"),
    **dict.fromkeys(("strip",), "trim"),
    **dict.fromkeys(("sorted",), "sort"),
    **dict.fromkeys(("toLowerCase",), "lower"),
    **dict.fromkeys(("toUpperCase",), "upper"),
}
"""Functions and methods of other languages, and the filters that do the same."""


def in_our_operators(problem: Problem, text: str) -> Problem:
    """A problem at an operator of another language, told as such, with the one that is meant."""
    for theirs, ours in _OPERATORS.items():
        for begin in range(max(0, problem.offset - len(theirs) + 1), problem.offset + 1):
            if text.startswith(theirs, begin) and _stands_alone(text, begin, begin + len(theirs)):
                message, hint = f"`{theirs}` is no operator here", f"write `{ours}`"
                # `!` binds closer than `not`, so what is meant is not certain
                mend = None if ours == "not" else Mend(begin, len(theirs), ours)
                return Problem(problem.code, message, hint, begin, len(theirs), mend)
    return problem


def _stands_alone(text: str, begin: int, end: int) -> bool:
    return text[max(0, begin - 1) : begin] not in _SIGNS and text[end : end + 1] not in _SIGNS


def as_filter(name: str, filters: tuple[str, ...]) -> str | None:
    """The filter that does what a function or a method of another language does."""
    return name if name in filters else _CALLS.get(name)
