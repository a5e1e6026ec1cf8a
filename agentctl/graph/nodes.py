"""The nodes of one graph of a file, compiled: names become references, text becomes closures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from msgspec import UNSET

from agentctl import units
from agentctl.expressions import compile_bare, compile_template, compile_value
from agentctl.graph.parts import attempts, template
from agentctl.graph.plan import (
    ITEM,
    AgentNode,
    AgentPlan,
    AskNode,
    BackgroundPlan,
    Graph,
    GraphNode,
    MapNode,
    Node,
    ParallelNode,
    Save,
    SetNode,
    ToolNode,
    ToolPlan,
)
from agentctl.json import Json
from agentctl.spec.finding import Keys
from agentctl.spec.model import AgentSpec, MapSpec, MapWork, NodeSpec


class Parts(Protocol):
    """What the nodes of a file name."""

    def tool(self, name: str) -> ToolPlan: ...

    def agent(self, named: str | AgentSpec, name: str, keys: Keys) -> AgentPlan:
        """An agent of `agents:`, or one written in place, called by the node's name and found at `keys`."""

    def nested(self, name: str) -> Graph: ...


def compile_nodes(parts: Parts, specs: Mapping[str, NodeSpec], keys: Keys) -> dict[str, Node]:
    """The nodes of a graph; `keys` lead to the graph in the file."""
    return {name: _node(parts, name, spec, (*keys, "nodes", name)) for name, spec in specs.items()}


def agents_in_place(specs: Mapping[str, NodeSpec]) -> list[AgentSpec]:
    """The agents that are written inside nodes."""
    works = [work for spec in specs.values() for work in _works(spec)]
    return [work.agent for work in works if isinstance(work.agent, AgentSpec)]


def _works(spec: NodeSpec) -> Iterator[NodeSpec | MapWork]:
    """A node and what is inside it."""
    yield spec
    for branch in (spec.parallel or {}).values():
        yield from _works(branch)
    if spec.map is not UNSET:
        yield spec.map.do


def _node(parts: Parts, name: str, spec: NodeSpec, keys: Keys) -> Node:
    shared: Json = {
        "name": name,
        "then": spec.then or "",  # branches have none
        "save": _save(spec.save),
        "on_error": _error_routes(spec.on_error),
        "attempts": attempts(spec.retry, 1),
        "timeout": None if spec.timeout is UNSET else units.seconds(spec.timeout),
        "max_visits": spec.max_visits or None,
        "background": _background(spec, keys) if spec.background is True else None,
    }
    if spec.parallel is not UNSET:
        branches = {
            branch: _node(parts, branch, body, (*keys, "parallel", branch))
            for branch, body in spec.parallel.items()
        }
        return ParallelNode(branches=tuple(branches.values()), **shared)
    if spec.map is not UNSET:
        return _map(parts, name, spec.map, (*keys, "map"), shared)
    return _plain(parts, name, spec, keys, shared)


def _background(spec: NodeSpec, keys: Keys) -> BackgroundPlan:
    return BackgroundPlan(
        ".".join(str(key) for key in keys), template(spec.idempotency_key), applies=keys[0] == "nodes"
    )


def placeholders(specs: Mapping[str, NodeSpec]) -> dict[str, Json]:
    """How fields read until a background node has saved them."""
    found: dict[str, Json] = {}
    for work in (work for spec in specs.values() for work in _works(spec)):
        if isinstance(work, NodeSpec) and work.background is True and work.placeholder is not UNSET:
            for name in _save(work.save).fields:
                found.setdefault(name, work.placeholder)
    return found


def _map(parts: Parts, name: str, spec: MapSpec, keys: Keys, shared: Json) -> MapNode:
    work = spec.do
    inside: Json = {
        "name": name,
        "then": "",
        "save": Save(whole=ITEM),
        "attempts": attempts(work.retry, 1),
        "timeout": None if work.timeout is UNSET else units.seconds(work.timeout),
    }
    return MapNode(
        over=compile_bare(spec.over),
        item=spec.as_ or ITEM,
        do=_plain(parts, name, work, (*keys, "do"), inside),
        result=spec.result or None,
        concurrency=spec.concurrency or None,
        tolerate=0 if spec.tolerate is UNSET else spec.tolerate,
        **shared,
    )


def _plain(parts: Parts, name: str, spec: NodeSpec | MapWork, keys: Keys, shared: Json) -> Node:
    """A node that has nothing side by side."""
    if spec.agent is not UNSET:
        return AgentNode(
            agent=parts.agent(spec.agent, name, (*keys, "agent")),
            prompt=template(spec.prompt),
            history=spec.history or None,
            say=template(spec.say),
            **shared,
        )
    if spec.tool is not UNSET:
        return ToolNode(tool=parts.tool(spec.tool), args=compile_value(spec.args or {}), **shared)
    if spec.graph is not UNSET:
        return GraphNode(graph=parts.nested(spec.graph), input=compile_value(spec.input or {}), **shared)
    if spec.set is not UNSET:
        return SetNode(values=tuple((key, compile_value(v)) for key, v in spec.set.items()), **shared)
    assert spec.ask is not UNSET
    return AskNode(
        question=compile_template(spec.ask),
        choices=tuple(spec.choices or ()),
        on_timeout=spec.on_timeout or None,
        **shared,
    )


def _save(save: Json) -> Save:
    if save is UNSET:
        return Save()
    if isinstance(save, str):
        return Save(whole=save)
    if isinstance(save, list):
        return Save(parts=tuple((name, name) for name in save))
    return Save(parts=tuple(save.items()))


def _error_routes(routes: Json) -> Mapping[str, str]:
    if routes is UNSET:
        return {}
    return {"else": routes} if isinstance(routes, str) else routes
