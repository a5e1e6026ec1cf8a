"""Where a value that stands in a file does not fit a type: at the very key or item."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from agentctl.check.shapes import alternatives, closed_values, described, value_text
from agentctl.check.slips import excused
from agentctl.json import Json, encode, type_name
from agentctl.spec.fault import told
from agentctl.spec.finding import Keys
from agentctl.spec.nearest import nearest
from agentctl.spec.wording import listed

_READ = frozenset(
    (
        *("type", "enum", "const", "properties", "required", "additionalProperties", "items"),
        *("anyOf", "oneOf", "default", "title", "description", "examples", "x-agentctl"),
    )
)
"""Keywords that are looked at here; a value is held against any others by the validator."""


class Unfit(Struct, frozen=True):
    """One place where a value does not fit."""

    keys: Keys
    message: str
    hint: str | None = None
    at_key: bool = False


def unfit(value: Json, schema: Json, keys: Keys) -> Iterator[Unfit]:
    """Where a value that stands at `keys` does not fit a schema."""
    found = [*_unfit(value, schema, keys, is_partial=False)]
    yield from found
    if not found and not _reads_all(schema):
        yield from _by_validator(value, schema, keys)


def unfit_expectation(value: Json, schema: Json, keys: Keys) -> Iterator[Unfit]:
    """As `unfit`, of a value that tells only what matters: keys may be left out, and matchers stand for values."""
    yield from _unfit(value, schema, keys, is_partial=True)


def _unfit(value: Json, schema: Json, keys: Keys, *, is_partial: bool) -> Iterator[Unfit]:
    if is_partial and (value is None or _is_matcher(value)):
        return  # what is not there reads as null
    reasons = [[*_unfit_one(value, one, keys, is_partial=is_partial)] for one in alternatives(schema)]
    if not all(reasons):
        return
    if len(reasons) == 1:
        yield from reasons[0]
        return
    deep = [reason for reason in reasons if any(unfit.keys != keys for unfit in reason)]
    if len(deep) == 1:  # the one alternative that is of the right kind
        yield from deep[0]
    else:
        yield Unfit(keys, f"{told(value)} is not {described(schema)}", _meant(value, closed_values(schema)))


def _unfit_one(value: Json, schema: Json, keys: Keys, *, is_partial: bool) -> Iterator[Unfit]:
    allowed = closed_values(schema)
    if allowed is not None:
        if not any(_same(value, one) for one in allowed):
            yield Unfit(keys, f"{told(value)} is not {described(schema)}", _meant(value, allowed))
    elif not _is_of(value, schema.get("type")):
        yield Unfit(keys, f"{told(value)} is `{type_name(value)}`, not {described(schema)}")
    elif isinstance(value, dict):
        yield from _unfit_keys(value, schema, keys, is_partial=is_partial)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, item in enumerate(value):
            yield from _unfit(item, schema["items"], (*keys, index), is_partial=is_partial)


def _unfit_keys(value: Mapping[str, Json], schema: Json, keys: Keys, *, is_partial: bool) -> Iterator[Unfit]:
    known = schema.get("properties")
    known = known if isinstance(known, dict) else {}
    strange = []
    for key, part in value.items():
        if key in known:
            yield from _unfit(part, known[key], (*keys, key), is_partial=is_partial)
        elif schema.get("additionalProperties") is False and "patternProperties" not in schema:
            near = nearest(key, known)
            strange.append(key)
            hint = f"did you mean `{near}`?" if near else _keys_there(known)
            yield Unfit((*keys, key), f"there is no key {told(key)}", hint, at_key=True)
    required = () if is_partial else schema.get("required", ())
    needed = [key for key in required if key not in value]
    meant = excused(strange, known, needed)
    for key in needed:
        if key not in meant:
            wanted = described(known.get(key, {}))
            hint = f"add `{key}:`" if wanted == "anything" else f"add `{key}:`, which is {wanted}"
            yield Unfit(keys, f"{told(value)} lacks `{key}`", hint)


def _by_validator(value: Json, schema: Json, keys: Keys) -> Iterator[Unfit]:
    # 40 ms, for types with bounds, patterns and formats
    from agentctl.spec.fits import UnusableSchema, problems

    try:
        told = problems(schema)(value)
    except UnusableSchema:
        return
    for sentence in told[:1]:
        yield Unfit(keys, sentence)


def _reads_all(schema: Json) -> bool:
    """Whether nothing in a schema is left to the validator."""
    if isinstance(schema, list):
        return all(map(_reads_all, schema))
    if not isinstance(schema, dict):
        return True
    parts = [schema.get(key) for key in ("items", "additionalProperties", "anyOf", "oneOf")]
    properties = schema.get("properties")
    parts += properties.values() if isinstance(properties, dict) else ()
    return _READ.issuperset(schema) and all(map(_reads_all, parts))


def _is_matcher(value: Json) -> bool:
    return isinstance(value, dict) and any(key.startswith("$") for key in value)


def _is_of(value: Json, wanted: Json) -> bool:
    if not isinstance(wanted, str):
        return True
    if wanted == "integer" and isinstance(value, float):
        return value.is_integer()
    name = type_name(value)
    return name == wanted or (name == "integer" and wanted == "number")


def _same(left: Json, right: Json) -> bool:
    """Equal as JSON: 1 is 1.0, and true is no 1."""
    return encode(left) == encode(right) or (
        left == right and type_name(left) != "boolean" != type_name(right)
    )


def _meant(value: Json, allowed: tuple[Json, ...] | None) -> str | None:
    words = [value_text(one) for one in allowed or () if isinstance(one, str)]
    near = nearest(value, words) if isinstance(value, str) else None
    return f"did you mean `{near}`?" if near else None


def _keys_there(known: Mapping[str, Json]) -> str | None:
    return f"its keys are {listed([f'`{name}`' for name in known])}" if 0 < len(known) <= 12 else None
