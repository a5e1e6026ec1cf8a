"""`validate --fix`: the certain mends of findings, tried on the texts and kept only where they make nothing worse."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from agentctl.check.check import check
from agentctl.check.checking import Files
from agentctl.check.editing import edited
from agentctl.check.selection import Selection
from agentctl.errors import UsageError
from agentctl.spec.document import Document
from agentctl.spec.finding import Finding, Fix

_ROUNDS = 20
"""What one mend brings to light another may mend. Mends that undo each other end here."""

_Key = tuple[Path, str, str, str]
"""A finding wherever it stands: its place changes with the mends before it."""


@dataclass(frozen=True)
class Mended:
    """What mends make of files."""

    files: Files
    """The same files with their texts as they would be."""
    before: Mapping[Path, str]
    """The texts as they are, of the files that change."""
    counts: Mapping[Path, int]
    """How many mends there are in each of them."""
    outside: Collection[Path]
    """Files that were left alone, because a link leads to them out of their project."""

    def after(self, file: Path) -> str:
        """A file's text as it would be."""
        return self.files.texts[file]


def mend(files: Files, selection: Selection) -> Mended:
    """What the mends of all findings that are asked for make of the files. Nothing is written."""
    mending = _Mending(files, selection)
    for path in files.paths:
        mending.mend_root(path)
    return Mended(mending.files, mending.before, mending.counts, mending.outside)


def in_project(file: Path, root: Path) -> bool:
    """Whether a file is one of the project of a root file, links followed: others are not ours to change."""
    folder = Path(os.path.realpath(root.parent))
    return Path(os.path.realpath(file)).is_relative_to(folder)


class _Mending:
    def __init__(self, files: Files, selection: Selection) -> None:
        self.files = files
        self.before: dict[Path, str] = {}
        self.counts: Counter[Path] = Counter()
        self.outside: set[Path] = set()
        self._selection = selection
        self._refused: set[_Key] = set()
        self._roots_of: dict[Path, set[Path]] = {}
        """The root files that a file is a part of."""
        for path in files.paths:
            for part in _parts(_document(files, path)):
                self._roots_of.setdefault(part, set()).add(path)

    def mend_root(self, path: Path) -> None:
        """Mend one root file with its parts, until there is nothing left to mend."""
        for _ in range(_ROUNDS):
            wanted = self._wanted(_document(self.files, path))
            good = self._good(wanted, []) if wanted else []
            if not good:
                return
            for file in {one.file for one in good}:
                self.before.setdefault(file, self.files.text(file))
            self.counts.update(one.file for one in good)
            self.files = _with(self.files, good)

    def _wanted(self, document: Document | None) -> list[Finding]:
        """The findings to mend now: those of the first phase that has some, for later ones may follow from them."""
        if document is None:
            return []
        found = self._check(document)
        stuck = {(one.file, one.span) for one in found if one.fix is None and one.severity == "error"}
        mendable = [
            one
            for one in found
            if one.fix is not None
            and self._selection.keeps(one)
            and _key(one) not in self._refused
            and (one.file, one.fix.span)
            not in stuck  # a word that is wrong in another way, too, is not mended by half
            and self._is_ours(one.file, document.path)
        ]
        first = min(map(_phase, mendable), default=0)
        return list(_apart(one for one in mendable if _phase(one) == first))

    def _is_ours(self, file: Path, root: Path) -> bool:
        if in_project(file, root):
            return True
        self.outside.add(file)
        return False

    def _good(self, new: list[Finding], kept: list[Finding]) -> list[Finding]:
        """The kept mends and those of the new ones that do no harm, which is found out by halves."""
        if self._improves(new, kept):
            return [*kept, *new]
        if len(new) == 1:
            self._refused.add(_key(new[0]))
            return kept
        middle = len(new) // 2
        return self._good(new[middle:], self._good(new[:middle], kept))

    def _improves(self, new: list[Finding], kept: list[Finding]) -> bool:
        """Whether mends take away what they are for, and bring no error of their phase or an earlier one.

        Errors of a later phase may come to light: they were hidden.
        """
        roots = {root for one in new for root in self._roots_of.get(one.file, ())}
        phase, keys = _phase(new[0]), {_key(one) for one in new}
        errors, count = self._score(_with(self.files, kept), roots, phase, keys)
        errors_left, count_left = self._score(_with(self.files, [*kept, *new]), roots, phase, keys)
        # phase by phase: one error of the YAML hides a hundred of the graph, and would count for less
        return count_left < count and all(left <= errors[at] for at, left in errors_left.items())

    def _score(
        self, files: Files, roots: Iterable[Path], phase: int, keys: set[_Key]
    ) -> tuple[Counter[int], int]:
        """How many errors each phase has up to this one, and how many findings there are of these keys."""
        found = [one for root in roots for one in self._check(_document(files, root))]
        errors = Counter(_phase(one) for one in found if one.severity == "error" and _phase(one) <= phase)
        return errors, sum(_key(one) in keys for one in found)

    def _check(self, document: Document | None) -> list[Finding]:
        return check(document, information=self._selection.information) if document is not None else []


def _document(files: Files, path: Path) -> Document | None:
    try:
        return files.read(path)
    except UsageError:
        return None  # it is said when the files are checked


def _parts(document: Document | None) -> Iterator[Path]:
    """The files of a document, as its findings name them."""
    if document is not None:
        yield from (Path(os.path.normpath(document.path.parent / name)) for name in document.texts)


def _with(files: Files, mends: Sequence[Finding]) -> Files:
    """The files with these mends made."""
    by_file: dict[Path, list[Fix]] = {}
    for one in mends:
        if one.fix is not None:
            by_file.setdefault(one.file, []).append(one.fix)
    changed = {file: edited(files.text(file), fixes) for file, fixes in by_file.items()}
    return replace(files, texts={**files.texts, **changed})


def _apart(findings: Iterable[Finding]) -> Iterator[Finding]:
    """By file and place, those whose mends do not touch one before: of two at one place the first."""
    last: tuple[Path, Fix] | None = None
    for one in sorted(findings, key=lambda one: (one.file, _start(one.fix), _start(one))):
        if one.fix is not None and (last is None or last[0] != one.file or _is_after(one.fix, last[1])):
            last = one.file, one.fix
            yield one


def _is_after(fix: Fix, other: Fix) -> bool:
    end = other.span.end_line, other.span.end_column
    return _start(fix) >= end and _start(fix) != _start(other)


def _start(placed: Finding | Fix | None) -> tuple[int, int]:
    return (placed.span.line, placed.span.column) if placed is not None else (0, 0)


def _key(finding: Finding) -> _Key:
    return finding.file, finding.code, finding.path, finding.message


def _phase(finding: Finding) -> int:
    """What is wrong with the YAML hides all else, and a wrong shape hides what the graph does. No warning hides."""
    return {"Y": 0, "S": 1}.get(finding.code[0], 2) if finding.severity == "error" else 2
