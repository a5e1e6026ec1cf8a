"""The limits of a file, in seconds and dollars; and what holds where a file says nothing, for all rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from agentctl import units
from agentctl.check.flow import mapping
from agentctl.json import Json

MANY = 10**15
"""Larger numbers say no more: a count stops here."""

MAX_TURNS = 8
"""Rounds of model and tools of an agent."""
MODEL_TIMEOUT, TOOL_TIMEOUT = 60.0, 30.0
"""Seconds for one call."""
ATTEMPTS = 3
"""Tries of a model, and of a tool that is safe to repeat."""


class TurnLimits(Struct, frozen=True):
    """What a turn may use; None bounds nothing."""

    recursion: int = 25
    depth: int = 5
    time: float = 600.0
    step_time: float = 120.0
    tokens: int | None = None
    cost: float | None = None
    tool_calls: int = 100
    step_tokens: int | None = None
    step_tool_calls: int | None = None
    reserve_time: float = 30.0
    reserve_tokens: int = 2000
    reserve_cost: float = 0.05
    said: frozenset[str] = frozenset()
    """The keys that the file sets itself."""


def turn_limits(data: Mapping[str, Json]) -> TurnLimits:
    """The limits that a file says, and the defaults for the others."""
    limits = mapping(data.get("limits"))
    step, last = mapping(limits.get("step")), mapping(limits.get("on_limit"))
    reserve = mapping(last.get("reserve"))
    found: dict[str, Json] = {
        **{key: limits.get(key) for key in ("recursion", "depth", "tokens", "tool_calls")},
        "time": _read(units.seconds, limits.get("time")),
        "step_time": _read(units.seconds, limits.get("step_time")),
        "cost": _read(units.dollars, limits.get("cost")),
        "step_tokens": step.get("tokens"),
        "step_tool_calls": step.get("tool_calls"),
        "reserve_time": _read(units.seconds, reserve.get("time")),
        "reserve_tokens": reserve.get("tokens"),
        "reserve_cost": _read(units.dollars, reserve.get("cost")),
    }
    known = {name: min(value, MANY) for name, value in found.items() if value is not None}
    return TurnLimits(**known, said=frozenset(limits))


def seconds(value: Json) -> float | None:
    """A duration of the file in seconds; None when there is none."""
    return _read(units.seconds, value)


def attempts_of(spec: Mapping[str, Json], default: int) -> int:
    """How often something is tried, as its `retry` says."""
    attempts = mapping(spec.get("retry")).get("attempts")
    return attempts if isinstance(attempts, int) else default


def as_duration(seconds: float) -> str:
    """Seconds as people write them: 90s, 2m, 3m40s, 1h."""
    if seconds < 120 and seconds != 60:
        return f"{seconds:g}s"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{number:g}{unit}" for number, unit in parts if number)


def _read(read: Callable[[Json], float], value: Json) -> float | None:
    try:
        return None if value is None else read(value)
    except (ValueError, TypeError):
        return None  # S106 and S102 have said it
