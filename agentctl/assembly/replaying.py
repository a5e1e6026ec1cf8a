"""Replays and threads: what can be known of a store without a model, a tool or a network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from agentctl.assembly.limits import with_limits
from agentctl.engine import replay as engine_replay
from agentctl.engine.replay import ReplayReport
from agentctl.errors import StoreError, UsageError
from agentctl.events import Sink
from agentctl.graph.compile import compile_graph
from agentctl.graph.plan import Graph
from agentctl.graph.tiers import with_approvals
from agentctl.json import Json
from agentctl.spec.document import Document, document_from_texts, read_document
from agentctl.store.folder import find_store, open_thread_store
from agentctl.store.protocols import Head, ThreadStore


async def areplay(
    thread: str,
    *,
    store: str | Path | None = None,
    graph: str | Path | None = None,
    sinks: Sequence[Sink] = (),
) -> ReplayReport:
    """Replay a thread from its tape: no model, no tool, no network.

    Each turn runs on the file it was recorded with, or on `graph`. Raises UsageError for an unknown thread,
    StoreError for a damaged one.
    """
    async with opened_store(store) as threads:
        name = await resolve(threads, thread)
        rows = await threads.read(name)
        other = read_document(Path(graph)) if graph is not None else None
        recordings = await _recordings(threads, rows)
        return await engine_replay.replay(name, rows, _compiler(recordings, other), sinks)


def no_store(folder: Path | None) -> UsageError:
    """What to raise where there is none."""
    return UsageError(
        f"there is no store {folder or 'here or in a folder above'}", hint="`agentctl run` makes one"
    )


@asynccontextmanager
async def opened_store(store: str | Path | None) -> AsyncIterator[ThreadStore]:
    """An existing store. Raises UsageError when there is none."""
    folder = Path(store) if store is not None else find_store(Path.cwd())
    if folder is None or not folder.is_dir():
        raise no_store(folder)
    threads = open_thread_store(folder)
    try:
        yield threads
    finally:
        await threads.close()


async def resolve(store: ThreadStore, reference: str) -> str:
    """The thread a reference means: an id, a unique prefix, `@last`, `@-2`, `@failed`. Raises UsageError."""
    heads = await store.heads()
    found = _meant(heads, reference)
    if len(found) == 1:
        return found[0].thread
    if found:
        names = ", ".join(head.thread for head in found[:5])
        raise UsageError(
            f"`{reference}` could be {len(found)} threads: {names} …", hint="write more of the id"
        )
    hint = (
        "`agentctl threads list` shows them"
        if heads
        else "there are no threads yet: `agentctl run` makes one"
    )
    raise UsageError(f"there is no thread `{reference}`", hint=hint)


def _meant(heads: Sequence[Head], reference: str) -> list[Head]:
    if reference == "@last":
        return list(heads[:1])
    if reference == "@failed":
        return [head for head in heads if head.status in ("failed", "limit")][:1]
    if reference.startswith("@-") and reference[2:].isdecimal():
        index = int(reference[2:])
        return list(heads[index - 1 : index]) if index else []
    exact = [head for head in heads if head.thread == reference]
    return exact or [head for head in heads if head.thread.startswith(reference)]


async def _recordings(store: ThreadStore, rows: Sequence[tuple[int, Json]]) -> dict[str, Json]:
    digests = {record["digest"] for _, record in rows if record["kind"] in ("turn", "resume")}
    found = {}
    for digest in digests:
        recording = await store.load_file(digest)
        if recording is None:
            raise StoreError(f"the file that was run (digest {digest}) is not in the store")
        found[digest] = recording
    return found


def _compiler(
    recordings: Mapping[str, Json], other: Document | None
) -> Callable[[Mapping[str, Json]], Graph]:
    """Gives the graph of a `turn` record; each is compiled once."""
    compiled: dict[str, Graph] = {}

    def graph_of(turn: Mapping[str, Json]) -> Graph:
        key = f"{turn['digest']} {turn['options']}"
        if key not in compiled:
            options, recording = turn["options"], recordings[turn["digest"]]
            document = other or document_from_texts(recording["root"], recording["texts"])
            tools = None if other else recording["tools"]
            graph = compile_graph(document, models=options.get("models"), recorded=tools)
            graph = with_limits(graph, options.get("limits", {}))
            compiled[key] = with_approvals(graph, options.get("approve", ()))
        return compiled[key]

    return graph_of


async def graph_path(store: ThreadStore, thread: str) -> tuple[Path, Mapping[str, Json]]:
    """The file that a thread's newest turn ran, and the options it was compiled with."""
    head = await store.head(thread)
    if head is None or not head.turn_seq:
        raise UsageError(f"thread {thread} has no turn")
    [(_, record)] = await store.read(thread, head.turn_seq, head.turn_seq)
    return Path(record["path"]), record["options"]
