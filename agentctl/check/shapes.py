"""Types as JSON Schema: whether what is written fits what is wanted, the values of a closed type, and names for both."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import islice

from msgspec import Struct

from agentctl.json import Json, encode, type_name

_NONE = object()
_LIKE_ANOTHER = re.compile(r"-?\d+(\.\d+)?|true|false|null|")
_MANY_VALUES = 32
_NAMES = ("string", "number", "integer", "boolean", "array", "object", "null")


class _Same:
    """A schema as a key: equal to itself only."""

    __slots__ = ("schema",)

    def __init__(self, schema: Json) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.schema is self.schema


def alternatives(schema: Json) -> tuple[Json, ...]:
    """The schemas of which one holds, each with at most one type name; ({},) when anything goes."""
    if not isinstance(schema, dict):
        return ({},)
    for key in ("anyOf", "oneOf"):
        if isinstance(schema.get(key), list):
            return tuple(one for part in schema[key] for one in alternatives(part))
    if isinstance(schema.get("type"), list):
        return tuple({**schema, "type": name} for name in schema["type"])
    return (schema,)


def closed_values(schema: Json) -> tuple[Json, ...] | None:
    """All the values a closed type has (an enum, a const, a boolean, null); None when they cannot be listed."""
    found = _closed(schema)
    return None if found is None else tuple(found.values())


def _closed(schema: Json) -> Mapping[bytes, Json] | None:
    """The values of a closed type by their JSON. Those of long enums are kept: a file may compare them thousands of times."""
    values = schema.get("enum") if isinstance(schema, dict) else None
    is_long = isinstance(values, list) and len(values) > _MANY_VALUES
    return _closed_once(_Same(schema)) if is_long else _closed_values(schema)


@lru_cache(maxsize=64)
def _closed_once(same: _Same) -> Mapping[bytes, Json] | None:
    return _closed_values(same.schema)


def _closed_values(schema: Json) -> Mapping[bytes, Json] | None:
    found: list[Json] = []
    for one in alternatives(schema):
        if isinstance(one.get("enum"), list):
            found += one["enum"]
        elif "const" in one:
            found.append(one["const"])
        elif one.get("type") == "boolean":
            found += [True, False]
        elif one.get("type") == "null":
            found.append(None)
        else:
            return None
    return {encode(value): value for value in found}


def type_names(schema: Json) -> frozenset[str] | None:
    """The type names a value of the schema may have; None when anything goes."""
    names: set[str] = set()
    for one in alternatives(schema):
        name = _type_name(one)
        if name is None and (values := _closed(one)) is not None:
            names.update(map(type_name, values.values()))
        elif name is None:
            return None
        else:
            names.add(name)
    return frozenset(names)


class Misfit(Struct, frozen=True):
    """Why a value does not fit: at `where` (`[]` an item, `.x` a key), `have` is given and `want` is wanted."""

    where: str
    have: str
    want: str


def misfit(written: Json, wanted: Json) -> Misfit | None:
    """Why some value of one type does not fit another; None when all do, or that is not known."""
    for one in alternatives(written):
        reasons = [_misfit_of_one(one, other) for other in alternatives(wanted)]
        if all(reasons):
            return reasons[0] if len(reasons) == 1 else Misfit("", described(one), described(wanted))
    return None


def described(schema: Json) -> str:
    """A type in the words of the file: `string`, `array`, one of `a`, `b`."""
    values = _closed(schema)
    names = type_names(schema)
    if values and values.keys() != {b"true", b"false"}:
        shown = ", ".join(f"`{_shown(value)}`" for value in islice(values.values(), 6))
        more = ", …" if len(values) > 6 else ""
        return f"{shown}{more}" if len(values) == 1 else f"one of {shown}{more}"
    if not names:
        return "anything"
    return " or ".join(f"`{name}`" for name in _NAMES if name in names)


def _shown(value: Json) -> str:
    """A value as it is told of: a text that reads as a number or a truth stands in quotes."""
    is_like_another = isinstance(value, str) and _LIKE_ANOTHER.fullmatch(value) is not None
    return f'"{value}"' if is_like_another else value_text(value)


def value_text(value: Json) -> str:
    """A value as it stands in a file: text bare, the rest as JSON."""
    return value if isinstance(value, str) else encode(value).decode()


def picked(schema: Json, key: str) -> Json | None:
    """The type of a key of an object; None when the object surely has no such key, {} when that is not known."""
    known = [*_properties(schema, key)]
    if not known:
        return {}
    there = [one for one in known if one is not None]
    if not there:
        return None
    return there[0] if len(there) == 1 else {"anyOf": there}


def keys_of(schema: Json) -> tuple[str, ...]:
    """The keys that an object's type lists."""
    return tuple(key for one in alternatives(schema) for key in one.get("properties", ()))


def _properties(schema: Json, key: str) -> Iterator[Json | None]:
    """For each alternative that is known: the key's type, or None where it cannot be."""
    for one in alternatives(schema):
        properties = one.get("properties")
        if isinstance(properties, dict) and key in properties:
            yield properties[key]
        elif one.get("additionalProperties") is False or type_names(one) not in (
            None,
            frozenset(("object",)),
        ):
            yield None
        else:
            yield {}


def _type_name(one: Json) -> str | None:
    name = one.get("type")
    return name if isinstance(name, str) and "enum" not in one and "const" not in one else None


def _misfit_of_one(written: Json, wanted: Json) -> Misfit | None:
    allowed, values = _closed(wanted), _closed(written)
    if values is not None and allowed is not None:
        return _stray(values, allowed, described(wanted))
    have, want = type_names(written), type_names(wanted)
    if have is None or want is None:
        return None
    if allowed is not None or not all(_is_a(name, want) for name in have):
        return Misfit("", described(written), described(wanted))
    return None if values is not None else _misfit_inside(written, wanted)


def _stray(values: Mapping[bytes, Json], allowed: Mapping[bytes, Json], want: str) -> Misfit | None:
    stray = next((value for text, value in values.items() if text not in allowed), _NONE)
    return None if stray is _NONE else Misfit("", f"`{_shown(stray)}`", want)


def _is_a(name: str, want: frozenset[str]) -> bool:
    return name in want or (name == "integer" and "number" in want)


def _misfit_inside(written: Json, wanted: Json) -> Misfit | None:
    if "items" in written and "items" in wanted and written.get("maxItems") != 0:
        inner = misfit(written["items"], wanted["items"])
        if inner is not None:
            return Misfit(f"[]{inner.where}", inner.have, inner.want)
    if isinstance(wanted.get("properties"), dict) and isinstance(written.get("properties"), dict):
        return _misfit_of_keys(written, wanted)
    return None


def _misfit_of_keys(written: Json, wanted: Json) -> Misfit | None:
    given, needed = written["properties"], wanted["properties"]
    for key, part in needed.items():
        inner = misfit(given[key], part) if key in given else None
        if inner is not None:
            return Misfit(f".{key}{inner.where}", inner.have, inner.want)
        is_absent = key not in given and written.get("additionalProperties") is False
        if is_absent and key in wanted.get("required", ()):
            return Misfit("", f"an object without `{key}`", f"an object with `{key}`")
    extra = next((key for key in given if key not in needed), None)
    if extra is not None and wanted.get("additionalProperties") is False:
        return Misfit("", f"an object with `{extra}`", "an object without it")
    return None
