"""What compiled expressions do at run time: look up, print, add up; each within its bound."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from agentctl.expressions.words import a_kind
from agentctl.json import Json, encode

MAX_ITERATIONS = 100_000
MAX_OUTPUT = 1024 * 1024
"""Bytes in UTF-8, of the result and of each text on the way."""
_INT_MIN, _INT_MAX = -(2**63), 2**64 - 1


class Refused(Exception):
    """What an operation will not do, in words; the expression's place is added where it is known."""


class Missing:
    """The value of what is not there, for `is defined` and `default`."""


MISSING: Final = Missing()


class Budget:
    """The iterations that one evaluation has left."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_ITERATIONS

    def spend(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise Refused(f"more than {MAX_ITERATIONS:,} iterations")

    def charged(self, value: Json) -> Json:
        """`value`, paid for by its size: one iteration for each item, or each KB of text."""
        if isinstance(value, str):
            self.spend(len(value) >> 10)
        elif isinstance(value, list):
            self.spend(len(value))
        return value


class Output:
    """The text of a template as it grows."""

    __slots__ = ("parts", "size")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size = 0

    def write(self, part: str) -> None:
        self.size += len(part)
        if self.size > MAX_OUTPUT:
            raise _too_long()
        self.parts.append(part)

    def text(self) -> str:
        return measured("".join(self.parts))


def text(value: Json) -> str:
    """A string as it is, everything else as JSON: `true`, `null`, `12.5`, `{"a":[1]}`."""
    return value if isinstance(value, str) else json_text(value)


def json_text(value: Json) -> str:
    """Plain UTF-8 JSON, compact, keys in their order."""
    bounded(value)
    try:
        return measured(encode(value).decode())
    except TypeError:
        return measured(encode(plain(value)).decode())


def plain(value: Json) -> Json:
    """`value` with every mapping a dict and every sequence a list, so that JSON can say it."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, Sequence):
        return [plain(part) for part in value]
    raise Refused(f"{a_kind(value)} has no JSON")


def joined(parts: tuple[str, ...]) -> str:
    """The parts of a text in one."""
    if sum(map(len, parts)) > MAX_OUTPUT:
        raise _too_long()
    return measured("".join(parts))


def concat(*values: Json) -> str:
    out = Output()
    for value in values:
        out.write(text(value))
    return out.text()


def measured(result: str) -> str:
    """`result`, refused beyond the bound; counts bytes only where characters do not tell."""
    size = len(result)
    if size > MAX_OUTPUT or (
        size * 4 > MAX_OUTPUT and not result.isascii() and len(result.encode()) > MAX_OUTPUT
    ):
        raise _too_long()
    return result


def bounded(value: Json) -> Json:
    """`value`, refused when its JSON would be beyond the bound: one value may stand in it many times."""
    if value is None or isinstance(value, str | int | float):
        return value
    size = 0
    pending = [value]
    while pending:
        part = pending.pop()
        if isinstance(part, str):
            size += len(part) + 2
        elif isinstance(part, Mapping):
            size += sum(map(len, part)) + 4 * len(part)
            pending.extend(part.values())
        elif isinstance(part, Sequence):
            size += len(part) + 1
            pending.extend(part)
        else:
            size += 1
        if size > MAX_OUTPUT:
            raise _too_long()
    return value


def weight(value: Json) -> int:
    """How many values `value` consists of, counted up to what a budget can hold."""
    count = 0
    pending = [value]
    while pending and count <= MAX_ITERATIONS:
        part = pending.pop()
        if isinstance(part, Mapping):
            pending.extend(part.values())
            count += len(part)
        elif isinstance(part, Sequence) and not isinstance(part, str):
            pending.extend(part)
            count += len(part)
        elif isinstance(part, str):
            count += len(part) >> 10
    return count


def item(base: Json, key: Json) -> Json:
    """`base.key` or `base[key]`, MISSING where it is not there."""
    if base is MISSING:
        return MISSING
    try:
        return base[key]
    except LookupError:
        return MISSING
    except TypeError:
        if isinstance(base, Mapping | Sequence) or base is None:
            return MISSING
        raise


