"""The JSON Schema of the language: equal to the types, valid, and of one mind with them."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.json import Json
from agentctl.spec.document import read_document
from agentctl.spec.schema import SCHEMA_FILE, graph_schema, schema_text
from agentctl.spec.shape import read_spec

CASES = Path(__file__).parent.parent / "cases"
GOOD = sorted([*(CASES / "yaml" / "ok").glob("*.yaml"), *(CASES / "ok").glob("*.yaml")])
DATA = {file.stem: read_document(file).data for file in GOOD}
VALIDATOR = jsonschema.Draft202012Validator(graph_schema())


def test_the_written_schema_is_that_of_the_types() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text()


def test_the_schema_is_one_of_draft_2020_12() -> None:
    jsonschema.Draft202012Validator.check_schema(graph_schema())


@pytest.mark.parametrize("name", DATA)
def test_full_examples_fit_the_schema(name: str) -> None:
    assert list(VALIDATOR.iter_errors(DATA[name])) == []


def every(schema: Json, key: str) -> Iterator[Json]:
    """Every value of a keyword in a schema."""
    if isinstance(schema, dict):
        for word, part in schema.items():
            if word == key:
                yield part
            yield from every(part, key)
    elif isinstance(schema, list):
        for part in schema:
            yield from every(part, key)


def test_there_is_no_one_of() -> None:
    assert list(every(graph_schema(), "oneOf")) == []


def keys_of_the_language() -> Iterator[tuple[str, str, Json]]:
    for name, schema in {"File": graph_schema(), **graph_schema()["$defs"]}.items():
        for key, part in schema.get("properties", {}).items():
            yield name, key, part


def test_every_key_has_a_description_and_an_example_that_fits() -> None:
    for name, key, part in keys_of_the_language():
        assert part.get("description"), f"{name}.{key}"
        assert part.get("examples"), f"{name}.{key}"
        for example in part["examples"]:
            errors = list(
                VALIDATOR.evolve(schema={**part, "$defs": graph_schema()["$defs"]}).iter_errors(example)
            )
            # an inner example may lack what only a whole file has
            assert not errors, f"{name}.{key}: {errors[0].message}"


def test_every_default_that_is_told_fits() -> None:
    told = [(name, key, part) for name, key, part in keys_of_the_language() if "default" in part]
    assert len(told) > 15
    for name, key, part in told:
        fits = VALIDATOR.evolve(schema={**part, "$defs": graph_schema()["$defs"]}).is_valid(part["default"])
        assert fits, f"{name}.{key}"
        assert "Default: `" in part["markdownDescription"], f"{name}.{key}"


def test_names_in_the_schema_are_those_people_use() -> None:
    assert not [name for name in graph_schema()["$defs"] if name.endswith("Spec")]
    references = {ref.removeprefix("#/$defs/") for ref in every(graph_schema(), "$ref")}
    assert references <= set(graph_schema()["$defs"])


def _walk(data: Json, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from _walk(value, (*path, key))


CHANGES = [(name, path) for name, data in DATA.items() for path in _walk(data, ()) if path]
CODES_OF_TYPES = ("S101", "S102", "S104", "S110", "S111", "S112", "X08")
VALUES = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -1,
        2.5,
        "",
        "x",
        "30s",
        "20%",
        "$1",
        "64KB",
        "end",
        "a b",
        [],
        ["x"],
        [1],
        {},
        {"x": "y"},
    ]
)
WORDS = st.sampled_from(
    [
        "agent",
        "tool",
        "then",
        "save",
        "model",
        "when",
        "else",
        "to",
        "timeout",
        "agnet",
        "x-mine",
        "nodes",
        "state",
    ]
)


def changed(data: Json, path: tuple[str | int, ...], how: str, word: str, value: Json) -> Json:
    """The data with one thing put in place of a value, taken out, or put beside it."""
    data = copy.deepcopy(data)
    owner = data
    for key in path[:-1]:
        owner = owner[key]
    if how == "replace":
        owner[path[-1]] = value
    elif how == "remove":
        del owner[path[-1]]
    elif isinstance(owner, dict):
        owner[word] = value
    return data


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(CHANGES), st.sampled_from(["replace", "remove", "add"]), WORDS, VALUES)
def test_the_types_and_the_schema_are_of_one_mind(
    place: tuple[str, tuple[str | int, ...]], how: str, word: str, value: Json
) -> None:
    data = changed(DATA[place[0]], place[1], how, word, value)
    fits = VALIDATOR.is_valid(data)
    spec, faults = read_spec(data, is_part="nodes" not in data)
    in_types = [fault for fault in faults if fault.code in CODES_OF_TYPES]
    if fits:
        # what is written as a type is looked into more closely than the schema does
        assert faults == in_types
        assert faults or (spec is None) == ("nodes" not in data)
    elif data.get("agentctl") == 1:
        assert faults
        assert spec is None
    assert len({(fault.code, fault.keys) for fault in faults}) == len(faults)


def test_one_slip_is_one_finding(tmp_path: Path) -> None:
    """Every key of the full examples, misspelt: one finding, at the key, with the right word."""
    support = (CASES / "ok" / "support.yaml").read_text()
    file = tmp_path / "graph.yaml"
    for key, slip in {
        "instructions": "instrucions",
        "description": "desciption",
        "parameters": "paramters",
        "recursion": "recursoin",
        "on_error": "on_eror",
        "max_visits": "max_vists",
        "nodes": "noodes",
        "agents": "agnets",
        "levels": "levles",
        "variants": "varients",
        "choices": "choises",
        "timeout": "timout",
    }.items():
        file.write_text(support.replace(f"{key}:", f"{slip}:", 1))
        findings = read_document(file).findings
        assert [finding.code for finding in findings] == ["S101"], (slip, findings)
        assert findings[0].hint == f"did you mean `{key}`?"


def test_loading_a_good_file_imports_no_checker_of_schemas() -> None:
    code = f"""
import sys
from pathlib import Path
from agentctl.spec.document import read_document
assert read_document(Path({str(CASES / "ok" / "support.yaml")!r})).spec
print(sorted({{"jsonschema", "jsonschema_rs", "pydantic", "jinja2", "openai"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.replace("'", '"')) == []
