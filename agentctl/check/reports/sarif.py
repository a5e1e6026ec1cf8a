"""Findings as SARIF 2.1.0 (OASIS), which code scanning services read."""

from __future__ import annotations

import re
from collections import Counter
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import quote

import orjson

from agentctl.check.explain import explain
from agentctl.check.reports.masking import fit_to_show, plain, shown_fix, shown_path
from agentctl.check.reports.result import Result, Unread
from agentctl.check.reports.source import Lines
from agentctl.check.severity import severity_of
from agentctl.json import Json
from agentctl.spec.finding import Finding, Severity, Span

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_ROOT = "%SRCROOT%"
_LEVELS: dict[Severity, str] = {"error": "error", "warning": "warning", "information": "note"}
_PLACES = re.compile(r"\bline \d+|\[\d+\]")
"""What changes in a message or a path when lines are added elsewhere."""
_WIDEST = 1000
_AROUND = 200
"""Characters on either side of a word: a line may be a megabyte long, and have a thousand findings."""


def as_sarif(result: Result) -> str:
    """A log with one run, written also when nothing was found."""
    return orjson.dumps(document(result), option=orjson.OPT_INDENT_2).decode() + "\n"


def document(result: Result) -> Json:
    """What `as_sarif` writes, as data."""
    rules = sorted({finding.code for finding in result.findings})
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": _driver(rules)},
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {
                    _ROOT: {"description": {"text": "The directory in which agentctl was called."}}
                },
                "invocations": [_invocation(result)],
                "results": _results(result, rules),
            }
        ],
    }


def _driver(rules: list[str]) -> Json:
    driver: Json = {"name": "agentctl", "rules": [_rule(code) for code in rules]}
    try:
        return {**driver, "version": version("agentctl")}
    except PackageNotFoundError:
        return driver  # a source tree that is not installed


def _rule(code: str) -> Json:
    rule: Json = {"id": code, "defaultConfiguration": {"level": _LEVELS[severity_of(code)]}}
    page = explain(code)
    if page is None:
        return rule
    tags = ["security"] if code.startswith("X") else []
    markdown = f"{page.rule}\n\nBad:\n\n```yaml\n{page.bad}```\n\nGood:\n\n```yaml\n{page.good}```\n"
    return {
        **rule,
        "shortDescription": {"text": page.title},
        "fullDescription": {"text": page.rule},
        "help": {"text": f"{page.rule}\n\nBad:\n\n{page.bad}\nGood:\n\n{page.good}", "markdown": markdown},
        "properties": {"tags": tags},
    }


def _invocation(result: Result) -> Json:
    if not result.unread:
        return {"executionSuccessful": True}
    notes = [_notification(unread, result) for unread in result.unread]
    return {"executionSuccessful": False, "toolExecutionNotifications": notes}


def _notification(unread: Unread, result: Result) -> Json:
    place = {"physicalLocation": {"artifactLocation": _artifact(unread.path, result.base)}}
    return {"level": "error", "message": {"text": fit_to_show(unread.message)}, "locations": [place]}


def _results(result: Result, rules: list[str]) -> list[Json]:
    lines, seen = Lines(result), Counter[str]()
    index = {code: number for number, code in enumerate(rules)}
    results = []
    for finding in result.findings:
        print_ = _fingerprint(finding, lines.of(finding.file), result.base)
        seen[print_] += 1
        results.append(
            {
                "ruleId": finding.code,
                "ruleIndex": index[finding.code],
                "level": _LEVELS[finding.severity],
                "message": {"text": _message(finding)},
                "locations": [_location(finding, lines.of(finding.file), result.base)],
                "partialFingerprints": {"agentctlFinding/v1": f"{print_}:{seen[print_]}"},
                **_fixes(finding, result.base),
            }
        )
    return results


def _message(finding: Finding) -> str:
    message = fit_to_show(finding.message)
    return f"{message}\nhint: {fit_to_show(finding.hint)}" if finding.hint else message


def _fingerprint(finding: Finding, lines: list[str], base: Path) -> str:
    """What stays when lines move: the file, the code, the keys of the value, what is said of it, the line's words.

    The number after it tells findings apart that are alike in all of this.
    """
    span = finding.span
    line = lines[span.line - 1] if span.line <= len(lines) else ""
    around = line[max(span.column - _AROUND, 0) : span.column + _AROUND]
    parts = (
        shown_path(finding.file, base),
        finding.code,
        _PLACES.sub("", finding.path),
        _PLACES.sub("", finding.message),
        " ".join(around.split()),
    )
    return sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()[:32]


def _location(finding: Finding, lines: list[str], base: Path) -> Json:
    region = {**_region(finding.span), **_snippet(finding.span, lines)}
    place: Json = {
        "physicalLocation": {"artifactLocation": _artifact(finding.file, base), "region": region},
    }
    if finding.path:
        place["logicalLocations"] = [{"fullyQualifiedName": fit_to_show(finding.path)}]
    return place


def _region(span: Span) -> Json:
    """SARIF counts as we do: from 1, and `endColumn` is one past the last character."""
    return {
        "startLine": span.line,
        "startColumn": span.column,
        "endLine": span.end_line,
        "endColumn": span.end_column,
    }


def _snippet(span: Span, lines: list[str]) -> Json:
    """The span's text; a secret is looked for in the whole line, of which the span may be a part."""
    if span.line != span.end_line or span.line > len(lines):
        return {}
    line = lines[span.line - 1]
    text = plain(line[span.column - 1 : span.end_column - 1])
    return {"snippet": {"text": text[:_WIDEST]}} if text else {}


def _fixes(finding: Finding, base: Path) -> Json:
    fix = shown_fix(finding)
    if fix is None:
        return {}
    replacement: Json = {"deletedRegion": _region(fix.span)}
    if fix.text:
        replacement["insertedContent"] = {"text": fix.text}
    change = {"artifactLocation": _artifact(finding.file, base), "replacements": [replacement]}
    says = fit_to_show(finding.hint or f"put {fix.text!r} there")
    return {"fixes": [{"description": {"text": says}, "artifactChanges": [change]}]}


def _artifact(file: Path, base: Path) -> Json:
    if file.is_relative_to(base):
        return {"uri": quote(file.relative_to(base).as_posix(), errors="replace"), "uriBaseId": _ROOT}
    return {"uri": "file://" + quote(file.as_posix(), errors="replace")}
