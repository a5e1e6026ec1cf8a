"""Findings as workflow commands, which GitHub Actions shows at their lines in a pull request."""

from __future__ import annotations

from agentctl.check.reports.masking import fit_to_show, shown_path
from agentctl.check.reports.result import Result, Unread
from agentctl.spec.finding import Finding

_COMMANDS = {"error": "error", "warning": "warning", "information": "notice"}

Properties = dict[str, str | int]


def as_github(result: Result) -> str:
    """`::error file=…,line=…,col=…,endLine=…,endColumn=…,title=…::…`, a line each; empty when nothing was found."""
    lines = [_unread(unread, result) for unread in result.unread]
    lines += [_finding(finding, result) for finding in result.findings]
    return "".join(f"{line}\n" for line in lines)


def _finding(finding: Finding, result: Result) -> str:
    span, file = finding.span, shown_path(finding.file, result.base)
    properties: Properties = {
        "file": file,
        "line": span.line,
        "endLine": span.end_line,
        "title": f"agentctl {finding.code}",
    }
    if span.line == span.end_line:
        # GitHub refuses columns for what goes over several lines.
        properties |= {"col": span.column, "endColumn": span.end_column}
    message = fit_to_show(finding.message)
    if finding.hint:
        message += f"\nhint: {fit_to_show(finding.hint)}"
    # The log shows the message only, so that the place is said there, too.
    return _command(
        _COMMANDS[finding.severity], properties, f"{file}:{span.line}:{span.column}: {finding.code} {message}"
    )


def _unread(unread: Unread, result: Result) -> str:
    properties: Properties = {"file": shown_path(unread.path, result.base), "title": "agentctl"}
    return _command("error", properties, fit_to_show(unread.message))


def _command(name: str, properties: Properties, message: str) -> str:
    order = ("file", "line", "col", "endLine", "endColumn", "title")
    given = ",".join(f"{key}={_property(str(properties[key]))}" for key in order if key in properties)
    return f"::{name} {given}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
