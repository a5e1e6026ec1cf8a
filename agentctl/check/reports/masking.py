"""What a report may show: no secret, and no character that a terminal would obey."""

from __future__ import annotations

from pathlib import Path

from agentctl.check.secrets import masked as masked
from agentctl.spec.finding import Finding, Fix


def plain(text: str) -> str:
    """Text without control characters, which a terminal would obey, and lone surrogates, which nothing can write."""
    return "".join(char if char == "\t" or char.isprintable() else "\ufffd" for char in text)


def fit_to_show(text: str) -> str:
    """Text on one line, without secrets and control characters."""
    return plain(masked(text))


def shown_path(file: Path, base: Path) -> str:
    """A path as people write it: relative where it lies below the base, with `/`."""
    return plain((file.relative_to(base) if file.is_relative_to(base) else file).as_posix())


def shown_fix(finding: Finding) -> Fix | None:
    """The finding's mend, unless it holds what may not be shown: a mend that was altered would do harm."""
    fix = finding.fix
    if fix is None or masked(fix.text) != fix.text:
        return None
    return fix if all(char in "\t\n" or char.isprintable() for char in fix.text) else None
