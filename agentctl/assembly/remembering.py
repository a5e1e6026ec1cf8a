"""The memo of a store: what `agentctl cache` lists, explains and clears."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from agentctl.assembly.replaying import no_store, opened_store, resolve
from agentctl.engine.missed import Story, story_of
from agentctl.errors import UsageError
from agentctl.json import Json
from agentctl.spec.document import document_from_texts
from agentctl.store.folder import find_store, memo_size
from agentctl.store.remembered import Remembered, RememberedCalls

_CALL = r"\.\d+\.\d+"
_STEP = re.compile(rf"(\d+(?:(?:{_CALL})?/[^!./]+)*)(?:\.(\d+)\.(\d+))?")
"""A step, what runs in it, or in one of its calls (`1.0.1/look`), and one call of that."""


@contextmanager
def opened_memo(store: str | Path | None) -> Iterator[RememberedCalls | None]:
    """The memo of the store; None where there is no store yet. Raises UsageError for a named one that is not there."""
    folder = Path(store) if store is not None else find_store(Path.cwd())
    if folder is None:
        yield None
        return
    if not folder.is_dir():
        raise no_store(folder)
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
        files = {turn["digest"]: await threads.load_file(turn["digest"]) for turn, _ in wanted}
    with opened_memo(store) as memo:
        assert memo is not None, "the store was opened a moment ago"
        known = memo.entries()
        told = [
            _story(record, turn, _definition(files[turn["digest"]], record, calls), known, calls, name, memo)
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
    """The calls of a step with those that run inside it; or one of them, with those inside that."""
    wanted = []
    for turn, record in calls:
        at, own = _place(record)
        if call:
            inside = (at, own) == (path, call) or at.startswith(f"{path}.{call}/")
        else:
            inside = at == path or at.startswith((f"{path}/", f"{path}."))
        if inside:
            wanted.append((turn, record))
    return wanted


def _place(record: Json) -> tuple[str, str]:
    """Where a call was made, and which one of there it was: `1` and `0.1`."""
    at, _, rest = record["key"].rpartition("!")
    return at, rest.partition(".")[2]


def _check_there(thread: str, rows: Sequence[Json], path: str, place: str, wanted: _Calls) -> None:
    """Raises UsageError for a step that was not taken, and a call that was not made."""
    last = max((record["n"] for record in rows if record["kind"] == "step"), default=0)
    step = int(re.split(r"\D", path, maxsplit=1)[0])
    if not wanted and not 1 <= step <= last:
        there = f"its steps are 1 to {last}" if last else "it has no finished step"
        raise UsageError(f"thread {thread} has no step {step}", hint=there)
    if not wanted and path != place:
        raise UsageError(
            f"there is no tool call `{place}` in thread {thread}",
            hint=f"`agentctl cache why {thread}:{path}` shows those of the step",
        )


def _definition(recording: Json, record: Json, calls: _Calls) -> Mapping[str, Json]:
    """The tool in the file that called it: that of the turn, or one that a tool of it runs."""
    names = {".".join(_place(other)): other["tool"] for _, other in calls}
    path, _ = _place(record)
    for end in re.finditer(rf"{_CALL}(?=/)", path):
        said = (recording or {}).get("tools", {}).get(names.get(path[: end.end()]), ())
        recording = said[2] if len(said) > 2 else recording
    if recording is None:
        return {}
    document = document_from_texts(recording["root"], recording["texts"])
    found: Mapping[str, Json] = (document.data or {}).get("tools", {}).get(record["tool"], {})
    return found


def _story(
    record: Json,
    turn: Json,
    definition: Mapping[str, Json],
    known: Sequence[Remembered],
    calls: _Calls,
    thread: str,
    memo: RememberedCalls,
) -> Story:
    tool = record["tool"]
    kept = [entry for entry in known if entry.tool == tool]
    told = list(_of_tape(calls, tool, thread))
    return story_of(record, definition, kept, told, memo.details, turn["run"]["tenant"])


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
