"""Types as the language writes them, made into JSON Schema (draft 2020-12)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from agentctl.json import Json
from agentctl.state import Reducer

TYPE_NAMES = ("string", "number", "integer", "boolean", "object", "array", "null")
"""The type names of JSON Schema."""
MESSAGES = "messages"
SCHEMA_MARKS = frozenset({"enum", "const", "properties", "items", "anyOf", "$ref"})
"""Keys that make a mapping a JSON Schema, as a known `type` does; any other mapping is an object's fields."""
STATE_KEYS = frozenset({"default", "reduce", "keep", "first"})
"""Keys of a state field that are no part of its type."""
REDUCERS = get_args(Reducer)

_PARTS = ("items", "additionalProperties", "not", "contains", "propertyNames")
_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_TABLES = ("properties", "patternProperties", "$defs")
"""Where types stand inside a JSON Schema; each may be written short."""


@dataclass(frozen=True, slots=True)
class FieldType:
    """A state field: its schema, and how it is kept. Without a default it is unset until it is written."""

    schema: Json
    default: Json
    has_default: bool
    reduce: Reducer
    keep: int | None
    first: int | None
    is_messages: bool


def to_schema(type: Json) -> Json:
    """The closed JSON Schema of a type. Raises ValueError for what is no type."""
    if isinstance(type, str):
        return _named(type)
    if not isinstance(type, dict):
        raise ValueError(f"`{type}` is no type")
    if type.get("type") == MESSAGES:
        return messages_schema()
    if not is_schema(type):
        return fields_schema(type)
    schema = dict(type)
    for key in _PARTS:
        if isinstance(schema.get(key), str | dict):
            schema[key] = to_schema(schema[key])
    for key in _LISTS:
        if isinstance(schema.get(key), list):
            schema[key] = [to_schema(part) for part in schema[key]]
    for key in _TABLES:
        if isinstance(schema.get(key), dict):
            schema[key] = {name: to_schema(_required(part)) for name, part in schema[key].items()}
    return schema


def fields_schema(fields: Mapping[str, Json]) -> Json:
    """The closed schema of an object with these fields: required unless `string?`, or with a default.

    The fields may also be written as the JSON Schema of the whole object.
    """
    if is_whole_object(fields):
        return {"additionalProperties": False, **to_schema(fields)}
    return {
        "type": "object",
        "properties": {name: to_schema(_required(type)) for name, type in fields.items()},
        "required": [name for name, type in fields.items() if not may_be_missing(type)],
        "additionalProperties": False,
    }


def state_field(type: Json) -> FieldType:
    """A state field by its type. A field that is optional (`string?`) holds null until it is written."""
    said = type if isinstance(type, dict) and is_schema(type) else {}
    is_messages = type == MESSAGES or said.get("type") == MESSAGES
    reduce: Reducer = said.get("reduce", "last")
    identity = [] if is_messages else identity_of(reduce)
    default = said.get("default", identity)
    return FieldType(
        schema=to_schema({key: value for key, value in said.items() if key not in STATE_KEYS} or type),
        default=default,
        has_default="default" in said or identity is not None or _is_optional(type),
        reduce=reduce,
        keep=said.get("keep"),
        first=said.get("first"),
        is_messages=is_messages,
    )


def identity_of(reduce: Json) -> Json:
    """What a field with a reducer holds before anything is written; None for `last`, `max` and `min`."""
    match reduce:
        case "append" | "extend" | "union":
            return []
        case "merge":
            return {}
        case "sum":
            return 0
        case _:
            return None


def is_schema(type: Mapping[str, Json]) -> bool:
    """Whether a mapping is a JSON Schema, and not an object's fields."""
    return not SCHEMA_MARKS.isdisjoint(type) or is_type_name(type.get("type"))


def is_whole_object(fields: Mapping[str, Json]) -> bool:
    """Whether what stands where fields are expected is a JSON Schema of the whole object."""
    return fields.get("type") == "object" and isinstance(fields.get("properties"), dict)


def is_type_name(name: Json) -> bool:
    """Whether it is what may stand after `type:`: a name, or a list of them."""
    if isinstance(name, list):
        return bool(name) and all(isinstance(one, str) and one in TYPE_NAMES for one in name)
    return isinstance(name, str) and (name in TYPE_NAMES or name == MESSAGES)


def may_be_missing(type: Json) -> bool:
    """Whether an object's field need not be there."""
    return _is_optional(type) or (isinstance(type, dict) and is_schema(type) and "default" in type)


def messages_schema() -> Json:
    """The schema of the built-in type `messages`: a conversation, as it is stored."""
    return {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "role": {"enum": ["system", "user", "assistant", "tool"]},
                "content": {"type": "string"},
                "calls": {"type": "array", "items": {"type": "object"}},
                "call_id": {"type": ["string", "null"]},
                "tokens": {"type": ["integer", "null"]},
            },
            "required": ["role"],
            "additionalProperties": False,
        },
        "x-agentctl": MESSAGES,
    }


def _named(name: str) -> Json:
    if name == MESSAGES:
        return messages_schema()
    plain = name.removesuffix("?")
    if plain not in TYPE_NAMES:
        raise ValueError(f"`{name}` is no type; the types are {', '.join(TYPE_NAMES)} and {MESSAGES}")
    return {"type": plain if plain == name else [plain, "null"]}


def _is_optional(type: Json) -> bool:
    return isinstance(type, str) and type.endswith("?")


def _required(type: Json) -> Json:
    """The type without its `?`: a field that may be missing is still no null."""
    return type.removesuffix("?") if isinstance(type, str) else type
