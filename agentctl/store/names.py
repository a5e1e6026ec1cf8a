"""What a thread may be called."""

from __future__ import annotations

from agentctl.errors import UsageError

_LONGEST = 512


def check_name(thread: str) -> None:
    """Raises UsageError for what cannot name a thread."""
    if not 0 < len(thread) <= _LONGEST or not thread.isprintable():
        raise UsageError(
            f"{thread[:80]!r} cannot name a thread",
            hint=f"write 1 to {_LONGEST} printable characters",
        )
