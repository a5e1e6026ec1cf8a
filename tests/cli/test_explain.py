"""`explain` beyond one code, and `schema` of a file and into a file."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from agentctl.check.explain import codes
from agentctl.cli.main import run
from agentctl.spec.document import read_document
from agentctl.spec.schema import graph_schema, schema_text

Captured = pytest.CaptureFixture[str]
CASES = sorted((Path(__file__).parent.parent / "cases" / "ok").glob("*.yaml"))
SUPPORT = next(case for case in CASES if case.stem == "support")


def test_without_a_code_every_code_is_listed_by_family(capsys: Captured) -> None:
    assert run(["explain"]) == 0
    shown = capsys.readouterr().out
    assert sorted(re.findall(r"^  ([A-Z]\d+) ", shown, re.MULTILINE)) == sorted(codes())
    assert shown.startswith("YAML\n")
    assert "\n\nTools and tiers\n" in shown


def test_a_key_is_explained_with_its_default_and_an_example(capsys: Captured) -> None:
    assert run(["explain", "limits.recursion"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("limits.recursion: Node runs in one turn.\n")
    assert "\ndefault   25\n" in shown
    assert run(["explain", "tools.find_customer.effect"]) == 0
    assert "\ntakes     pure, read or write\n" in capsys.readouterr().out


def test_a_key_that_is_not_there_is_refused_with_the_nearest(capsys: Captured) -> None:
    assert run(["explain", "limits.recursoin"]) == 2
    assert "did you mean `limits.recursion`?" in capsys.readouterr().err


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_the_schema_of_a_file_is_one_and_the_file_fits_it(file: Path, capsys: Captured) -> None:
    assert run(["schema", str(file)]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(read_document(file).data)) == []


@pytest.mark.parametrize(
    ("keys", "wrong"),
    [
        (("nodes", "sort", "then"), "nowhere"),
        (("nodes", "sort", "agent"), "nobody"),
        (("nodes", "sort", "save"), ["desk", "nothing"]),
        (("start",), "nowhere"),
        (("output",), ["nothing"]),
    ],
)
def test_the_schema_of_a_file_knows_its_names(keys: tuple[str, ...], wrong: object, capsys: Captured) -> None:
    assert run(["schema", str(SUPPORT)]) == 0
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    data = owner = read_document(SUPPORT).data
    for key in keys[:-1]:
        owner = owner[key]
    owner[keys[-1]] = wrong
    assert jsonschema.Draft202012Validator(graph_schema()).is_valid(data)
    assert not validator.is_valid(data)


def test_a_nested_graph_has_names_of_its_own(tmp_path: Path, capsys: Captured) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text(
        "agentctl: 1\nname: outer\nstate: {title: string}\nstart: ask_inner\n"
        "nodes:\n  ask_inner: {graph: inner, then: end}\n"
        "graphs:\n  inner:\n    state: {text: string}\n    output: [text]\n    start: note\n"
        "    nodes:\n      note: {set: {text: hello}, then: end}\n"
    )
    assert run(["schema", str(file)]) == 0
    validator = jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out))
    good = read_document(file).data
    assert validator.is_valid(good)
    for key, outer in (("start", "ask_inner"), ("output", ["title"])):
        wrong = {**good, "graphs": {"inner": {**good["graphs"]["inner"], key: outer}}}
        assert not validator.is_valid(wrong), key


def test_a_part_may_name_what_other_files_have(tmp_path: Path, capsys: Captured) -> None:
    part = tmp_path / "part.yaml"
    part.write_text(
        "agentctl: 1\nagents:\n  guide: {instructions: Hi., tools: [elsewhere]}\ntools:\n  here: {python: t:f}\n"
    )
    assert run(["schema", str(part)]) == 0
    assert jsonschema.Draft202012Validator(json.loads(capsys.readouterr().out)).is_valid(
        read_document(part).data
    )


def test_the_schema_is_written_whole_or_not_at_all(tmp_path: Path, capsys: Captured) -> None:
    output = tmp_path / "graph.v1.json"
    assert run(["schema", "--output", str(output)]) == 0
    assert output.read_text() == schema_text()
    (tmp_path / "broken.yaml").write_text("a: [")
    assert run(["schema", str(tmp_path / "broken.yaml"), "-o", str(output)]) == 2
    assert "agentctl validate" in capsys.readouterr().err
    assert run(["schema", "--output", str(tmp_path / "no" / "such.json")]) == 2
    assert "such.json` cannot be written: no such file or directory" in capsys.readouterr().err
    assert output.read_text() == schema_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["broken.yaml", "graph.v1.json"]


@pytest.mark.parametrize("template", ["hello", "support"])
def test_a_new_project_has_the_schema_that_its_first_line_names(template: str, tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    assert run(["init", str(tmp_path), "--from", template, "--quiet"]) == 0
    first = (tmp_path / "graph.yaml").read_text().splitlines()[0]
    named = first.partition("# yaml-language-server: $schema=")[2]
    assert (tmp_path / named).read_text() == schema_text()


def test_a_name_alone_is_every_key_of_that_name(capsys: Captured) -> None:
    assert run(["explain", "max_calls"]) == 0
    shown = capsys.readouterr().out
    assert re.findall(r"^(\S+): ", shown, re.MULTILINE) == [
        "tools.NAME.max_calls",
        "tiers.levels.NAME.max_calls",
    ]


def test_what_a_key_takes_is_explained_too(capsys: Captured) -> None:
    assert run(["explain", "nodes"]) == 0
    assert "\nsee       `agentctl explain Node`\n" in capsys.readouterr().out
    assert run(["explain", "Node"]) == 0
    shown = capsys.readouterr().out
    assert "\nat  nodes.NAME\n" in shown
    assert re.search(r"\n  save +Where the result goes", shown)
    assert run(["explain", "Duration"]) == 0
    assert "\nexample   1h30m\n" in capsys.readouterr().out
