"""The schema of a server's tool as agentctl uses it: of one draft, closed, and pointing nowhere but into itself."""

from __future__ import annotations

from agentctl.json import Json

_OPEN = (
    "additionalProperties",
    "unevaluatedProperties",
    "patternProperties",
    "$ref",
    "allOf",
    "anyOf",
    "oneOf",
)
_MAPS = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_ONES = ("items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames")
_DROPPED = ("$schema", "$id", "id")
"""Nothing is fetched, so that names of drafts and addresses only mislead."""


def arguments_schema(schema: Json) -> Json:
    """The schema of a tool's arguments. Where the server does not say that others may be given, none may."""
    found = modern(schema)
    if not isinstance(found, dict):
        return {"type": "object"}
    found = {"type": "object", **found}
    if "properties" in found and not any(key in found for key in _OPEN):
        found["additionalProperties"] = False
    return found


def modern(schema: Json) -> Json:
    """A schema of any draft since 4, in the words of draft 2020-12; anything else stays as it is."""
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        return schema
    found = {key: _part(key, value) for key, value in schema.items() if key not in _DROPPED or value == {}}
    _split_items(found)
    _split_dependencies(found)
    for bound, word in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        exclusive = found.get(word)
        if isinstance(exclusive, bool):  # draft 4
            del found[word]
            if exclusive and bound in found:
                found[word] = found.pop(bound)
    return found


def _part(key: str, value: Json) -> Json:
    if key in _MAPS and isinstance(value, dict):
        return {name: modern(inner) for name, inner in value.items()}
    if (key in _LISTS or key == "items") and isinstance(value, list):
        return [modern(inner) for inner in value]
    return modern(value) if key in _ONES and isinstance(value, dict) else value


def _split_items(schema: dict[str, Json]) -> None:
    """A list of `items`, as in draft 7, is `prefixItems` now, and what follows it is `items`."""
    if not isinstance(schema.get("items"), list):
        return
    schema["prefixItems"] = schema.pop("items")
    if "additionalItems" in schema:
        schema["items"] = modern(schema.pop("additionalItems"))


def _split_dependencies(schema: dict[str, Json]) -> None:
    dependencies = schema.get("dependencies")
    if not isinstance(dependencies, dict):
        return
    del schema["dependencies"]
    for name, needed in dependencies.items():
        word = "dependentRequired" if isinstance(needed, list) else "dependentSchemas"
        schema.setdefault(word, {})[name] = needed if isinstance(needed, list) else modern(needed)
