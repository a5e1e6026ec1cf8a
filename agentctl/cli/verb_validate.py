"""`agentctl validate`: all checks of files and folders, as text or JSON."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from agentctl.cli.options import Verbose, application
from agentctl.cli.streams import in_colour
from agentctl.errors import UsageError

if TYPE_CHECKING:
    from agentctl.spec.finding import Finding

app = application()


class Format(StrEnum):
    text = "text"
    json = "json"


@app.command()
def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Graph files, or folders of them.", show_default=False),
    ],
    format: Annotated[Format, typer.Option("--format", help="How findings are printed.")] = Format.text,
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
    from agentctl.check.check import check_file
    from agentctl.check.files import find_graph_files

    chosen = Chosen(_prefixes(select), _prefixes(ignore), information=verbose)
    findings: list[Finding] = []
    unread: list[UsageError] = []
    for file in find_graph_files(paths):
        try:
            findings += [finding for finding in check_file(file) if chosen.keeps(finding)]
        except UsageError as failure:
            unread.append(failure)
    # Two files may include a third; what is wrong there is said once.
    findings = list(dict.fromkeys(findings))
    _print(findings, format)
    if unread:
        # One file that cannot be read does not hide what is wrong with the others.
        raise unread[0]
    counted = {"error", "warning"} if strict else {"error"}
    return 1 if any(finding.severity in counted for finding in findings) else 0


class Chosen:
    """Which findings are asked for."""

    def __init__(self, select: tuple[str, ...], ignore: tuple[str, ...], *, information: bool) -> None:
        self.select, self.ignore, self.information = select, ignore, information

    def keeps(self, finding: Finding) -> bool:
        if finding.severity == "information" and not (self.information or self.select):
            return False
        selected = not self.select or finding.code.startswith(self.select)
        return selected and not (self.ignore and finding.code.startswith(self.ignore))


def _prefixes(codes: list[str] | None) -> tuple[str, ...]:
    return tuple(code.strip().upper() for text in codes or () for code in text.split(",") if code.strip())


def _print(findings: list[Finding], format: Format) -> None:
    from agentctl.check.report import as_json, as_text

    if format is Format.json:
        import orjson

        print(orjson.dumps(as_json(findings), option=orjson.OPT_INDENT_2).decode())
    elif findings:
        sys.stdout.write(as_text(findings, color=in_colour(sys.stdout)).rstrip("\n") + "\n")
