"""Findings a line each, as compilers print them: what editors and `grep` read."""

from __future__ import annotations

from agentctl.check.reports.masking import fit_to_show, shown_path
from agentctl.check.reports.result import Result


def as_concise(result: Result) -> str:
    """`graph.yaml:9:21: error[E410] …`, a line each; empty when nothing was found."""
    return "".join(
        f"{shown_path(finding.file, result.base)}:{finding.span.line}:{finding.span.column}: "
        f"{finding.severity}[{finding.code}] {fit_to_show(finding.message)}\n"
        for finding in result.findings
    )
