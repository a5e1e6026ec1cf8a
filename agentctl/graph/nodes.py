"""The nodes of one graph of a file, compiled: names become references, text becomes closures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import UNSET

from agentctl import units
from agentctl.expressions import compile_template, compile_value
from agentctl.graph.parts import attempts, template
from agentctl.graph.plan import (
    AgentNode,
    AgentPlan,
    AskNode,
    Graph,
    GraphNode,
    Node,
    Save,
    SetNode,
    ToolNode,
    ToolPlan,
)
from agentctl.json import Json
from agentctl.spec.finding import Keys
from agentctl.spec.model import AgentSpec, NodeSpec


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
    return [spec.agent for spec in specs.values() if isinstance(spec.agent, AgentSpec)]


def _node(parts: Parts, name: str, spec: NodeSpec, keys: Keys) -> Node:
    shared: Json = {
        "name": name,
        "then": spec.then,
        "save": _save(spec.save),
        "on_error": _error_routes(spec.on_error),
        "attempts": attempts(spec.retry, 1),
        "timeout": None if spec.timeout is UNSET else units.seconds(spec.timeout),
        "max_visits": spec.max_visits or None,
    }
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
