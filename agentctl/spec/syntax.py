"""What is wrong with YAML that cannot be read, said so that a person can mend it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_UNQUOTED = re.compile(r"\$\{\{.*?\}\}")
_NOT_YAML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
"""All but YAML 1.2, rule 1: c-printable. The same as `[^…]` takes ten times as long to compile, at each start."""
_LONGEST_SHOWN = 40
_COLON = re.compile(r"""(?<=[^\s"'\]},\[{]):(?=[^\s,\[\]{}])""")
_QUESTION = re.compile(r"""(?<=[^\s"'\]},\[{:])\?""")


class Trouble(NamedTuple):
    """Why libyaml stopped, in its words, and where: offsets into the text."""

    problem: str
    at: int
    context: str
    begun: int
    """Where what it was reading began; `at` when it does not say."""


class Explained(NamedTuple):
    """A message, the stretch of the text that it is about, and a hint."""

    message: str
    start: int
    end: int
    hint: str | None = None


def shown(text: str) -> str:
    """A piece of the file in backticks, on one line and not too long."""
    flat = " ".join(text.split())
    return f"`{flat[:_LONGEST_SHOWN]}…`" if len(flat) > _LONGEST_SHOWN else f"`{flat}`"


def bad_character(text: str) -> Explained | None:
    """The first character that YAML does not allow."""
    found = _NOT_YAML.search(text)
    if found is None:
        return None
    number = ord(found[0])
    name = {0: "a NUL byte", 0xFEFF: "a byte order mark"}.get(number, f"the control character U+{number:04X}")
    hint = "is this a binary file?" if number == 0 else 'inside double quotes write it as an escape, "\\u…"'
    return Explained(f"{name} is not allowed in YAML", found.start(), found.end(), hint)


def unquoted_template(text: str, trouble: Trouble) -> tuple[int, int] | None:
    """The `${{ … }}` at which reading stopped because it stands unquoted inside brackets."""
    found = _UNQUOTED.match(text, trouble.at - 1) if trouble.at > 0 else None
    return found.span() if found else None


def more_like(text: str, hole: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The hole, and the unquoted ones that follow on its line: libyaml reads ahead, and their quotes confuse it."""
    yield hole
    line_end = text.find("\n", hole[1])
    last = hole[1]
    for found in _UNQUOTED.finditer(text, last, line_end if line_end >= 0 else len(text)):
        if any(quote in text[last : found.start()] for quote in "\"'#"):
            return
        yield found.span()
        last = found.end()


def soften(text: str) -> tuple[str, dict[str, str]]:
    """The text with each `:` and `?` inside a word masked, and from each mask to its character.

    libyaml before 0.2.2 cannot read them in plain text inside brackets, as in `{python: tools:find, top: integer?}`,
    which YAML 1.2 allows. Elsewhere a mask changes nothing.
    """
    free = (chr(number) for number in range(0xE000, 0xF900) if chr(number) not in text)
    colon, question = next(free, ""), next(free, "")
    if not question or not (_COLON.search(text) or _QUESTION.search(text)):
        return text, {}
    masked = _QUESTION.sub(question, _COLON.sub(colon, text))
    return masked, {colon: ":", question: "?"}


def explain_syntax(text: str, trouble: Trouble) -> Explained:
    """A libyaml error in words, at the place to look at."""
    problem, context = trouble.problem, trouble.context
    at, begun = _place(text, trouble.at), _place(text, trouble.begun)
    opened = f"began on line {text.count(chr(10), 0, begun) + 1}"
    if "quoted scalar" in context and "end of stream" in problem:
        return Explained(f"the quote {text[begun]} is never closed", begun, begun + 1)
    if "flow" in context:
        return _brackets(text, at, begun, context, opened)
    if "scanning an a" in context and text[begun] in "*&":
        what = "an alias" if text[begun] == "*" else "an anchor"
        return Explained(
            f"`{text[begun]}` begins {what}, and no name follows", begun, begun + 1, "quote the text"
        )
    if "tab" in problem or text[at : at + 1] == "\t":
        return Explained("a tab cannot indent YAML", at, at + 1, "use spaces")
    if "cannot start any token" in problem:
        return Explained(f"{shown(text[at])} cannot begin a value", at, at + 1, "quote the text")
    if "mapping values are not allowed" in problem:
        hint = "quote the text if the `:` belongs to it, or mend the indentation, here or one line up"
        return Explained("a `:` that makes no sense here", at, at + 1, hint)
    if "unexpected ':'" in problem:
        return Explained("a `:` at the end of a word inside brackets", at, at + 1, "quote the text")
    if "block" in context and "did not find expected" in problem:
        message = "this line does not fit the block it stands in"
        hint = f"check its indentation; the block {opened}"
        if text[:at].rstrip(" ").endswith(('"', "'")):
            message, hint = "more text after the closing quote", "put all of it in quotes, or none"
        if (line := _open_quote(text, begun, at)) is not None:
            hint = f"is a quote left open on line {line}?"
        return Explained(message, at, _word_end(text, at), hint)
    if "could not find expected ':'" in problem:
        return Explained("a key without a `:` after it", begun, _word_end(text, begun))
    if "unknown escape" in problem:
        hint = "write `\\\\`, or use single quotes"
        return Explained(f"{shown(text[at : at + 2])} is no escape", at, at + 2, hint)
    if "<document start>" in problem:
        return Explained("more text after the end of the document", at, _word_end(text, at))
    message = f"{problem} {context}".strip() or "this is not YAML"
    return Explained(message, at, _word_end(text, at))


def _open_quote(text: str, begun: int, at: int) -> int | None:
    """The line of a block with a quote too many before the place where it stopped to make sense."""
    start, end = text.rfind("\n", 0, begun) + 1, text.find("\n", at)
    first = text.count("\n", 0, start) + 1
    lines = text[start : end if end >= 0 else len(text)].split("\n")
    return next((first + n for n, line in enumerate(lines) if line.count('"') % 2), None)


def _brackets(text: str, at: int, begun: int, context: str, opened: str) -> Explained:
    """Trouble inside `{ }` or `[ ]`: usually something was not closed."""
    kind = "`{`" if "mapping" in context else "`[`" if "sequence" in context else "a bracket"
    if at >= len(text.rstrip()) - 1:
        return Explained(f"{kind} is never closed", begun, begun + 1)
    found, end = shown(text[at : _word_end(text, at)]), _word_end(text, at)
    if "node" in context:
        return Explained(f"{found} where a value should be", at, end)
    hint = f"quote a text that holds `:`, `?` or a bracket; the {kind} {opened}"
    return Explained(f"{found} where a comma or the end of {kind} should be", at, end, hint)


def _place(text: str, at: int) -> int:
    """An offset; the end of the file is the last thing written in it."""
    return at if at < len(text) else min(at, max(len(text.rstrip()) - 1, 0))


def _word_end(text: str, at: int) -> int:
    end = at
    while end < len(text) and not text[end].isspace():
        end += 1
    return max(min(end, at + _LONGEST_SHOWN), min(at + 1, len(text)))
