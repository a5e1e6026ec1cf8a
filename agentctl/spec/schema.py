"""The JSON Schema of the language, made from its types: `python -m agentctl.spec.schema` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_args

import msgspec

from agentctl.errors import ErrorClass
from agentctl.json import Json
from agentctl.spec import model
from agentctl.spec.part import Choice, Part

DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "graph.v1.json"

_READABLE = {
    "FileSpec": "File",
    "GraphSpec": "Graph",
    "NodeSpec": "Node",
    "ModelSpec": "Model",
    "ToolSpec": "Tool",
} | {
    "AgentSpec": "Agent",
    "StoreSpec": "Store",
    "MapSpec": "Map",
    "TestSpec": "Test",
    "ExpectSpec": "Expect",
    "FaultSpec": "Fault",
    "UsageBounds": "Usage",
    "EnvVar": "Variable",
}
_WORDS: dict[str, tuple[str, list[Json]]] = {
    "Duration": ("A time in words.", ["500ms", "30s", "1h30m", "7d"]),
    "Size": ("A size in words; a number is bytes.", ["64KB", "1MB"]),
    "Money": ("US dollars.", ["$0.05", "1.50"]),
    "Share": ("A share of a whole.", ["20%"]),
    "ErrorClass": ("A class of errors, or `else` for every other one.", [*get_args(ErrorClass), "else"]),
    "Name": ("A name: letters, digits, `_` and `-`, no digit first.", ["look_up"]),
}
"""The words with units, which stand in `$defs` under these names."""


@cache
def graph_schema() -> Json:
    """The schema of a file of version 1: closed, flat, in draft 2020-12."""
    types = [found for found in vars(model).values() if _is_part(found)]
    _, found = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    defs = {name: _word(name, found) for name in _WORDS}
    for name, schema in found.items():
        readable = _READABLE.get(name, name)
        defs[readable] = _definition(schema, named_choices().get(readable))
    file = defs.pop("File")
    return {
        "$schema": DIALECT,
        "title": "A graph of agents (agentctl, version 1)",
        **file,
        "patternProperties": {
            "^x-": {"description": "Yours; agentctl does not read it.", "examples": [{"team": "desk"}]}
        },
        # a file without nodes is a part, for `include`
        "required": ["agentctl"],
        "if": {"anyOf": [{"required": ["nodes"]}, {"required": ["start"]}]},
        "then": {"required": ["name", "start", "nodes"]},
        "$defs": dict(sorted(defs.items())),
    }


@cache
def named_choices() -> dict[str, Choice]:
    """The choices of the language by the name of their mapping in `$defs`."""
    parts = [found for found in vars(model).values() if _is_part(found) and found.choice is not None]
    return {_READABLE.get(part.__name__, part.__name__): part.choice for part in parts}


def _is_part(found: Json) -> bool:
    return isinstance(found, type) and issubclass(found, Part) and found is not Part


def _definition(schema: Json, choice: Choice | None) -> Json:
    """One mapping of the language."""
    flat = _flat({key: value for key, value in schema.items() if key not in ("title", "required")})
    if schema.get("required"):
        flat["required"] = schema["required"]
    return {**flat, **(_choice_rules(choice) if choice is not None else {})}


def _choice_rules(choice: Choice) -> Json:
    """One of the choice, and with each only what belongs to it: flat, so that a slip is told where it is."""
    rules = []
    for chosen in choice.keys:
        foreign = [key for key in choice.keys if key != chosen]
        foreign += [key for key, owners in choice.belonging.items() if chosen not in owners]
        rule: Json = {"properties": dict.fromkeys(foreign, False)}
        if chosen in choice.needs:
            rule["required"] = list(choice.needs[chosen])
        rules.append({"if": {"required": [chosen]}, "then": rule})
    return {"anyOf": [{"required": [key]} for key in choice.keys], "allOf": rules}


def _word(name: str, found: Json) -> Json:
    """A word with a unit, as it is first met in the types."""
    description, examples = _WORDS[name]
    pattern = next(part["pattern"] for part in _walk(found) if part.get("title") == name)
    return {"description": description, "examples": examples, "type": "string", "pattern": pattern}


def _flat(schema: Json) -> Json:
    """A schema without `anyOf` between kinds of values, and with words with units by reference."""
    if isinstance(schema, list):
        return [_flat(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("title") in _WORDS:
        kept = {key: schema[key] for key in ("description", "examples") if key in schema}
        return {**kept, "$ref": f"#/$defs/{schema['title']}"}
    flat = {}
    for key, value in schema.items():
        if key in ("properties", "additionalProperties", "propertyNames", "items", "anyOf", "prefixItems"):
            flat[key] = _table(value) if key == "properties" else _flat(value)
        elif key == "$ref":
            flat[key] = _readable_ref(value)
        elif key not in ("default", "required", "title"):
            flat[key] = value
    return _one_of_kinds(flat) if "anyOf" in flat else flat


def _table(properties: Json) -> Json:
    return {name: _flat(part) for name, part in properties.items()}


def _readable_ref(ref: str) -> str:
    name = ref.rpartition("/")[2]
    return f"#/$defs/{_READABLE.get(name, name)}"


def _one_of_kinds(schema: Json) -> Json:
    """`anyOf` schemas of different JSON types, as one schema that tells by the type which of them is meant."""
    kinds, rules, plain = [], [], {}
    for part in schema["anyOf"]:
        said = {key: value for key, value in part.items() if key not in ("type", "description", "examples")}
        kind = _kind(part)
        kinds.append(kind)
        if "$ref" in said or "enum" in said:
            rules.append({"if": {"type": kind}, "then": said})
        else:
            plain.update(said)
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if "number" in kinds and "integer" in kinds:
        kinds.remove("integer")
    rule = {} if not rules else rules[0] if len(rules) == 1 else {"allOf": rules}
    return {**rest, "type": kinds, **plain, **rule}


def _kind(part: Json) -> str:
    if "type" in part:
        return str(part["type"])
    name = part.get("$ref", "").rpartition("/")[2]
    return "string" if "enum" in part or name in _WORDS else "object"


def _walk(schema: Json) -> Iterator[dict[str, Json]]:
    if isinstance(schema, dict):
        yield schema
        for part in schema.values():
            yield from _walk(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _walk(part)


def schema_text() -> str:
    """The schema as it is written to its file."""
    return json.dumps(graph_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
