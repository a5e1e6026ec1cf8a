"""What is given on the command line, typed by its field."""

from __future__ import annotations

from typing import Any

import pytest

from agentctl.cli.inputs import is_text, limits, pairs, typed
from agentctl.errors import UsageError


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("42", {"type": "string"}, "42"),
        ("true", {"type": "string"}, "true"),
        ("42", {"type": "integer"}, 42),
        ("0.5", {"type": "number"}, 0.5),
        ("true", {"type": "boolean"}, True),
        ('["a"]', {"type": "array", "items": {"type": "string"}}, ["a"]),
        ('{"a": 1}', {"type": "object"}, {"a": 1}),
        ("pro", {"enum": ["free", "pro"]}, "pro"),
        ("2", {"enum": [1, 2]}, 2),
        ("2", {"enum": ["1", "2"]}, "2"),
        ("null", {"type": ["string", "null"]}, None),
        ("Ada", {"type": ["string", "null"]}, "Ada"),
        ("3", {"anyOf": [{"type": "string"}, {"type": "integer"}]}, 3),
        ("x", {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "x"),
        ("Ada", {}, "Ada"),
        ("[1]", {}, [1]),
        ("", {"type": "string"}, ""),
        ("a=b=c", {"type": "string"}, "a=b=c"),
    ],
)
def test_a_text_becomes_what_its_field_holds(text: str, schema: Any, value: Any) -> None:
    assert typed("f", text, schema) == value


@pytest.mark.parametrize(
    ("text", "schema", "says", "hint"),
    [
        ("many", {"type": "integer"}, "`n=many`: n is an integer", "-i 'n=3'"),
        ("yes", {"type": "boolean"}, "`n=yes`: n is a boolean", "-i 'n=true'"),
        ("a, b", {"type": "array"}, "`n=a, b`: n is an array", """-i 'n=["a", "b"]'"""),
    ],
)
def test_a_text_that_cannot_be_is_refused_with_an_example(
    text: str, schema: Any, says: str, hint: str
) -> None:
    with pytest.raises(UsageError) as refused:
        typed("n", text, schema)
    assert refused.value.message == says
    assert refused.value.hint is not None
    assert hint in refused.value.hint


def test_pairs_are_split_at_the_first_equals_sign() -> None:
    assert pairs(["a=1", "b=x=y", "c="], "-i") == {"a": "1", "b": "x=y", "c": ""}


@pytest.mark.parametrize("given", [["a"], ["=1"], ["a=1", "a=2"]])
def test_what_is_no_pair_or_comes_twice_is_refused(given: list[str]) -> None:
    with pytest.raises(UsageError, match="-i"):
        pairs(given, "-i")


def test_limits_are_numbers_or_words_with_units() -> None:
    given = ["recursion=5", "cost=0.05", "time=30s", "state_size=64KB"]
    assert limits(given) == {"recursion": 5, "cost": 0.05, "time": "30s", "state_size": "64KB"}


def test_only_plain_text_is_what_a_person_could_type_in_a_chat() -> None:
    assert is_text({"type": "string"})
    assert not is_text({"enum": ["a"]})
    assert not is_text({"type": "string", "format": "email"})
    assert not is_text({"type": "integer"})
