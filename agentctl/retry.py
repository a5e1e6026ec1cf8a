"""When to try again, and how long to wait before it."""

from __future__ import annotations

import math
import random
import time
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


def seconds_to_wait(retry_after: str | None) -> float | None:
    """Seconds in a Retry-After header, which is a number or an HTTP date (RFC 9110, 10.2.3); None for neither."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        return _seconds_until(retry_after)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str) -> float | None:
    import email.utils  # 10 ms, for the few servers that send a date

    try:
        return max(0.0, email.utils.parsedate_to_datetime(date).timestamp() - time.time())
    except ValueError:
        return None
