"""`agentctl models`: the embedded models of this machine."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from agentctl.cli.answer import print_json
from agentctl.cli.asking import confirm
from agentctl.cli.options import AsJson, Quiet, application
from agentctl.cli.pulling import fetch, known_model
from agentctl.cli.streams import can_ask, say

app = application("List, fetch and remove embedded models.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `models list` says it.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_models(as_json: AsJson = False) -> None:
    """The embedded models: which there are, and which are on this machine."""
    from agentctl.models.catalogue import MODELS, installed, place

    if as_json:
        shown = [
            {
                "name": model.name,
                "title": model.title,
                "licence": model.licence,
                "size": model.size,
                "sha256": model.sha256,
                "installed": installed(model) is not None,
                "path": str(place(model)),
            }
            for model in MODELS.values()
        ]
        print_json({"v": 1, "models": shown})
        return
    for model in MODELS.values():
        path = installed(model)
        where = str(path) if path else "not here: agentctl models pull"
        sys.stdout.write(
            f"{model.name}  {model.title}  {model.size / 1e6:,.0f} MB  {model.licence}  {where}\n"
        )


@app.command()
def pull(name: Name = "local", yes: Yes = False, quiet: Quiet = False) -> int:
    """Fetch a model, and check it against its hash. Goes on where an earlier pull stopped."""
    from agentctl.models.catalogue import installed

    model = known_model(name)
    path = installed(model)
    if path is not None:
        if not quiet:
            say(f"{model.title} is here already: {path}")
        return 0
    asked = can_ask() and not (yes or quiet or os.environ.get("AGENTCTL_PULL") == "1")
    if asked and not confirm(f"Fetch {model.title} ({model.size / 1e6:,.0f} MB, {model.licence})?"):
        return 1
    fetch(name, quiet=quiet)
    return 0


@app.command()
def rm(name: Name = "local", quiet: Quiet = False) -> None:
    """Delete a model's file, and what an interrupted pull left."""
    from agentctl.models.catalogue import remove

    model = known_model(name)
    there = remove(model)
    if not quiet:
        say(f"removed {model.title}" if there else f"{model.title} was not here")
