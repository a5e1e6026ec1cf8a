"""What the language has at a place of a file: the mapping or the key that it is, and examples of its value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from agentctl.json import Json
from agentctl.spec.finding import Keys
from agentctl.spec.schema import graph_schema


class Spot(NamedTuple):
    """A place: `Model` for an entry of `models`, `Node.then` for the key of a node, `File.routers.*` for an entry."""

    place: str
    owner: str
    """The mapping whose keys stand here, or that it stands in."""
    examples: list[Json]


def spot(keys: Keys) -> Spot:
    """What stands at some keys; as far down as the language knows."""
    schema, place, owner = graph_schema(), "File", "File"
    examples: list[Json] = []
    for key in keys:
        schema, place, examples = _below(schema, key, place, owner, examples)
        name = _mapping_of(schema)
        if name is not None:
            owner = name
            place = place if _is_union(schema) else name
            schema = {**schema, **_def(name)} if _is_union(schema) else _def(name)
    return Spot(place, owner, examples)


def _below(
    schema: Json, key: str | int, place: str, owner: str, examples: list[Json]
) -> tuple[Json, str, list[Json]]:
    if isinstance(key, int):
        inner = [item for example in examples if isinstance(example, list) for item in example]
        return _part(schema, "items"), f"{place}[]", inner
    if key in schema.get("properties", {}):
        found = schema["properties"][key]
        return found, f"{owner}.{key}", list(found.get("examples", ()))
    inner = [part for example in examples if isinstance(example, dict) for part in example.values()]
    return _part(schema, "additionalProperties"), f"{place}.*", inner


def _part(schema: Json, key: str) -> Json:
    part = schema.get(key, {})
    return part if isinstance(part, dict) else {}


def _mapping_of(schema: Json) -> str | None:
    """The mapping of the language that a value here is, or may be."""
    return next((name for name in _references(schema) if "properties" in _def(name)), None)


def _references(schema: Json) -> Iterator[str]:
    if "$ref" in schema:
        yield str(schema["$ref"]).rpartition("/")[2]
    for part in (*schema.get("allOf", ()), schema.get("then")):
        if isinstance(part, dict):
            yield from _references(part)


def _is_union(schema: Json) -> bool:
    return isinstance(schema.get("type"), list)


def _def(name: str) -> Json:
    return graph_schema()["$defs"].get(name, {})
