"""The list of codes, made from their pages: `python -m agentctl.check.reference` writes docs/checks.md."""

from __future__ import annotations

import re
from pathlib import Path

from agentctl.check.explain import Page, codes, explain

CHECKS_FILE = Path(__file__).parents[2] / "docs" / "checks.md"
COMMAND = "python -m agentctl.check.reference"
FAMILIES = {
    "Y": "YAML",
    "S": "Shape",
    "G": "Graph",
    "R": "Routers",
    "E": "Expressions and data",
    "T": "Tools and tiers",
    "M": "Models",
    "L": "Limits",
    "V": "Experiments",
    "N": "Tests",
    "X": "Security",
}
"""What the letter of a code stands for, in the order of the phases."""
_SENTENCE = re.compile(r"(?s)\A.*?[.!?](?=\s|\Z)")


def pages_by_family() -> dict[str, list[Page]]:
    """The pages in order, by the letter of their code."""
    found: dict[str, list[Page]] = {letter: [] for letter in FAMILIES}
    for code in codes():
        page = explain(code)
        if page is not None:
            found.setdefault(code[0], []).append(page)
    return {letter: pages for letter, pages in found.items() if pages}


def checks_text() -> str:
    """The list as it is written to its file."""
    parts = [
        "# What `agentctl validate` checks",
        f"Made from the pages of `agentctl explain` by `{COMMAND}`. `agentctl explain CODE` shows a bad and a "
        "good example.",
    ]
    for letter, pages in pages_by_family().items():
        rows = ["| code | severity | what | why |", "|---|---|---|---|", *map(_row, pages)]
        parts += [f"## {letter}: {FAMILIES.get(letter, letter)}", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def codes_text() -> str:
    """Every code with its title, for the terminal."""
    parts = []
    for letter, pages in pages_by_family().items():
        lines = [f"  {page.code:5} {page.severity:11}  {page.title}" for page in pages]
        parts.append("\n".join([FAMILIES.get(letter, letter), *lines]))
    return "\n\n".join(parts) + "\n"


def first_sentence(text: str) -> str:
    """The first sentence of a page's rule, on one line."""
    found = _SENTENCE.match(text)
    return " ".join((found[0] if found else text).split())


def _row(page: Page) -> str:
    cells = (page.code, page.severity, page.title, first_sentence(page.rule))
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    CHECKS_FILE.write_text(checks_text(), encoding="utf-8")
