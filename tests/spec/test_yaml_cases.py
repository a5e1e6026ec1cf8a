"""Folders of cases: files in `ok/` are silent, files in `err/` have what they give beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentctl.spec.document import Document, read_document

CASES = Path(__file__).parent.parent / "cases"
BAD = sorted(file for file in (CASES / "yaml" / "err").glob("*.yaml") if not file.stem.startswith("part_"))
GOOD = sorted([*(CASES / "yaml" / "ok").glob("*.yaml"), *(CASES / "ok").glob("*.yaml")])
FAMILIES = {
    *(f"Y{number:03}" for number in (1, 2, 4, 5, 6, 7, 8, 9, 10)),
    *(f"S{number}" for number in (100, 101, 102, 103, 104, 106, 110, 120, 121, 122)),
}
"""Y003, a file of more than a megabyte, is made by a test."""


def told(document: Document) -> str:
    """The findings a line each, as they stand in `.expected`; those in another file with its name."""
    lines = []
    for finding in document.findings:
        where = "" if finding.file == document.path else f"{finding.file.name}:"
        lines.append(f"{where}{finding.span.line}:{finding.span.column} {finding.code} {finding.message}\n")
    return "".join(lines)


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_broken_file_gives_what_stands_beside_it(file: Path) -> None:
    document = read_document(file)
    assert told(document) == file.with_suffix(".expected").read_text()
    assert file.stem.partition("_")[0] in {finding.code for finding in document.findings}


@pytest.mark.parametrize("file", GOOD, ids=lambda file: f"{file.parent.parent.name}-{file.stem}")
def test_a_good_file_is_silent_and_has_its_types(file: Path) -> None:
    document = read_document(file)
    assert told(document) == ""
    assert document.is_part == ("nodes" not in document.data)
    assert (document.spec is None) == document.is_part


def test_every_code_of_the_families_y_and_s_has_a_broken_file() -> None:
    assert {file.stem.partition("_")[0] for file in BAD} >= FAMILIES


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_a_file_with_an_error_has_no_types(file: Path) -> None:
    document = read_document(file)
    if any(finding.severity == "error" for finding in document.findings):
        assert document.spec is None
