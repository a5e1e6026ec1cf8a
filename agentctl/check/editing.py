"""Texts with stretches of them replaced, and files that get a new text."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from agentctl.errors import UsageError
from agentctl.spec.finding import Fix

_LINE_END = re.compile(r"\r\n|\r|\n")
_MARK = "\ufeff"


def edited(text: str, fixes: Iterable[Fix]) -> str:
    """The text with these stretches replaced, none of which may touch another.

    A byte order mark stays, and new lines end as the file's first one does.
    """
    mark = _MARK if text.startswith(_MARK) else ""
    text = text.removeprefix(_MARK)
    starts = [0, *(found.end() for found in _LINE_END.finditer(text))]
    first_end = _LINE_END.search(text)
    line_end = first_end[0] if first_end else "\n"
    pieces, done = [mark], 0
    for fix in sorted(fixes, key=lambda fix: fix.span):
        start = _offset(text, starts, fix.span.line, fix.span.column)
        pieces += [text[done:start], fix.text.replace("\n", line_end)]
        done = _offset(text, starts, fix.span.end_line, fix.span.end_column)
    return "".join([*pieces, text[done:]])


def write_text(path: Path, text: str, *, before: str) -> None:
    """Replace a file's text at once or not at all, its mode kept; of a link, the file that it names.

    Raises UsageError when it cannot be written, or no longer holds the text it had `before`.
    """
    target = Path(os.path.realpath(path))
    try:
        if target.read_bytes() != before.encode():
            raise UsageError(f"`{path}` was changed meanwhile", hint="run it again")
        if not os.access(target, os.W_OK):
            raise UsageError(f"`{path}` may not be written", hint="its mode says so")
        replace_file(target, text.encode(), mode=target.stat().st_mode & 0o7777)
    except OSError as error:
        raise _unwritable(path, error) from error


def write_report(path: Path, text: str) -> None:
    """Write a file at once or not at all; into a device or a pipe, as it is. Raises UsageError."""
    try:
        if path.is_relative_to("/dev") or (path.exists() and not path.is_file()):
            path.write_bytes(text.encode())
        else:
            replace_file(Path(os.path.realpath(path)), text.encode())
    except OSError as error:
        raise _unwritable(path, error) from error


def replace_file(path: Path, content: bytes, *, mode: int | None = None) -> None:
    """Write a file at once or not at all. Raises OSError."""
    number, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    try:
        with open(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode if mode is not None else _usual_mode(path))
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _unwritable(path: Path, error: OSError) -> UsageError:
    hint = None if path.parent.is_dir() else "name a file in a folder that is there"
    return UsageError(f"`{path}` cannot be written: {(error.strerror or str(error)).lower()}", hint=hint)


def _usual_mode(path: Path) -> int:
    """The mode of the file that is there, or what a new file gets."""
    try:
        return path.stat().st_mode & 0o7777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _offset(text: str, starts: list[int], line: int, column: int) -> int:
    """Where a place of a span is; what lies past the end is the end."""
    return min(starts[line - 1] + column - 1, len(text)) if line <= len(starts) else len(text)
