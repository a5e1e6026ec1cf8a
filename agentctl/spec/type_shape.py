"""Whether what is written as a type is one, wherever the language has a type."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentctl.json import Json
from agentctl.spec.fault import Fault, told
from agentctl.spec.finding import Keys
from agentctl.spec.mends import Mend, flow, type_of_list
from agentctl.spec.nearest import nearest, sure_word
from agentctl.spec.types import (
    MESSAGES,
    REDUCERS,
    STATE_KEYS,
    TYPE_NAMES,
    is_schema,
    is_type_name,
    is_whole_object,
)

_KNOWN = (*TYPE_NAMES, MESSAGES)
_OTHER_WORDS = {
    **dict.fromkeys(("str", "text"), "string"),
    "int": "integer",
    **dict.fromkeys(("float", "double", "decimal"), "number"),
    "bool": "boolean",
    **dict.fromkeys(("list", "tuple", "set"), "array"),
    **dict.fromkeys(("dict", "map", "mapping", "json"), "object"),
    **dict.fromkeys(("none", "nil", "None"), "null"),
}
_ARRAY = re.compile(r"(\w+)\[\]|(?:list|array|List|Array)[\[<](\w+)[\]>]")
_NULLABLE = re.compile(r"(\w+) ?\| ?(?:null|None)|Optional\[(\w+)\]")
_VALUES = re.compile(r"[A-Za-z_][\w-]*(?:\s*,\s*[A-Za-z_][\w-]*)*")
_NUMBERS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")
_COUNTS = (
    *("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
    *("minContains", "maxContains"),
)
_TEXTS = ("title", "description", "format", "pattern", "$ref", "$id", "$schema", "$anchor", "$comment")
_TRUTHS = ("uniqueItems", "deprecated", "readOnly", "writeOnly")
_TYPES = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")
_TYPE_LISTS = ("anyOf", "allOf", "oneOf", "prefixItems")
_TYPE_TABLES = ("properties", "patternProperties", "dependentSchemas", "$defs")
_FREE = ("type", "const", "default", "examples", "required", "enum", "dependentRequired")
_SCHEMA_KEYS = (
    *(*_FREE, *_NUMBERS, *_COUNTS, *_TEXTS, *_TRUTHS),
    *(*_TYPES, *_TYPE_LISTS, *_TYPE_TABLES, "unevaluatedItems", "unevaluatedProperties"),
)
_FORMATS = (
    *("date-time", "date", "time", "duration", "email", "idn-email", "hostname", "idn-hostname"),
    *("ipv4", "ipv6", "uri", "uri-reference", "iri", "iri-reference", "uri-template", "uuid"),
    *("json-pointer", "relative-json-pointer", "regex"),
)
"""Those of draft 2020-12, all of which are asserted."""
_HINTS = {
    "optional": "a field that may be missing is a `string?`, or has a default",
    "nullable": "a value that may be null is a `string?`, or `type: [string, null]`",
    "values": "the values it may have stand under `enum:`",
    "options": "the values it may have stand under `enum:`",
    "choices": "the values it may have stand under `enum:`",
    "min": "write `minimum:`, `minLength:` or `minItems:`",
    "max": "write `maximum:`, `maxLength:` or `maxItems:`",
    "fields": "the fields of an object stand under `properties:`, or right here without `type:`",
}
"""What is not a key of a type, and how it is said."""
_GROWS = {"append": "array", "extend": "array", "union": "array", "merge": "object"}


def type_faults(data: Json) -> Iterator[Fault]:
    """All that is wrong with the types of a file; what is no mapping is left to the shape."""
    yield from _graph_types(data, ())
    for name, graph in _table(data, "graphs"):
        yield from _graph_types(graph, ("graphs", name))
    for name, tool in _table(data, "tools"):
        yield from _fields(tool, "parameters", ("tools", name))
        if isinstance(tool, dict) and "returns" in tool:
            yield from _type(tool["returns"], ("tools", name, "returns"))
            yield from _lost_references(tool["returns"], ("tools", name, "returns"))
    for name, agent in _table(data, "agents"):
        yield from _fields(agent, "output", ("agents", name))


def _graph_types(graph: Json, keys: Keys) -> Iterator[Fault]:
    for name, type in _table(graph, "state"):
        yield from _state(type, (*keys, "state", name))
        yield from _lost_references(type, (*keys, "state", name))
    for name, node in _table(graph, "nodes"):
        yield from _node_types(node, (*keys, "nodes", name))


def _node_types(node: Json, keys: Keys) -> Iterator[Fault]:
    """The answers of agents that are written inside nodes."""
    if not isinstance(node, dict):
        return
    yield from _fields(node.get("agent"), "output", (*keys, "agent"))
    for name, branch in _table(node, "parallel"):
        yield from _node_types(branch, (*keys, "parallel", name))
    work = node.get("map")
    if isinstance(work, dict):
        yield from _node_types(work.get("do"), (*keys, "map", "do"))


def _fields(owner: Json, key: str, keys: Keys) -> Iterator[Fault]:
    fields = owner.get(key) if isinstance(owner, dict) else None
    if isinstance(fields, dict):
        yield from _type(fields, (*keys, key), is_object=True)
        yield from _lost_references(fields, (*keys, key), is_object=True)


def _type(type: Json, keys: Keys, *, is_object: bool = False) -> Iterator[Fault]:
    """Faults of one type. `is_object`: a mapping of fields, whatever they are called."""
    if isinstance(type, str):
        yield from _name(type, keys)
    elif not isinstance(type, dict):
        meant = type_of_list(type) if isinstance(type, list) else Mend()
        hint = meant.hint or "write a type name, or a mapping"
        yield Fault("S102", keys, f"{told(type)} is no type", hint, fix=meant.fix)
    elif is_schema(type) and not (is_object and not is_whole_object(type)):
        yield from _schema(type, keys)
    elif not is_object and (values := _listed_values(type)) is not None:
        hint = f"list the values instead: `{{enum: {flow(values)}}}`"
        yield Fault("S110", (*keys, "type"), f"unknown type {told(type['type'])}", hint)
    elif not is_object and isinstance(type.get("type"), str) and _reads_as_schema(type):
        yield from _name(type["type"], (*keys, "type"))
    else:
        for name, field in type.items():
            yield from _type(field, (*keys, name))


def _listed_values(type: Json) -> Json | None:
    """The values of a type that other tools call `enum` or `choice`, under whatever key; None of any other."""
    if type.get("type") not in ("enum", "choice", "choices", "select", "literal", "options"):
        return None
    return next((value for value in type.values() if isinstance(value, list)), None)


def _reads_as_schema(type: Json) -> bool:
    """Whether a mapping with an unknown `type` is meant as a JSON Schema: all its other keys are of one."""
    return all(key in _SCHEMA_KEYS or key in STATE_KEYS for key in type)


def _name(name: str, keys: Keys) -> Iterator[Fault]:
    plain = name.removesuffix("?")
    if plain in TYPE_NAMES or name == MESSAGES:
        return
    written = _other_spelling(name)
    meant = _OTHER_WORDS.get(plain.lower()) or nearest(plain, _KNOWN)
    hint = f"did you mean `{meant}`?" if meant else f"the types are {', '.join(_KNOWN)}"
    fix = _OTHER_WORDS.get(plain.lower()) or sure_word(plain, _KNOWN)
    fix = f"{fix}?" if fix in TYPE_NAMES and plain != name else fix
    if written is not None:
        hint = f"write `{written}`"
        fix = written if keys[-1:] != ("type",) or written.startswith(TYPE_NAMES) else None
    yield Fault("S110", keys, f"unknown type {told(name)}", hint, fix=fix)


def _other_spelling(name: str) -> str | None:
    """A type as other languages write it, in this one: `string[]`, `list[string]`, `string | null`, `date`."""
    inner = _word(found[1] or found[2]) if (found := _ARRAY.fullmatch(name.strip())) else None
    if inner is not None:
        return f"{{type: array, items: {inner}}}"
    if (found := _NULLABLE.fullmatch(name.strip())) and (inner := _word(found[1] or found[2])):
        return f"{inner}?"
    return f"{{type: string, format: {name}}}" if name in _FORMATS else None


def _word(name: str) -> str | None:
    """The type's name for a word, which may be that of another language."""
    name = _OTHER_WORDS.get(name.lower(), name.lower())
    return name if name in TYPE_NAMES else None


