"""Values against their schema, and what is said of them."""

from __future__ import annotations

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentctl.json import Json
from agentctl.spec.fits import UnusableSchema, check_schema, completed, first_problem, problems

REFUND: Json = {
    "type": "object",
    "properties": {
        "email": {"type": "string", "format": "email"},
        "amount": {"type": "number", "exclusiveMinimum": 0, "maximum": 500},
        "kind": {"enum": ["card", "bank"]},
        "lines": {
            "type": "array",
            "maxItems": 2,
            "items": {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]},
        },
        "note": {"type": ["string", "null"], "minLength": 2},
    },
    "required": ["email", "amount"],
    "additionalProperties": False,
}
GOOD = {"email": "ada@example.org", "amount": 12}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"amount": 900}, "`amount` must be a number over 0 and at most 500, got 900"),
        ({"amount": "9"}, '`amount` must be a number over 0 and at most 500, got "9"'),
        ({"email": "ada"}, '`email` must be an e-mail address, got "ada"'),
        ({"emial": 1}, "`emial` is not known here; did you mean `email`?"),
        ({"x": 1}, "`x` is not known here; known are `email`, `amount`, `kind`, `lines` and `note`"),
        ({"kind": "cash"}, '`kind` must be one of "card", "bank", got "cash"'),
        ({"lines": [{"id": 1}, {"id": "2"}]}, '`lines[1].id` must be a whole number, got "2"'),
        ({"lines": [{}]}, "`lines[0].id` is missing: it must be a whole number"),
        ({"lines": [{"id": 1}] * 3}, "`lines` must be an array of items that are each an object"),
        ({"note": "x"}, '`note` must be a text or null of at least 2 characters, got "x"'),
    ],
)
def test_what_is_wrong_is_one_sentence_that_says_what_would_be_right(changed: Json, sentence: str) -> None:
    found = problems(REFUND)(GOOD | changed)
    assert len(found) == 1
    assert found[0].startswith(sentence)


def test_a_missing_argument_says_what_it_must_be() -> None:
    assert problems(REFUND)({"email": "ada@example.org"}) == [
        "`amount` is missing: it must be a number over 0 and at most 500"
    ]


def test_what_fits_says_nothing_and_what_is_no_object_is_said() -> None:
    assert problems(REFUND)(GOOD) == []
    assert first_problem(REFUND)(GOOD) is None
    assert first_problem(REFUND)('{"email":') == 'it must be an object, got "{\\"email\\":"'


def test_references_inside_the_schema_are_described() -> None:
    schema = {
        "$defs": {"n": {"type": "integer", "minimum": 1}},
        "properties": {
            "a": {"$ref": "#/$defs/n"},
            "b": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/n"}]},
        },
    }
    assert problems(schema)({"a": 0}) == ["`a` must be a whole number at least 1, got 0"]
    assert problems(schema)({"b": 0})[0].startswith("`b` must be as its schema says (0 is not valid")


def test_many_mistakes_are_cut_short() -> None:
    found = problems({"additionalProperties": {"type": "string"}})({f"k{n}": n for n in range(100)})
    assert len(found) == 6
    assert found[-1] == "and 95 more"


def test_a_long_value_is_cut() -> None:
    assert len(problems({"type": "integer"})("x" * 10_000)[0]) < 150


@pytest.mark.parametrize("address", ["file:///etc/hostname", "#/nowhere", "other.json"])
def test_references_that_leave_the_schema_are_refused(address: str) -> None:
    with pytest.raises(UnusableSchema, match="the schema cannot be used"):
        check_schema({"$ref": address})


def test_nothing_is_ever_fetched() -> None:
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"type": "string"}')

    with HTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(UnusableSchema, match="the schema cannot be used"):
            check_schema({"$ref": f"http://127.0.0.1:{server.server_port}/schema.json"})
        server.shutdown()
    assert asked == []


def test_a_pattern_that_could_backtrack_for_ever_does_not() -> None:
    assert problems({"pattern": "^(a+)+$"})("a" * 50_000 + "b") != []
    with pytest.raises(UnusableSchema):
        check_schema({"pattern": "(?=a)b"})


@pytest.mark.parametrize(("format", "bad"), [("uri", "x y"), ("date", "2026-02-30"), ("ipv4", "1.2.3.400")])
def test_formats_are_asserted(format: str, bad: str) -> None:
    assert problems({"type": "string", "format": format})(bad) != []


def test_defaults_are_filled_in_and_whole_numbers_are_whole() -> None:
    schema = {
        "properties": {
            "top": {"type": "integer", "default": 5},
            "ids": {"items": {"type": ["integer", "null"]}},
            "x": {"type": "number"},
            "where": {"properties": {"deep": {"default": True}}},
        }
    }
    given = {"ids": [1.0, None], "x": 2.0, "where": {}}
    whole = completed(schema, given)
    assert whole == {"ids": [1, None], "x": 2.0, "where": {"deep": True}, "top": 5}
    assert type(whole["ids"][0]) is int
    assert type(whole["x"]) is float
    assert given == {"ids": [1.0, None], "x": 2.0, "where": {}}


ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


@settings(max_examples=200, deadline=None)
@given(value=ANY)
@example(value={"\n": None})
@example(value={"x" * 5000: None})
def test_any_value_that_does_not_fit_has_a_sentence(value: Json) -> None:
    found = problems(REFUND)(value)
    assert found
    assert all("\n" not in sentence and len(sentence) < 1000 for sentence in found)


def test_no_schema_library_is_imported_before_a_value_is_checked() -> None:
    code = (
        "import sys; from agentctl.spec.fits import problems; check = problems({'type': 'string'});"
        "assert 'jsonschema_rs' not in sys.modules and 'jsonschema' not in sys.modules; check(1);"
        "assert 'jsonschema_rs' in sys.modules and 'jsonschema' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
