"""Findings as JUnit XML, which GitLab, Jenkins and others show as tests: a suite per file."""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from agentctl.check.reports.masking import fit_to_show, shown_path
from agentctl.check.reports.result import Result, Unread
from agentctl.spec.finding import Finding

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""All but XML 1.0, rule 2: Char."""


def as_junit(result: Result) -> str:
    """A suite for every file: a failure for each error and warning, one passing case when there is none."""
    by_file: dict[Path, list[Finding]] = {file: [] for file in result.files}
    for finding in result.findings:
        by_file.setdefault(finding.file, []).append(finding)
    suites = [_unread(unread, result.base) for unread in result.unread]
    suites += [_suite(shown_path(file, result.base), found) for file, found in by_file.items()]
    tests = sum(max(1, len(found)) for found in by_file.values()) + len(result.unread)
    head = _attributes(
        name="agentctl validate",
        tests=tests,
        failures=sum(map(_fails, result.findings)),
        errors=len(result.unread),
    )
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<testsuites{head}>", *suites, "</testsuites>"]
    return "\n".join(lines) + "\n"


def _suite(file: str, findings: list[Finding]) -> str:
    cases = [_case(file, finding) for finding in findings]
    if not cases:
        cases = [f"    <testcase{_attributes(classname=file, name='validate', time='0')}/>"]
    head = _attributes(
        name=file, tests=len(cases), failures=sum(map(_fails, findings)), errors=0, skipped=0, time="0"
    )
    return "\n".join([f"  <testsuite{head}>", *cases, "  </testsuite>"])


def _case(file: str, finding: Finding) -> str:
    """A finding as a test that failed; one that only informs, as a test that passed and said so."""
    place = f"{file}:{finding.span.line}:{finding.span.column}"
    message = fit_to_show(finding.message)
    said = f"{place}: {finding.severity}[{finding.code}] {message}"
    if finding.hint:
        said += f"\nhint: {fit_to_show(finding.hint)}"
    name = f"{finding.code} {finding.span.line}:{finding.span.column} {message}"
    if _fails(finding):
        head = _attributes(message=f"{finding.code} {message}", type=finding.severity)
        body = f"<failure{head}>{escape(_clean(said))}</failure>"
    else:
        body = f"<system-out>{escape(_clean(said))}</system-out>"
    return f"    <testcase{_attributes(classname=file, name=name, time='0')}>{body}</testcase>"


def _unread(unread: Unread, base: Path) -> str:
    file, message = shown_path(unread.path, base), fit_to_show(unread.message)
    suite = _attributes(name=file, tests=1, failures=0, errors=1, skipped=0, time="0")
    case = _attributes(classname=file, name="read", time="0")
    error = f"<error{_attributes(message=message, type='unread')}>{escape(_clean(message))}</error>"
    return f"  <testsuite{suite}>\n    <testcase{case}>{error}</testcase>\n  </testsuite>"


def _fails(finding: Finding) -> bool:
    return finding.severity != "information"


def _attributes(**values: str | int) -> str:
    return "".join(f" {name}={quoteattr(_clean(str(value)))}" for name, value in values.items())


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