def _schema(schema: Json, keys: Keys, *, extra: frozenset[str] = frozenset()) -> Iterator[Fault]:
    """Faults of a JSON Schema; `extra` are keys that may stand in it besides its own."""
    if "type" in schema and not is_type_name(schema["type"]):
        yield from _bad_type(schema["type"], (*keys, "type"))
    for key, value in schema.items():
        here = (*keys, key)
        if key in _TYPES and not isinstance(value, bool):
            yield from _type(value, here)
        elif key in _TYPE_LISTS and isinstance(value, list):
            for index, part in enumerate(value):
                yield from _type(part, (*here, index))
        elif key in _TYPE_TABLES and isinstance(value, dict):
            for name, part in value.items():
                yield from _type(part, (*here, name))
                if key == "patternProperties":
                    yield from _pattern(name, (*here, name), at_key=True)
        elif key not in _SCHEMA_KEYS and key not in extra and not key.startswith("x-"):
            meant = nearest(key, (*_SCHEMA_KEYS, *extra))
            hint = f"did you mean `{meant}`?" if meant else _HINTS.get(key)
            fix = sure_word(key, (*_SCHEMA_KEYS, *extra)) if meant not in schema else None
            if key in STATE_KEYS:
                hint, fix = f"`{key}` belongs to a field of `state`", None
            yield Fault("S101", here, f"unknown key {told(key)} in a type", hint, at_key=True, fix=fix)
        else:
            yield from _keyword(key, value, here)


