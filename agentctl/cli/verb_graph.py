"""`agentctl graph`: the picture of a graph."""

from __future__ import annotations

import sys
from enum import StrEnum
from typing import Annotated

import typer

from agentctl.cli.options import GraphFile, application
from agentctl.cli.streams import in_colour

app = application()


class Format(StrEnum):
    tree = "tree"
    mermaid = "mermaid"


@app.command()
def graph(
    file: GraphFile,
    format: Annotated[Format, typer.Option("--format", help="A tree of text, or Mermaid.")] = Format.tree,
) -> int:
    """Draw a graph as text. It need not be valid, only readable."""
    from agentctl.graph.picture import as_mermaid, as_tree
    from agentctl.spec.document import read_document

    document = read_document(file)
    if document.spec is None:
        from agentctl.check.reports.result import Result
        from agentctl.check.reports.text import as_text

        errors = [finding for finding in document.findings if finding.severity == "error"]
        sys.stderr.write(as_text(Result(errors), color=in_colour(sys.stderr)))
        return 1
    draw = as_tree if format is Format.tree else as_mermaid
    sys.stdout.write(draw(document.spec))
    return 0
