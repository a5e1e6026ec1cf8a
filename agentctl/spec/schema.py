"""The JSON Schema of the language, made from its types: `python -m agentctl.spec.schema` writes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from agentctl.json import Json
from agentctl.spec import model
from agentctl.spec.part import Choice, Part
from agentctl.spec.types import MESSAGES, SCHEMA_MARKS, TYPE_NAMES
from agentctl.spec.wording import listed
from agentctl.spec.words import WORDS

SCHEMA_ID = "urn:agentctl:schema:graph.v1"
"""It names the schema, and is nothing that could be fetched."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"
SCHEMA_FILE = Path(__file__).parents[2] / "schemas" / "graph.v1.json"

_REMARKS = ("description", "markdownDescription", "examples", "default")
"""What a schema says of itself, and not of values."""
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
    "FieldSpec": "Field",
}


@cache
def graph_schema() -> Json:
    """The schema of a file of version 1: closed, flat, in draft 2020-12."""
    types = [found for found in vars(model).values() if _is_part(found)]
    _, found = msgspec.json.schema_components(types, ref_template="#/$defs/{name}")
    defs = {name: _word(name, found) for name in WORDS}
    for name, schema in found.items():
        readable = _READABLE.get(name, name)
        defs[readable] = _definition(readable, schema, named_choices().get(readable))
    defs["Field"] = _open_field(defs["Field"])
    file = defs.pop("File")
    return {
        "$schema": DIALECT,
        "$id": SCHEMA_ID,
        **file,
        "title": "A graph of agents (agentctl, version 1)",
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


def _definition(name: str, schema: Json, choice: Choice | None) -> Json:
    """One mapping of the language. Editors head what they show of its keys with its title."""
    flat = {
        "title": name,
        **_flat({key: value for key, value in schema.items() if key not in ("title", "required")}),
    }
    if schema.get("required"):
        flat["required"] = schema["required"]
    return {**flat, **(_choice_rules(choice, flat["properties"]) if choice is not None else {})}


def _choice_rules(choice: Choice, properties: Json) -> Json:
    """One of the choice, and with each only what belongs to it: flat, so that a slip is told where it is.

    Where a choice is made, an editor offers only the keys that go with it.
    """
    for key in (*choice.keys, *choice.belonging):
        properties[key] = _unoffered(properties[key])
    rules = [_rule(choice, chosen, properties) for chosen in choice.keys]
    offered = {key: _offer(properties[key]) for key in choice.keys}
    none_chosen = {"not": {"anyOf": [_has(key) for key in choice.keys]}}
    rules.append({"if": none_chosen, "then": {"properties": offered}})
    needed = f"{choice.noun} needs a {choice.kind}: {listed(choice.keys, 'or')}"
    return {
        "anyOf": [{"required": [key], "errorMessage": needed} for key in choice.keys],
        "allOf": rules,
    }


def _rule(choice: Choice, chosen: str, properties: Json) -> Json:
    """What holds where one of the choice is there."""
    own = [key for key, owners in choice.belonging.items() if chosen in owners]
    foreign = [key for key in (*choice.keys, *choice.belonging) if key != chosen and key not in own]
    offered = {key: _offer(properties[key]) for key in own}
    rule: Json = {"properties": {**dict.fromkeys(foreign, False), **offered}}
    if chosen in choice.needs:
        rule["required"] = list(choice.needs[chosen])
    return {"if": _has(chosen), "then": rule}


def _has(key: str) -> Json:
    # an item that is not yet written is null, of which `required` alone would hold
    return {"type": "object", "required": [key]}


def _unoffered(schema: Json) -> Json:
    """A key that editors do not offer at once; beside a `$ref` yaml-language-server passes over that word."""
    rest = {key: value for key, value in schema.items() if key != "$ref"}
    reference = {"allOf": [{"$ref": schema["$ref"]}]} if "$ref" in schema else {}
    return {**rest, "doNotSuggest": True, **reference}


def _offer(schema: Json) -> Json:
    """What an editor needs to offer a key; the rest of it is said once."""
    said = {key: schema[key] for key in ("description", "markdownDescription", "type") if key in schema}
    if "allOf" in schema and "type" not in said:
        said["type"] = _kind(schema["allOf"][0])
    return said


def _open_field(schema: Json) -> Json:
    """A state field is a JSON Schema, which may have more keys, or an object's fields, which have any.

    So its keys are only offered; what follows from them is told where types are read.
    """
    keys = schema["properties"]
    offered = {key: {**_without_type(part), "examples": _values(part)} for key, part in keys.items()}
    offered["type"]["examples"] = [*TYPE_NAMES, MESSAGES]
    named = {"required": ["type"], "properties": {"type": {"enum": offered["type"]["examples"]}}}
    kept = {key: _without_remarks(keys[key]) for key in ("reduce", "keep", "first")}
    is_schema = [{"required": [mark]} for mark in sorted(SCHEMA_MARKS)] + [named]
    return {
        "title": schema["title"],
        "description": schema["description"],
        "type": "object",
        "properties": offered,
        "if": {"anyOf": is_schema},
        "then": {"properties": kept},
    }


def _without_type(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key in _REMARKS}


def _values(schema: Json) -> Json:
    return schema.get("enum", schema["examples"])


def _word(name: str, found: Json) -> Json:
    """A word, with its pattern as it is first met in the types."""
    word = WORDS[name]
    said: Json = {"description": word.description, "examples": list(word.examples), "type": "string"}
    patterns = (part["pattern"] for part in _walk(found) if part.get("title") == name and part.get("pattern"))
    if (pattern := next(patterns, None)) is not None:
        shown = listed([str(example) for example in word.examples[:3]])
        said |= {"pattern": pattern, "patternErrorMessage": f"{word.description} As in {shown}."}
    return said | ({"enum": list(word.choices)} if word.choices else {})


def _flat(schema: Json) -> Json:
    """A schema without `anyOf` between kinds of values, and with words with units by reference."""
    if isinstance(schema, list):
        return [_flat(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    flat = {key: _flat_part(key, value) for key, value in schema.items() if key not in ("required", "title")}
    if "default" in flat and "description" in flat:
        flat["markdownDescription"] = f"{flat['description']}\n\nDefault: `{_shown(flat['default'])}`"
    title = schema.get("title")
    if title in WORDS or title == "FieldSpec":
        kept = {key: value for key, value in flat.items() if key in _REMARKS}
        return {**kept, "$ref": f"#/$defs/{_READABLE.get(title, title)}"}
    if flat.get("propertyNames") == {"$ref": "#/$defs/ErrorClass"}:
        flat["properties"] = _classes(flat["additionalProperties"])
    return _one_of_kinds(flat) if "anyOf" in flat else flat


def _flat_part(key: str, value: Json) -> Json:
    if key == "properties":
        return {name: _flat(part) for name, part in value.items()}
    if key in ("additionalProperties", "propertyNames", "items", "anyOf", "prefixItems"):
        return _flat(value)
    return _readable_ref(value) if key == "$ref" else value


def _classes(target: Json) -> Json:
    """The classes of errors as keys, for editors offer those."""
    rest = "every other error"
    said = {name: rest if name == "else" else f"`{name}`" for name in WORDS["ErrorClass"].examples}
    return {name: {"description": f"Where it goes on {what}.", **target} for name, what in said.items()}


def _shown(value: Json) -> str:
    """A short value as it is written in a file."""
    text = (
        ", ".join(f"{key}: {part}" for key, part in value.items()) if isinstance(value, dict) else str(value)
    )
    return f"{{{text}}}" if isinstance(value, dict) else text


def _readable_ref(ref: str) -> str:
    name = ref.rpartition("/")[2]
    return f"#/$defs/{_READABLE.get(name, name)}"


def _one_of_kinds(schema: Json) -> Json:
    """`anyOf` schemas of different JSON types, as one schema that tells by the type which of them is meant."""
    kinds, rules, plain = [], [], {}
    for part in schema["anyOf"]:
        said = {key: value for key, value in _without_remarks(part).items() if key != "type"}
        if "$ref" in said and "description" in schema:
            # else an editor would show what is said of the word, not of the key
            said = {"description": schema["description"], **said}
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
    return {**_offered(rules), **rest, "type": kinds, **plain, **rule}


def _without_remarks(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key not in _REMARKS}


def _offered(rules: list[Json]) -> Json:
    """Editors do not look for values behind an `if`: the names that are known there, as examples."""
    words = (str(rule["then"].get("$ref")).rpartition("/")[2] for rule in rules)
    known = [choice for word in words if word in WORDS for choice in WORDS[word].choices]
    return {"examples": known} if known else {}


def _kind(part: Json) -> str:
    if "type" in part:
        return str(part["type"])
    name = part.get("$ref", "").rpartition("/")[2]
    return "string" if "enum" in part or name in WORDS else "object"


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