def _bad_type(type: Json, keys: Keys) -> Iterator[Fault]:
    if isinstance(type, str):
        yield from _name(type, keys)
    elif isinstance(type, list) and type:
        for index, name in enumerate(type):
            if not isinstance(name, str):
                yield Fault("S102", (*keys, index), f"{told(name)} is no type name")
            else:
                yield from _name(name.removesuffix("?"), (*keys, index))
    else:
        yield Fault("S102", keys, f"{told(type)} is no type name", f"the types are {', '.join(_KNOWN)}")


def _keyword(key: str, value: Json, keys: Keys) -> Iterator[Fault]:
    """Whether a keyword of JSON Schema has a value it can have."""
    wrong = None
    if key in _NUMBERS and not _is_number(value):
        wrong = "a number"
    elif key in _COUNTS and not _is_count(value, 0):
        wrong = "a whole number, 0 or more"
    elif key in _TEXTS and not isinstance(value, str):
        wrong = "text"
    elif key in _TRUTHS and not isinstance(value, bool):
        wrong = "true or false"
    elif key == "enum" and not (isinstance(value, list) and value):
        wrong = "a list of at least one value"
    elif key in (*_TYPE_LISTS, "required", "examples") and not isinstance(value, list):
        wrong = "a list"
    elif key in _TYPE_TABLES and not isinstance(value, dict):
        wrong = "a mapping"
    if wrong is not None:
        hint, fix = _keyword_mend(key, value)
        yield Fault("S102", keys, f"`{key}` takes {wrong}, and {told(value)} is none", hint, fix=fix)
    elif key == "pattern":
        yield from _pattern(value, keys)
    elif key == "format" and value not in _FORMATS:
        meant = nearest(value, _FORMATS)
        hint = f"did you mean `{meant}`?" if meant else f"the formats are {', '.join(_FORMATS)}"
        yield Fault("S112", keys, f"unknown format {told(value)}, which nothing would check", hint)


def _keyword_mend(key: str, value: Json) -> tuple[str | None, str | None]:
    """What would be right for a keyword, and the text when that is certain."""
    if key == "enum" and isinstance(value, str) and _VALUES.fullmatch(value):
        written = flow([part.strip() for part in value.split(",")])
        return f"write `{written}`", written
    if key == "enum":
        return "list the values: `[free, pro]`", None
    if key == "required" and isinstance(value, bool):
        return "every field is required, unless it has a default or is a `string?`: leave this out", None
    if (key in _NUMBERS or key in _COUNTS) and isinstance(value, str) and value.isdecimal():
        return f"write `{int(value)}`", str(int(value))
    return None, None


def _pattern(pattern: str, keys: Keys, *, at_key: bool = False) -> Iterator[Fault]:
    from agentctl.spec.schema_parts import pattern_faults  # 40 ms, for files with patterns

    yield from pattern_faults(pattern, keys, at_key=at_key)


