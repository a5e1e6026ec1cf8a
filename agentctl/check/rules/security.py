"""X, what a file must not hold, reach or let happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentctl.check.facts import Facts
from agentctl.spec.finding import Finding

RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = ()
