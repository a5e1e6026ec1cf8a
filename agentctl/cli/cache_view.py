"""Remembered calls, and why others were not, as people and programs look at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agentctl.cli.thread_view import moment
from agentctl.engine.missed import Reason, Story
from agentctl.json import Json
from agentctl.sinks.neutral import one_line
from agentctl.sinks.wording import compact, duration
from agentctl.store.remembered import Remembered

_LONGEST = 60
_UNITS = ("B", "KB", "MB", "GB")
_WHY = {
    "definition": "the tool says something else in the file",
    "code": "other code",
    "server": "another MCP server, or another address, header or variable of it",
    "env": "another value of {names}",
    "sandbox": "another sandbox",
    "files": "what it may read in its sandbox has changed",
    "known": "it knows of its thread (`context`, or `run.…` in a template), and this is another turn or thread",
    "first": "no earlier call of `{tool}` is known to the memo: it is the first, or older ones were evicted or cleared",
    "gone": "an equal call was made before, and its answer was not there: evicted, cleared, or never kept",
    "evicted": "its answer was evicted to make room; it was stored {when}",
    "clock": "the clock was set back since its answer was stored ({when}), so its age cannot be told",
    "too_large": "its answer takes {size}, more than one answer may take of the memo",
    "no_memo": "the memo was off (`--no-cache`, or a test)",
    "many_files": "what it may read in its sandbox is too much to compare, or cannot be read",
    "cache_false": "`cache: false`",
    "read_without_cache": "a read is remembered with `cache:` only",
    "write": "a write is never remembered",
    "no_effect": "without `effect: pure` or `effect: read` it counts as a write, which is never remembered",
    "served": "only what reads is remembered, by its `effect:` or what its server says, and with `cache:`",
    "nested": "what it runs is remembered call by call, and not as a whole",
    "not_recorded": "why is not on the tape: it is of an older agentctl, or was given by a person",
    "failed": "it failed or was cut short: errors are never remembered, and why it was made is not on the tape",
    "stored_again": "the entry has been stored anew since",
    "gone_since": "the entry is gone since",
}


def tools_text(entries: Sequence[Remembered], disk: int, limit: int) -> str:
    """A line for each tool, and the room that the memo takes."""
    rows = [("TOOL", "CALLS", "SIZE", "OLDEST", "NEWEST")]
    for tool in tools_as_json(entries):
        times = moment(tool["oldest"]), moment(tool["newest"])
        rows.append((tool["tool"], f"{tool['calls']:,}", size_text(tool["size"]), *times))
    return f"{_table(rows)}{size_text(disk)} on disk, of {size_text(limit)}\n"


def calls_text(entries: Sequence[Remembered]) -> str:
    """A line for each remembered call of one tool."""
    rows = [("STORED", "KEPT FOR", "SIZE", "TOOK", "THREAD", "TENANT", "ARGUMENTS")]
    for entry in entries:
        kept = "—" if entry.max_age is None else duration(entry.max_age)
        said = "(large)" if entry.arguments is None else compact(entry.arguments, _LONGEST)
        thread = f"{entry.thread} turn {entry.turn}" if entry.thread else "—"
        amounts = (size_text(entry.size), duration(entry.seconds))
        rows.append((moment(entry.stored), kept, *amounts, thread, entry.tenant or "—", said))
    return _table(rows)


def tools_as_json(entries: Sequence[Remembered]) -> list[dict[str, Any]]:
    """`cache list --json`: each tool."""
    tools: dict[str, list[Remembered]] = {}
    for entry in entries:
        tools.setdefault(entry.tool, []).append(entry)
    return [
        {
            "tool": tool,
            "calls": len(found),
            "size": sum(entry.size for entry in found),
            "oldest": min(entry.stored for entry in found),
            "newest": max(entry.stored for entry in found),
        }
        for tool, found in sorted(tools.items())
    ]


def entry_as_json(entry: Remembered) -> dict[str, Json]:
    """One entry of `cache list --tool NAME --json`."""
    return {
        "key": entry.key,
        "stored": entry.stored,
        "seconds": entry.seconds,
        "size": entry.size,
        "max_age": entry.max_age,
        "tenant": entry.tenant,
        "thread": entry.thread,
        "turn": entry.turn,
        "arguments": entry.arguments,
    }


def stories_text(thread: str, step: str, stories: Sequence[Story]) -> str:
    """The calls of a step, a line each."""
    lines = [f"thread {thread}, step {step}"]
    for story in stories:
        lines.append(f"  {story.place}  {story.tool}: {_outcome(story)}")
        lines += [f"       {reason_text(reason, story)}" for reason in story.reasons]
        if story.outcome == "miss" and story.nearest is not None:
            lines.append(f"       compared with the answer {_origin(story.nearest)}")
    return "\n".join(lines) + "\n"


def story_as_json(story: Story) -> dict[str, Json]:
    """One call of `cache why --json`."""
    return {
        "call": story.place,
        "tool": story.tool,
        "outcome": story.outcome,
        "age": story.age,
        "saved_seconds": story.saved,
        "reasons": [
            {
                "reason": reason.name,
                "names": list(reason.names),
                "number": reason.number,
                "changes": {
                    name: {"before": before, "now": now} for name, (before, now) in reason.changes.items()
                },
                "message": reason_text(reason, story),
            }
            for reason in story.reasons
        ],
        "nearest": None if story.nearest is None else entry_as_json(story.nearest),
    }


def reason_text(reason: Reason, story: Story) -> str:
    """One reason in a sentence; never a value of env."""
    names = ", ".join(one_line(name, _LONGEST) for name in reason.names)
    match reason.name:
        case "tenant":
            other = story.nearest.tenant if story.nearest else ""
            whose = f"of tenant `{one_line(other, _LONGEST)}`" if other else "of no tenant"
            return f"another tenant: the answer that is there is {whose}, and tenants never share"
        case "args":
            return f"other arguments: {_arguments(reason) or names or 'which ones cannot be told'}"
        case "definition" | "code":
            which = f": {names}" if names else "; what changed cannot be told any more"
            return _WHY[reason.name] + which
        case "expired":
            return f"its answer had expired {duration(reason.number or 0.0)} before"
        case _:
            number = reason.number or 0.0
            return _WHY[reason.name].format(
                names=names, tool=story.tool, when=moment(number), size=size_text(int(number))
            )


def size_text(size: int) -> str:
    """`512 B`, `1.5 KB`, `256 MB`; 1 KB is 1,024 bytes, as in a file."""
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    number = f"{amount:.1f}".removesuffix(".0") if unit else f"{size}"
    return f"{number} {_UNITS[unit]}"


def _outcome(story: Story) -> str:
    match story.outcome:
        case "hit":
            age, saved = duration(story.age or 0.0), duration(story.saved or 0.0)
            by = f", {_origin(story.nearest)}" if story.nearest else ""
            return f"hit, {age} old, saved {saved}{by}"
        case "off":
            return "not remembered"
        case other:
            return other


def _origin(entry: Remembered) -> str:
    by = f"by thread {entry.thread} turn {entry.turn}" if entry.thread else "by a thread that is not known"
    return f"stored {by}, {moment(entry.stored)}"


def _arguments(reason: Reason) -> str:
    return ", ".join(
        f"{one_line(name, _LONGEST)} ({compact(before, _LONGEST)} → {compact(now, _LONGEST)})"
        if name in reason.changes
        else one_line(name, _LONGEST)
        for name, (before, now) in ((name, reason.changes.get(name, (None, None))) for name in reason.names)
    )


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in rows
    )
