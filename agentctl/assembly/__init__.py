"""The Python API: load a graph, run it, resume it, replay a thread."""

from __future__ import annotations

import asyncio
from pathlib import Path

from agentctl.assembly.environment import read_env_file
from agentctl.assembly.loading import InvalidGraph, LoadedGraph, from_document, load
from agentctl.assembly.replaying import areplay, graph_path, opened_store, resolve
from agentctl.engine.outcome import Outcome
from agentctl.engine.replay import Divergence, ReplayReport
from agentctl.engine.signals import Question, Waiting
from agentctl.engine.watch import Stop

__all__ = [
    "Divergence",
    "InvalidGraph",
    "LoadedGraph",
    "Outcome",
    "Question",
    "ReplayReport",
    "Stop",
    "Waiting",
    "areplay",
    "from_document",
    "graph_path",
    "load",
    "opened_store",
    "read_env_file",
    "replay",
    "resolve",
]


def replay(thread: str, *, store: str | Path | None = None, graph: str | Path | None = None) -> ReplayReport:
    """As `areplay`, from synchronous code."""
    return asyncio.run(areplay(thread, store=store, graph=graph))
