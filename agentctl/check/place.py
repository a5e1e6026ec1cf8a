"""Findings at their place: from a code and the keys of a value to the very word in the file."""

from __future__ import annotations

from collections.abc import Iterable

from agentctl.check.severity import severity_of
from agentctl.spec.document import Document
from agentctl.spec.finding import Finding, Keys, path_text
from agentctl.spec.nearest import nearest


def at_key(document: Document, code: str, keys: Keys, message: str, hint: str | None = None) -> Finding:
    """A finding at a key's word."""
    file, span = document.key(keys)
    return Finding(code, severity_of(code), message, file, span, path_text(keys), hint)


def at_value(document: Document, code: str, keys: Keys, message: str, hint: str | None = None) -> Finding:
    """A finding at a value."""
    file, span = document.value(keys)
    return Finding(code, severity_of(code), message, file, span, path_text(keys), hint)


def at_word(
    document: Document, code: str, keys: Keys, offset: int, length: int, message: str, hint: str | None = None
) -> Finding:
    """A finding at some characters of a text."""
    file, span = document.inside(keys, offset, length)
    return Finding(code, severity_of(code), message, file, span, path_text(keys), hint)


def did_you_mean(word: str, words: Iterable[str]) -> str | None:
    """A hint with the nearest word, if one is near."""
    best = nearest(word, words)
    return None if best is None else f"did you mean `{best}`?"
