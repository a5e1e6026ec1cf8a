"""What a breaker adds to a tool call that succeeds, against the same call without, and against a row of diskcache.

The tool answers at once, so that the ratio is the worst there is: a worker process alone takes some hundred µs.
Run it with `python benchmarks/breaker.py`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import diskcache
from parts import Script, graph_of
from side_by_side import Round, Row, show, take_turns

from agentctl.graph.plan import ToolNode
from agentctl.json import Json
from agentctl.store.breakers import DiskBreakers
from agentctl.store.folder import open_breakers, prepare_store
from agentctl.store.protocols import BreakerState
from agentctl.tools.breaker import ToolBreakers
from agentctl.tools.call import Call, ToolCaller

CALLS = 2000
ROUNDS = 15
GRAPH = """
    agentctl: 1
    name: breaker
    start: look
    tools:
      search:
        python: tools:search
        effect: read
        breaker: {failures: 3}
    nodes:
      look:
        tool: search
        args: {query: how}
        then: end
"""


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        rounds = {
            "without": _calls(root / "none", guarded=False),
            "unused": _calls(root / "unused"),
            "used": _calls(root / "used", other_failed=True),
            "get": _gets(root / "bare"),
        }
        cost = take_turns(rounds, ROUNDS)
    bare = cost["without"]
    rows = [
        Row("a call, no tool has ever failed", cost["unused"], bare, "without a breaker"),
        Row("a call, another tool has failed", cost["used"], bare, "without a breaker"),
        Row("what it adds then", cost["used"] - bare, cost["get"], "diskcache.get", 4),
    ]
    show("breaker: a call that succeeds, of a tool that answers at once", rows)


def _calls(folder: Path, *, guarded: bool = True, other_failed: bool = False) -> Round:
    node = graph_of(GRAPH).nodes["look"]
    assert isinstance(node, ToolNode)
    tool = node.tool if guarded else replace(node.tool, breaker=None)
    world = Script()
    store = open_breakers(prepare_store(folder))
    if other_failed:
        asyncio.run(_fail(store))
    world.caller = ToolCaller(_answer, None, breakers=ToolBreakers(store, lambda tool: tool.name))

    async def nothing() -> None: ...

    call = Call(
        tool=tool,
        arguments={"query": "how"},
        tenant="",
        code="",
        idempotency_key=None,
        context=None,
        run={},
        admit=lambda: None,
        intend=nothing,
        tell=lambda type, data: None,
        on_retry=lambda error, wait: None,
    )

    async def timed() -> float:
        began = time.perf_counter()
        for _ in range(CALLS):
            await world.call_tool(call)
        return (time.perf_counter() - began) / CALLS

    return lambda: asyncio.run(timed())


async def _fail(store: DiskBreakers) -> None:
    await store.change("another", lambda state: BreakerState(failures=1))


async def _answer(call: Call) -> Json:
    return "found"


def _gets(folder: Path) -> Round:
    cache = diskcache.Cache(str(folder))
    cache.set("another", b"a row of that size" * 5)

    def timed() -> float:
        began = time.perf_counter()
        for _ in range(CALLS):
            assert cache.get("another") is not None
        return (time.perf_counter() - began) / CALLS

    return timed


if __name__ == "__main__":
    main()
