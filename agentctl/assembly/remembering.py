"""The memo of a store: what `agentctl cache` lists, explains and clears."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from agentctl.assembly.replaying import opened_store, resolve
from agentctl.engine.missed import Story, story_of
from agentctl.errors import UsageError
from agentctl.json import Json
from agentctl.spec.document import document_from_texts
from agentctl.store.folder import find_store, memo_size
from agentctl.store.protocols import ThreadStore
from agentctl.store.remembered import Remembered, RememberedCalls

_STEP = re.compile(r"(\d+(?:/[^!.]*)?)(?:\.(\d+)\.(\d+))?")


@contextmanager
def opened_memo(store: str | Path | None) -> Iterator[RememberedCalls | None]:
    """The memo of the store; None where there is no store."""
    folder = Path(store) if store is not None else find_store(Path.cwd())
    if folder is None or not folder.is_dir():
        yield None
        return
    memo = RememberedCalls(folder.absolute(), size_limit=memo_size())
    try:
        yield memo
    finally:
        memo.close()


async def stories(store: str | Path | None, reference: str) -> tuple[str, str, list[Story]]:
    """What became of the tool calls of `THREAD:STEP` or `THREAD:STEP.REPLY.CALL`: thread, step and stories.

    Raises UsageError for a step or call that is not there.
    """
    thread, _, place = reference.rpartition(":")
    found = _STEP.fullmatch(place)
    if not thread or found is None:
        raise UsageError(
            f"`{reference}` names no step", hint="write THREAD:STEP or THREAD:STEP.REPLY.CALL, as in @last:3"
        )
    async with opened_store(store) as threads:
        name = await resolve(threads, thread)
        rows = [record for _, record in await threads.read(name)]
        calls = _calls(rows)
        wanted = _wanted(calls, found[1], found[2] and f"{found[2]}.{found[3]}")
        _check_there(name, rows, found[1], place, wanted)
        definitions = await _definitions(threads, {turn["digest"] for turn, _ in wanted})
    with opened_memo(store) as memo:
        assert memo is not None, "the store was opened a moment ago"
        known = memo.entries()
        told = [
            _story(record, turn, definitions[turn["digest"]], known, calls, name, memo)
            for turn, record in wanted
        ]
    return name, found[1], told


_Calls = list[tuple[Json, Json]]
"""Each tool effect of a thread, with the record of its turn."""


def _calls(rows: Sequence[Json]) -> _Calls:
    calls, turn = [], None
    for record in rows:
        if record["kind"] in ("turn", "resume"):
            turn = (
                record if turn is None or record["kind"] == "turn" else {**turn, "digest": record["digest"]}
            )
        elif record["kind"] == "effect" and record["of"] == "tool":
            calls.append((turn, record))
    return calls


def _wanted(calls: _Calls, path: str, call: str | None) -> _Calls:
    wanted = []
    for turn, record in calls:
        at, _, rest = record["key"].partition("!")
        inside = at == path or at.startswith(path + "/")
        if inside and call in (None, "", rest.partition(".")[2]):
            wanted.append((turn, record))
    return wanted


def _check_there(thread: str, rows: Sequence[Json], path: str, place: str, wanted: _Calls) -> None:
    """Raises UsageError for a step that was not taken, and a call that was not made."""
    last = max((record["n"] for record in rows if record["kind"] == "step"), default=0)
    step = int(path.partition("/")[0])
    if not wanted and not 1 <= step <= last:
        there = f"its steps are 1 to {last}" if last else "it has no finished step"
        raise UsageError(f"thread {thread} has no step {step}", hint=there)
    if not wanted and path != place:
        raise UsageError(
            f"there is no tool call `{place}` in thread {thread}",
            hint=f"`agentctl cache why {thread}:{path}` shows those of the step",
        )


async def _definitions(threads: ThreadStore, digests: set[str]) -> dict[str, Mapping[str, Json]]:
    """The tools of the files that were run."""
    found: dict[str, Mapping[str, Json]] = {}
    for digest in digests:
        recording = await threads.load_file(digest)
        found[digest] = {}
        if recording is not None:
            document = document_from_texts(recording["root"], recording["texts"])
            found[digest] = (document.data or {}).get("tools", {})
    return found


def _story(
    record: Json,
    turn: Json,
    definitions: Mapping[str, Json],
    known: Sequence[Remembered],
    calls: _Calls,
    thread: str,
    memo: RememberedCalls,
) -> Story:
    tool = record["tool"]
    kept = [entry for entry in known if entry.tool == tool]
    told = list(_of_tape(calls, tool, thread))
    return story_of(record, definitions.get(tool, {}), kept, told, memo.details, turn["run"]["tenant"])


def _of_tape(calls: _Calls, tool: str, thread: str) -> Iterator[Remembered]:
    """Answers of this thread that were there to be remembered, and may be gone from the memo."""
    for turn, record in calls:
        missed = record.get("missed", {})
        if record["tool"] == tool and "key" in missed and "res" in record:
            run = turn["run"]
            yield Remembered(
                key=missed["key"],
                tool=tool,
                stored=missed["at"],
                first=missed["at"],
                seconds=record["sec"],
                size=0,
                tenant=run["tenant"],
                thread=thread,
                turn=run["turn"],
                marks=missed,
            )
