"""What a memo hit costs, on the way a tool call takes, against a bare row of diskcache.

Run it with `python benchmarks/memo.py`.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import diskcache
from parts import Script, graph_of
from side_by_side import Round, Row, show, take_turns

from agentctl.graph.plan import ToolNode
from agentctl.json import encode
from agentctl.store.folder import open_memo, prepare_store
from agentctl.tools.call import Call

HITS = 1000
KEYS = 50
ROUNDS = 15
RESULT = {"answers": [{"title": f"page {number}", "text": "how to do it " * 3} for number in range(3)]}
TOOLS = """
    agentctl: 1
    name: memo
    start: look
    tools:
      search:
        python: tools:search
        parameters: {query: string}
        effect: pure
    nodes:
      look:
        tool: search
        args: {query: how}
        then: end
"""


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder:
        cost = take_turns({"hit": _hits(Path(folder) / "ours"), "get": _gets(Path(folder) / "bare")}, ROUNDS)
    show("memo: an answer that is remembered", [Row("a hit", cost["hit"], cost["get"], "diskcache.get", 2)])


def _hits(folder: Path) -> Round:
    node = graph_of(TOOLS).nodes["look"]
    assert isinstance(node, ToolNode)
    world = Script(work=lambda arguments: RESULT, memo=open_memo(prepare_store(folder)))

    async def nothing() -> None: ...

    def call(query: int) -> Call:
        return Call(
            tool=node.tool,
            arguments={"query": f"how to do number {query}"},
            tenant="",
            code="code",
            idempotency_key=None,
            context=None,
            run={},
            admit=lambda: None,
            intend=nothing,
            tell=lambda type, data: None,
            on_retry=lambda error, wait: None,
        )

    async def timed() -> float:
        calls = [call(number % KEYS) for number in range(HITS)]
        for first in calls[:KEYS]:
            await world.call_tool(first)
        began = time.perf_counter()
        for again in calls:
            answered = await world.call_tool(again)
            assert answered.age is not None
        return (time.perf_counter() - began) / HITS

    return lambda: asyncio.run(timed())


def _gets(folder: Path) -> Round:
    cache = diskcache.Cache(str(folder))
    body = encode(RESULT)
    keys = [f"{number:032}" for number in range(KEYS)]
    for key in keys:
        cache.set(key, body)

    def timed() -> float:
        began = time.perf_counter()
        for number in range(HITS):
            assert cache.get(keys[number % KEYS]) is not None
        return (time.perf_counter() - began) / HITS

    return timed


if __name__ == "__main__":
    main()
