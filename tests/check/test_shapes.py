"""Types against types: what surely fits, what may not, and in which words."""

from __future__ import annotations

import pytest

from agentctl.check.shapes import closed_values, described, misfit, picked, type_names
from agentctl.json import Json
from agentctl.spec.types import to_schema

FITS: list[tuple[Json, Json]] = [
    ("string", "string"),
    ("integer", "number"),
    ({}, "string"),
    ("string", {}),
    ({"enum": ["a"]}, {"enum": ["a", "b"]}),
    ({"const": 3}, "number"),
    ({"const": "a"}, {"type": "string", "minLength": 5}),
    ("array", {"type": "array", "items": "string"}),
    ({"type": "array", "maxItems": 0}, {"type": "array", "items": "string"}),
    ("object", {"name": "string"}),
    ({"name": "string"}, "object"),
    ({"name": "string"}, {"name": "string", "age": "number?"}),
    ({"anyOf": ["string", "null"]}, {"type": ["string", "null"]}),
    ("boolean", {"enum": [True, False]}),
]
MISFITS: list[tuple[Json, Json, str, str, str]] = [
    ("string", "number", "", "`string`", "`number`"),
    ("number", "integer", "", "`number`", "`integer`"),
    ("string", {"enum": ["a", "b"]}, "", "`string`", "one of `a`, `b`"),
    ({"enum": ["a", "c"]}, {"enum": ["a", "b"]}, "", "`c`", "one of `a`, `b`"),
    ({"const": 1}, "string", "", "`1`", "`string`"),
    (
        {"type": "array", "items": "string"},
        {"type": "array", "items": "number"},
        "[]",
        "`string`",
        "`number`",
    ),
    ({"anyOf": ["string", "null"]}, "string", "", "`null`", "`string`"),
    ({"a": {"b": "string"}}, {"a": {"b": "number"}}, ".a.b", "`string`", "`number`"),
    ({"a": "string"}, {"a": "string", "b": "string"}, "", "an object without `b`", "an object with `b`"),
    ({"a": "string", "c": "string"}, {"a": "string"}, "", "an object with `c`", "an object without it"),
    ("boolean", {"enum": [True]}, "", "`false`", "`true`"),
]


def _schema(type: Json) -> Json:
    return to_schema(type) if type != {} else {}


@pytest.mark.parametrize(("written", "wanted"), FITS)
def test_what_fits_or_is_not_known_is_let_through(written: Json, wanted: Json) -> None:
    assert misfit(_schema(written), _schema(wanted)) is None


@pytest.mark.parametrize(("written", "wanted", "where", "have", "want"), MISFITS)
def test_what_may_not_fit_is_said_at_its_place(
    written: Json, wanted: Json, where: str, have: str, want: str
) -> None:
    found = misfit(_schema(written), _schema(wanted))
    assert found is not None
    assert (found.where, found.have, found.want) == (where, have, want)


def test_true_and_one_are_two_values() -> None:
    assert closed_values({"enum": [True, 1, "1"]}) == (True, 1, "1")
    assert misfit({"const": True}, {"enum": [1]}) is not None


def test_the_values_of_open_types_cannot_be_listed() -> None:
    assert closed_values({"type": "string"}) is None
    assert closed_values({}) is None
    assert closed_values({"anyOf": [{"type": "boolean"}, {"type": "null"}]}) == (True, False, None)


def test_a_key_is_there_not_there_or_not_known() -> None:
    closed = to_schema({"a": "string"})
    assert picked(closed, "a") == {"type": "string"}
    assert picked(closed, "b") is None
    assert picked({"type": "string"}, "b") is None
    assert picked({"type": "object"}, "b") == {}
    assert picked({}, "b") == {}


def test_types_have_names() -> None:
    assert described({"type": ["string", "null"]}) == "`string` or `null`"
    assert described({}) == "anything"
    assert type_names({"enum": ["a", 1]}) == {"string", "integer"}
    assert described({"enum": list("abcdefgh")}) == "one of `a`, `b`, `c`, `d`, `e`, `f`, …"
