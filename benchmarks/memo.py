"""What a memo hit costs, on the way a tool call takes, against a bare row of diskcache; and what a miss pays for
being the only one of all processes.

Run it with `python benchmarks/memo.py`.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import diskcache
from parts import Script, graph_of
from side_by_side import Round, Row, show, take_turns

from agentctl.graph.plan import ToolNode, ToolPlan
from agentctl.json import encode
from agentctl.store.folder import MEMO_SIZE, open_memo, prepare_store
from agentctl.store.memo import DiskMemo
from agentctl.tools.call import Call

HITS = 1000
MISSES = 200
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


def _tool() -> ToolPlan:
    node = graph_of(TOOLS).nodes["look"]
    assert isinstance(node, ToolNode)
    return node.tool


TOOL = _tool()


class Unguarded(DiskMemo):
    """A memo that does not look at what other processes do."""

    @asynccontextmanager
    async def leading(self, key: str, patience: float) -> AsyncIterator[None]:
        yield


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        guarded = open_memo(prepare_store(folder / "guarded"))
        unguarded = Unguarded(prepare_store(folder / "unguarded"), size_limit=MEMO_SIZE)
        cost = take_turns(
            {
                "hit": _hits(folder / "ours"),
                "get": _gets(folder / "bare"),
                "guarded": _misses(guarded),
                "unguarded": _misses(unguarded),
            },
            ROUNDS,
        )
    show(
        "memo: answers that are remembered",
        [
            Row("a hit", cost["hit"], cost["get"], "diskcache.get", 2),
            Row(
                "a miss, the only one of all processes", cost["guarded"], cost["unguarded"], "unguarded", 1.3
            ),
        ],
    )


def _call(query: int) -> Call:
    async def nothing() -> None: ...

    return Call(
        tool=TOOL,
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


def _misses(memo: DiskMemo) -> Round:
    world = Script(work=lambda arguments: RESULT, memo=memo)
    numbers = itertools.count()

    async def timed() -> float:
        calls = [_call(next(numbers)) for _ in range(MISSES)]
        began = time.perf_counter()
        for call in calls:
            answered = await world.call_tool(call)
            assert answered.age is None
        return (time.perf_counter() - began) / MISSES

    return lambda: asyncio.run(timed())


def _hits(folder: Path) -> Round:
    world = Script(work=lambda arguments: RESULT, memo=open_memo(prepare_store(folder)))

    async def timed() -> float:
        calls = [_call(number % KEYS) for number in range(HITS)]
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
