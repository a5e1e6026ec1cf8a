"""How much each code weighs."""

from __future__ import annotations

from agentctl.spec.finding import Severity

_WARNINGS = frozenset(
    (
        *("Y008", "Y009", "S131", "G224", "R309", "R311", "E415", "E420"),
        *("T507", "T510", "T511", "T512", "T513", "T514", "T518", "T534", "T540", "T541", "M610"),
        *("L702", "L703", "L706", "L707", "L711", "L713", "L714", "X05"),
    )
)
_INFORMATION = frozenset(("L712", "N906"))


def severity_of(code: str) -> Severity:
    """The severity of a code."""
    return "warning" if code in _WARNINGS else "information" if code in _INFORMATION else "error"
