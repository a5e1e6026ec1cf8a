"""Pages of `agentctl explain`: every code has one, and its examples do what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentctl.check.check import check_file
from agentctl.check.explain import Page, as_text, codes, explain
from agentctl.spec.finding import Finding

ALWAYS_TOLD = frozenset(("L712",))
"""Information that every file gives, a good one too."""


def _page(code: str) -> Page:
    page = explain(code)
    assert page is not None
    return page


def _findings(folder: Path, page: Page, text: str) -> list[Finding]:
    for name, content in page.beside.items():
        (folder / name).write_text(content)
    file = folder / "graph.yaml"
    # the page shows a file of a megabyte cut short
    file.write_text(text.replace("# … and 200,000 more", "# … and more" + " " * 1024 * 1024))
    found = check_file(file, information=page.severity == "information")
    # what another page is about
    return [finding for finding in found if finding.severity != "information" or finding.code == page.code]


@pytest.mark.parametrize("code", codes())
def test_the_bad_example_gives_the_code_and_nothing_else(code: str, tmp_path: Path) -> None:
    page = _page(code)
    assert {finding.code for finding in _findings(tmp_path, page, page.bad)} == {code}


@pytest.mark.parametrize("code", codes())
def test_the_good_example_is_silent(code: str, tmp_path: Path) -> None:
    page = _page(code)
    assert {finding.code for finding in _findings(tmp_path, page, page.good)} == ALWAYS_TOLD & {code}


@pytest.mark.parametrize("code", codes())
def test_a_page_is_short_and_is_found_under_its_code(code: str) -> None:
    page = _page(code)
    assert page.code == code
    assert 40 < len(page.rule) < 500
    assert len(as_text(page).splitlines()) < 75


def test_every_code_that_the_sources_mention_has_a_page() -> None:
    import re

    import agentctl

    package = Path(agentctl.__file__).parent
    sources = [
        *(package / "check").rglob("*.py"),
        *(package / "spec").glob("*.py"),
        *(package / "expressions").glob("*.py"),
    ]
    pattern = re.compile(r'"([YSGRETMLVN]\d{3}|X\d{2})"')
    used = {code for source in sources for code in pattern.findall(source.read_text())}
    assert used - set(codes()) == set()


def test_a_code_is_found_in_small_letters_and_one_that_is_none_is_not() -> None:
    assert explain("g207") == explain("G207") is not None
    assert explain("Z999") is None
    assert explain("../explain") is None
