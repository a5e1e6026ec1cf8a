"""What is given on the command line, typed by the fields it is for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import orjson

from agentctl.errors import UsageError
from agentctl.json import Json, type_name

if TYPE_CHECKING:
    from agentctl.graph.plan import Graph


def read_inputs(given: Sequence[str] | None, file: str | None, graph: Graph) -> dict[str, Json]:
    """The inputs of a turn: those of `--input`, then each `-i key=value` over them. Raises UsageError."""
    inputs = _read_file(file) if file is not None else {}
    texts = pairs(given, "-i")
    for key in [*inputs, *texts]:
        if key not in graph.input:
            raise UsageError(f"`{key}` is no input of {graph.name}", hint=_inputs_hint(key, graph))
    return inputs | {key: typed(key, text, graph.schemas[key]) for key, text in texts.items()}


def pairs(given: Sequence[str] | None, option: str) -> dict[str, str]:
    """`key=value` texts as a mapping. Raises UsageError."""
    found: dict[str, str] = {}
    for text in given or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"{option} `{text}`: write key=value")
        if key.strip() in found:
            raise UsageError(f"{option} `{key.strip()}` is given twice")
        found[key.strip()] = value
    return found


def typed(key: str, text: str, schema: Json) -> Json:
    """A text as a value of the schema: as it stands where text will do, else as JSON. Raises UsageError."""
    types = _types(schema)
    if "string" in types:
        return _other_than_text(text, types)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        if not types:
            return text
        raise UsageError(f"`{key}={text}`: {key} is {_named(types)}", hint=_example(key, types)) from None
    # Whether the value fits its schema is checked where every input is, however it was given.
    return value


def is_text(schema: Json) -> bool:
    """Whether any text will do."""
    return _types(schema) == {"string"} and not any(key in schema for key in ("enum", "const", "format"))


def limits(given: Sequence[str] | None) -> dict[str, Json]:
    """`--limit` values: numbers as numbers, `30s`, `64KB` and `$0.05` as they stand."""
    found: dict[str, Json] = {}
    for key, text in pairs(given, "--limit").items():
        try:
            found[key] = orjson.loads(text)
        except orjson.JSONDecodeError:
            found[key] = text
    return found


def _read_file(file: str) -> dict[str, Json]:
    """The object in a JSON or YAML file; `-` is stdin."""
    text = _bounded(sys.stdin, "stdin") if file == "-" else text_of(Path(file))
    name = "stdin" if file == "-" else file
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        value = _read_yaml(Path(name), text)
    if not isinstance(value, dict):
        raise UsageError(f"--input {name}: an object of inputs is wanted, not {type_name(value)}")
    return value


def _read_yaml(path: Path, text: str) -> Json:
    from agentctl.spec.source import read_source

    source, findings = read_source(path, text)
    for finding in findings:
        if finding.severity == "error":
            raise UsageError(f"--input {path}:{finding.span.line}: {finding.message}", hint=finding.hint)
    return source.data


def text_of(path: Path) -> str:
    """A file of UTF-8 text. Raises UsageError."""
    try:
        with path.open(encoding="utf-8") as file:
            return _bounded(file, str(path))
    except OSError as failure:
        raise UsageError(f"{path}: {(failure.strerror or str(failure)).lower()}") from failure
    except UnicodeDecodeError as failure:
        raise UsageError(f"{path}: not UTF-8 text") from failure


_MOST = 64 * 1024**2
"""Characters of a file of inputs; more than this no state could hold."""


def _bounded(file: TextIO, name: str) -> str:
    text = file.read(_MOST + 1)
    if len(text) > _MOST:
        raise UsageError(f"{name} is longer than {_MOST:,} characters", hint="give a tool its path instead")
    return text


def _types(schema: Json) -> set[str]:
    """The JSON types a schema allows, as far as it says; empty when it says nothing."""
    if not isinstance(schema, dict):
        return set()
    if "type" in schema:
        return {schema["type"]} if isinstance(schema["type"], str) else set(schema["type"])
    if "enum" in schema or "const" in schema:
        return {type_name(value) for value in schema.get("enum", [schema.get("const")])}
    return {found for option in schema.get("anyOf", ()) for found in _types(option)}


def _other_than_text(text: str, types: set[str]) -> Json:
    """Text, unless the field takes other things as well and the text is one of them, as JSON writes it."""
    if types == {"string"}:
        return text
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if type_name(value) in types else text


def _named(types: set[str]) -> str:
    words = sorted(f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}" for kind in types - {"null"})
    return " or ".join(words)


def _example(key: str, types: set[str]) -> str:
    examples = {
        "integer": "3",
        "number": "0.5",
        "boolean": "true",
        "array": '["a", "b"]',
        "object": '{"a": 1}',
    }
    example = next((examples[kind] for kind in sorted(types) if kind in examples), "null")
    return f"write it as JSON: -i '{key}={example}'"


def _inputs_hint(key: str, graph: Graph) -> str:
    known = ", ".join(graph.input) or "none"
    near = get_close_matches(key, graph.input, n=1)
    if near:
        return f"did you mean `{near[0]}`?"
    return f"it is a field, but `input:` lists {known}" if key in graph.schemas else f"its inputs are {known}"
