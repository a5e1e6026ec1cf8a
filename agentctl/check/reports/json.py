"""Findings as one JSON document."""

from __future__ import annotations

import orjson

from agentctl.check.reports.masking import fit_to_show, shown_fix, shown_path
from agentctl.check.reports.result import Result, Unread
from agentctl.json import Json
from agentctl.spec.finding import Finding, Span


def as_json(result: Result) -> str:
    """One object, written also when nothing was found. Its keys are added to, never renamed."""
    return orjson.dumps(document(result), option=orjson.OPT_INDENT_2).decode() + "\n"


def document(result: Result) -> Json:
    """What `as_json` writes, as data."""
    return {
        "v": 1,
        "valid": result.is_valid,
        "errors": result.count("error"),
        "warnings": result.count("warning"),
        "findings": [finding_as_json(finding, result) for finding in result.findings],
        "unread": [unread_as_json(unread, result) for unread in result.unread],
    }


def finding_as_json(finding: Finding, result: Result) -> Json:
    """One finding, the same in every JSON format."""
    fix = shown_fix(finding)
    return {
        "code": finding.code,
        "severity": finding.severity,
        "message": fit_to_show(finding.message),
        "hint": None if finding.hint is None else fit_to_show(finding.hint),
        "file": shown_path(finding.file, result.base),
        **_span(finding.span),
        "path": fit_to_show(finding.path),
        "fix": None if fix is None else {**_span(fix.span), "text": fix.text},
    }


def unread_as_json(unread: Unread, result: Result) -> Json:
    """A path that could not be checked."""
    return {
        "file": shown_path(unread.path, result.base),
        "message": fit_to_show(unread.message),
        "hint": None if unread.hint is None else fit_to_show(unread.hint),
    }


def _span(span: Span) -> Json:
    return {
        "start": {"line": span.line, "column": span.column},
        "end": {"line": span.end_line, "column": span.end_column},
    }
