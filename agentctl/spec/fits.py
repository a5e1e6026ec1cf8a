"""Values against their JSON Schema; what is wrong, in sentences a model can act on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from agentctl.errors import UsageError
from agentctl.json import Json, decode, encode
from agentctl.spec.nearest import nearest
from agentctl.spec.wording import listed, shown, worded

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

_MOST = 5
"""Sentences about one value; a model mends a few at a time."""

_LONGEST_KEY = 60


class UnusableSchema(UsageError):
    """A JSON Schema that is none, or that points outside itself."""


def problems(schema: Json) -> Callable[[Json], list[str]]:
    """A check that says what is wrong with a value, a sentence each; nothing when it fits.

    The schema is compiled when a value is first checked; then UnusableSchema may be raised.
    """
    text = encode(schema)

    def check(value: Json) -> list[str]:
        validator = _validator(text)
        return [] if validator.is_valid(value) else _told(validator, schema, value)

    return check


def first_problem(schema: Json) -> Callable[[Json], str | None]:
    """As `problems`, the first alone, or None."""
    check = problems(schema)

    def check_first(value: Json) -> str | None:
        found = check(value)
        return found[0] if found else None

    return check_first


def check_schema(schema: Json) -> None:
    """Raises UnusableSchema."""
    _validator(encode(schema))


def completed(schema: Json, value: Json) -> Json:
    """The value with the defaults of its schema, and 12 for 12.0 where the schema says integer.

    The value must fit the schema. It is not changed: what differs is new.
    """
    if isinstance(value, float):
        return int(value) if "integer" in _types(schema) and value.is_integer() else value
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [completed(schema["items"], item) for item in value]
    if isinstance(value, dict):
        fields = schema.get("properties", {})
        whole = {name: completed(fields.get(name, {}), item) for name, item in value.items()}
        missing = {name: field["default"] for name, field in fields.items() if _lacks(field, name, value)}
        return whole | missing
    return value


def _lacks(field: Json, name: str, value: Json) -> bool:
    return isinstance(field, dict) and "default" in field and name not in value


def _types(schema: Json) -> list[str]:
    types = schema.get("type", []) if isinstance(schema, dict) else []
    return types if isinstance(types, list) else [types]


@lru_cache(maxsize=512)
def _validator(schema: bytes) -> Validator:
    """Compiled once for each text of a schema. Nothing is ever fetched, formats are asserted, no pattern backtracks."""
    import jsonschema_rs  # 40 ms, for a run only

    try:
        return jsonschema_rs.Draft202012Validator(
            decode(schema),
            validate_formats=True,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(),
        )
    except ValueError as error:
        raise UnusableSchema(f"the schema cannot be used: {str(error).partition(chr(10))[0]}") from error


def _told(validator: Validator, schema: Json, value: Json) -> list[str]:
    sentences = dict.fromkeys(
        sentence for error in validator.iter_errors(value) for sentence in _sentences(error, schema)
    )
    told = list(sentences)
    return told if len(told) <= _MOST else [*told[:_MOST], f"and {len(told) - _MOST} more"]


def _sentences(error: ValidationError, schema: Json) -> Iterator[str]:
    kind, place = error.kind, _place(error.instance_path)
    here = _below(schema, error.schema_path[:-1])
    whom = f"`{place}`" if place else "it"
    if kind.name == "required":
        field = [*error.instance_path, kind.value]
        yield f"`{_place(field)}` is missing{_should(_property(here, kind.value))}"
    elif kind.name == "additionalProperties":
        for name in kind.value:
            yield f"`{_place([*error.instance_path, name])}` is not known here{_instead(name, here)}"
    elif kind.name == "uniqueItems":
        yield f"{whom} must not hold an item twice, got {shown(error.instance)}"
    else:
        yield f"{whom} must be {worded(here) or _said(error)}, got {shown(error.instance)}"


def _said(error: ValidationError) -> str:
    return f"as its schema says ({' '.join(error.message.split())})"


def _should(field: Json) -> str:
    words = worded(field)
    return f": it must be {words}" if words else ""


def _property(schema: Json, name: str) -> Json:
    return schema.get("properties", {}).get(name, {}) if isinstance(schema, dict) else {}


def _instead(name: str, schema: Json) -> str:
    known = list(schema.get("properties", {})) if isinstance(schema, dict) else []
    close = nearest(name, known)
    if close:
        return f"; did you mean `{close}`?"
    if not known:
        return "; nothing is taken here"
    return f"; known {'is' if len(known) == 1 else 'are'} {listed([f'`{each}`' for each in known])}"


def _below(schema: Json, path: list[str | int]) -> Json:
    """The part of a schema at a path; an empty one when the path leaves it."""
    part: Json = schema
    for key in path:
        try:
            part = part[key]
        except (KeyError, IndexError, TypeError):
            return {}
    return part


def _place(path: list[str | int]) -> str:
    """`orders[3].amount`"""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{_plain(key)}" for key in path)
    return text.removeprefix(".")


def _plain(key: str) -> str:
    """A key that a model made up may hold anything, line breaks too."""
    return key if key.isprintable() and len(key) <= _LONGEST_KEY else shown(key)
