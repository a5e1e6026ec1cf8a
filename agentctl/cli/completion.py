"""Threads by name: what the shell completes."""

from __future__ import annotations

import os
from pathlib import Path

from agentctl.errors import AgentctlError

_SHOWN = 50


def thread_completions(incomplete: str) -> list[tuple[str, str]]:
    """Thread ids for the shell, the newest first. Nothing when the store cannot be read."""
    # every verb loads this module, and most of them no event loop
    import asyncio

    try:
        return asyncio.run(_newest(os.environ.get("AGENTCTL_STORE")))
    except (AgentctlError, OSError):
        # A shell asks while somebody types: no message would have a place to go.
        return []


async def _newest(named: str | None) -> list[tuple[str, str]]:
    from agentctl.store.folder import find_store, open_thread_store

    folder = Path(named) if named else find_store(Path.cwd())
    if folder is None or not folder.is_dir():
        return []
    store = open_thread_store(folder)
    try:
        return [(head.thread, f"{head.graph} {head.status}") for head in (await store.heads())[:_SHOWN]]
    finally:
        await store.close()
