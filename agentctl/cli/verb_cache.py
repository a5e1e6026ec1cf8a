"""`agentctl cache`: remembered tool calls, listed, explained and forgotten."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Annotated

import typer

from agentctl.cli.answer import print_json
from agentctl.cli.asking import confirm
from agentctl.cli.completion import thread_completions
from agentctl.cli.options import AsJson, Quiet, Store, application
from agentctl.cli.streams import can_ask, say
from agentctl.errors import UsageError

app = application("List, explain and forget remembered tool calls.")

Tool = Annotated[
    str | None, typer.Option("--tool", metavar="NAME", help="Of this tool alone.", show_default=False)
]
Older = Annotated[
    str | None,
    typer.Option(
        "--older", metavar="AGE", help="Stored longer ago than that: 30m, 12h, 7d.", show_default=False
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]
Step = Annotated[
    str,
    typer.Argument(
        metavar="THREAD:STEP",
        help="A step of a thread, as in @last:3; or one call of it, THREAD:STEP.REPLY.CALL.",
        autocompletion=thread_completions,
        show_default=False,
    ),
]


@app.command("list")
def list_entries(tool: Tool = None, as_json: AsJson = False, store: Store = None) -> None:
    """What is remembered, by tool; of one tool, call by call."""
    from agentctl.assembly.remembering import opened_memo
    from agentctl.cli.cache_view import calls_text, entry_as_json, tools_as_json, tools_text

    with opened_memo(store) as memo:
        entries = memo.entries() if memo else []
        disk = memo.disk_size if memo else 0
        limit = memo.size_limit if memo else 0
    if tool is not None:
        entries = [entry for entry in entries if entry.tool == tool]
    if as_json:
        shown = {"v": 1, "size": disk, "size_limit": limit, "tools": tools_as_json(entries)}
        if tool is not None:
            shown["entries"] = [entry_as_json(entry) for entry in entries]
        print_json(shown)
    elif not entries:
        say(f"no call of `{tool}` is remembered" if tool is not None else "no tool call is remembered yet")
    else:
        sys.stdout.write(calls_text(entries) if tool is not None else tools_text(entries, disk, limit))


@app.command(short_help="Say why a step's tool calls were remembered, or not.")
def why(step: Step, as_json: AsJson = False, store: Store = None) -> None:
    """Say why the tool calls of a step were answered from the memo, or were not."""
    from agentctl.assembly.remembering import stories
    from agentctl.cli.cache_view import stories_text, story_as_json

    thread, path, found = asyncio.run(stories(store, step))
    if as_json:
        calls = [story_as_json(story) for story in found]
        print_json({"v": 1, "thread": thread, "step": path, "calls": calls})
    elif found:
        sys.stdout.write(stories_text(thread, path, found))
    else:
        say(f"step {path} of thread {thread} called no tool")


@app.command()
def clear(
    tool: Tool = None,
    older: Older = None,
    yes: Yes = False,
    as_json: AsJson = False,
    store: Store = None,
    quiet: Quiet = False,
) -> int:
    """Forget remembered calls, and give their room back to the disk."""
    from agentctl.assembly.remembering import opened_memo
    from agentctl.cli.cache_view import size_text
    from agentctl.sinks.wording import count

    before = None if older is None else time.time() - _age(older)
    with opened_memo(store) as memo:
        entries = [
            entry
            for entry in (memo.entries() if memo else [])
            if tool in (None, entry.tool) and (before is None or entry.stored < before)
        ]
        whole = tool is None and before is None
        if memo is None or not (entries or (whole and memo.is_there)):
            if as_json:
                print_json({"v": 1, "entries": 0, "bytes": 0})
            elif not quiet:
                say("nothing to forget")
            return 0
        asked = can_ask() and not (yes or quiet or as_json)
        if asked and not confirm(f"Forget {count(len(entries), 'remembered call')}?"):
            return 1
        freed = memo.forget_all() if whole else memo.forget([entry.key for entry in entries])
    if as_json:
        print_json({"v": 1, "entries": freed.entries, "bytes": freed.bytes})
    elif not quiet and freed == (0, 0):
        say("nothing to forget")
    elif not quiet:
        say(f"forgot {count(freed.entries, 'call')}, {size_text(freed.bytes)} freed")
    return 0


def _age(text: str) -> float:
    from agentctl import units

    try:
        return units.seconds(text)
    except ValueError as error:
        raise UsageError(f"--older {text}: {error}", hint="such as --older 12h or --older 7d") from error
