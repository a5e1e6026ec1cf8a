"""`agentctl graph`: the picture of a graph."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, assert_never

import typer

from agentctl.cli.options import GraphFile, application
from agentctl.cli.streams import in_colour

if TYPE_CHECKING:
    from agentctl.graph.picture.data import Picture

app = application()


class Format(StrEnum):
    tree = "tree"
    mermaid = "mermaid"
    dot = "dot"
    svg = "svg"
    html = "html"
    json = "json"


_AS = typer.Option("--format", help="Text, Mermaid, Graphviz, a drawing, a page, or data.")
_Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write it there instead.", show_default=False),
]


@app.command()
def graph(file: GraphFile, format: Annotated[Format, _AS] = Format.tree, output: _Output = None) -> int:
    """Draw a graph. It need not be valid, only readable."""
    from agentctl.graph.picture.reading import picture_of
    from agentctl.spec.document import part_refused, read_document

    document = read_document(file)
    if document.spec is None:
        from agentctl.check.reports.result import Result
        from agentctl.check.reports.text import as_text

        errors = [finding for finding in document.findings if finding.severity == "error"]
        if not errors:
            raise part_refused(document.path)
        sys.stderr.write(as_text(Result(errors), color=in_colour(sys.stderr)))
        return 1
    drawn = _drawn(picture_of(document.spec), format)
    if output is None:
        sys.stdout.write(drawn)
    else:
        _write(output, drawn)
    return 0


def _drawn(picture: Picture, format: Format) -> str:
    """The picture in one format; only its own module is loaded."""
    match format:
        case Format.tree:
            from agentctl.graph.picture.tree import as_tree as draw
        case Format.mermaid:
            from agentctl.graph.picture.mermaid import as_mermaid as draw
        case Format.dot:
            from agentctl.graph.picture.dot import as_dot as draw
        case Format.svg:
            from agentctl.graph.picture.svg import as_svg as draw
        case Format.html:
            from agentctl.graph.picture.html import as_html as draw
        case Format.json:
            from agentctl.graph.picture.data import as_json as draw
        case _:
            assert_never(format)
    return draw(picture)


def _write(path: Path, text: str) -> None:
    """The file at once or not at all."""
    from agentctl.check.editing import write_report

    write_report(path, text)
