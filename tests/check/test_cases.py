"""Folders of cases: files in `ok/` are silent, files in `err/` have what they give beside them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agentctl.check.check import check_file
from agentctl.check.explain import codes
from agentctl.check.severity import severity_of

CASES = Path(__file__).parent.parent / "cases" / "check"
BAD = sorted((CASES / "err").glob("*_*.yaml"))
"""The others stand beside them, to be included."""
ROOT = CASES.parent.parent.parent
GOOD = sorted(
    [
        *(CASES / "ok").glob("*.yaml"),
        *(CASES.parent / "ok").glob("*.yaml"),
        *(ROOT / "examples").glob("*/graph.yaml"),
        *(ROOT / "graphs").glob("*/graph.yaml"),
    ]
)
"""Without a warning, too: what is shipped, and the language by example."""
NEEDS_MORE_THAN_A_CASE = frozenset(("Y003",))
"""A file of a megabyte is made by a test, not kept in the folder."""


def is_told(file: Path) -> bool:
    """Whether a case is about findings of the severity `information`, which others leave out."""
    return severity_of(code_of(file)) == "information"


def code_of(file: Path) -> str:
    return file.name.split("_")[0]


def found_in(file: Path) -> str:
    """The findings of a file, a line each, as they stand in `.expected`; those in another file with its name."""
    lines = []
    for finding in check_file(file, information=is_told(file)):
        if finding.severity == "information" and finding.code != code_of(file):
            continue  # another case is about it
        where = "" if finding.file.name == file.name else f"{finding.file.name}:"
        lines.append(f"{where}{finding.span.line}:{finding.span.column} {finding.code} {finding.message}\n")
    return "".join(lines)


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_broken_file_gives_what_stands_beside_it(file: Path) -> None:
    assert found_in(file) == file.with_suffix(".expected").read_text()


@pytest.mark.parametrize("file", GOOD, ids=lambda file: file.stem)
def test_a_good_file_is_silent(file: Path) -> None:
    assert found_in(file) == ""


def test_every_code_has_a_broken_file() -> None:
    have = {match[0] for file in BAD if (match := re.match(r"[A-Z]\d+", file.name))}
    assert set(codes()) - have == NEEDS_MORE_THAN_A_CASE


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_case_gives_the_code_it_is_named_for(file: Path) -> None:
    assert f" {file.name.split('_')[0]} " in file.with_suffix(".expected").read_text()


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_each_finding_covers_some_characters_of_its_file(file: Path) -> None:
    for finding in check_file(file):
        lines = finding.file.read_text().split("\n")
        span = finding.span
        assert 1 <= span.line <= span.end_line <= len(lines)
        assert 1 <= span.column <= len(lines[span.line - 1]) + 1
        assert (span.line, span.column) <= (span.end_line, span.end_column)
