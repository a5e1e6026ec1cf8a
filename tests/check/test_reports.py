"""Reports: text with a frame, JSON in its fixed shape, and no secret in either."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from agentctl.check.check import check_file
from agentctl.check.reports.json import document
from agentctl.check.reports.masking import masked
from agentctl.check.reports.result import Result
from agentctl.check.reports.text import as_text, summary
from agentctl.spec.finding import Finding, Fix, Span

BROKEN = """\
agentctl: 1
name: hello
state: {name: string}
start: greet
nodes:
  greet:
    ask: |
      Dear guest,
      are you ${{ state.nmae }}?
    then: end
"""


def _finding(file: Path, span: Span, **more: object) -> Finding:
    return Finding("G203", "error", "wrong", file, span, **more)  # type: ignore[arg-type]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    file = tmp_path / "graph.yaml"
    file.write_text(BROKEN)
    return file


def test_text_shows_the_line_and_underlines_the_very_word(broken: Path) -> None:
    text = as_text(Result(check_file(broken), base=broken.parent))
    head, line, carets, hint, *_ = text.splitlines()
    assert head.startswith("graph.yaml:9:")
    assert "error[E410]" in head
    assert line == "  9 |       are you ${{ state.nmae }}?"
    start = carets.index("^")
    assert line[start : start + carets.count("^")].endswith("nmae")
    assert hint.endswith("hint: did you mean `name`?")


def test_text_ends_with_a_line_that_counts(broken: Path) -> None:
    findings = Result(check_file(broken))
    assert as_text(findings).splitlines()[-1] == summary(findings) == "1 error in 1 file"


def test_nothing_found_prints_nothing() -> None:
    assert as_text(Result(())) == ""


def test_color_is_plain_ansi_and_only_when_asked_for(broken: Path) -> None:
    findings = Result(check_file(broken))
    colored, plain = as_text(findings, color=True), as_text(findings, color=False)
    assert "\x1b[1;31m" in colored
    assert "\x1b" not in plain


def test_wide_characters_and_tabs_keep_the_caret_under_the_word(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text("日本: x\n\ta: b\n")
    _, line, carets, *_ = as_text(Result([_finding(file, Span(1, 5, 1, 6))])).splitlines()
    assert line.endswith("日本: x")
    assert carets == "    |       ^"
    _, line, carets, *_ = as_text(Result([_finding(file, Span(2, 5, 2, 6))])).splitlines()
    assert line == "  2 | \ta: b"
    assert carets == "    | \t   ^"


def test_a_span_of_many_lines_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text("a: |\n" + "  line\n" * 50)
    text = as_text(Result([_finding(file, Span(1, 4, 51, 1))]))
    assert text.count("  line\n") == 3
    assert "…" in text


def test_a_very_long_line_is_cut_around_the_word(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text("x" * 5000 + "WORD" + "y" * 5000)
    _, line, carets, *_ = as_text(Result([_finding(file, Span(1, 5001, 1, 5005))])).splitlines()
    start = carets.index("^")
    assert line[start : start + 4] == "WORD"
    assert len(line) < 200


def test_control_characters_of_a_file_do_not_reach_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text("a: \x1b[2Jb\n")
    assert "\x1b" not in as_text(Result([_finding(file, Span(1, 1, 1, 2))]))


def test_a_finding_whose_file_is_not_on_the_disk_stands_without_its_lines(tmp_path: Path) -> None:
    text = as_text(Result([_finding(tmp_path / "gone.yaml", Span(3, 1, 3, 2))], base=tmp_path))
    assert text == "gone.yaml:3:1: error[G203] wrong\n\n1 error in 1 file\n"


def test_json_has_its_fixed_shape(broken: Path) -> None:
    report = document(Result(check_file(broken), base=broken.parent))
    (finding,) = report.pop("findings")
    assert report == {"v": 1, "valid": False, "errors": 1, "warnings": 0, "unread": []}
    assert list(finding) == ["code", "severity", "message", "hint", "file", "start", "end", "path", "fix"]
    assert (finding["code"], finding["severity"], finding["file"]) == ("E410", "error", "graph.yaml")
    assert finding["start"]["line"] == 9
    assert finding["end"]["column"] > finding["start"]["column"]
    assert finding["path"] == "nodes.greet.ask"
    assert finding["fix"] is None


def test_json_of_nothing_is_valid_and_a_fix_is_spelled_out(tmp_path: Path) -> None:
    assert document(Result(())) == {
        "v": 1,
        "valid": True,
        "errors": 0,
        "warnings": 0,
        "findings": [],
        "unread": [],
    }
    span = Span(1, 1, 1, 4)
    (finding,) = document(Result([_finding(tmp_path / "x.yaml", span, fix=Fix(span, "then"))]))["findings"]
    places = {"start": {"line": 1, "column": 1}, "end": {"line": 1, "column": 4}}
    assert finding["fix"] == {**places, "text": "then"}


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdefghijklmnop1234",
        "ghp_abcdefghijklmnopqrst1234",
        "AKIAABCDEFGHIJKLMNOP",
        "xoxb-1234567890-abcdef",
        "api_key: hunter2hunter2",
        "Authorization: Bearer abc123def456",
        "https://ann:pa55word@example.org",
    ],
)
def test_what_looks_like_a_secret_is_starred_out_and_nothing_moves(secret: str) -> None:
    shown = masked(f"model: {secret} # x")
    assert "***" in shown
    assert secret not in shown
    assert len(shown) == len(f"model: {secret} # x")


@pytest.mark.parametrize(
    "text",
    [
        "api_key: ${{ env.OPENAI_API_KEY }}",
        "api_key: none",
        "tokens: 20000",
        "max_output_tokens: 12345678",
        "the field `sk-short` is not known",
        "OPENAI_API_KEY: {secret: true}",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert masked(text) == text


def test_a_secret_in_the_file_is_masked_in_the_frame_and_in_the_message(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    key = "sk-proj-abcdefghijklmnop1234"
    file.write_text(f"agentctl: 1\nname: x\nstart: {key}\nnodes: {{a: {{ask: Who, then: end}}}}\n")
    findings = check_file(file)
    assert any(finding.code == "G201" for finding in findings)
    assert key not in as_text(Result(findings))
    assert key not in str(document(Result(findings)))


def test_no_part_of_a_report_holds_what_a_terminal_would_obey(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text(
        'agentctl: 1\nname: x\nstart: a\nnodes: {a: {set: {}, then: "e\\u001b[2Jnd"}}\n"\\u001b[2J": 1\n'
    )
    text = as_text(Result([*check_file(file), _finding(file, Span(1, 1, 1, 2), hint="say \x1b]0;title\x07")]))
    assert "\ufffd[2J" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_many_findings_on_one_long_line_cost_no_more_than_the_line(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text("x: [" + ", ".join(f"part{n}.yaml" for n in range(3000)) + "]\n")
    findings = [_finding(file, Span(1, 5 + n, 1, 9 + n)) for n in range(3000)]
    began = time.perf_counter()
    as_text(Result(findings, base=tmp_path))
    assert time.perf_counter() - began < 2
