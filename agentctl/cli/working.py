"""What the command line says of background jobs: those that a run works on, and those that it leaves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from agentctl.cli.streams import complain, say
from agentctl.cli.turns import Console
from agentctl.sinks.sentences import error_text

if TYPE_CHECKING:
    from agentctl.assembly.loading import LoadedGraph
    from agentctl.engine.jobs import Job


async def work_off(graph: LoadedGraph, thread: str, console: Console, *, cache: bool) -> int:
    """Work on the jobs of a thread; 0, or the exit code of the signal that came meanwhile."""
    async with console.turn() as turn:
        jobs = await graph.awork(thread, sinks=turn.sinks, stop=turn.stop, cache=cache)
        say_left(jobs, console)
        return 0 if turn.signals.got is None else turn.signals.exit_code


def say_left(jobs: Sequence[Job], console: Console) -> None:
    """Say which jobs have failed, which wait for a person, and that some are left."""
    store = f" --store {console.store}" if console.store is not None else ""
    for job in jobs:
        name = f"background job {job.key[:12]} ({job.began['job']['at']})"
        if job.status == "failed":
            complain("warning", f"{name} failed: {error_text(job.error)}")
        elif job.status == "waiting" and job.question is not None:
            complain("warning", f"{name} waits: {error_text(job.question['question'])}")
            id = job.question["id"]
            say(
                f"it was done: agentctl jobs run {job.key[:12]}{store} --assume done '{id}'; or: --assume retry '{id}'"
            )
    left = [job for job in jobs if not job.is_over and job.status != "waiting"]
    if left:
        say(f"{len(left)} background jobs are left: agentctl jobs run{store}")
