"""How amounts are said: durations, tokens, money, counts."""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from agentctl.json import Json
from agentctl.sinks.neutral import one_line


def duration(seconds: float) -> str:
    """`0.3ms`, `12ms`, `1.2s`, `10m`, `3m05s`, `2h`, `2h10m`."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f}ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02}s" if rest else f"{minutes}m"
    hours, rest = divmod(minutes, 60)
    return f"{hours}h{rest:02}m" if rest else f"{hours}h"


def count(number: int, word: str) -> str:
    """`1 step`, `2 steps`, `1,204 tokens`."""
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"


def money(dollars: float | None) -> str:
    """`$0.0012`; `—` when the price of some call is unknown, which is not the same as nothing."""
    if dollars is None:
        return "—"
    return f"${dollars:.2f}" if dollars == 0 or dollars >= 1 else f"${dollars:.4f}"


def tokens(usage: Mapping[str, int]) -> str:
    """`360 tokens (312 in, 48 out)`."""
    read, written = usage.get("input", 0), usage.get("output", 0)
    return f"{count(read + written, 'token')} ({read:,} in, {written:,} out)"


def compact(value: Json, longest: int = 80) -> str:
    """A value as JSON on one line, harmless, cut to `longest` characters."""
    if isinstance(value, str):
        return one_line(value, longest)
    return one_line(orjson.dumps(value, default=str).decode(), longest)
