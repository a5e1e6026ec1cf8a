"""The background jobs of a store, without the graphs that they belong to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agentctl.engine.jobs import Job, JobQueue
from agentctl.errors import UsageError
from agentctl.store.folder import find_store, open_jobs


@asynccontextmanager
async def opened_jobs(store: str | Path | None) -> AsyncIterator[JobQueue]:
    """The jobs of an existing store. Raises UsageError when there is none."""
    folder = Path(store) if store is not None else find_store(Path.cwd())
    if folder is None or not folder.is_dir():
        where = folder or "here or in a folder above"
        raise UsageError(f"there is no store {where}", hint="`agentctl run` makes one")
    logs = open_jobs(folder)
    try:
        yield JobQueue(logs)
    finally:
        await logs.close()


def meant(jobs: Sequence[Job], reference: str) -> Job:
    """The job that a key, or a unique beginning of one, means. Raises UsageError."""
    found = [job for job in jobs if job.key.startswith(reference)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"`{reference}` could be {len(found)} jobs", hint="write more of the key")
    raise UsageError(f"there is no job `{reference}`", hint="`agentctl jobs list` shows them")
