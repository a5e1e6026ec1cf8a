"""Work measured side by side in one run: interleaved rounds, medians, and one table for all benchmarks.

A time alone says as much about the machine as about the work; a ratio of two medians, taken in turns, does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

Round = Callable[[], float]
"""Does one round of work and returns what it cost for each operation: seconds, or bytes."""


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, against what, and what was to be reached."""

    what: str
    ours: float
    reference: float | None = None
    """None when there is nothing to divide by; then `budget` is a cost itself."""
    against: str = ""
    budget: float | None = None
    """The ratio to stay under; None for a comparison that promises nothing."""
    unit: str = "s"

    @property
    def ratio(self) -> float | None:
        return self.ours / self.reference if self.reference else None

    @property
    def verdict(self) -> str:
        if self.budget is None:
            return ""
        measured = self.ours if self.reference is None else self.ratio
        assert measured is not None
        return "met" if measured <= self.budget else "MISSED"


def take_turns(works: Mapping[str, Round], rounds: int) -> dict[str, float]:
    """The median cost of each work; every round does each of them once, after a round that does not count."""
    costs: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            cost = work()
            if number:
                costs[name].append(cost)
    return {name: median(found) for name, found in costs.items()}


def show(title: str, rows: list[Row], notes: list[str] | None = None) -> None:
    """Print the table."""
    lines = [("what", "ours", "reference", "ratio", "budget", "")]
    for row in rows:
        ratio = row.ratio
        lines.append(
            (
                row.what,
                _amount(row.ours, row.unit),
                f"{_amount(row.reference, row.unit)} {row.against}" if row.reference else "",
                f"{ratio:.2f}" if ratio is not None else "",
                _budget(row),
                row.verdict,
            )
        )
    widths = [max(len(line[column]) for line in lines) for column in range(6)]
    print(f"\n{title}")
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for note in notes or []:
        print(f"- {note}")


def _budget(row: Row) -> str:
    if row.budget is None:
        return ""
    return f"<= {row.budget:g}" if row.reference else f"<= {_amount(row.budget, row.unit)}"


def _amount(value: float, unit: str) -> str:
    if unit != "s":
        return f"{value:,.0f} {unit}"
    if value < 0.001:
        return f"{value * 1e6:.2f} µs"
    return f"{value * 1e3:.2f} ms" if value < 1 else f"{value:.2f} s"
