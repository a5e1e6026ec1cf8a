"""The limits of a graph, with their defaults and units."""

from __future__ import annotations

from msgspec import UNSET

from agentctl import units
from agentctl.graph.plan import JobLimits, LimitPlan
from agentctl.json import Json
from agentctl.spec.model import BackgroundLimits, Limits, OnLimit, Reserve, StepLimits


def limit_plan(spec: Limits) -> LimitPlan:
    """Limits in seconds, bytes and dollars."""
    named = spec.on_limit if isinstance(spec.on_limit, OnLimit) else OnLimit(node=spec.on_limit or "")
    reserve = named.reserve or Reserve()
    step = spec.step or StepLimits()
    said: dict[str, Json] = {
        "recursion": spec.recursion,
        "depth": spec.depth,
        "time": _seconds(spec.time),
        "step_time": _seconds(spec.step_time),
        "tokens": spec.tokens,
        "cost": UNSET if spec.cost is UNSET else units.dollars(spec.cost),
        "tool_calls": spec.tool_calls,
        "concurrency": spec.concurrency,
        "state_size": UNSET if spec.state_size is UNSET else units.size(spec.state_size),
        "step_tokens": step.tokens,
        "step_tool_calls": step.tool_calls,
        "on_limit": named.node or UNSET,
        "reserve_time": _seconds(reserve.time),
        "reserve_tokens": reserve.tokens,
        "reserve_cost": UNSET if reserve.cost is UNSET else units.dollars(reserve.cost),
        "background": _job_limits(spec.background or BackgroundLimits()),
    }
    return LimitPlan(**{name: value for name, value in said.items() if value is not UNSET})


def _job_limits(spec: BackgroundLimits) -> JobLimits:
    said: dict[str, Json] = {
        "time": _seconds(spec.time),
        "recursion": spec.recursion,
        "tokens": spec.tokens,
        "cost": UNSET if spec.cost is UNSET else units.dollars(spec.cost),
        "concurrency": spec.concurrency,
    }
    return JobLimits(**{name: value for name, value in said.items() if value is not UNSET})


def _seconds(text: Json) -> Json:
    return UNSET if text is UNSET else units.seconds(text)
