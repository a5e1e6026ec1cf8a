"""`agentctl validate`: all checks of files and folders, in the formats of people, editors and CI."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agentctl.cli.options import Verbose, application
from agentctl.cli.streams import complain, in_colour
from agentctl.errors import UsageError

if TYPE_CHECKING:
    from agentctl.check.checking import Files
    from agentctl.check.reports.result import Result

_STDIN = Path("-")
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
    fix: Annotated[bool, typer.Option("--fix", help="Mend what is certain, then say what is left.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show what --fix would write; write nothing.")] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write the report there.", show_default=False),
    ] = None,
    stdin_name: Annotated[
        Path, typer.Option("--stdin-name", metavar="FILE", help="Which file `-`, standard input, is.")
    ] = Path("stdin.yaml"),
    surface: Annotated[
        bool, typer.Option("--surface", help="Print what the tools may do, and who may call them.")
    ] = False,
) -> int:
    """Check files without running anything they name. Silent when all is well.

    Exits with 0 then, with 1 for errors (--strict: or warnings), with 2 when something could not be read or no graph
    was found. `agentctl explain CODE` shows what a finding means; a comment
    `# agentctl: allow CODE because REASON` at its line silences it.
    """
    if surface:
        if fix or diff or output is not None:
            raise UsageError("`--surface` prints what is there; it goes with none of --fix, --diff, --output")
        return _surface(_files(paths, stdin_name, mends=False), format)
    from agentctl.check.checking import check_files
    from agentctl.check.selection import Selection, read_codes

    selection = Selection(read_codes("--select", select or ()), read_codes("--ignore", ignore or ()), verbose)
    files = _files(paths, stdin_name, mends=fix or diff)
    if diff:
        from agentctl.cli.mending import show_mends

        left, is_changed = show_mends(files, selection)
        return max(_exit_code(left, strict=strict), int(is_changed))
    if fix:
        from agentctl.cli.mending import write_mends

        files = write_mends(files, selection)
    result = check_files(files, selection)
    _print(result, format, output)
    return _exit_code(result, strict=strict)


def _files(paths: list[Path], stdin_name: Path, *, mends: bool) -> Files:
    """The files to check; `-` is a text that an editor holds, of the file whose name it gives."""
    from agentctl.check.checking import find_files

    if _STDIN not in paths:
        return find_files(paths)
    if mends:
        raise UsageError("what is read from standard input cannot be mended", hint="name the file")
    named = [stdin_name if path == _STDIN else path for path in paths]
    return find_files(named, {stdin_name.absolute(): _text_of_stdin()})


def _text_of_stdin() -> str:
    """What stands in standard input, of a text that is too large its beginning. Raises UsageError."""
    from agentctl.spec.source import MAX_BYTES

    given = sys.stdin.buffer.read(MAX_BYTES + 1)
    try:
        return given.decode("utf-8", "replace" if len(given) > MAX_BYTES else "strict")
    except UnicodeDecodeError as error:
        raise UsageError("standard input is not UTF-8", hint="save the text as UTF-8") from error


def _surface(files: Files, format: Format) -> int:
    """The surface instead of the findings, in the formats there are for it."""
    if format not in ("text", "json"):
        raise UsageError(f"`--surface` has no format `{format}`", hint="it is text, or `--format json`")
    from agentctl.cli.surface import print_surface

    return print_surface(files, as_json=format == "json")


def _print(result: Result, format: Format, output: Path | None) -> None:
    """The report to stdout, or to a file. What could not be read is said on stderr, too: not every format can."""
    if output is not None:
        from agentctl.check.editing import write_report
        from agentctl.check.reports import report

        write_report(output, report(result, format))
    elif format != "text":
        from agentctl.check.reports import report

        sys.stdout.write(report(result, format))
    elif result.findings:
        from agentctl.check.reports.text import as_text

        sys.stdout.write(as_text(result, color=in_colour(sys.stdout)))
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
