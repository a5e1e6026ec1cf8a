"""The loop of the benchmarks in other engines, for those that are installed (`pip install '.[compare]'`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypedDict

from agentctl.json import Json

Loop = Callable[[int], Awaitable[None]]
"""Counts to a number, one step each, with a router by condition behind every step."""


class Counter(TypedDict):
    """The state of the loop in LangGraph."""

    count: int
    goal: int


def missing(*modules: str) -> list[str]:
    """Those of the modules that are not installed."""
    return [module for module in modules if not _found(module)]


def _found(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False


def langgraph_loop() -> Loop:
    """The loop compiled without a checkpointer."""
    graph = _langgraph(None)

    async def loop(steps: int) -> None:
        found = await graph.ainvoke({"count": 0, "goal": steps}, {"recursion_limit": steps + 5})
        assert found["count"] == steps

    return loop


def langgraph_durable_loop(file: Path) -> Loop:
    """The loop with the sqlite saver, each run on a thread of its own."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    runs = 0

    async def loop(steps: int) -> None:
        nonlocal runs
        runs += 1
        async with AsyncSqliteSaver.from_conn_string(str(file)) as saver:
            settings: dict[str, Json] = {
                "recursion_limit": steps + 5,
                "configurable": {"thread_id": f"t{runs}"},
            }
            found = await _langgraph(saver).ainvoke({"count": 0, "goal": steps}, settings)
            assert found["count"] == steps

    return loop


def _langgraph(saver: Json) -> Json:
    from langgraph.graph import END, START, StateGraph

    async def work(state: Counter) -> dict[str, int]:
        return {"count": state["count"] + 1}

    builder = StateGraph(Counter)
    builder.add_node("work", work)
    builder.add_edge(START, "work")
    builder.add_conditional_edges("work", lambda state: "work" if state["count"] < state["goal"] else END)
    return builder.compile(checkpointer=saver)


def pydantic_graph_loop() -> Loop:
    """The loop in pydantic-graph, with a decision behind the step."""
    from pydantic_graph import GraphBuilder, StepContext

    @dataclass
    class Count:
        goal: int
        count: int = 0

    builder: Json = GraphBuilder(state_type=Count, output_type=int)

    @builder.step
    async def work(context: StepContext[Count, object, Any]) -> bool:
        context.state.count += 1
        return context.state.count < context.state.goal

    more = builder.decision()
    more = more.branch(builder.match(bool, matches=lambda again: again).to(work))
    more = more.branch(
        builder.match(bool).transform(lambda context: context.state.count).to(builder.end_node)
    )
    builder.add(builder.edge_from(builder.start_node).to(work), builder.edge_from(work).to(more))
    graph = builder.build()

    async def loop(steps: int) -> None:
        assert await graph.run(state=Count(steps)) == steps

    return loop
