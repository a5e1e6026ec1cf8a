"""T: to come."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentctl.check.facts import Facts
from agentctl.spec.finding import Finding

RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = ()
