"""`agentctl schema`: the JSON Schema of graph files, for editors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agentctl.cli.options import application
from agentctl.errors import UsageError
from agentctl.json import Json

app = application()


@app.command()
def schema(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Put the names of this file in.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PATH", help="Write it there, at once or not at all."),
    ] = None,
) -> None:
    """Print the JSON Schema of graph files.

    Save it and point an editor at it: `# yaml-language-server: $schema=graph.v1.json`. With FILE an editor
    completes the file's own names: nodes, agents, tools, fields. Write it again when names change.
    """
    text = _text(file)
    if output is None:
        sys.stdout.write(text)
        return
    from agentctl.check.editing import write_report  # needed here only

    write_report(output, text)


def _text(file: Path | None) -> str:
    import orjson

    from agentctl.spec.schema import schema_text

    if file is None:
        return schema_text()
    return orjson.dumps(_named(file), option=orjson.OPT_INDENT_2).decode() + "\n"


def _named(file: Path) -> Json:
    from agentctl.spec.document import read_document
    from agentctl.spec.known_names import schema_with_names

    document = read_document(file)
    if not isinstance(document.data, dict):
        raise UsageError(f"`{file}` cannot be read as a graph", hint=f"`agentctl validate {file}` says why")
    return schema_with_names(document.data)
