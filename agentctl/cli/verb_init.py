"""`agentctl init`: a folder with a graph, its tools, and the schema that its first line names."""

from __future__ import annotations

import shlex
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from agentctl.cli.options import Quiet, application
from agentctl.cli.streams import say
from agentctl.errors import UsageError

app = application()

SCHEMA = "schemas/graph.v1.json"
"""Where the first line of a template's graph says that the schema is; a path of this machine would help no other."""
_TRY = {"hello": "-i who=Ada", "support": "-i 'question=How do I reset my password?'"}


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; made if need be.")] = Path("."),
    template: Annotated[str, typer.Option("--from", metavar="NAME", help="hello or support.")] = "hello",
    quiet: Quiet = False,
) -> None:
    """Start a project: a graph, its tools and the schema for editors. Runs offline at once; overwrites nothing."""
    from agentctl.spec.schema import schema_text

    contents = template_files(template)
    there = [name for name in contents if (folder / name).exists()]
    if there:
        raise UsageError(
            f"{folder / there[0]} is there already; nothing was written", hint="name another folder: init DIR"
        )
    if not (folder / SCHEMA).exists():
        contents[SCHEMA] = schema_text()
    for name, text in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # "x": even a file made in this very moment is not overwritten.
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
        if not quiet:
            say(f"made {path}")
    if not quiet:
        graph = shlex.quote(str(folder / "graph.yaml"))
        say(f"try: agentctl run {graph} {_TRY.get(template, '')}".rstrip())


def template_files(name: str) -> dict[str, str]:
    """The texts of a template by path inside it. Raises UsageError for an unknown one."""
    root = files("agentctl.cli").joinpath("templates")
    known = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
    if name not in known:
        raise UsageError(f"there is no template `{name}`", hint=f"the templates are: {', '.join(known)}")
    return dict(_texts(root.joinpath(name), ""))


def _texts(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir() and item.name != "__pycache__":
            found += _texts(item, f"{prefix}{item.name}/")
        elif item.is_file():
            found.append((prefix + item.name, item.read_text(encoding="utf-8")))
    return found