def name(names: Mapping[str, Json], word: str) -> Json:
    """A name of the scope, MISSING where there is none."""
    try:
        return names[word]
    except KeyError:
        return MISSING


def itself(value: Json) -> Json:
    return value


def present(value: Json) -> Json:
    """`value`, refused when an empty list had none to give."""
    if value is MISSING:
        raise Refused("there is none: the list is empty")
    return value


def items(budget: Budget, value: Json) -> list[Json]:
    """What a `for` or a filter goes through: items, characters, or the keys of a mapping."""
    if isinstance(value, list):
        budget.spend(len(value))
        return value
    if isinstance(value, str | Mapping | Sequence):
        budget.spend(len(value))
        return list(value)
    raise Refused(f"{a_kind(value)} has no items to go through")


def mapping(*pairs: tuple[Json, Json]) -> dict[str, Json]:
    """A mapping written out, whose keys are computed."""
    for key, _ in pairs:
        if not isinstance(key, str):
            raise Refused(f"the key of a mapping is a string, not {a_kind(key)}")
    return dict(pairs)


def add(left: Json, right: Json) -> Json:
    if isinstance(left, int | float):
        return number(left + right)
    if isinstance(left, str) and isinstance(right, str):
        return joined((left, right))
    if isinstance(left, list) and isinstance(right, list):
        return _short([*left, *right])
    raise Refused(f"`+` cannot add {a_kind(left)} and {a_kind(right)}; `~` joins any two values as text")


def sub(left: Json, right: Json) -> Json:
    return number(left - right)


def mul(left: Json, right: Json) -> Json:
    if isinstance(left, int | float) and isinstance(right, int | float):
        return number(left * right)
    if isinstance(right, str | list):
        left, right = right, left
    if not isinstance(left, str | list) or not isinstance(right, int):
        raise Refused(f"`*` cannot multiply {a_kind(left)} by {a_kind(right)}")
    if len(left) * right > (MAX_OUTPUT if isinstance(left, str) else MAX_ITERATIONS):
        raise _too_long() if isinstance(left, str) else Refused("the list is too long")
    return measured(left * right) if isinstance(left, str) else left * right


def div(left: Json, right: Json) -> Json:
    return number(left / right)


def floordiv(left: Json, right: Json) -> Json:
    return number(left // right)


def power(left: Json, right: Json) -> Json:
    """A power whose size is known before it is worked out: 64 bits hold no exponent over 64 but of -1, 0, 1."""
    if isinstance(left, int) and isinstance(right, int) and abs(left) > 1 and right > 64:
        raise Refused("the number is too large: whole numbers have at most 64 bits")
    return number(left**right)


def negative(value: Json) -> Json:
    return number(-value)


def positive(value: Json) -> Json:
    return number(+value)


def number(value: Json) -> Json:
    """A number that JSON can say."""
    if isinstance(value, int):
        if _INT_MIN <= value <= _INT_MAX:
            return value
        raise Refused("the number is too large: whole numbers have at most 64 bits")
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise Refused("the result is no finite number")


def compare(budget: Budget, left: Json, right: Json) -> None:
    """Pay for a comparison inside a loop."""
    for side in (left, right):
        if isinstance(side, str):
            budget.spend(len(side) >> 10)
        elif isinstance(side, list | dict):
            budget.spend(weight(side))


def contains(budget: Budget, left: Json, right: Json) -> bool:
    """`left in right` inside a loop."""
    compare(budget, left, right)
    return left in right


def equal(budget: Budget, left: Json, right: Json) -> bool:
    """`left == right` inside a loop."""
    compare(budget, left, right)
    return bool(left == right)


def _short(result: list[Json]) -> list[Json]:
    if len(result) > MAX_ITERATIONS:
        raise Refused(f"the list has more than {MAX_ITERATIONS:,} items")
    return result


def _too_long() -> Refused:
    return Refused("the text is longer than 1 MB")
