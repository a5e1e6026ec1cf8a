"""Findings for people: each with its lines and a caret under the word."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from agentctl.check.reports.masking import fit_to_show, plain, shown_path
from agentctl.check.reports.result import Result
from agentctl.check.reports.source import Lines
from agentctl.spec.finding import Finding, Span

_COLORS: Mapping[str, str] = {"error": "31", "warning": "33", "information": "36"}
_SHOWN_LINES = 4
_WIDEST = 160


def as_text(result: Result, *, color: bool = False) -> str:
    """Each finding with its lines and a caret under the word, then a line that counts. Empty when there is none."""
    if not result.findings:
        return ""
    lines = Lines(result)
    blocks = [
        _block(finding, lines.of(finding.file), result.base, _Paint(color)) for finding in result.findings
    ]
    return "\n\n".join([*blocks, summary(result)]) + "\n"


def summary(result: Result) -> str:
    """How many of what, in how many files: ``2 errors, 1 warning in 1 file; `--fix` mends 1``."""
    counts = [
        plural(count, word)
        for severity, word in (("error", "error"), ("warning", "warning"), ("information", "note"))
        if (count := result.count(severity))
    ]
    files = len({finding.file for finding in result.findings})
    mends = sum(finding.fix is not None for finding in result.findings)
    rest = f"; `--fix` mends {mends:,}" if mends else ""
    return f"{', '.join(counts) or 'nothing found'} in {plural(files, 'file')}{rest}"


def plural(count: int, word: str) -> str:
    """`1 file`, `2 files`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


class _Paint:
    def __init__(self, color: bool) -> None:
        self._color = color

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._color and text else text


def _block(finding: Finding, source: list[str], base: Path, paint: _Paint) -> str:
    span, tint = finding.span, _COLORS[finding.severity]
    head = paint(f"{shown_path(finding.file, base)}:{span.line}:{span.column}:", "1")
    severity = paint(f"{finding.severity}[{finding.code}]", f"1;{tint}")
    lines = [f"{head} {severity} {fit_to_show(finding.message)}"]
    lines += _frame(source, span, paint, tint)
    if finding.hint:
        lines.append(
            f"{' ' * _gutter(span)} {paint('=', '2')} {paint('hint:', '1')} {fit_to_show(finding.hint)}"
        )
    return "\n".join(lines)


def _frame(lines: list[str], span: Span, paint: _Paint, tint: str) -> Iterator[str]:
    """The lines of the span with its characters underlined; nothing where the file does not have them."""
    width = _gutter(span)
    last = min(span.end_line, span.line + _SHOWN_LINES - 1, len(lines))
    for number in range(span.line, last + 1):
        text = lines[number - 1]
        start = span.column - 1 if number == span.line else len(text) - len(text.lstrip())
        end = span.end_column - 1 if number == span.end_line else len(text)
        shown, start, end = _cut(text, start, max(end, start + 1))
        yield f"{paint(f'{number:>{width}} |', '2')} {plain(shown)}"
        blank = "".join("\t" if char == "\t" else " " * _cells(char) for char in shown[:start])
        carets = "^" * max(1, sum(map(_cells, shown[start:end])))
        yield f"{paint(' ' * width + ' |', '2')} {blank}{paint(carets, f'1;{tint}')}"
    if span.end_line > last >= span.line:
        yield paint(f"{' ' * width} | …", "2")


def _cut(text: str, start: int, end: int) -> tuple[str, int, int]:
    """A very long line cut down to what surrounds the word."""
    if len(text) <= _WIDEST:
        return text, start, end
    left = max(0, start - _WIDEST // 4)
    end = min(end, left + _WIDEST)
    head, tail = "…" if left else "", "…" if left + _WIDEST < len(text) else ""
    return head + text[left : left + _WIDEST] + tail, start - left + len(head), end - left + len(head)


def _cells(char: str) -> int:
    """How many columns of a terminal a character takes."""
    if char.isascii():
        return 1
    from unicodedata import combining, east_asian_width

    return 0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1


def _gutter(span: Span) -> int:
    return max(3, len(str(min(span.end_line, span.line + _SHOWN_LINES - 1))))
