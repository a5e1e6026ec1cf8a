"""`agentctl run`: one turn of a graph."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli.dry_run import report
from agentctl.cli.each import Batch, Line, read_lines
from agentctl.cli.inputs import limits, pairs, read_inputs
from agentctl.cli.loading import fetch_missing, load_graph, may_fetch, thread_meant
from agentctl.cli.options import (
    AsJson,
    EnvFile,
    Events,
    GraphFile,
    Inputs,
    Limits,
    Models,
    NoCache,
    Quiet,
    Sandbox,
    Store,
    Tenant,
    Thread,
    Verbose,
    Yes,
    application,
)
from agentctl.cli.turns import Console, finish
from agentctl.cli.working import work_off
from agentctl.errors import UsageError
from agentctl.json import Json

if TYPE_CHECKING:
    from agentctl.assembly.loading import LoadedGraph

app = application()


class Durability(StrEnum):
    normal = "normal"
    full = "full"


@app.command()
def run(
    file: GraphFile,
    inputs: Inputs = None,
    input: Annotated[
        str | None,
        typer.Option("--input", metavar="FILE|-", help="Inputs from JSON or YAML.", show_default=False),
    ] = None,
    thread: Thread = None,
    tenant: Tenant = "",
    model: Models = None,
    limit: Limits = None,
    approve: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOOL", help="A tool that needs no person's yes in this run.", show_default=False
        ),
    ] = None,
    sandbox: Sandbox = None,
    env_file: EnvFile = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
    events: Events = None,
    store: Store = None,
    durability: Annotated[
        Durability, typer.Option("--durability", help="full: every step survives a power cut.")
    ] = Durability.normal,
    abandon: Annotated[
        bool, typer.Option("--abandon", help="Give up the suspended turn of the thread.")
    ] = False,
    each: Annotated[
        str | None,
        typer.Option(
            "--each",
            metavar="FILE.jsonl|-",
            help="A turn for every line, an object of inputs, each on a new thread.",
            show_default=False,
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="With --each: turns side by side, by default limits.concurrency.",
            show_default=False,
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, say what would run, run nothing.")
    ] = False,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Leave background jobs to the next run, or to `jobs run`.")
    ] = False,
    yes: Yes = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Run one turn of a graph: the answer goes to stdout, what happens to stderr.

    With --each a turn for every line of a file: a JSON object for each goes to stdout, in their order. Exit 0
    when all are done, else the worst that any has: 130 (stopped), 70, 3, 4, 5, 6.
    """
    graph = load_graph(
        file,
        store=store,
        env_file=env_file,
        models=pairs(model, "--model"),
        limits=limits(limit),
        approve=approve or (),
        durability="full" if durability is Durability.full else "normal",
        sandbox=sandbox,
    )
    thread = thread_meant(thread, store)
    console = Console(quiet=quiet, verbose=verbose, json=as_json, events=events, store=store)
    thread = thread_meant(thread, store)
    settings = Settings(graph, console, thread, tenant, not no_cache, abandon, waits=not no_wait)
    if each is None:
        lines, given = [], read_inputs(inputs, input, graph.graph)
    else:
        lines = _lines(
            each, settings, read_inputs(None, input, graph.graph), read_inputs(inputs, None, graph.graph)
        )
        given = lines[0].inputs
    if dry_run:
        return asyncio.run(_rehearse(settings, given, turns=len(lines) or 1, fetches=may_fetch(yes=yes)))
    graph.check_inputs(given, new=thread is None)
    fetch_missing(graph, yes=yes)
    if lines:
        return asyncio.run(_every_line(settings, lines, concurrency))
    return asyncio.run(_one_turn(settings, given))


@dataclass(frozen=True, slots=True)
class Settings:
    """What every turn of the command has in common."""

    graph: LoadedGraph
    console: Console
    thread: str | None
    tenant: str
    cache: bool
    abandon: bool
    waits: bool = True
    """Whether it works on the turn's background jobs when the turn is over."""


async def _one_turn(settings: Settings, given: dict[str, Json]) -> int:
    async with settings.graph:
        async with settings.console.turn() as turn:
            outcome = await settings.graph.arun(
                given,
                thread=settings.thread,
                tenant=settings.tenant,
                sinks=turn.sinks,
                answer=turn.ask,
                cache=settings.cache,
                stop=turn.stop,
                abandon=settings.abandon,
            )
        code = finish(outcome, settings.console, turn.signals)
        over = outcome.status in ("done", "limit", "failed")
        if not (settings.waits and over and settings.graph.has_background):
            return code
        console, cache = settings.console, settings.cache
        return await work_off(settings.graph, outcome.thread, console, cache=cache) or code


async def _every_line(settings: Settings, lines: list[Line], concurrency: int | None) -> int:
    """Nobody is asked anything: what waits for a person is left to be resumed."""
    graph, console = settings.graph, settings.console
    batch = Batch(graph, lines, console, tenant=settings.tenant, cache=settings.cache)
    async with graph:
        return await batch.run(concurrency or graph.graph.limits.concurrency)


async def _rehearse(settings: Settings, given: dict[str, Json], *, turns: int, fetches: bool) -> int:
    from agentctl.assembly.rehearsal import rehearse

    async with settings.graph as graph:
        seen = await rehearse(graph, given, thread=settings.thread, abandon=settings.abandon, fetches=fetches)
    return report(seen, thread=settings.thread, turns=turns, as_json=settings.console.json)


def _lines(file: str, settings: Settings, below: dict[str, Json], above: dict[str, Json]) -> list[Line]:
    """The inputs of every line of `--each`: over those of `--input`, under those of `-i`. Raises UsageError."""
    if settings.thread is not None or settings.abandon:
        option = "--abandon" if settings.abandon else "--thread"
        raise UsageError(f"--each and {option} do not go together: every line begins a thread of its own")
    return read_lines(file, settings.graph, below, above)
