"""The kinds of JSON in words, for messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from agentctl.json import Json

_PYTHON = {
    "str": "a string",
    "int": "a number",
    "float": "a number",
    "bool": "a boolean",
    "NoneType": "null",
    "list": "an array",
    "dict": "an object",
    "Missing": "nothing",
}
_CLASS = re.compile(r"\b(" + "|".join(_PYTHON) + r")\b")


def a_kind(value: Json) -> str:
    """`a string`, `an array` …"""
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, Sequence):
        return "an array"
    return _PYTHON.get(type(value).__name__, "something that is no data")


def list_of(words: Iterable[str], most: int = 6) -> str:
    """`a`, `b` and 3 more."""
    quoted = [f"`{word}`" for word in words]
    if len(quoted) > most:
        return ", ".join(quoted[: most - 1]) + f" and {len(quoted) - most + 1} more"
    return ", ".join(quoted)


def in_our_words(message: str) -> str:
    """Python's message about operands, with the kinds of JSON for Python's classes."""
    if match := re.fullmatch(r"'(\S+)' not supported between instances of '(\w+)' and '(\w+)'", message):
        return f"`{match[1]}` cannot compare {_named(match[2])} and {_named(match[3])}"
    if match := re.fullmatch(r"unsupported operand type\(s\) for (.+?): '(\w+)' and '(\w+)'", message):
        sign = match[1].split(" or ")[0]
        return f"`{sign}` needs two numbers, not {_named(match[2])} and {_named(match[3])}"
    return _CLASS.sub(lambda match: _named(match[1]), message.replace("'", "`"))


def _named(python: str) -> str:
    return _PYTHON.get(python, python)
