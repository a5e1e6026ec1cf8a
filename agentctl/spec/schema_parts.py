"""The parts of a JSON Schema that name something: patterns and references. Loaded when a file has one."""

from __future__ import annotations

from collections.abc import Iterator

from agentctl.json import Json
from agentctl.spec.fault import Fault, told
from agentctl.spec.finding import Keys
from agentctl.spec.fits import UnusableSchema, check_schema
from agentctl.spec.patterns import backtracks_without_end, needs_backtracking, why_unreadable
from agentctl.spec.types import fields_schema, to_schema

_LOCAL = "write the schema into this file"


def pattern_faults(pattern: str, keys: Keys, *, at_key: bool = False) -> Iterator[Fault]:
    """S111, X08: a regular expression that cannot be used, or that could backtrack without end."""
    if needs_backtracking(pattern):
        message = f"the pattern {told(pattern)} looks around or refers back, which can backtrack without end"
        yield Fault("X08", keys, message, "say it with plain repeats, or check it in a tool", at_key)
    elif backtracks_without_end(pattern):
        message = f"the pattern {told(pattern)} repeats a repeat, which can backtrack without end"
        yield Fault(
            "X08", keys, message, "let each letter be matched in one way only: `a+`, not `(a+)+`", at_key
        )
    elif not _is_usable({"pattern": pattern}):
        why = why_unreadable(pattern)
        message = f"the pattern {told(pattern)} is no regular expression"
        yield Fault("S111", keys, message if why is None else f"{message}: {why}", at_key=at_key)


def reference_faults(type: Json, keys: Keys, *, is_object: bool = False) -> Iterator[Fault]:
    """S111, X08: a `$ref` of a type that leads out of the file, or to nothing in the type."""
    schema = _schema_of(type, is_object=is_object)
    for place, reference in _references(type, keys):
        if not reference.startswith("#"):
            message = f"`$ref` leads to {told(reference)}, outside this file; nothing is ever fetched"
            yield Fault("X08", place, message, _LOCAL)
        elif schema is not None and not _leads_somewhere(schema, reference):
            message = f"`$ref` leads to {told(reference)}, and this type has nothing there"
            hint = "a `$ref` starts at the type it stands in: `#/$defs/NAME`, with `$defs:` beside it"
            yield Fault("S111", place, message, hint)


def _schema_of(type: Json, *, is_object: bool) -> Json | None:
    """The schema that references are looked up in; None for a type that is none, which S110 and S102 say."""
    try:
        return fields_schema(type) if is_object else to_schema(type)
    except ValueError:
        return None


def _references(type: Json, keys: Keys) -> Iterator[tuple[Keys, str]]:
    waiting = [(keys, type)]
    while waiting:
        place, part = waiting.pop()
        if isinstance(part, dict):
            if isinstance(part.get("$ref"), str):
                yield (*place, "$ref"), part["$ref"]
            waiting += [
                ((*place, key), value)
                for key, value in part.items()
                if key not in ("default", "const", "enum")
            ]
        elif isinstance(part, list):
            waiting += [((*place, index), value) for index, value in enumerate(part)]


def _leads_somewhere(schema: Json, reference: str) -> bool:
    if not reference.startswith("#/"):
        return _is_usable({**schema, "$ref": reference})
    part = schema
    for step in reference[2:].split("/"):
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, dict) and step in part:
            part = part[step]
        elif isinstance(part, list) and step.isdigit() and int(step) < len(part):
            part = part[int(step)]
        else:
            return False
    return isinstance(part, dict | bool)


def _is_usable(schema: Json) -> bool:
    try:
        check_schema(schema)
    except UnusableSchema:
        return False
    return True