def _lost_references(type: Json, keys: Keys, *, is_object: bool = False) -> Iterator[Fault]:
    if "$ref" in str(type):
        from agentctl.spec.schema_parts import reference_faults  # as above

        yield from reference_faults(type, keys, is_object=is_object)


def _state(type: Json, keys: Keys) -> Iterator[Fault]:
    """Faults of a state field: of its type, and of how it is kept."""
    if not isinstance(type, dict):
        yield from _type(type, keys)
        return
    if not is_schema(type):
        if type and STATE_KEYS.issuperset(type) and not _all_types(type):
            hint = "write `type: array`, or what it is, beside it"
            yield Fault("S104", keys, f"the field has {_and(type)} and no `type`", hint, at_key=True)
        else:
            yield from _type(type, keys)
        return
    yield from _schema(type, keys, extra=STATE_KEYS)
    yield from _kept(type, keys)


def _kept(type: Json, keys: Keys) -> Iterator[Fault]:
    reduce, is_messages = type.get("reduce", "last"), type.get("type") == MESSAGES
    if reduce not in REDUCERS:
        meant = nearest(reduce, REDUCERS) if isinstance(reduce, str) else None
        hint = f"did you mean `{meant}`?" if meant else f"the reducers are {', '.join(REDUCERS)}"
        yield Fault("S102", (*keys, "reduce"), f"{told(reduce)} is no reducer", hint)
    else:
        yield from _reduced(type, reduce, keys)
    for key in ("keep", "first"):
        if key in type and not _is_count(type[key], 1):
            yield Fault(
                "S102", (*keys, key), f"`{key}` takes a whole number from 1, and {told(type[key])} is none"
            )
        elif key in type and not is_messages and _plain_type(type) not in (None, "array"):
            message = f"`{key}` counts the items of an array, and the field is {told(type['type'])}"
            yield Fault("S102", (*keys, key), message)
    if "default" in type and not _may_hold(type, type["default"]):
        what = "one of " + ", ".join(map(told, type["enum"])) if _has_enum(type) else told(type["type"])
        yield Fault("S102", (*keys, "default"), f"the default {told(type['default'])} is not {what}")


def _reduced(type: Json, reduce: str, keys: Keys) -> Iterator[Fault]:
    """Whether the reducer can work on values of the type."""
    held = MESSAGES if type.get("type") == MESSAGES else _plain_type(type)
    needed = _GROWS.get(reduce)
    if held is None or (held == MESSAGES and needed == "array"):
        return
    if needed is not None and held != needed:
        message = f"`reduce: {reduce}` works on `{needed}`, and the field is {told(held)}"
        yield Fault("S102", (*keys, "reduce"), message)
    elif reduce in ("sum", "max", "min") and held not in ("number", "integer"):
        yield Fault(
            "S102", (*keys, "reduce"), f"`reduce: {reduce}` works on numbers, and the field is {told(held)}"
        )


def _plain_type(type: Json) -> str | None:
    said = type.get("type")
    return said if isinstance(said, str) else None


def _has_enum(type: Json) -> bool:
    return isinstance(type.get("enum"), list)


def _may_hold(type: Json, value: Json) -> bool:
    """Whether a value fits the type's name and its `enum`; the rest is for the schema, when it is used."""
    if _has_enum(type) and value not in type["enum"]:
        return False
    match type.get("type"):
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return _is_number(value) and float(value).is_integer()
        case "number":
            return _is_number(value)
        case "object":
            return isinstance(value, dict)
        case "array" | "messages":
            return isinstance(value, list)
        case "null":
            return value is None
        case _:
            return True


def _all_types(type: Json) -> bool:
    """Whether every value is a type, so that the mapping is an object whose fields have strange names."""
    return all(
        isinstance(value, dict) or (isinstance(value, str) and value in _KNOWN) for value in type.values()
    )


def _and(type: Json) -> str:
    return " and ".join(f"`{key}`" for key in type)


def _is_number(value: Json) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: Json, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _table(owner: Json, key: str) -> Iterator[tuple[str, Json]]:
    table = owner.get(key) if isinstance(owner, dict) else None
    if isinstance(table, dict):
        yield from table.items()
