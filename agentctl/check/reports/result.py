"""What was checked and what came of it: what every report is written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agentctl.spec.finding import Finding


@dataclass(frozen=True)
class Unread:
    """A path that was named and could not be checked."""

    path: Path
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class Result:
    """Findings sorted by place, of the files that were checked."""

    findings: Sequence[Finding]
    files: Sequence[Path] = ()
    """The root files that were read, absolute, silent ones too."""
    unread: Sequence[Unread] = ()
    base: Path = field(default_factory=Path.cwd)
    """Paths below it are shown from it: the working directory."""
    texts: Mapping[Path, str] = field(default_factory=dict)
    """Files that were not read from the disk, such as standard input."""

    def count(self, severity: str) -> int:
        """How many findings are of that severity."""
        return sum(finding.severity == severity for finding in self.findings)

    @property
    def is_valid(self) -> bool:
        """Whether all was read and no error was found."""
        return not self.unread and not self.count("error")
