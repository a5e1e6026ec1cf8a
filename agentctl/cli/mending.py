"""`validate --fix`: mends written to their files, or shown as a diff."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from difflib import unified_diff
from pathlib import Path

from agentctl.check.checking import Files, check_files
from agentctl.check.editing import write_text
from agentctl.check.mend import Mended, mend
from agentctl.check.reports.masking import masked, shown_path
from agentctl.check.reports.result import Result, Unread
from agentctl.check.reports.text import plural
from agentctl.check.secrets import named_secrets, starred
from agentctl.check.selection import Selection
from agentctl.cli.streams import complain, in_colour, say
from agentctl.errors import UsageError
from agentctl.sinks.neutral import neutral

_COLOURS = {"---": "1", "+++": "1", "@@": "36", "-": "31", "+": "32"}


def write_mends(files: Files, selection: Selection) -> Files:
    """Mend the files, and say how many mends there were. Those that could not be written count as not read."""
    mended, unwritten = _mended(files, selection), list(files.unread)
    counts = dict(mended.counts)
    for file, before in mended.before.items():
        try:
            write_text(file, mended.after(file), before=before)
        except UsageError as failure:
            unwritten.append(Unread(file, failure.message, failure.hint))
            del counts[file]
    if counts:
        say(f"mended {_in_files(counts)}")
    return replace(files, unread=tuple(unwritten))


def show_mends(files: Files, selection: Selection) -> tuple[Result, bool]:
    """Print what the mends change as a unified diff, which keeps secrets starred out; what would be left."""
    mended = _mended(files, selection)
    for file, before in mended.before.items():
        name, secrets = shown_path(file, Path.cwd()), named_secrets(before)
        for line in _diff(before, mended.after(file), name):
            shown = secrets.sub(starred, masked(line)) if secrets else masked(line)
            sys.stdout.write(_coloured(neutral(shown)))
    left = check_files(mended.files, selection)
    if mended.counts:
        say(f"would mend {_in_files(mended.counts)}")
    for unread in left.unread:
        complain("error", unread.message)
    return left, bool(mended.counts)


def _mended(files: Files, selection: Selection) -> Mended:
    mended = mend(files, selection)
    for file in sorted(mended.outside):
        complain("warning", f"`{file}` is not mended: a link leads to it out of the project")
    return mended


def _in_files(counts: Mapping[Path, int]) -> str:
    return f"{sum(counts.values()):,} in {plural(len(counts), 'file')}"


def _diff(before: str, after: str, name: str) -> Iterator[str]:
    """The lines of a diff, each with its end, as `patch` reads it."""
    old, new = _lines(before), _lines(after)
    for line in unified_diff(old, new, name, name):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(text: str) -> list[str]:
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _coloured(line: str) -> str:
    code = next((code for start, code in _COLOURS.items() if line.startswith(start)), None)
    if code is None or not in_colour(sys.stdout):
        return line
    return f"\x1b[{code}m{line.removesuffix(chr(10))}\x1b[0m\n"
