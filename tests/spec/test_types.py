"""Types in their short form, as JSON Schema."""

from __future__ import annotations

import pytest

from agentctl.json import Json
from agentctl.spec.types import FieldType, fields_schema, messages_schema, state_field, to_schema


@pytest.mark.parametrize(
    ("type", "schema"),
    [
        ("string", {"type": "string"}),
        ("number?", {"type": ["number", "null"]}),
        ("messages", messages_schema()),
        ({"type": "messages", "keep": 4}, messages_schema()),
        ({"enum": ["a", "b"]}, {"enum": ["a", "b"]}),
        ({"const": 1}, {"const": 1}),
        ({"type": "array", "items": "string"}, {"type": "array", "items": {"type": "string"}}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"anyOf": ["string", {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (
            {"type": "object", "properties": {"a": "string?"}, "additionalProperties": "number"},
            {
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "additionalProperties": {"type": "number"},
            },
        ),
    ],
)
def test_a_type_is_a_schema(type: Json, schema: Json) -> None:
    assert to_schema(type) == schema


def test_any_other_mapping_is_a_closed_object_of_its_fields() -> None:
    assert to_schema({"street": "string", "zip": "integer?", "land": {"enum": ["it"], "default": "it"}}) == {
        "type": "object",
        "properties": {
            "street": {"type": "string"},
            "zip": {"type": "integer"},
            "land": {"enum": ["it"], "default": "it"},
        },
        "required": ["street"],
        "additionalProperties": False,
    }


def test_fields_may_be_called_as_the_words_of_json_schema_are() -> None:
    schema = fields_schema({"type": "string", "items": "array", "default": "number"})
    assert schema["properties"] == {
        "type": {"type": "string"},
        "items": {"type": "array"},
        "default": {"type": "number"},
    }
    assert schema["required"] == ["type", "items", "default"]


def test_fields_may_be_a_whole_json_schema_of_an_object() -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}
    assert fields_schema(schema) == {**schema, "additionalProperties": False}


@pytest.mark.parametrize(
    "type", ["strng", 3, None, ["string"], {"a": "text"}, {"type": "array", "items": "x"}]
)
def test_what_is_no_type_is_refused(type: Json) -> None:
    with pytest.raises(ValueError, match="is no type"):
        to_schema(type)


def test_a_state_field_is_kept_as_it_says() -> None:
    kept = state_field({"type": "array", "items": "string", "reduce": "append", "keep": 3, "first": 2})
    assert kept == FieldType(
        schema={"type": "array", "items": {"type": "string"}},
        default=[],
        has_default=True,
        reduce="append",
        keep=3,
        first=2,
        is_messages=False,
    )


@pytest.mark.parametrize(
    ("type", "has_default", "default"),
    [
        ("string", False, None),
        ("string?", True, None),
        ("messages", True, []),
        ({"type": "number", "default": 0}, True, 0),
        ({"type": "string", "default": None}, True, None),
        ({"type": "number", "reduce": "sum"}, True, 0),
        ({"type": "number", "reduce": "max"}, False, None),
        ({"type": "object", "reduce": "merge"}, True, {}),
        ({"default": "string"}, False, None),
    ],
)
def test_a_state_field_begins_with_its_default_or_its_reducers_identity(
    type: Json, has_default: bool, default: Json
) -> None:
    kept = state_field(type)
    assert (kept.has_default, kept.default) == (has_default, default)


def test_identities_are_not_shared() -> None:
    first = state_field({"type": "array", "reduce": "append"})
    first.default.append(1)
    assert state_field({"type": "array", "reduce": "append"}).default == []
