"""`agentctl explain CODE`: what a code means, with a bad and a good example. Pages are files beside this one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

from msgspec import Struct, field

from agentctl.check.severity import severity_of
from agentctl.errors import AgentctlError
from agentctl.spec.finding import Severity

_CODE = re.compile(r"[A-Z]\d{2,3}")
_HEADING = re.compile(r"# (?P<code>\w+): (?P<title>.+)")
_FENCE = re.compile(r"^```(?P<kind>\w+)(?: (?P<file>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


class Page(Struct, frozen=True):
    """What there is to say about one code. `bad` gives the finding, `good` does not; both are whole files."""

    code: str
    title: str
    severity: Severity
    rule: str
    bad: str
    good: str
    beside: Mapping[str, str] = field(default_factory=dict)
    """The files that the examples need beside them, by name."""


def explain(code: str) -> Page | None:
    """The page of a code, in any case of letters; None when there is none."""
    code = code.strip().upper()
    if not _CODE.fullmatch(code):
        return None
    page = files("agentctl.check").joinpath("pages", f"{code}.md")
    return read_page(page.read_text(encoding="utf-8")) if page.is_file() else None


def codes() -> tuple[str, ...]:
    """Every code that has a page, in order."""
    names = (page.name for page in files("agentctl.check").joinpath("pages").iterdir())
    return tuple(sorted(name.removesuffix(".md") for name in names if name.endswith(".md")))


def read_page(text: str) -> Page:
    """A page from its text: `# CODE: title`, the rule, then fenced files: the bad one, the good one, others by name."""
    heading, fences = _HEADING.match(text), list(_FENCE.finditer(text))
    examples = [fence["text"] for fence in fences if fence["file"] is None]
    if heading is None or len(examples) != 2:
        raise AgentctlError(
            f"a page needs `# CODE: title` and two fenced files; this one begins {text[:40]!r}"
        )
    bad, good = examples
    rule = text[heading.end() : fences[0].start()].strip().removesuffix("Bad:").strip()
    beside = {fence["file"]: fence["text"] for fence in fences if fence["file"] is not None}
    return Page(heading["code"], heading["title"], severity_of(heading["code"]), rule, bad, good, beside)


def as_text(page: Page) -> str:
    """A page for the terminal."""
    parts = [f"{page.code} ({page.severity}): {page.title}", page.rule]
    parts += ["Bad:", _indented(page.bad), "Good:", _indented(page.good)]
    for name, text in page.beside.items():
        parts += [f"Beside it, {name}:", _indented(text)]
    return "\n\n".join(parts) + "\n"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.rstrip("\n").split("\n"))
