"""The lines of the files that findings are about."""

from __future__ import annotations

import re
from pathlib import Path

from agentctl.check.reports.result import Result
from agentctl.check.secrets import masked
from agentctl.spec.reading import read_start
from agentctl.spec.source import MAX_BYTES

_LINE_END = re.compile(r"\r\n|\r|\n")


class Lines:
    """The lines of files, each file read once, split as positions count them. Secrets are starred out."""

    def __init__(self, result: Result) -> None:
        self._texts = result.texts
        self._read: dict[Path, list[str]] = {}

    def of(self, file: Path) -> list[str]:
        """The lines of a file; none when it is not on the disk, as a file read from a recording."""
        if file not in self._read:
            self._read[file] = _LINE_END.split(masked(self._text(file)))
        return self._read[file]

    def _text(self, file: Path) -> str:
        if (text := self._texts.get(file)) is not None:
            return text.removeprefix("\ufeff")
        try:
            return read_start(file, MAX_BYTES).decode("utf-8-sig", "replace")
        except OSError:
            return ""
