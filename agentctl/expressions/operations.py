"""Which types can be compared and reckoned with, and what that gives."""

from __future__ import annotations

from agentctl.expressions.types import (
    ANYTHING,
    ARRAY,
    INTEGER,
    NUMBER,
    STRING,
    array_of,
    coarse,
    described,
    item_of,
    surely,
    surely_not,
    union,
)
from agentctl.json import Json

Said = tuple[str, str | None]
_NUMBERS = ("number", "boolean")
_SIGNS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "//": "divide", "**": "raise"}


def comparison_problem(sign: str, left: Json, right: Json) -> Said | None:
    """Why a comparison cannot be meant: its sides are never alike."""
    if sign in ("in", "not in"):
        return _membership_problem(left, right)
    a, b = coarse(left), coarse(right)
    if not a or not b:
        return None
    if sign in ("==", "!="):
        return None if a & b else _unlike(sign, left, right)
    if _orderable(a) & _orderable(b):
        return None
    return _unlike(sign, left, right)


def arithmetic(sign: str, left: Json, right: Json) -> tuple[Json, Said | None]:
    """The type of `left sign right`, and why it cannot be worked out, where that is sure."""
    allowed = {"+": (*_NUMBERS, "string", "array"), "*": (*_NUMBERS, "string", "array")}.get(sign, _NUMBERS)
    for side in (left, right):
        if surely_not(side, *allowed):
            hint = "`~` joins any two values as text" if sign == "+" else None
            return ANYTHING, (f"`{sign}` cannot {_SIGNS[sign]} {described(side)}", hint)
    if sign == "+" and _never_added(left, right):
        message = f"`+` cannot add {described(left)} and {described(right)}"
        return ANYTHING, (message, "`~` joins any two values as text")
    return _result(sign, left, right), None


def _result(sign: str, left: Json, right: Json) -> Json:
    if surely(left, "number", "integer", "boolean") and surely(right, "number", "integer", "boolean"):
        whole = surely(left, "integer", "boolean") and surely(right, "integer", "boolean")
        return INTEGER if whole and sign not in ("/", "**") else NUMBER
    if sign not in ("+", "*"):
        return NUMBER
    if sign == "+" and surely(left, "array") and surely(right, "array"):
        return array_of(union(item_of(side) for side in (left, right) if side.get("maxItems") != 0))
    if sign == "+":
        return STRING if surely(left, "string") or surely(right, "string") else ANYTHING
    for side in (left, right):
        if surely(side, "string"):
            return STRING
        if surely(side, "array"):
            return ARRAY
    return ANYTHING


def _never_added(left: Json, right: Json) -> bool:
    a, b = coarse(left), coarse(right)
    if a is None or b is None:
        return False
    return not _families(a) & _families(b)


def _families(kinds: frozenset[str]) -> frozenset[str]:
    """Booleans count as numbers, as in Python."""
    return frozenset("number" if kind == "boolean" else kind for kind in kinds) - {"null", "object"}


def _orderable(kinds: frozenset[str]) -> frozenset[str]:
    return kinds & {"number", "string", "array"}


def _membership_problem(left: Json, right: Json) -> Said | None:
    if surely_not(right, "array", "string", "object"):
        return f"`in` looks into an array, a string or an object, and this is {described(right)}", None
    if surely(right, "string", "object") and surely_not(left, "string"):
        return f"`in` looks for a string in {described(right)}, and this is {described(left)}", None
    if surely(right, "array") and right.get("maxItems") != 0:
        a, b = coarse(left), coarse(item_of(right))
        if a and b and not a & b:
            return f"`in` looks for {described(left)}, and each item is {described(item_of(right))}", None
    return None


def _unlike(sign: str, left: Json, right: Json) -> Said:
    hint = None
    if surely(left, "null") or surely(right, "null"):
        hint = "to ask whether it is there, write `is defined`"
    else:
        for one, other in ((left, right), (right, left)):
            if surely(one, "number", "integer") and _is_number_in_quotes(other):
                hint = "leave out the quotes"
    return f"`{sign}` compares {described(left)} with {described(right)}", hint


def _is_number_in_quotes(type: Json) -> bool:
    value = type.get("const")
    return isinstance(value, str) and value.strip("-").replace(".", "", 1).isdecimal()
