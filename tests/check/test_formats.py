"""Reports for programs: each is a whole document of its format, checked against the schema it is published with."""

from __future__ import annotations

import json
import re
import time
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema
from jsonschema import Draft4Validator, FormatChecker

from agentctl.check.check import check_file
from agentctl.check.reports import report
from agentctl.check.reports.result import Result, Unread
from agentctl.json import Json
from agentctl.spec.finding import Finding, Fix, Span

SCHEMAS = Path(__file__).parent.parent / "schemas"
CASES = Path(__file__).parent.parent / "cases" / "check" / "err"
KEY = "sk-proj-abcdefghijklmnop1234"
HOSTILE = "a\x00b\x1b]0;t\x07\x9b2J\ud800\ufffe %0A::error::]]><&\"'\r\nnext: one, two"
MACHINE = ("json", "sarif", "junit")
ALL = ("text", "concise", "jsonl", "github", *MACHINE)


START = Span(1, 1, 1, 2)


def finding(file: Path, span: Span = START, message: str = "wrong", **more: object) -> Finding:
    return Finding("G203", "error", message, file, span, **more)  # type: ignore[arg-type]


def of_cases(*names: str) -> Result:
    files = [file for name in names for file in sorted(CASES.glob(f"{name}.yaml"))]
    assert files
    return Result([found for file in files for found in check_file(file)], files, base=CASES.parent)


@cache
def sarif_validator() -> Draft4Validator:
    schema = json.loads((SCHEMAS / "sarif-2.1.0.json").read_text())
    return Draft4Validator(schema, format_checker=FormatChecker())


def sarif(result: Result) -> Json:
    """The run of a log that is valid."""
    log = json.loads(report(result, "sarif"))
    assert [f"{list(error.path)}: {error.message}" for error in sarif_validator().iter_errors(log)] == []
    assert len(log["runs"]) == 1
    return log["runs"][0]


def junit(result: Result) -> ElementTree.Element:
    """The suites of a document that is valid."""
    text = report(result, "junit")
    xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd").validate(text)
    return ElementTree.fromstring(text.encode())


def shown(result: Result, format: str) -> str:
    return report(result, format)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    file = tmp_path / "graph.yaml"
    file.write_text("agentctl: 1\nname: x\nstart: a\nnodes:\n  a: {ask: Who, then: en}\n")
    return file


# the whole of it


@pytest.mark.parametrize("format", ["text", "concise", "jsonl", "github"])
def test_formats_of_lines_say_nothing_when_there_is_nothing(format: str) -> None:
    assert shown(Result(()), format) == ""


def test_documents_are_whole_when_nothing_was_found(graph: Path) -> None:
    quiet = Result((), [graph], base=graph.parent)
    assert json.loads(shown(quiet, "json"))["valid"] is True
    assert sarif(quiet)["results"] == []
    assert sarif(quiet)["invocations"] == [{"executionSuccessful": True}]
    (suite,) = junit(quiet)
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == ("graph.yaml", "1", "0")
    (case,) = suite
    assert len(case) == 0


def test_documents_say_what_could_not_be_read(tmp_path: Path) -> None:
    result = Result(
        (), unread=[Unread(tmp_path / "gone.yaml", "there is no file `gone.yaml`")], base=tmp_path
    )
    document = json.loads(shown(result, "json"))
    assert document["valid"] is False
    assert document["unread"][0]["file"] == "gone.yaml"
    (invocation,) = sarif(result)["invocations"]
    assert invocation["executionSuccessful"] is False
    assert "gone.yaml" in invocation["toolExecutionNotifications"][0]["message"]["text"]
    suites = junit(result)
    assert (suites.get("errors"), suites.get("tests")) == ("1", "1")
    assert json.loads(shown(result, "jsonl"))["code"] is None
    assert shown(result, "github") == "::error file=gone.yaml,title=agentctl::there is no file `gone.yaml`\n"


