"""A long conversation under a context policy: how large the prompt gets, what a turn costs, what is stored and found.

Each turn is a turn of its own on one thread, opened, run and closed, as `agentctl run --thread T` does; the model
answers at once, the archive is a real store. Run it with `python benchmarks/context.py [TURNS]`.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from parts import Script, graph_of
from side_by_side import Row, show

from agentctl.engine.session import Request, Session
from agentctl.graph.plan import Graph, StoreWork
from agentctl.json import Json
from agentctl.messages import ChatRequest
from agentctl.store.documents.documents import Documents
from agentctl.store.folder import open_thread_store, prepare_store
from agentctl.store.protocols import ThreadStore
from agentctl.tools.call import Call
from agentctl.tools.store import StoreTools

TURNS = 500
TALK = """
    agentctl: 1
    name: talk
    stores: {talks: {}}
    agents:
      companion:
        instructions: You talk.
        context:
          window: 12
          summarise: {into: summary, over: 24, agent: condenser}
          archive: talks
          recall: 3
      condenser: {instructions: You shorten.}
    input: [question]
    output: [answer]
    state:
      question: string
      messages: messages
      summary: {type: string, default: ""}
      answer: string
    start: reply
    nodes:
      reply: {agent: companion, history: messages, prompt: "${{ state.question }}", save: answer, then: end}
"""
SAID = "about the parcel that was sent on monday and never came to the house by the river " * 2


class Talker(Script):
    """A Script that keeps a real archive, and counts what its companion is sent."""

    def __init__(self, documents: Documents) -> None:
        super().__init__(reply=self._answer)
        self.sent: list[int] = []
        self._tools = StoreTools(lambda plan: documents)

    def _answer(self, request: ChatRequest) -> str:
        if request.messages[0].content == "You shorten.":
            return "They talked " + SAID
        self.sent.append(sum(len(message.content) for message in request.messages))
        return f"reply {len(self.sent):04} {SAID}"

    async def _work(self, call: Call) -> Json:
        assert isinstance(call.tool.work, StoreWork)
        return await self._tools.call(call.tool.work, call)


def main() -> None:
    """Measure and print."""
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else TURNS
    with TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), turns))


async def measure(folder: Path, turns: int) -> None:
    """One conversation, looked at after each fifth of it."""
    graph, home = graph_of(TALK), prepare_store(folder / ".agentctl")
    documents = Documents(folder / "talks")
    talker, fifth = Talker(documents), turns // 5
    seconds, sizes = [], []
    for number in range(1, turns + 1):
        store = open_thread_store(home)
        began = time.perf_counter()
        await turn(graph, store, talker, f"question {number:04} {SAID}")
        seconds.append(time.perf_counter() - began)
        await store.close()
        if number % fifth == 0:
            sizes.append(_size(home))
    kept = await kept_in(graph, home)
    found = await _found(documents, kept, turns)
    await documents.close()
    grown = [later - earlier for earlier, later in itertools.pairwise(sizes)]
    rows = [
        Row(
            "largest prompt, last fifth",
            max(talker.sent[-fifth:]),
            max(talker.sent[fifth:][:fifth]),
            "second",
            1.2,
            "chars",
        ),
        Row("a turn, last fifth", median(seconds[-fifth:]), median(seconds[fifth:][:fifth]), "second", 1.2),
        Row("thread store grows, last fifth", grown[-1], grown[0], "second", 1.2, "bytes"),
    ]
    show(f"context: {turns} turns on one thread", rows, [
        f"messages found again: {found} of {2 * turns} ({len(kept)} of them still in the history)",
        f"thread store: {sizes[-1]:,} bytes, archive: {_size(folder / 'talks'):,} bytes",
    ])  # fmt: skip


async def turn(graph: Graph, store: ThreadStore, talker: Talker, question: str) -> None:
    """One turn of the conversation."""
    outcome = await Session(graph, store, talker).run("talk", Request(inputs={"question": question}))
    assert outcome.status == "done", outcome.error


async def kept_in(graph: Graph, home: Path) -> Sequence[str]:
    """The texts that are still in the history."""
    from agentctl.engine.reading import history_in

    store = open_thread_store(home)
    history = await history_in(store, "talk", graph)
    await store.close()
    return [message["content"] for message in history.state.values["messages"]]


async def _found(documents: Documents, kept: Sequence[str], turns: int) -> int:
    """Messages that are in the history or found in the archive by their number."""
    found = 0
    for number in range(1, turns + 1):
        for word in ("question", "reply"):
            said = f"{word} {number:04}"
            hits = await documents.search(f"{number:04}", top=10, by="words")
            there = [*kept, *(hit.document.text for hit in hits)]
            found += any(text.startswith(said) for text in there)
    return found


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
