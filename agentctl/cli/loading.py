"""From a file and the options of a command to a graph that can run."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from agentctl.cli.asking import confirm
from agentctl.cli.pulling import fetch, known_model
from agentctl.cli.streams import can_ask, complain, in_colour, say
from agentctl.errors import CannotRun
from agentctl.json import Json

if TYPE_CHECKING:
    from agentctl.assembly.loading import LoadedGraph


def load_graph(
    file: Path,
    *,
    store: Path | None,
    env_file: Path | None = None,
    models: Mapping[str, str] | None = None,
    limits: Mapping[str, Json] | None = None,
    approve: Sequence[str] = (),
    durability: Literal["normal", "full"] = "normal",
    sandbox: str | None = None,
) -> LoadedGraph:
    """A checked graph. Findings are shown on stderr and end the command with exit 1."""
    from agentctl.assembly.environment import read_env_file
    from agentctl.assembly.loading import InvalidGraph, load

    env = read_env_file(env_file) if env_file is not None else None
    try:
        graph = load(
            file,
            store=store,
            env=env,
            models=models,
            limits=limits,
            approve=approve,
            durability=durability,
            sandbox="process" if sandbox else None,
        )
    except InvalidGraph as invalid:
        from agentctl.check.reports.result import Result
        from agentctl.check.reports.text import as_text

        sys.stderr.write(as_text(Result(invalid.findings), color=in_colour(sys.stderr)))
        raise typer.Exit(invalid.exit_code) from None
    if sandbox:
        _say_downgrade(graph)
    return graph


def _say_downgrade(graph: LoadedGraph) -> None:
    names = [f"`{name}`" for name, tool in graph.graph.tools.items() if tool.sandbox is not None]
    if names:
        what = "is kept to the limits of its" if len(names) == 1 else "are kept to the limits of their"
        complain(
            "warning",
            f"--sandbox process: {', '.join(names)} {what} sandbox only, and may read, write and connect as you may",
        )


def thread_meant(reference: str | None, store: Path | None) -> str | None:
    """The id that `--thread` names: `@last` and its like are looked up, anything else is an id, old or new.

    Raises UsageError.
    """
    if reference is None or not reference.startswith("@"):
        return reference
    from agentctl.assembly.replaying import opened_store, resolve

    async def meant() -> str:
        async with opened_store(store) as threads:
            return await resolve(threads, reference)

    return asyncio.run(meant())


def fetch_missing(graph: LoadedGraph, *, yes: bool) -> None:
    """Fetch the embedded models the graph needs and this machine lacks, if a person agrees. Raises CannotRun."""
    missing = graph.missing_models()
    if not missing:
        return
    agreed = may_fetch(yes=yes)
    for name in missing:
        if agreed:
            say(f"fetching the embedded model `{name}`, which this graph needs")
        elif not (can_ask() and confirm(_question(name))):
            raise CannotRun(
                f"the embedded model `{name}` is not on this machine",
                hint="`agentctl models pull` fetches it; with --yes or AGENTCTL_PULL=1 a run does so itself",
            )
        fetch(name)


def may_fetch(*, yes: bool) -> bool:
    """Whether it was agreed beforehand that a model is fetched where it is needed."""
    return yes or os.environ.get("AGENTCTL_PULL") == "1"


def _question(name: str) -> str:
    model = known_model(name)
    return f"This graph needs {model.title} ({model.size / 1e6:,.0f} MB), which is not here. Fetch it now?"
