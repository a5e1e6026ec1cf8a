"""Threads by name: what the shell completes."""

from __future__ import annotations

import asyncio
import os

from agentctl.errors import AgentctlError


def thread_completions(incomplete: str) -> list[tuple[str, str]]:
    """Thread ids for the shell, the newest first. Nothing when the store cannot be read."""
    try:
        return asyncio.run(_newest(os.environ.get("AGENTCTL_STORE")))
    except (AgentctlError, OSError):
        # A shell asks while somebody types: no message would have a place to go.
        return []


async def _newest(folder: str | None) -> list[tuple[str, str]]:
    from agentctl.assembly.replaying import opened_store

    async with opened_store(folder) as store:
        return [(head.thread, f"{head.graph} {head.status}") for head in (await store.heads())[:50]]
