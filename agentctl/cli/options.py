"""The options that several verbs share, each said once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from agentctl.cli.completion import thread_completions

GraphFile = Annotated[Path, typer.Argument(metavar="FILE", help="A graph file.", show_default=False)]
ThreadRef = Annotated[
    str,
    typer.Argument(
        metavar="THREAD",
        help="An id, a unique prefix of one, @last, @-2 or @failed.",
        autocompletion=thread_completions,
        show_default=False,
    ),
]
Store = Annotated[
    Path | None,
    typer.Option(
        "--store",
        metavar="DIR",
        envvar="AGENTCTL_STORE",
        help="Where threads are kept (.agentctl, found upward as git finds .git).",
        show_default=False,
        show_envvar=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Say nothing about progress.")]
Verbose = Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")]
Yes = Annotated[bool, typer.Option("--yes", help="Answer yes where a model would have to be fetched.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option("-i", "--in", metavar="KEY=VALUE", help="An input, typed by its field.", show_default=False),
]
Thread = Annotated[
    str | None,
    typer.Option(
        "--thread",
        metavar="ID",
        help="Add a turn to a thread (@last too), or begin one of that name.",
        autocompletion=thread_completions,
        show_default=False,
    ),
]
Tenant = Annotated[
    str, typer.Option("--tenant", metavar="NAME", help="On whose behalf it runs.", show_default=False)
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        metavar="NAME=MODEL",
        help="Use another model for a name of `models:`, or for `default`.",
        show_default=False,
    ),
]
Limits = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="KEY=VALUE", help="Set a limit for this turn.", show_default=False),
]
EnvFile = Annotated[
    Path | None,
    typer.Option("--env-file", metavar="FILE", help="Read environment variables.", show_default=False),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Make every tool call, remembered or not.")]


class Downgrade(StrEnum):
    """What `--sandbox` may say."""

    process = "process"


Sandbox = Annotated[
    Downgrade | None,
    typer.Option(
        "--sandbox",
        help="process: of a `sandbox`, keep the limits of time, memory and processes only.",
        show_default=False,
    ),
]
Events = Annotated[
    Path | None,
    typer.Option(
        "--events", metavar="FILE", help="Append every event to a file of JSON lines.", show_default=False
    ),
]


def application(help: str | None = None) -> typer.Typer:
    """A Typer app as every verb of agentctl is one: no rich, and failures go to `main`."""
    return typer.Typer(
        help=help,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
