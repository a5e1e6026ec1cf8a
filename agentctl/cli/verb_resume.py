"""`agentctl resume`: go on with a turn that waits or was cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Set
from pathlib import Path
from typing import Annotated

import orjson
import typer

from agentctl.cli.inputs import pairs
from agentctl.cli.loading import fetch_missing, load_graph
from agentctl.cli.options import (
    AsJson,
    EnvFile,
    Events,
    NoCache,
    Quiet,
    Sandbox,
    Store,
    ThreadRef,
    Verbose,
    Yes,
    application,
)
from agentctl.cli.turns import Console, finish
from agentctl.cli.working import work_off
from agentctl.errors import UsageError
from agentctl.json import Json

app = application()

Answers = Annotated[
    list[str] | None,
    typer.Option("--answer", metavar="ID=VALUE", help="Answer a question.", show_default=False),
]
Assume = Annotated[
    tuple[str, str] | None,
    typer.Option(
        "--assume",
        metavar="done|retry ID",
        help="A write whose end nobody saw: it was done, or make it again.",
        show_default=False,
    ),
]
Result = Annotated[
    str | None,
    typer.Option(
        "--result", metavar="JSON", help="What the write answered, with --assume done.", show_default=False
    ),
]
AcceptChanges = Annotated[bool, typer.Option("--accept-changes", help="Go on although the file has changed.")]


@app.command()
def resume(
    thread: ThreadRef,
    answer: Answers = None,
    assume: Assume = None,
    result: Result = None,
    accept_changes: AcceptChanges = False,
    sandbox: Sandbox = None,
    env_file: EnvFile = None,
    no_cache: NoCache = False,
    as_json: AsJson = False,
    events: Events = None,
    store: Store = None,
    yes: Yes = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> int:
    """Go on after a wait, a crash or Ctrl-C. No finished call is made again."""
    answers, assumed = pairs(answer, "--answer"), assumption(assume, result)
    console = Console(quiet=quiet, verbose=verbose, json=as_json, events=events, store=store)

    # The file is loaded, and a person perhaps asked, outside of the loop, where Ctrl-C is Python's own.
    name, path, options = asyncio.run(_suspended(thread, store, {*answers, *assumed}))
    graph = load_graph(
        path,
        store=store,
        env_file=env_file,
        models=options.get("models"),
        limits=options.get("limits"),
        approve=options.get("approve", ()),
        sandbox=sandbox or options.get("sandbox"),
    )
    fetch_missing(graph, yes=yes)

    async def go_on() -> int:
        async with graph:
            async with console.turn() as turn:
                outcome = await graph.aresume(
                    name,
                    answers=answers,
                    assume=assumed,
                    accept_changes=accept_changes,
                    sinks=turn.sinks,
                    answer=turn.ask,
                    cache=not no_cache,
                    stop=turn.stop,
                )
            code = finish(outcome, console, turn.signals)
            if outcome.status not in ("done", "limit", "failed") or not graph.has_background:
                return code
        return await work_off(graph, name, console, cache=not no_cache) or code

    return asyncio.run(go_on())


def assumption(assume: tuple[str, str] | None, result: str | None) -> dict[str, Json]:
    """`--assume` and `--result` as the engine takes them. Raises UsageError."""
    if assume is None:
        if result is not None:
            raise UsageError("--result says what a write gave: add --assume done ID")
        return {}
    what, id = assume
    if what == "retry" and result is None:
        return {id: "retry"}
    if what != "done":
        raise UsageError(f"--assume {what} {id}: write `--assume done ID` or `--assume retry ID`")
    try:
        return {id: {"done": None if result is None else orjson.loads(result)}}
    except orjson.JSONDecodeError as failure:
        raise UsageError(f"--result `{result}` is no JSON: {failure}") from failure


async def _suspended(thread: str, store: Path | None, given: Set[str]) -> tuple[str, Path, dict[str, Json]]:
    """The thread that is meant, the file its turn runs and the options it was begun with.

    Raises UsageError when questions are `given` an answer, but not the one that is open.
    """
    from agentctl.assembly.replaying import graph_path, opened_store, resolve
    from agentctl.cli.thread_view import open_question

    async with opened_store(store) as threads:
        name = await resolve(threads, thread)
        path, options = await graph_path(threads, name)
        question = open_question(await threads.read(name)) if given else None
    if question is not None and question["id"] not in given:
        raise UsageError(
            f"thread {name} has no open question `{', '.join(sorted(given))}`",
            hint=f"it waits for an answer to `{question['id']}`",
        )
    return name, path, dict(options)
