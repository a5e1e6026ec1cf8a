"""A thread's history in the types of a graph, whatever files wrote to it before."""

from __future__ import annotations

from agentctl.engine.history import History, Types, read_history
from agentctl.errors import NodeError, UsageError
from agentctl.graph.compile import compile_graph
from agentctl.graph.plan import Graph
from agentctl.spec.document import document_from_texts
from agentctl.store.protocols import ThreadStore


async def history_in(store: ThreadStore, thread: str, graph: Graph) -> History:
    """Fold a thread's log. Raises UsageError when its state does not fit the graph."""

    async def types_of(digest: str) -> Types:
        recording = None if digest == graph.digest else await store.load_file(digest)
        if recording is None:
            return graph.fields
        document = document_from_texts(recording["root"], recording["texts"])
        return compile_graph(document, recorded=recording["tools"]).fields

    try:
        return await read_history(store, await store.head(thread), thread, graph.fields, types_of)
    except (NodeError, KeyError) as error:
        raise UsageError(
            f"thread {thread} does not fit the file as it is now: {error}",
            hint="begin a new thread, or bring the field's type back",
        ) from error