def test_every_case_there_is_makes_valid_documents() -> None:
    result = of_cases("*_*")
    assert len(result.findings) > 100
    assert len(sarif(result)["results"]) == len(result.findings)
    failures = junit(result).iter("failure")
    assert len(list(failures)) == result.count("error") + result.count("warning")
    assert shown(result, "jsonl").count("\n") == len(result.findings)
    assert shown(result, "github").count("\n") == len(result.findings)
    assert shown(result, "concise").count("\n") == len(result.findings)


@pytest.mark.parametrize("format", ALL)
def test_no_format_holds_a_secret_or_what_a_terminal_would_obey(format: str, tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text(f"agentctl: 1\nname: x\nstart: {KEY}\nnodes: {{a: {{ask: Who, then: end}}}}\n")
    hostile = finding(
        file, Span(3, 8, 3, 8 + len(KEY)), HOSTILE, hint=f"{HOSTILE} {KEY}", path=f"{HOSTILE} {KEY}"
    )
    mend = finding(file, message=KEY, fix=Fix(Span(1, 1, 1, 2), f'"{KEY}"'))
    unread = Unread(tmp_path / "b\x1b.yaml", f"{HOSTILE} {KEY}", HOSTILE)
    text = shown(Result([*check_file(file), hostile, mend], [file], [unread], base=tmp_path), format)
    assert KEY not in text
    assert KEY[8:] not in text
    assert re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe]", text) is None
    text.encode()


def test_documents_of_hostile_texts_are_valid(tmp_path: Path) -> None:
    file = tmp_path / "a b%ü:#?.yaml"
    result = Result([finding(file, message=HOSTILE, hint=HOSTILE, path=HOSTILE)], [file], base=tmp_path)
    assert sarif(result)["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"] == {
        "uri": "a%20b%25%C3%BC%3A%23%3F.yaml",
        "uriBaseId": "%SRCROOT%",
    }
    assert junit(result)[0].get("name") == "a b%ü:#?.yaml"


@pytest.mark.parametrize("format", ALL)
def test_thousands_of_findings_on_one_long_line_take_no_more_than_a_moment(
    format: str, tmp_path: Path
) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text("x: [" + ", ".join(f"part{n}.yaml" for n in range(60_000)) + "]\n")
    findings = [finding(file, Span(1, 5 + n, 1, 9 + n), f"wrong {n}") for n in range(3000)]
    began = time.process_time()
    shown(Result(findings, [file], base=tmp_path), format)
    assert time.process_time() - began < 2


# lines


def test_concise_is_a_line_that_tools_can_read(graph: Path) -> None:
    text = shown(Result(check_file(graph), base=graph.parent), "concise")
    assert (
        text
        == "graph.yaml:5:23: error[G203] `then: en` leads nowhere: the graph has no such node or router\n"
    )


def test_json_lines_are_the_findings_of_the_json_report() -> None:
    result = of_cases("R306_*", "E41*")
    lines = [json.loads(line) for line in shown(result, "jsonl").splitlines()]
    assert lines == json.loads(shown(result, "json"))["findings"]


def test_a_workflow_command_has_its_place_and_its_message(graph: Path) -> None:
    text = shown(Result(check_file(graph), base=graph.parent), "github")
    assert text == (
        "::error file=graph.yaml,line=5,col=23,endLine=5,endColumn=25,title=agentctl G203::"
        "graph.yaml:5:23: G203 `then: en` leads nowhere: the graph has no such node or router%0Ahint: did you mean `end`?\n"
    )


def test_a_workflow_command_cannot_be_broken_out_of(tmp_path: Path) -> None:
    file = tmp_path / "a,b:c%.yaml"
    text = shown(Result([finding(file, message="50% of\r\n::error::x")], base=tmp_path), "github")
    (line,) = text.splitlines()
    assert line.startswith("::error file=a%2Cb%3Ac%25.yaml,line=1,")
    assert "50%25 of" in line


def test_a_workflow_command_for_several_lines_has_no_columns(tmp_path: Path) -> None:
    text = shown(Result([finding(tmp_path / "g.yaml", Span(2, 3, 4, 5))], base=tmp_path), "github")
    assert text.startswith("::error file=g.yaml,line=2,endLine=4,title=agentctl G203::")


