"""A run looked at before it begins: what it would use, and what it would fail with. Nothing is called or written."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agentctl.assembly.loading import LoadedGraph
from agentctl.assembly.replaying import opened_store
from agentctl.assembly.world import LiveWorld
from agentctl.engine.reading import history_in
from agentctl.engine.session import pending_refusal
from agentctl.errors import AgentctlError
from agentctl.graph.plan import Graph, ModelPlan, single_models
from agentctl.json import Json
from agentctl.state import State
from agentctl.store.folder import find_store


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A model of the graph, and what a call of it would fail with."""

    plan: ModelPlan
    problem: AgentctlError | None
    to_fetch: bool = False
    """It is not here; a run would fetch it first."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What one turn would be. `problems` stand in the order in which a run would meet them."""

    graph: Graph
    inputs: Mapping[str, Json]
    """As given, and the defaults of the others; on a thread, the values they have there."""
    turn: int
    models: tuple[ReadyModel, ...]
    problems: tuple[AgentctlError, ...]

    @property
    def exit_code(self) -> int:
        """0, or the code the run would fail with."""
        return self.problems[0].exit_code if self.problems else 0


async def rehearse(
    graph: LoadedGraph,
    inputs: Mapping[str, Json],
    *,
    thread: str | None = None,
    abandon: bool = False,
    fetches: bool = False,
) -> Rehearsal:
    """Look at everything `arun` would need: inputs, the thread, models, keys, variables.

    `fetches` says that an embedded model which is missing is no problem: it would be fetched.
    """
    world = LiveWorld(graph.graph, graph.environment.values, graph.providers, None, b"")
    models = await _models(graph, world, fetches=fetches)
    problems = await _lacking(graph.graph, world)
    problems += [model.problem for model in models if model.problem is not None]
    state, turn = State.fresh(graph.graph.fields), 1
    try:
        graph.check_inputs(inputs, new=thread is None)
        if thread is not None:
            state, turn = await _continued(graph, thread, abandon=abandon)
    except AgentctlError as problem:
        problems.insert(0, problem)
    found = {**state.values, **inputs}
    shown = {name: found[name] for name in graph.graph.input if name in found}
    return Rehearsal(graph.graph, shown, turn, tuple(models), tuple(problems))


async def _lacking(graph: Graph, world: LiveWorld) -> list[AgentctlError]:
    found: list[AgentctlError] = []
    for tool in graph.tools.values():
        try:
            world.check_tool(tool)
            await world.check_sandbox(tool)
        except AgentctlError as problem:
            found.append(problem)
    return found


async def _models(graph: LoadedGraph, world: LiveWorld, *, fetches: bool) -> list[ReadyModel]:
    missing = bool(graph.missing_models())
    found = []
    singles = {n: s for model in graph.graph.models.values() for n, s in single_models(model).items()}
    for _, plan in sorted(singles.items()):
        if missing and fetches and plan.provider == "local" and plan.file is None:
            found.append(ReadyModel(plan, None, to_fetch=True))
            continue
        try:
            await world.check_model(plan)
        except AgentctlError as problem:
            found.append(ReadyModel(plan, problem))
        else:
            found.append(ReadyModel(plan, None))
    return found


async def _continued(graph: LoadedGraph, thread: str, *, abandon: bool) -> tuple[State, int]:
    """The state a new turn of the thread would find, and its number. Raises UsageError, ThreadBusy, StoreError."""
    fresh = State.fresh(graph.graph.fields)
    folder = graph.store or find_store(Path.cwd())
    if folder is None or not folder.is_dir():
        return fresh, 1
    async with opened_store(folder) as store:
        head = await store.head(thread)
        if head is None:
            return fresh, 1
        # opened, so that another process that writes it is heard of, and read under that lock
        log = await store.open(thread)
        try:
            history = await history_in(store, thread, graph.graph)
        finally:
            await log.close()
    if history.pending is not None and not abandon:
        deadline = history.pending.deadline
        if deadline is None or deadline > time.time():
            raise pending_refusal(thread, history.pending)
    return history.state, history.turns + 1
