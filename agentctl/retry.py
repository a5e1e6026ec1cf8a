"""When to try again, and how long to wait before it."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with full jitter (Brooker, AWS Architecture Blog, 2015).

    Wait before retry n, n = 1, 2, ...: uniform in [0, base * 2**(n - 1)] seconds, at most `ceiling`.
    """

    base: float = 0.5
    """Seconds, > 0."""
    attempts: int = 3
    """Tries in all, >= 1; 1 never retries."""
    ceiling: float = 30.0
    """Seconds."""

    def wait(self, retry: int, *, retry_after: float | None = None, draw: float | None = None) -> float:
        """Seconds before retry `retry` (1, 2, ...). A server's `retry_after` is the least it will be."""
        chance = random.random() if draw is None else draw
        jittered = min(self.ceiling, self.base * 2.0 ** (retry - 1)) * chance
        return max(jittered, retry_after or 0.0)
