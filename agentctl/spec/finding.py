"""A finding: what a check has to say about a file, and where."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning", "information"]
Keys = tuple[str | int, ...]
"""Where a value stands in a file's data: ("nodes", "sort", "prompt")."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A stretch of a file, 1-based, `end_column` one past its last character."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Fix:
    """A certain mend: put `text` in place of `span`."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or worth knowing. `code` has a page in `agentctl explain`."""

    code: str
    severity: Severity
    message: str
    file: Path
    span: Span
    path: str = ""
    hint: str | None = None
    fix: Fix | None = None


def path_text(keys: Keys) -> str:
    """Keys as people write them: nodes.sort.prompt, routers.is_clear[0].when."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text