@pytest.mark.parametrize(
    ("severity", "command", "level"), [("warning", "warning", "warning"), ("information", "notice", "note")]
)
def test_what_is_no_error_is_none_in_any_format(
    severity: str, command: str, level: str, tmp_path: Path
) -> None:
    found = Finding("R311", severity, "idle", tmp_path / "g.yaml", Span(1, 1, 1, 2))  # type: ignore[arg-type]
    result = Result([found], base=tmp_path)
    assert shown(result, "github").startswith(f"::{command} ")
    assert sarif(result)["results"][0]["level"] == level
    assert json.loads(shown(result, "json"))["valid"] is True
    assert len(list(junit(result).iter("failure"))) == (severity == "warning")


# sarif


def test_a_rule_of_sarif_brings_its_page() -> None:
    run = sarif(of_cases("R306_*", "X02_*"))
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == sorted({result["ruleId"] for result in run["results"]})
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    rule = rules[0]
    assert rule["shortDescription"]["text"] == "a value the field cannot have"
    assert "```yaml\nagentctl: 1\n" in rule["help"]["markdown"]
    assert rule["defaultConfiguration"] == {"level": "error"}
    assert rules[1]["properties"]["tags"] == ["security"]


def test_columns_of_sarif_count_characters_and_its_snippet_is_the_word(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_bytes(
        "\ufeffagentctl: 1\r\nname: x\r\nstart: a\r\nnodes: {a: {ask: 😀 日本, then: en}}\r\n".encode()
    )
    run = sarif(Result(check_file(file), base=tmp_path))
    assert run["columnKind"] == "unicodeCodePoints"
    region = run["results"][0]["locations"][0]["physicalLocation"]["region"]
    line = "nodes: {a: {ask: 😀 日本, then: en}}"
    assert region["snippet"]["text"] == "en"
    assert (region["startLine"], line[region["startColumn"] - 1 : region["endColumn"] - 1]) == (4, "en")


def test_a_mend_of_sarif_says_what_to_replace() -> None:
    (result,) = sarif(of_cases("E411_an_unknown_name"))["results"]
    (change,) = result["fixes"][0]["artifactChanges"]
    assert change["artifactLocation"]["uri"] == "err/E411_an_unknown_name.yaml"
    (replacement,) = change["replacements"]
    assert replacement["insertedContent"] == {"text": "state.name"}
    assert replacement["deletedRegion"] == {"startLine": 7, "startColumn": 29, "endLine": 7, "endColumn": 33}


def test_a_file_outside_the_working_directory_has_an_absolute_uri(tmp_path: Path) -> None:
    result = Result([finding(tmp_path / "ü.yaml")], base=tmp_path / "below")
    place = sarif(result)["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": f"file://{tmp_path}/%C3%BC.yaml"}


def prints(file: Path) -> list[str]:
    results = sarif(Result(check_file(file), base=file.parent))["results"]
    return [result["partialFingerprints"]["agentctlFinding/v1"] for result in results]


def test_fingerprints_stay_when_lines_move_and_differ_from_each_other(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    text = (
        "agentctl: 1\nname: x\nstate: {desk: {enum: [a, b]}}\nstart: ask\n"
        "nodes:\n  ask: {ask: Which, choices: [a, b], save: desk, then: by}\n"
        "  again: {ask: Which, choices: [a, b], save: desk, then: nowhere}\n"
        "  once: {ask: Which, choices: [a, b], save: desk, then: nowhere}\n"
        'routers:\n  by:\n    - {when: state.desk == "c", to: end}\n    - {when: state.desk == "c", to: end}\n    - {else: again}\n'
    )
    file.write_text(text)
    before = prints(file)
    assert len(before) == len(set(before)) > 3
    file.write_text(
        "# a comment\n\n"
        + text.replace("nodes:\n", "nodes:\n\n  # another\n  last: {ask: Last, then: end}\n")
    )
    assert set(before) <= set(prints(file))
