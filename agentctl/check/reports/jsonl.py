"""Findings as lines of JSON, one each: what a stream reads."""

from __future__ import annotations

import orjson

from agentctl.check.reports.json import finding_as_json, unread_as_json
from agentctl.check.reports.result import Result
from agentctl.json import Json


def as_jsonl(result: Result) -> str:
    """One finding per line, of the shape `findings` has in the JSON report; none when nothing was found.

    A path that could not be checked is a line with the code null.
    """
    lines: list[Json] = [
        {"code": None, "severity": "error", **unread_as_json(unread, result)} for unread in result.unread
    ]
    lines += [finding_as_json(finding, result) for finding in result.findings]
    return "".join(orjson.dumps(line).decode() + "\n" for line in lines)
