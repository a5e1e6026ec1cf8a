"""What a step costs the processor, in memory: against a bare task, and as a thread grows.

Run it with `python benchmarks/engine.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from statistics import median

from others import Loop, langgraph_loop, missing, pydantic_graph_loop
from parts import LOOP, NOTES, OneEvent, graph_of, run
from side_by_side import Round, Row, show, take_turns

from agentctl.graph.plan import Graph
from agentctl.store.memory import MemoryThreadStore

STEPS = 1000
ROUNDS = 15
GROWTH_ROUNDS = 5
EARLY, LATE, AROUND = 50, 5000, 40
"""Which steps are compared, and how many on either side of them the median is taken of."""


def main() -> None:
    """Measure and print."""
    works = {"ours": _cpu(our_loop()), "task": _cpu(bare_tasks)}
    notes = []
    for module, loop in (("langgraph", langgraph_loop), ("pydantic_graph", pydantic_graph_loop)):
        if missing(module):
            notes.append(f"{module} is not installed: pip install '.[compare]' compares with it")
        else:
            works[module] = _cpu(loop())
    cost = take_turns(works, ROUNDS)
    rows = [Row("a step, in memory, one event", cost["ours"], cost["task"], "one bare task", 2.5)]
    rows += [
        Row(f"the same in {name}", cost[name], cost["task"], "one bare task") for name in list(works)[2:]
    ]
    show("engine: its own CPU time for a step", [*rows, *growth()], notes)


def our_loop() -> Loop:
    graph = graph_of(LOOP)

    async def loop(steps: int) -> None:
        outcome = await run(graph, MemoryThreadStore(), "t", {"goal": steps}, sinks=[OneEvent()])
        assert outcome.steps == steps, outcome

    return loop


async def bare_tasks(steps: int) -> None:
    async def nothing() -> None: ...

    for _ in range(steps):
        await asyncio.create_task(nothing())


def growth() -> list[Row]:
    """Late steps against early ones of a thread whose state grows by an item a step."""
    graph = graph_of(NOTES)
    early, late, worst = [], [], []
    for _ in range(GROWTH_ROUNDS):
        took = step_times(graph, time.thread_time)
        early.append(median(took[EARLY - AROUND : EARLY + AROUND]))
        late.append(median(took[LATE - AROUND : LATE + AROUND]))
        worst.append(max(took))
    return [
        Row(f"step {LATE:,} of a growing field", median(late), median(early), f"step {EARLY}", 1.2),
        Row("the worst single step of it", max(worst), budget=0.010),
    ]


def step_times(graph: Graph, clock: Callable[[], float]) -> list[float]:
    """Seconds of each step of a thread of LATE steps and some, by the time between their events."""
    ends: list[float] = []
    sink = OneEvent(at=lambda: ends.append(clock()))
    asyncio.run(_turn(graph, sink))
    return [after - before for before, after in pairwise(ends)]


async def _turn(graph: Graph, sink: OneEvent) -> None:
    await run(graph, MemoryThreadStore(), "t", {"goal": LATE + AROUND}, sinks=[sink])


def _cpu(loop: Callable[[int], Awaitable[None]]) -> Round:
    """CPU time for a step of a loop."""

    async def timed() -> float:
        began = time.process_time()
        await loop(STEPS)
        return (time.process_time() - began) / STEPS

    return lambda: asyncio.run(timed())


if __name__ == "__main__":
    main()
