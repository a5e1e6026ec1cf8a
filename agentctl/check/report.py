"""Reports over one list of findings: text with a code frame for people, JSON for programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from agentctl.json import Json
from agentctl.spec.finding import Finding, Fix, Span
from agentctl.spec.reading import read_start
from agentctl.spec.source import MAX_BYTES

_SECRETS = r"""
    \b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{12,}            # OpenAI, Stripe
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}                # Slack
    | \bA(?:KIA|SIA)[A-Z0-9]{16}\b                  # AWS
    | \bAIza[A-Za-z0-9_-]{30,} | \bhf_[A-Za-z0-9]{20,} | \bglpat-[\w-]{16,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    | (?<=://)[^\s/:@]+:[^\s/@]+(?=@)               # user:password@
    """
"""Compiled when a line is first shown, as the next one is: most runs show none."""
_NAMED_SECRET = r"""(?ix) \b \w* (?:api_?key|secret|token|passw(?:or)?d|authorization) \b ["']? \s* : \s*
    (?P<value> (?:bearer\s+)? ["']? (?!\$\{\{|none\b|true\b|false\b|[\[{]) (?=[^\s"',}]*\d) [^\s"',}]{8,} )"""
_COLORS: Mapping[str, str] = {"error": "31", "warning": "33", "information": "36"}
_SHOWN_LINES = 4
_WIDEST = 160


def as_text(findings: Sequence[Finding], *, color: bool = False, base: Path | None = None) -> str:
    """Each finding with its lines and a caret under the word, then a line that counts. Empty when there is none.

    Paths are shown relative to `base` (the working directory) where they lie below it.
    """
    if not findings:
        return ""
    base = Path.cwd() if base is None else base
    sources: dict[Path, list[str]] = {}
    blocks = [_block(finding, sources, base, _Paint(color)) for finding in findings]
    return "\n\n".join([*blocks, summary(findings)]) + "\n"


def as_json(findings: Sequence[Finding], *, base: Path | None = None) -> Json:
    """The findings as `validate --format json` prints them."""
    base = Path.cwd() if base is None else base
    errors, warnings = _count(findings, "error"), _count(findings, "warning")
    return {
        "v": 1,
        "valid": errors == 0,
        "errors": errors,
        "warnings": warnings,
        "findings": [_finding_as_json(finding, base) for finding in findings],
    }


def summary(findings: Sequence[Finding]) -> str:
    """How many of what, in how many files: `2 errors, 1 warning in 1 file`."""
    counts = [
        _plural(count, word)
        for severity, word in (("error", "error"), ("warning", "warning"), ("information", "note"))
        if (count := _count(findings, severity))
    ]
    return f"{', '.join(counts) or 'nothing found'} in {_plural(len({f.file for f in findings}), 'file')}"


@lru_cache(maxsize=64)  # of a long line with many findings each would go through it again
def masked(text: str) -> str:
    """The text with what looks like a secret starred out, as long as before."""
    text = re.sub(_SECRETS, lambda match: _starred(match[0]), text, flags=re.VERBOSE)
    return re.sub(
        _NAMED_SECRET,
        lambda match: match[0][: match.start("value") - match.start()] + _starred(match["value"]),
        text,
    )


class _Paint:
    def __init__(self, color: bool) -> None:
        self._color = color

    def __call__(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._color and text else text


def _block(finding: Finding, sources: dict[Path, list[str]], base: Path, paint: _Paint) -> str:
    if finding.file not in sources:
        sources[finding.file] = _lines_of(finding.file)
    span, tint = finding.span, _COLORS[finding.severity]
    head = paint(f"{shown_path(finding.file, base)}:{span.line}:{span.column}:", "1")
    severity = paint(f"{finding.severity}[{finding.code}]", f"1;{tint}")
    lines = [f"{head} {severity} {_plain(masked(finding.message))}"]
    lines += _frame(sources[finding.file], span, paint, tint)
    if finding.hint:
        lines.append(
            f"{' ' * _gutter(span)} {paint('=', '2')} {paint('hint:', '1')} {_plain(masked(finding.hint))}"
        )
    return "\n".join(lines)


def _frame(lines: list[str], span: Span, paint: _Paint, tint: str) -> Iterator[str]:
    """The lines of the span with its characters underlined; nothing where the file does not have them."""
    width = _gutter(span)
    last = min(span.end_line, span.line + _SHOWN_LINES - 1, len(lines))
    for number in range(span.line, last + 1):
        text = masked(lines[number - 1])
        start = span.column - 1 if number == span.line else len(text) - len(text.lstrip())
        end = span.end_column - 1 if number == span.end_line else len(text)
        shown, start, end = _cut(text, start, max(end, start + 1))
        yield f"{paint(f'{number:>{width}} |', '2')} {_plain(shown)}"
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


def _plain(text: str) -> str:
    """Text without control characters, which a terminal would obey."""
    return "".join(char if char == "\t" or char.isprintable() else "\ufffd" for char in text)


def _cells(char: str) -> int:
    """How many columns of a terminal a character takes."""
    if char.isascii():
        return 1
    from unicodedata import combining, east_asian_width

    return 0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1


def _gutter(span: Span) -> int:
    return max(3, len(str(min(span.end_line, span.line + _SHOWN_LINES - 1))))


def _lines_of(file: Path) -> list[str]:
    try:
        return read_start(file, MAX_BYTES).decode("utf-8-sig", "replace").split("\n")
    except OSError:
        return []  # a file read from a recording is not on the disk: the finding stands without its lines


def shown_path(file: Path, base: Path) -> str:
    """A path as people wrote it: relative where it lies below the base."""
    return str(file.relative_to(base)) if file.is_relative_to(base) else str(file)


def _finding_as_json(finding: Finding, base: Path) -> Json:
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": masked(finding.message),
        "hint": None if finding.hint is None else masked(finding.hint),
        "file": shown_path(finding.file, base),
        **_span_as_json(finding.span),
        "path": finding.path,
        "fix": _fix_as_json(finding.fix),
    }


def _span_as_json(span: Span) -> Json:
    return {
        "start": {"line": span.line, "column": span.column},
        "end": {"line": span.end_line, "column": span.end_column},
    }


def _fix_as_json(fix: Fix | None) -> Json:
    return None if fix is None else {**_span_as_json(fix.span), "text": fix.text}


def _count(findings: Sequence[Finding], severity: str) -> int:
    return sum(finding.severity == severity for finding in findings)


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def _starred(secret: str) -> str:
    return secret[:3] + "*" * (len(secret) - 3)
