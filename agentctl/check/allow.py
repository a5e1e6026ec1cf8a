"""`# agentctl: allow G207 because …`: one finding silenced, with its reason, on its line."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

from msgspec import Struct

from agentctl.check.severity import severity_of
from agentctl.spec.document import Document
from agentctl.spec.finding import Finding, Fix, Span
from agentctl.spec.source import read_source

_COMMENT = re.compile(
    r"(?:^|(?<=\s))#\s*agentctl:\s*(?P<word>allow|ignore|disable|noqa|skip|suppress)\b(?P<rest>[^\n]*)"
)
"""With the words of other tools, which are told of."""
_REST = re.compile(r"\s+(?P<code>[A-Z]\w{2,3})\b(?:\s+because\b\s*(?P<reason>.*\S))?")
_MARK = "agentctl:"
_LINE_END = re.compile(r"\r\n|\r|\n")
"""As positions count lines: other characters that Python takes for line ends are text like any other."""


class Allowance(Struct, frozen=True):
    """An allow comment. `line` is the line it speaks of: its own, or the next one when it stands alone."""

    file: Path
    line: int
    last_line: int
    """The same, or the last line of the `|` block that begins there: a comment cannot stand in it."""
    span: Span
    word: str
    """`allow`, or what other tools say for it."""
    code: str | None
    reason: str | None
    whole: Span
    """What goes with the comment: the blanks before it, or the line that it has for itself."""


def apply_allowances(
    document: Document, findings: list[Finding], *, is_complete: bool, information: bool = False
) -> list[Finding]:
    """The findings that are left, and those about the comments themselves.

    `is_complete` says that all rules were tried; else, as in a part for other files, a comment may yet be needed.
    `information` says that those were, too, which only inform.
    A comment without its reason still silences: it is an error in its own right, one for one cause.
    """
    left = list(findings)
    # an error may hide what the comment is for: then it is not certain that the comment can go
    mends = all(finding.severity != "error" for finding in findings)
    about_comments: list[Finding] = []

    def was_tried(allowance: Allowance) -> bool:
        return information or severity_of(str(allowance.code)) != "information"

    for allowance in _allowances(document):
        silenced = next((finding for finding in left if _speaks_of(allowance, finding)), None)
        if silenced is not None:
            left.remove(silenced)
        if allowance.code is None or allowance.reason is None:
            about_comments.append(_without_reason(allowance))
        elif silenced is None and is_complete and allowance.file == document.path and was_tried(allowance):
            about_comments.append(_for_nothing(allowance, mends=mends))
    return [*left, *about_comments]


def _allowances(document: Document) -> Iterator[Allowance]:
    folder = document.path.parent
    for name, text in document.texts.items():
        if _MARK not in text or not name.endswith((".yaml", ".yml")):
            continue
        lines = _LINE_END.split(text.removeprefix("\ufeff"))
        following, texts = _next_lines(lines), _Texts(text.removeprefix("\ufeff"))
        for number, line in enumerate(lines, start=1):
            for match in _COMMENT.finditer(line):
                if texts.hold(number, match.start()):
                    continue
                rest = _REST.match(match["rest"])
                alone = not line[: match.start()].strip()
                span = Span(number, match.start() + 1, number, len(line.rstrip()) + 1)
                code, reason = (rest["code"], rest["reason"]) if rest else (None, None)
                word, reason = match["word"], reason if match["word"] == "allow" else None
                of = following[number] if alone else number
                whole = _whole(line, span, alone=alone)
                yield Allowance(folder / name, of, texts.last_line(of), span, word, code, reason, whole)


class _Texts:
    """The quoted texts and the blocks of a file: what looks like a comment in them is none."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(found.end() for found in _LINE_END.finditer(text))]
        self._inside: list[tuple[int, int]] = []
        self._last: dict[int, int] = {}
        root = read_source(Path(), text)[0].root
        waiting = [] if root is None else [root]
        while waiting:
            node = waiting.pop()
            waiting += [*node.items, *(entry.node for entry in node.entries.values())]
            if node.style in ("|", ">"):
                first = bisect_right(self._starts, node.start)
                last = bisect_right(self._starts, max(node.end - 1, node.start))
                self._last[first] = last
                self._inside.append((self._starts[first] if last > first else node.end, node.end))
            elif node.style:
                self._inside.append((node.start, node.end))
        self._inside = sorted(set(self._inside))

    def hold(self, line: int, column: int) -> bool:
        """Whether a place, its column counted from 0, is in one of them."""
        at = self._starts[line - 1] + column
        before = bisect_right(self._inside, at, key=itemgetter(0)) - 1
        return before >= 0 and at < self._inside[before][1]

    def last_line(self, line: int) -> int:
        """The last line of the block that begins on a line; else the line."""
        return self._last.get(line, line)


def _whole(line: str, comment: Span, *, alone: bool) -> Span:
    if alone:
        return Span(comment.line, 1, comment.line + 1, 1)
    begin = len(line[: comment.column - 1].rstrip()) + 1
    return Span(comment.line, begin, comment.line, comment.end_column)


def _next_lines(lines: list[str]) -> list[int]:
    """For each line, by its number, the first one after it that is neither empty nor a comment; itself without one."""
    following = list(range(len(lines) + 1))
    for number in range(len(lines) - 1, 0, -1):
        next_line = lines[number].strip()
        if next_line and not next_line.startswith("#"):
            following[number] = number + 1
        elif following[number + 1] != number + 1:
            following[number] = following[number + 1]
    return following


def _speaks_of(allowance: Allowance, finding: Finding) -> bool:
    is_there = allowance.line <= finding.span.line <= allowance.last_line
    return is_there and finding.code == allowance.code and finding.file == allowance.file


def _without_reason(allowance: Allowance) -> Finding:
    if allowance.code is None:
        message = "this comment does not say which finding it allows"
    elif allowance.word != "allow":
        message = f"`{allowance.word} {allowance.code}`: the word is `allow`, and a reason goes with it"
    else:
        message = f"`allow {allowance.code}` gives no reason"
    hint = f"write `# agentctl: allow {allowance.code or 'G207'} because …`"
    return Finding("S130", severity_of("S130"), message, allowance.file, allowance.span, "", hint)


def _for_nothing(allowance: Allowance, *, mends: bool) -> Finding:
    message, hint = f"there is no {allowance.code} to allow on line {allowance.line}", "remove the comment"
    fix = Fix(allowance.whole, "") if mends else None
    return Finding("S131", severity_of("S131"), message, allowance.file, allowance.span, hint=hint, fix=fix)
