"""L, limits: that they leave room for the work and bound all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentctl.check.facts import Facts
from agentctl.spec.finding import Finding

RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = ()
