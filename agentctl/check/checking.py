"""From the paths of a command to one result: every file is checked, whatever becomes of another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agentctl.check.check import check
from agentctl.check.files import find_graph_files
from agentctl.check.reports.result import Result, Unread
from agentctl.check.selection import Selection
from agentctl.errors import UsageError
from agentctl.spec.document import Document, read_document, read_text
from agentctl.spec.finding import Finding


@dataclass(frozen=True)
class Files:
    """The root files to check, and the texts of those that are not to be read from the disk."""

    paths: tuple[Path, ...]
    """As they were found or named."""
    unread: tuple[Unread, ...] = ()
    texts: Mapping[Path, str] = field(default_factory=dict)
    """By absolute path."""

    def read(self, path: Path) -> Document:
        """One of the files with its parts. Raises UsageError when it cannot be read."""
        return read_document(path, self.text)

    def text(self, path: Path) -> str:
        """The text of a file or of a part, by its absolute path."""
        text = self.texts.get(path)
        return read_text(path) if text is None else text


def find_files(paths: Iterable[Path], texts: Mapping[Path, str] | None = None) -> Files:
    """The graph files at these paths. A path without one does not hide the others.

    `texts` are files that are not to be read from the disk, by absolute path.
    """
    texts = texts or {}
    found: dict[Path, Path] = {}
    unread: list[Unread] = []
    for path in paths:
        if path.absolute() in texts:
            found.setdefault(path.absolute(), path)
            continue
        try:
            for file in find_graph_files([path]):
                found.setdefault(file.resolve(), file)
        except UsageError as failure:
            unread.append(Unread(path.absolute(), failure.message, failure.hint))
    return Files(tuple(found.values()), tuple(unread), texts)


def check_files(files: Files, selection: Selection) -> Result:
    """What is asked for of all that is found in the files."""
    findings: dict[Finding, None] = {}  # two files may include a third: what is wrong there is said once
    roots, unread = [], list(files.unread)
    for path in files.paths:
        try:
            document = files.read(path)
        except UsageError as failure:
            unread.append(Unread(path.absolute(), failure.message, failure.hint))
            continue
        roots.append(document.path)
        found = check(document, information=selection.information)
        findings.update(dict.fromkeys(filter(selection.keeps, found)))
    return Result(tuple(findings), tuple(roots), tuple(unread), texts=files.texts)
