"""Which thread a person means by `@last`, `@-2`, `@failed`, an id or the beginning of one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentctl.errors import AgentctlError, UsageError

if TYPE_CHECKING:
    from agentctl.store.protocols import Head

_BACK = re.compile(r"@-([1-9]\d*)")


def find_thread(reference: str, heads: Sequence[Head]) -> Head:
    """The one thread a reference means, among heads with the newest first. Raises UsageError."""
    if not heads:
        raise UsageError("there is no thread yet", hint="`agentctl run FILE` begins one")
    if reference.startswith("@"):
        return _by_age(reference, heads)
    exact = [head for head in heads if head.thread == reference]
    found = exact or [head for head in heads if head.thread.startswith(reference)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(head.thread for head in found[:3])
        raise UsageError(f"`{reference}` begins {len(found)} threads: {names}{', …' if found[3:] else ''}")
    raise UsageError(f"there is no thread `{reference}`", hint="`agentctl threads list` shows them")


def thread_completions(incomplete: str) -> list[tuple[str, str]]:
    """Thread ids for the shell, the newest first. Nothing when the store cannot be read."""
    import asyncio
    import os
    from pathlib import Path

    from agentctl.cli.stored import read_heads

    named = os.environ.get("AGENTCTL_STORE")
    try:
        heads = asyncio.run(read_heads(Path(named) if named else None))
    except (AgentctlError, OSError):
        return []
    return [(head.thread, f"{head.graph} {head.status}") for head in heads[:50]]


def _by_age(reference: str, heads: Sequence[Head]) -> Head:
    if reference == "@last":
        return heads[0]
    if back := _BACK.fullmatch(reference):
        number = int(back[1])
        if number <= len(heads):
            return heads[number - 1]
        raise UsageError(f"`{reference}`: there are only {len(heads)} threads")
    if reference == "@failed":
        for head in heads:
            if head.status == "failed":
                return head
        raise UsageError("no thread has failed")
    raise UsageError(f"`{reference}` is no thread; write an id, @last, @-2 or @failed")
