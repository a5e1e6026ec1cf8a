"""A JSON Schema in words: `a number at most 500`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from agentctl.json import Json

_LONGEST = 80
"""Characters shown of a value."""

_NOUNS = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
    "array": "an array",
    "object": "an object",
}
YAML_KINDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "empty",
}
"""The same, as one who writes a file calls them."""
_FORMATS = {
    "email": "an e-mail address",
    "date": "a date like 2026-01-31",
    "date-time": "a time like 2026-01-31T12:00:00Z",
    "time": "a time of day like 12:00:00Z",
    "duration": "a duration like PT5M",
    "uri": "a URI",
    "uuid": "a UUID",
    "ipv4": "an IPv4 address",
    "ipv6": "an IPv6 address",
    "hostname": "a host name",
    "regex": "a regular expression",
}

_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "over",
    "maximum": "at most",
    "exclusiveMaximum": "under",
}


def worded(schema: Json) -> str:
    """What a value must be; nothing when the schema says nothing that can be put briefly."""
    if not isinstance(schema, dict):
        return ""
    if "const" in schema:
        return shown(schema["const"])
    if "enum" in schema:
        options = [shown(option) for option in schema["enum"]]
        return options[0] if len(options) == 1 else f"one of {', '.join(options)}"
    for word in ("anyOf", "oneOf"):
        if word in schema:
            options = [worded(option) for option in schema[word]]
            return listed(options, "or") if all(options) else ""
    return " ".join([_noun(schema), *_limits(schema)]).strip()


def shown(value: Json) -> str:
    """A value as JSON, cut where it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def listed(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`"""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def _noun(schema: Json) -> str:
    types = schema.get("type", [])
    names = types if isinstance(types, list) else [types]
    if schema.get("format") in _FORMATS and set(names) <= {"string", "null"}:
        nouns = [str(_FORMATS[schema["format"]]), *("null" for name in names if name == "null")]
    else:
        nouns = [_NOUNS.get(name, str(name)) for name in names]
    items = worded(schema["items"]) if "array" in names and isinstance(schema.get("items"), dict) else ""
    return listed(nouns, "or") + (f" of items that are each {items}" if items else "")


def _limits(schema: Json) -> Iterator[str]:
    bounds = [f"{words} {shown(schema[key])}" for key, words in _BOUNDS.items() if key in schema]
    if bounds:
        yield listed(bounds)
    if "multipleOf" in schema:
        yield f"that is a multiple of {shown(schema['multipleOf'])}"
    yield from _count(schema.get("minLength"), schema.get("maxLength"), "character")
    yield from _count(schema.get("minItems"), schema.get("maxItems"), "item")
    yield from _count(schema.get("minProperties"), schema.get("maxProperties"), "key")
    if "pattern" in schema:
        yield f"that matches /{schema['pattern']}/"
    if "format" in schema and schema["format"] not in _FORMATS:
        yield f"in the format {schema['format']}"


def _count(least: int | None, most: int | None, word: str) -> Iterator[str]:
    if least is not None and least == most:
        yield f"of {least} {word}{'s' * (least != 1)}"
    elif least is not None and most is not None:
        yield f"of {least} to {most} {word}s"
    elif least is not None:
        yield f"of at least {least} {word}{'s' * (least != 1)}"
    elif most is not None:
        yield f"of at most {most} {word}{'s' * (most != 1)}"
