"""Braces in the wrong place: `${{ }}` around a bare expression, `{{ }}` and `${ }` in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentctl.expressions.problem import Mend, Problem
from agentctl.expressions.types import fields_of
from agentctl.json import Json

if TYPE_CHECKING:
    from agentctl.expressions.parse import Parsed  # loads jinja2, which plain texts do not need

_WRAPPED = re.compile(r"\s*(\$\{\{|\{\{|\$\{)(.*)", re.DOTALL)
_MEANT = re.compile(r"(?<!\$)\{\{-?\s*([A-Za-z_]\w*)([^{}]*)\}\}|\$\{\s*([A-Za-z_]\w*)([^{}]*)\}")
_PLAIN_START = re.compile(r"[A-Za-z_(](?!.*(?:: | #))[^\r\n]*(?<!:)\Z")
"""Text that YAML reads as plain text wherever it stands."""
_RAW = re.compile(r"\{%[-+]?\s*raw\s*-?%\}\s*\Z")


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A bare expression with braces around it."""

    problem: Problem
    inner: str
    offset: int
    """Of `inner` in the text."""


def wrapped(parsed: Parsed) -> Wrapped | None:
    """The braces that make a bare expression unreadable."""
    match = _WRAPPED.match(parsed.text)
    if match is None:
        return _brace_within(parsed)
    opening = match[1]
    inner = match[2].rstrip()
    closing = "}" if opening == "${" else "}}"
    is_closed = inner.endswith(closing)
    inner = inner.removesuffix(closing)
    bare = inner.strip()
    mend = None
    if is_closed and _PLAIN_START.match(bare) and closing not in bare:
        mend = Mend(0, len(parsed.text), bare)
    message = f"`{opening}` in a bare expression, which needs no braces"
    problem = Problem("E401", message, f"write `{bare}`", match.start(1), len(opening), mend)
    return Wrapped(problem, inner, match.start(2))


def _brace_within(parsed: Parsed) -> Wrapped | None:
    """`state.x == ${{ 3 }}`: the lexer stopped at the dollar."""
    at = parsed.problems[0].offset
    if not parsed.text.startswith("${", at):
        return None
    opening = "${{" if parsed.text.startswith("${{", at) else "${"
    message = f"`{opening}` in a bare expression, which needs no braces"
    return Wrapped(Problem("E401", message, "write it without", at, len(opening)), "", 0)


def braces_that_do_nothing(parsed: Parsed, scope: Mapping[str, Json]) -> Iterator[Problem]:
    """E405: braces of another language around something that is a name here."""
    for token in parsed.tokens:
        if token.type == "data" and not _RAW.search(parsed.text[: token.offset][-40:]):
            part = parsed.text[token.offset : token.offset + token.length]
            yield from braces_in(part, token.offset, scope)


def braces_in(text: str, offset: int, scope: Mapping[str, Json]) -> Iterator[Problem]:
    """As `braces_that_do_nothing`, in plain text that begins at `offset`."""
    fields, variables = fields_of(scope.get("state", {})), fields_of(scope.get("env", {}))
    for match in _MEANT.finditer(text):
        name, rest = (match[1], match[2]) if match[1] else (match[3], match[4])
        if name not in scope and name not in fields and name not in variables:
            continue  # `${HOME}` in a text about shells is text
        meant = name if name in scope else f"state.{name}" if name in fields else f"env.{name}"
        right = f"${{{{ {meant}{rest.rstrip().removesuffix('-').rstrip()} }}}}"
        mend = Mend(offset + match.start(), len(match[0]), right)
        yield Problem("E405", f"`{match[0]}` is plain text here", f"write `{right}`", *mend[:2], mend)
