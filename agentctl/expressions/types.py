"""Types as JSON Schema: what a look-up gives, what two types have in common, and a name for each in messages.

A schema may be wider than what is known of a value, never narrower; {} is anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from agentctl.json import Json, encode, type_name

ANYTHING: Json = {}
STRING: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
INTEGER: Json = {"type": "integer"}
BOOLEAN: Json = {"type": "boolean"}
ARRAY: Json = {"type": "array"}

_MOST_ALTERNATIVES = 20
_ARTICLES = {
    "string": "a string",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def alternatives(schema: Json) -> Iterator[Mapping[str, Json]]:
    """The schemas one of which holds, none a union itself; {} for one that cannot be taken apart."""
    if not isinstance(schema, Mapping) or "$ref" in schema or "allOf" in schema:
        yield {}
        return
    for union in ("anyOf", "oneOf"):
        if isinstance(schema.get(union), list):
            for part in schema[union]:
                yield from alternatives(part)
            return
    if isinstance(schema.get("type"), list):
        yield from ({**schema, "type": name} for name in schema["type"])
        return
    yield schema


def kinds(schema: Json) -> frozenset[str] | None:
    """The JSON Schema type names that a value may have; None when anything goes."""
    found: set[str] = set()
    for one in alternatives(schema):
        values = _listed(one)
        if values is not None:
            found.update(type_name(value) for value in values)
        elif isinstance(one.get("type"), str):
            found.add(one["type"])
        else:
            return None
    return frozenset(found)


def coarse(schema: Json) -> frozenset[str] | None:
    """As `kinds`, with whole numbers among the numbers."""
    found = kinds(schema)
    return None if found is None else frozenset("number" if kind == "integer" else kind for kind in found)


def surely_not(schema: Json, *wanted: str) -> bool:
    """Whether no value of the schema is of one of the (coarse) kinds."""
    found = coarse(schema)
    return found is not None and bool(found) and found.isdisjoint(wanted)


def surely(schema: Json, *wanted: str) -> bool:
    """Whether every value of the schema is of one of the kinds."""
    found = kinds(schema)
    return found is not None and bool(found) and found <= set(wanted)


def union(schemas: Iterable[Json]) -> Json:
    """The schema of a value that is of one of these; {} for none at all."""
    found: list[Mapping[str, Json]] = []
    for schema in schemas:
        for one in alternatives(schema):
            if not one:
                return ANYTHING
            if one not in found:
                found.append(one)
    if not found or len(found) > _MOST_ALTERNATIVES:
        return _by_kind(found)
    listed = [_listed(one) for one in found]
    if len(found) == 1 and len(listed[0] or ()) != 1:
        return found[0]  # itself, so that what is known of a long enum need not be found out again
    if all(values is not None for values in listed):
        values = {encode(value): value for part in listed for value in part or ()}
        return {"const": next(iter(values.values()))} if len(values) == 1 else {"enum": [*values.values()]}
    return {"anyOf": found}


def field_of(schema: Json, key: str | int) -> Json | None:
    """The type of `x.key`; None when it surely has none, {} when that is not known."""
    found = [_field_of_one(one, key) for one in alternatives(schema)]
    there = [part for part in found if part is not None]
    return union(there) if there else None


def item_of(schema: Json) -> Json:
    """The type of what a `for` over it goes through."""
    return union(_item_of_one(one) for one in alternatives(schema))


def any_field_of(schema: Json) -> Json:
    """The type of `x[…]` with a key that is worked out."""
    found = []
    for one in alternatives(schema):
        if surely(one, "object"):
            more = one.get("additionalProperties", ANYTHING)
            found += [*one.get("properties", {}).values(), *([more] if more is not False else [])]
        else:
            found.append(_item_of_one(one))
    return union(ANYTHING if part is True else part for part in found)


def fields_of(schema: Json) -> tuple[str, ...]:
    """The fields an object's type lists."""
    return tuple(dict.fromkeys(key for one in alternatives(schema) for key in one.get("properties", ())))


def array_of(items: Json) -> Json:
    return {"type": "array", "items": items} if items else ARRAY


def described(schema: Json) -> str:
    """`a string`, `a number or null`."""
    found = kinds(schema)
    if not found:
        return "anything"
    return " or ".join(_ARTICLES[kind] for kind in _ARTICLES if kind in found)


def _listed(one: Mapping[str, Json]) -> list[Json] | None:
    if "const" in one:
        return [one["const"]]
    values = one.get("enum")
    return values if isinstance(values, list) and values else None


def _by_kind(found: list[Mapping[str, Json]]) -> Json:
    names = kinds({"anyOf": found}) if found else None
    return ANYTHING if names is None else {"type": sorted(names)}


def _field_of_one(one: Mapping[str, Json], key: str | int) -> Json | None:
    if (values := _listed(one)) is not None and "properties" not in one:
        return (
            union(_field_of_value(values, key)) if any(True for _ in _field_of_value(values, key)) else None
        )
    if surely_not(one, "object", "array", "string"):
        return None
    if isinstance(key, int):
        return _item_of_one(one) if surely(one, "array", "string") else ANYTHING
    if surely(one, "array", "string"):
        return None
    properties = one.get("properties", {})
    if key in properties:
        return ANYTHING if properties[key] is True else properties[key]
    more = one.get("additionalProperties", ANYTHING)
    if one.get("patternProperties") or more is True:
        return ANYTHING
    return None if more is False else more


def _field_of_value(values: list[Json], key: str | int) -> Iterator[Json]:
    for value in values:
        if isinstance(value, Mapping) and key in value:
            yield {"const": value[key]}
        elif isinstance(value, str | list) and isinstance(key, int):
            yield STRING if isinstance(value, str) else ANYTHING


def _item_of_one(one: Mapping[str, Json]) -> Json:
    if surely(one, "string", "object"):
        return STRING
    if surely(one, "array") and "prefixItems" not in one and "items" in one:
        return ANYTHING if one["items"] is True else one["items"]
    return ANYTHING
