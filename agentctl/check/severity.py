"""How much each code weighs."""

from __future__ import annotations

from agentctl.spec.finding import Severity

_WARNINGS = frozenset(("Y008", "Y009", "S131", "G224", "R309", "R311", "E415", "E420"))


def severity_of(code: str) -> Severity:
    """The severity of a code."""
    return "warning" if code in _WARNINGS else "error"
