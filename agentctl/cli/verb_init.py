"""`agentctl init`: a folder with a graph, its tools, and the schema that its first line names."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
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
_SCHEMA_THERE = f"../../{SCHEMA}"
"""Where the ready graphs of a checkout have it."""
_NAMES = "hello, support, or a ready graph: approval, ensemble, long-memory, map-reduce, router-workers, supervisor, tiers."
_TRY = {
    "hello": "-i who=Ada",
    "support": "-i 'question=How do I reset my password?'",
    "approval": "-i 'subject=a lost cat'",
    "ensemble": "-i 'message=My bicycle is a week late. Where is it?'",
    "long-memory": "-i 'say=My cat is called Miso.'",
    "router-workers": "-i 'question=What is 7 times 8?'",
    "supervisor": "-i 'question=How hot is Venus, and how many times as wide as the Earth is Jupiter?'",
    "tiers": "-i 'question=What did I pay for order 7?' -i plan=pro",
}


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where; made if need be.")] = Path("."),
    template: Annotated[str, typer.Option("--from", metavar="NAME", help=_NAMES)] = "hello",
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
    known = {folder.name: folder for place in _places() for folder in place.iterdir() if folder.is_dir()}
    if name not in known:
        raise UsageError(
            f"there is no template `{name}`", hint=f"the templates are: {', '.join(sorted(known))}"
        )
    texts = dict(_texts(known[name], ""))
    return {path: text.replace(_SCHEMA_THERE, SCHEMA, 1) for path, text in texts.items()}


def _places() -> list[Traversable]:
    """The folders that have templates; in a wheel the ready graphs are among the package's own."""
    package = files("agentctl")
    in_checkout = Path(str(package)).parent / "graphs"
    return [package / "cli" / "templates", *([in_checkout] if in_checkout.is_dir() else [])]


def _texts(folder: Traversable, prefix: str) -> Iterator[tuple[str, str]]:
    """The files of a folder, without those that its runs leave behind."""
    ignored = folder / ".gitignore"
    left_behind = ignored.read_text(encoding="utf-8").splitlines() if ignored.is_file() else []
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.name in (*left_behind, ".agentctl", "__pycache__"):
            continue
        if item.is_dir():
            yield from _texts(item, f"{prefix}{item.name}/")
        else:
            yield prefix + item.name, item.read_text(encoding="utf-8")
