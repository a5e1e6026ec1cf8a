"""Findings at their place: from a code and the keys of a value to the very word in the file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from agentctl.check.severity import severity_of
from agentctl.spec.document import Document
from agentctl.spec.finding import Finding, Fix, Keys, Span, path_text
from agentctl.spec.nearest import nearest


def at_key(
    document: Document, code: str, keys: Keys, message: str, hint: str | None = None, fix: str | None = None
) -> Finding:
    """A finding at a key's word; `fix` is what certainly belongs in its place."""
    return _finding(code, document.key(keys), keys, message, hint, fix)


def at_value(
    document: Document, code: str, keys: Keys, message: str, hint: str | None = None, fix: str | None = None
) -> Finding:
    """A finding at a value; `fix` is what certainly belongs in its place."""
    return _finding(code, document.value(keys), keys, message, hint, fix)


def at_word(
    document: Document,
    code: str,
    keys: Keys,
    offset: int,
    length: int,
    message: str,
    hint: str | None = None,
    fix: str | None = None,
) -> Finding:
    """A finding at some characters of a text; `fix` is what certainly belongs in their place."""
    return _finding(code, document.inside(keys, offset, length), keys, message, hint, fix)


def mend_word(document: Document, keys: Keys, offset: int, length: int, text: str) -> Fix | None:
    """What puts a text in place of some characters of another.

    None where these are written in another way than they read, folded or escaped: there it could say something else.
    """
    _, span = document.inside(keys, offset, length)
    as_it_reads = span.line == span.end_line and span.end_column - span.column == length
    return Fix(span, text) if as_it_reads else None


def did_you_mean(word: str, words: Iterable[str]) -> str | None:
    """A hint with the nearest word, if one is near."""
    best = nearest(word, words)
    return None if best is None else f"did you mean `{best}`?"


def _finding(
    code: str, place: tuple[Path, Span], keys: Keys, message: str, hint: str | None, fix: str | None
) -> Finding:
    file, span = place
    mend = None if fix is None else Fix(span, fix)
    return Finding(code, severity_of(code), message, file, span, path_text(keys), hint, mend)
