"""`agentctl validate`: all checks of files and folders, in the formats of people, editors and CI."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agentctl.cli.options import Verbose, application
from agentctl.cli.streams import complain, in_colour

if TYPE_CHECKING:
    from agentctl.check.reports.result import Result

Format = Literal["text", "concise", "json", "jsonl", "github", "sarif", "junit"]

app = application()


@app.command()
def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Graph files, or folders of them.", show_default=False),
    ],
    format: Annotated[Format, typer.Option("--format", help="How findings are printed.")] = "text",
    strict: Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")] = False,
    verbose: Verbose = False,
    select: Annotated[
        list[str] | None,
        typer.Option(metavar="CODES", help="Only these: E410, or a family: E.", show_default=False),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="CODES", help="All but these.", show_default=False)
    ] = None,
) -> int:
    """Check files without running anything they name. Silent when all is well."""
    from agentctl.check.checking import check_files, find_files
    from agentctl.check.selection import Selection, read_codes

    selection = Selection(read_codes("--select", select or ()), read_codes("--ignore", ignore or ()), verbose)
    result = check_files(find_files(paths), selection)
    _print(result, format)
    return _exit_code(result, strict=strict)


def _print(result: Result, format: Format) -> None:
    """The report to stdout. What could not be read is said on stderr, too: the format may have no word for it."""
    if format == "text":
        if result.findings:
            from agentctl.check.reports.text import as_text

            sys.stdout.write(as_text(result, color=in_colour(sys.stdout)))
    else:
        from agentctl.check.reports import report

        sys.stdout.write(report(result, format))
    for unread in result.unread:
        complain("error", unread.message)
        if unread.hint:
            complain("hint", unread.hint)


def _exit_code(result: Result, *, strict: bool) -> int:
    """2 when something could not be read: that is never all right."""
    if result.unread:
        return 2
    counted = {"error", "warning"} if strict else {"error"}
    return 1 if any(finding.severity in counted for finding in result.findings) else 0
