"""What runs share is let go of whole, and a graph is compiled no oftener than its servers change."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agentctl.assembly.completing import Completing
from agentctl.assembly.sharing import Open
from agentctl.graph.plan import ServedServer

Json = Any


class Part:
    """Something that is closed, and may fail at that."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.is_closed = False
        self.failure = failure

    async def close(self) -> None:
        self.is_closed = True
        if self.failure is not None:
            raise self.failure


def test_a_part_that_cannot_be_closed_keeps_no_other_open() -> None:
    store, jobs, sink, world = Part(), Part(), Part(OSError("disk full")), Part(RuntimeError("no"))
    shared: Json = Open
    with pytest.raises(OSError, match="disk full"):
        asyncio.run(shared(store, jobs, world, (sink,)).close())
    assert all(part.is_closed for part in (store, jobs, sink, world))


def test_a_graph_is_compiled_again_only_when_its_servers_say_something_else() -> None:
    made = []

    def compiled(served: Json) -> Json:
        made.append(served)
        return len(made)

    completing = Completing(compiled)
    graph: Json = 0
    place = (Path("/a/graph.yaml"), "time")

    def completed(version: str) -> Json:
        return completing.completed(graph, {place: ServedServer("time", version, {})})

    assert [completed("1"), completed("1"), completed("2"), completed("2")] == [1, 1, 2, 2]
    without: Json = completing.completed(graph, {})
    assert without == 0
