"""`agentctl jobs`: list, work on and cancel background jobs."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli.answer import print_json
from agentctl.cli.loading import load_graph
from agentctl.cli.options import AsJson, EnvFile, Events, Quiet, Store, Verbose, application
from agentctl.cli.streams import say
from agentctl.cli.turns import Console
from agentctl.cli.working import say_left
from agentctl.json import Json, encode
from agentctl.sinks.sentences import error_text

if TYPE_CHECKING:
    from agentctl.assembly.loading import LoadedGraph
    from agentctl.engine.jobs import Job

app = application("List, work on and cancel background jobs.")

Named = Annotated[
    list[str] | None,
    typer.Argument(metavar="JOB...", help="Keys, or unique beginnings of them.", show_default=False),
]
Assume = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--assume",
        metavar="done|retry ID",
        help="What became of a write whose end nobody saw.",
        show_default=False,
    ),
]
Result = Annotated[
    str | None,
    typer.Option("--result", metavar="JSON", help="What it gave, with --assume done.", show_default=False),
]


@app.command("list")
def list_jobs(as_json: AsJson = False, store: Store = None) -> None:
    """The jobs of the store, in the order in which they were started."""
    jobs = asyncio.run(_all(store))
    if as_json:
        print_json({"v": 1, "jobs": [job.as_json() for job in jobs]})
    elif jobs:
        sys.stdout.writelines(f"{line}\n" for line in _table(jobs))
    else:
        say("there are no background jobs")


@app.command()
def run(
    jobs: Named = None,
    assume: Assume = None,
    result: Result = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on although the file changed.")
    ] = False,
    env_file: EnvFile = None,
    as_json: AsJson = False,
    events: Events = None,
    store: Store = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Work on jobs, or on all that are left, until they are done. Exit 4 when one failed, 6 when one waits."""
    from agentctl.cli.verb_resume import assumption

    assumed = assumption(assume, result)
    console = Console(quiet=quiet, verbose=verbose, json=as_json, events=events, store=store)
    wanted = [job for job in asyncio.run(_meant(store, jobs)) if not job.is_over]
    tried: dict[str, Job] = {}
    code = 0
    for (path, _), same in _by_file(wanted).items():
        options = same[0].began["options"]
        graph = load_graph(
            Path(path),
            store=store,
            env_file=env_file,
            models=options.get("models"),
            limits=options.get("limits"),
            approve=options.get("approve", ()),
            sandbox=options.get("sandbox"),
        )

        keys = [job.key for job in same]
        found, code = asyncio.run(_work(graph, keys, assumed, console, accept_changes=accept_changes))
        tried |= {job.key: job for job in found}
        if code:
            break
    if as_json:
        print_json({"v": 1, "jobs": [job.as_json() for job in tried.values()]})
    say_left(list(tried.values()), console)
    return code or _exit_code(tried.values())


async def _work(
    graph: LoadedGraph,
    keys: Sequence[str],
    assumed: dict[str, Json],
    console: Console,
    *,
    accept_changes: bool,
) -> tuple[list[Job], int]:
    """The jobs as they are after it, and the exit code of the signal that came meanwhile, or 0."""
    async with graph, console.turn() as turn:
        found = await graph.awork(
            only=keys, assume=assumed, accept_changes=accept_changes, sinks=turn.sinks, stop=turn.stop
        )
        return found, 0 if turn.signals.got is None else turn.signals.exit_code


@app.command()
def cancel(
    jobs: Annotated[list[str], typer.Argument(metavar="JOB...", help="Keys, or unique beginnings of them.")],
    as_json: AsJson = False,
    store: Store = None,
) -> None:
    """Give jobs up that are not over. What they have done stays done; their results never arrive."""
    from agentctl.assembly.jobs import meant, opened_jobs

    async def give_up() -> list[Job]:
        async with opened_jobs(store) as queue:
            known = await queue.all()
            names = dict.fromkeys(meant(known, reference).key for reference in jobs)
            return [job for name in names if (job := await queue.cancel(name)) is not None]

    found = asyncio.run(give_up())
    if as_json:
        print_json({"v": 1, "jobs": [job.as_json() for job in found]})
    for job in found:
        say(f"job {job.key[:12]} is {job.status}")


async def _all(store: Path | None) -> list[Job]:
    from agentctl.assembly.jobs import opened_jobs

    async with opened_jobs(store) as queue:
        return sorted(await queue.all(), key=lambda job: job.began["job"]["created"])


async def _meant(store: Path | None, references: Sequence[str] | None) -> list[Job]:
    from agentctl.assembly.jobs import meant

    jobs = await _all(store)
    if not references:
        return jobs
    return list({job.key: job for job in (meant(jobs, reference) for reference in references)}.values())


def _by_file(jobs: Sequence[Job]) -> dict[tuple[str, bytes], list[Job]]:
    """Jobs that one loading of a file can work on."""
    found: dict[tuple[str, bytes], list[Job]] = {}
    for job in jobs:
        found.setdefault((job.began["path"], encode(job.began["options"])), []).append(job)
    return found


def _exit_code(jobs: Sequence[Job] | Json) -> int:
    statuses = {job.status for job in jobs}
    if "failed" in statuses:
        return 4
    return 6 if "waiting" in statuses else 0


def _table(jobs: Sequence[Job]) -> list[str]:
    rows = [("JOB", "STATUS", "NODE", "THREAD", "TURN", "")]
    for job in jobs:
        run = job.began["run"]
        why = error_text(job.error) if job.error else ""
        rows.append((job.key[:12], job.status, job.began["job"]["at"], job.thread, str(run["turn"]), why))
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[5]]).rstrip()
        for row in rows
    ]
