"""The filters and tests of the language, with their meaning in Jinja; lists where Jinja gives generators.

Each takes the budget of the evaluation first, then the value, then its arguments.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence

from agentctl.expressions.values import (
    MAX_OUTPUT,
    MISSING,
    Budget,
    Output,
    Refused,
    add,
    bounded,
    item,
    items,
    json_text,
    measured,
    number,
    plain,
    present,
    text,
)
from agentctl.expressions.words import a_kind
from agentctl.json import Json, canonical

Filter = Callable[..., Json]
_MAX_PRECISION = 300


def absolute(_: Budget, value: Json) -> Json:
    return number(abs(value))


def default(_: Budget, value: Json, default_value: Json = "", boolean: Json = False) -> Json:
    return default_value if value is MISSING or (boolean and not value) else value


def first(_: Budget, value: Json) -> Json:
    if value is MISSING or not _sized(value):
        return MISSING
    return next(iter(value))


def last(_: Budget, value: Json) -> Json:
    if value is MISSING or not _sized(value):
        return MISSING
    return next(iter(reversed(value)))


def whole(_: Budget, value: Json, default: Json = 0, base: int = 10) -> Json:
    try:
        return number(int(value, base) if isinstance(value, str) else int(value))
    except (TypeError, ValueError):
        try:
            return number(int(float(value)))
        except (TypeError, ValueError, OverflowError):
            return default


def real(_: Budget, value: Json, default: Json = 0.0) -> Json:
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return result if math.isfinite(result) else default


def join(budget: Budget, value: Json, d: Json = "", attribute: Json = None) -> str:
    out = Output()
    between = text(d)
    for position, part in enumerate(_attributes(budget, value, attribute)):
        if position and between:
            out.write(between)
        out.write(text(part))
    return _paid(budget, out.text())


def length(_: Budget, value: Json) -> int:
    return len(_sized(value))


def lower(budget: Budget, value: Json) -> str:
    return _paid(budget, text(value).lower())


def upper(budget: Budget, value: Json) -> str:
    return _paid(budget, text(value).upper())


def mapped(budget: Budget, value: Json, *args: Json, **named: Json) -> list[Json]:
    """`map(attribute='a.b', default=…)` or `map('filter', …)`."""
    parts = items(budget, value)
    if not args:
        fallback = named.get("default")
        steps = _steps(named["attribute"])
        found = (_look_up(part, steps) for part in parts)
        if "default" in named:
            return [fallback if part is MISSING else part for part in found]
        return [_there(part, named["attribute"]) for part in found]
    apply = FILTERS[args[0]]
    return [present(apply(budget, part, *args[1:], **named)) for part in parts]


def greatest(budget: Budget, value: Json, case_sensitive: Json = False, attribute: Json = None) -> Json:
    return _extreme(max, budget, value, case_sensitive, attribute)


def least(budget: Budget, value: Json, case_sensitive: Json = False, attribute: Json = None) -> Json:
    return _extreme(min, budget, value, case_sensitive, attribute)


def select(budget: Budget, value: Json, *args: Json) -> list[Json]:
    return [part for part in items(budget, value) if _passes(budget, part, args)]


def reject(budget: Budget, value: Json, *args: Json) -> list[Json]:
    return [part for part in items(budget, value) if not _passes(budget, part, args)]


def selectattr(budget: Budget, value: Json, attribute: Json, *args: Json) -> list[Json]:
    return [part for part in items(budget, value) if _attribute_passes(budget, part, attribute, args)]


def rejectattr(budget: Budget, value: Json, attribute: Json, *args: Json) -> list[Json]:
    return [part for part in items(budget, value) if not _attribute_passes(budget, part, attribute, args)]


def replace(budget: Budget, value: Json, old: Json, new: Json, count: int | None = None) -> str:
    source, before, after = text(value), text(old), text(new)
    times = source.count(before) if count is None or count < 0 else min(count, source.count(before))
    if len(source) + times * (len(after) - len(before)) > MAX_OUTPUT:
        raise Refused("the text is longer than 1 MB")
    return _paid(budget, source.replace(before, after, -1 if count is None else count))


def rounded(_: Budget, value: Json, precision: int = 0, method: str = "common") -> Json:
    if method not in ("common", "ceil", "floor"):
        raise Refused(f"`round` knows `common`, `ceil` and `floor`, not {text(method)!r}")
    if abs(precision) > _MAX_PRECISION:
        raise Refused(f"`round` to {precision} digits; {_MAX_PRECISION} are allowed")
    if method == "common":
        return number(round(value, precision))
    toward = math.ceil if method == "ceil" else math.floor
    return number(toward(value * 10**precision) / 10**precision)


def sha256(budget: Budget, value: Json) -> str:
    """Of a text, or of the canonical JSON of anything else; 64 hex digits."""
    data = value.encode() if isinstance(value, str) else canonical(plain(bounded(value)))
    budget.spend(len(data) >> 10)
    return hashlib.sha256(data).hexdigest()


def ordered(
    budget: Budget, value: Json, reverse: Json = False, case_sensitive: Json = False, attribute: Json = None
) -> list[Json]:
    ways = (
        [_steps(part) for part in attribute.split(",")] if isinstance(attribute, str) else [_steps(attribute)]
    )

    def key(part: Json) -> list[Json]:
        return [_folded(_there(_look_up(part, way), attribute), case_sensitive) for way in ways]

    return sorted(items(budget, value), key=key, reverse=bool(reverse))


def string(budget: Budget, value: Json) -> str:
    return _paid(budget, text(value))


def total(budget: Budget, value: Json, attribute: Json = None, start: Json = 0) -> Json:
    parts = _attributes(budget, value, attribute)
    if isinstance(start, int | float):
        return number(sum(parts, start))
    result = start
    for part in parts:
        result = budget.charged(add(result, part))
    return result


def tojson(budget: Budget, value: Json, indent: int | None = None) -> str:
    """Plain UTF-8 JSON; nothing is escaped for HTML."""
    compact = json_text(value)
    if not indent:
        return _paid(budget, compact)
    if not 0 <= indent <= 16:
        raise Refused(f"`tojson` with an indent of {indent}; 16 is the most")
    return _paid(budget, json.dumps(plain(value), ensure_ascii=False, indent=indent))


def trim(budget: Budget, value: Json, chars: str | None = None) -> str:
    return _paid(budget, text(value).strip(chars))


def truncate(
    budget: Budget, value: Json, length: int = 255, killwords: Json = False, end: str = "...", leeway: int = 5
) -> str:
    whole_text = text(value)
    if length < len(end) or leeway < 0:
        raise Refused(f"`truncate` to {length} characters, less than its ending {end!r}")
    if len(whole_text) <= length + leeway:
        return whole_text
    kept = whole_text[: length - len(end)]
    return _paid(budget, (kept if killwords else kept.rsplit(" ", 1)[0]) + end)


def unique(budget: Budget, value: Json, case_sensitive: Json = False, attribute: Json = None) -> list[Json]:
    steps = _steps(attribute)
    seen: set[Json] = set()
    result = []
    for part in items(budget, value):
        key = _folded(_there(_look_up(part, steps), attribute), case_sensitive)
        if isinstance(key, Mapping | Sequence) and not isinstance(key, str):
            key = canonical(plain(key))
        if key not in seen:
            seen.add(key)
            result.append(part)
    return result


def is_in(value: Json, container: Json) -> bool:
    return value in container


def _is_sequence(value: Json) -> bool:
    return isinstance(value, str | Sequence | Mapping)


FILTERS: Mapping[str, Filter] = {
    "abs": absolute,
    "default": default,
    "first": first,
    "int": whole,
    "float": real,
    "join": join,
    "last": last,
    "length": length,
    "lower": lower,
    "map": mapped,
    "max": greatest,
    "min": least,
    "reject": reject,
    "rejectattr": rejectattr,
    "replace": replace,
    "round": rounded,
    "select": select,
    "selectattr": selectattr,
    "sha256": sha256,
    "sort": ordered,
    "string": string,
    "sum": total,
    "tojson": tojson,
    "trim": trim,
    "truncate": truncate,
    "unique": unique,
    "upper": upper,
}

TESTS: Mapping[str, Callable[..., bool]] = {
    "defined": lambda value: value is not MISSING,
    "undefined": lambda value: value is MISSING,
    "none": lambda value: value is None,
    "in": is_in,
    "true": lambda value: value is True,
    "false": lambda value: value is False,
    "boolean": lambda value: isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, int | float),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, float),
    "mapping": lambda value: isinstance(value, Mapping),
    "sequence": _is_sequence,
    "iterable": _is_sequence,
}
"""As in Jinja: a boolean is a number there, and a text or a mapping a sequence."""


def _passes(budget: Budget, value: Json, args: tuple[Json, ...]) -> bool:
    if not args:
        return bool(value)
    for argument in args[1:]:
        budget.spend(len(argument) if isinstance(argument, list | dict) else 0)
    return TESTS[args[0]](value, *args[1:])


def _attribute_passes(budget: Budget, value: Json, attribute: Json, args: tuple[Json, ...]) -> bool:
    found = _look_up(value, _steps(attribute))
    if not args or args[0] not in ("defined", "undefined"):
        found = _there(found, attribute)
    return _passes(budget, found, args)


def _extreme(
    choose: Callable[..., Json], budget: Budget, value: Json, case_sensitive: Json, attribute: Json
) -> Json:
    if value is MISSING:
        return MISSING
    steps = _steps(attribute)

    def key(part: Json) -> Json:
        return _folded(_there(_look_up(part, steps), attribute), case_sensitive)

    return choose(items(budget, value), key=key, default=MISSING)


def _attributes(budget: Budget, value: Json, attribute: Json) -> list[Json]:
    parts = items(budget, value)
    if attribute is None:
        return parts
    steps = _steps(attribute)
    return [_there(_look_up(part, steps), attribute) for part in parts]


def _steps(attribute: Json) -> list[str | int]:
    """`a.b.0` in steps."""
    if attribute is None:
        return []
    if isinstance(attribute, str):
        return [int(step) if step.isdecimal() else step for step in attribute.split(".")]
    return [attribute]


def _look_up(value: Json, steps: list[str | int]) -> Json:
    for step in steps:
        value = item(value, step)
    return value


def _there(value: Json, attribute: Json) -> Json:
    if value is MISSING:
        raise Refused(f"an item has no `{text(attribute)}`")
    return value


def _folded(value: Json, case_sensitive: Json) -> Json:
    return value.lower() if isinstance(value, str) and not case_sensitive else value


def _sized(value: Json) -> Json:
    if isinstance(value, str | Mapping | Sequence):
        return value
    raise Refused(f"{a_kind(value)} has no length and no items")


def _paid(budget: Budget, result: str) -> str:
    """A text a filter made, measured and paid for by its size."""
    budget.spend(len(result) >> 10)
    return measured(result)
