"""Small parts that many things of a file have, compiled."""

from __future__ import annotations

from dataclasses import replace

from msgspec import UNSET, UnsetType

from agentctl import units
from agentctl.expressions import Expression, compile_template
from agentctl.graph.plan import BreakerPlan
from agentctl.json import Json
from agentctl.spec.model import Retry
from agentctl.spec.resources import Breaker


def template(text: Json) -> Expression | None:
    """A text with `${{ … }}`; None where the file says none."""
    return None if text is UNSET else compile_template(text)


def attempts(retry: Retry | Json, default: int) -> int:
    """Tries in all."""
    return default if retry is UNSET or retry.attempts is UNSET else retry.attempts


def breaker(spec: Breaker | UnsetType) -> BreakerPlan | None:
    """When a tool is not called any more; None where the file says nothing."""
    if spec is UNSET:
        return None
    plan = BreakerPlan()
    if spec.failures is not UNSET:
        plan = replace(plan, failures=spec.failures)
    return plan if spec.cooldown is UNSET else replace(plan, cooldown=units.seconds(spec.cooldown))
