"""The answer on stdout: one output is its text, several are YAML; or the whole outcome as JSON."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping

import orjson

from agentctl.cli.streams import on_terminal
from agentctl.json import Json
from agentctl.sinks.neutral import neutral

# What every YAML 1.1 and 1.2 reader takes for the text that it is, without quotes.
_PLAIN = re.compile(r"[A-Za-z/_][^\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff:#\\]*(?<!\s)")
_NOT_TEXT = re.compile(r"(?i)(null|true|false|yes|no|on|off|y|n)")
_UNPRINTABLE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_BLOCK = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]*")


def print_answer(output: Mapping[str, Json]) -> None:
    """Print the outputs of a turn; on a terminal, with nothing in them that could steer it."""
    if not output:
        return
    text = answer_text(output)
    sys.stdout.write(neutral(text) if on_terminal(sys.stdout) else text)


def print_json(value: Json) -> None:
    """One object on one line."""
    sys.stdout.write(orjson.dumps(value).decode() + "\n")


def answer_text(output: Mapping[str, Json]) -> str:
    """The text of one output, or YAML of several, in the order of the file; ends with a newline."""
    values = list(output.values())
    if len(values) == 1 and isinstance(values[0], str):
        return values[0] if values[0].endswith("\n") else values[0] + "\n"
    return as_yaml(values[0] if len(values) == 1 else dict(output))


def as_yaml(value: Json, indent: str = "") -> str:
    """JSON as YAML in block style, keys in their order."""
    if isinstance(value, dict) and value:
        return "".join(f"{indent}{_scalar(key)}:{_below(item, indent)}" for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"{indent}-{_below(item, indent)}" for item in value)
    return f"{indent}{_scalar(value)}\n"


def _below(value: Json, indent: str) -> str:
    """What stands after `key:` or `-`."""
    if isinstance(value, dict | list) and value:
        return "\n" + as_yaml(value, indent + "  ")
    if isinstance(value, str) and "\n" in value and _BLOCK.fullmatch(value) and value.strip():
        return _block(value, indent + "  ")
    return f" {_scalar(value)}\n"


def _block(text: str, indent: str) -> str:
    body = text.rstrip("\n")
    ends = len(text) - len(body)
    chomp = {0: "-", 1: ""}.get(ends, "+")
    lead = "2" if body.lstrip("\n").startswith(" ") or body.startswith("\n") else ""
    lines = "".join(f"{indent}{line}\n" if line else "\n" for line in body.split("\n"))
    return f" |{lead}{chomp}\n{lines}" + "\n" * (ends - 1)


def _scalar(value: Json) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value):
        return value
    # YAML's double quotes are JSON's, but for a few characters it wants escaped.
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", orjson.dumps(value).decode())
