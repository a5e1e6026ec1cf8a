"""`agentctl validate`: all checks of files and folders, as text or JSON."""

from __future__ import annotations

import re
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

_OURS = re.compile(r"""^["']?agentctl["']?\s*:|\$schema=\S*graph\.v1\.json""", re.MULTILINE)


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

    chosen = Chosen(_prefixes(select), _prefixes(ignore), information=verbose)
    findings: list[Finding] = []
    unread: list[UsageError] = []
    for file in graph_files(paths):
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


def graph_files(paths: list[Path]) -> list[Path]:
    """The files to check, each once: files as named, folders searched. Raises UsageError."""
    files: dict[Path, Path] = {}
    for path in paths:
        if path.is_dir():
            inside = [file for file in _yaml_files(path) if _says_agentctl(file)]
            if not inside:
                raise UsageError(f"{path}: no graph file in this folder", hint="graph files are *.yaml")
        elif path.is_file():
            inside = [path]
        else:
            raise UsageError(f"{path}: no such file")
        files.update({file.resolve(): file for file in inside})
    return list(files.values())


def _yaml_files(folder: Path) -> list[Path]:
    found = [*folder.rglob("*.yaml"), *folder.rglob("*.yml")]
    hidden = [file for file in found if not any(p.startswith(".") for p in file.relative_to(folder).parts)]
    return sorted(hidden)


def _says_agentctl(file: Path) -> bool:
    """Whether a file in a folder is ours: other tools keep YAML there too. One we cannot read may be."""
    try:
        return _OURS.search(file.read_text(encoding="utf-8", errors="replace")[:4096]) is not None
    except OSError:
        return True


def _prefixes(codes: list[str] | None) -> tuple[str, ...]:
    return tuple(code.strip().upper() for text in codes or () for code in text.split(",") if code.strip())


def _print(findings: list[Finding], format: Format) -> None:
    from agentctl.check.report import as_json, as_text

    if format is Format.json:
        import orjson

        print(orjson.dumps(as_json(findings), option=orjson.OPT_INDENT_2).decode())
    elif findings:
        sys.stdout.write(as_text(findings, color=in_colour(sys.stdout)).rstrip("\n") + "\n")
