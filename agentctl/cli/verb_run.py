"""`agentctl run`: one turn of a graph."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from agentctl.cli.inputs import limits, pairs, read_inputs
from agentctl.cli.loading import fetch_missing, load_graph, thread_meant
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
    Store,
    Tenant,
    Thread,
    Verbose,
    Yes,
    application,
)
from agentctl.cli.turns import Console, finish

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
    yes: Yes = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Run one turn of a graph: the answer goes to stdout, what happens to stderr."""
    graph = load_graph(
        file,
        store=store,
        env_file=env_file,
        models=pairs(model, "--model"),
        limits=limits(limit),
        durability="full" if durability is Durability.full else "normal",
    )
    thread = thread_meant(thread, store)
    given = read_inputs(inputs, input, graph.graph)
    fetch_missing(graph, yes=yes)
    console = Console(quiet=quiet, verbose=verbose, json=as_json, events=events, store=store)

    async def one_turn() -> int:
        async with console.turn() as turn:
            outcome = await graph.arun(
                given,
                thread=thread,
                tenant=tenant,
                sinks=turn.sinks,
                answer=turn.ask,
                cache=not no_cache,
                stop=turn.stop,
                abandon=abandon,
            )
        return finish(outcome, console, turn.signals)

    return asyncio.run(one_turn())
