"""Reads the picture out of a file's types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import get_args

import msgspec
from msgspec import UNSET

from agentctl.graph.picture.data import MARKS, Graph, Kind, Picture, Place, Way
from agentctl.graph.picture.words import notes, says
from agentctl.json import Json
from agentctl.spec.finding import path_text
from agentctl.spec.model import AgentSpec, FileSpec, GraphSpec, MapWork, NodeSpec, ValueRouter

END = "end"
_SHOWN_OF_AGENTS = ("model", "instructions", "tools", "max_turns", "output")
_SHOWN_OF_TOOLS = (
    *("python", "http", "command", "mcp", "graph", "agent", "store", "operation"),
    *("description", "effect", "cache", "timeout", "retry", "breaker", "sandbox", "max_calls"),
)


def picture_of(spec: FileSpec) -> Picture:
    """The picture of a file. The file need not be valid: what leads nowhere is in it as such."""
    graphs = [_Reader(spec, spec).graph(spec.name)]
    graphs += [_Reader(spec, graph, name).graph(name) for name, graph in (spec.graphs or {}).items()]
    return Picture(
        name=spec.name,
        description=spec.description or "",
        graphs=tuple(graphs),
        agents=_shown(spec.agents, _SHOWN_OF_AGENTS),
        tools=_shown(spec.tools, _SHOWN_OF_TOOLS),
        tiers=_plain(spec.tiers) if spec.tiers else {},
        limits=_plain(spec.limits) if spec.limits else {},
    )


class _Reader:
    """One graph of a file; `prefix` is how its ids begin."""

    def __init__(self, file: FileSpec, graph: FileSpec | GraphSpec, name: str = "") -> None:
        self.file = file
        self.spec = graph
        self.id = f"graphs.{name}" if name else ""
        self.prefix = f"{self.id}." if name else ""
        self.routers = graph.routers or {}

    def graph(self, name: str) -> Graph:
        ways = [*self._beginnings(), *self._ways()]
        leaving = {way.source for way in ways}
        met = _met(ways, [self.prefix + mark for mark in ("start", "limits.on_limit")])
        places = [self._seen(place, leaving, met) for place in [*self._places(), *self._others(ways)]]
        return Graph(
            id=self.id,
            name=name,
            description=self.spec.description or "",
            input=tuple(self.spec.input or ()),
            output=tuple(self.spec.output or ()),
            places=tuple(places),
            ways=tuple(ways),
        )

    def _places(self) -> Iterator[Place]:
        yield Place(f"{self.prefix}start", "start", "start")
        for name, node in self.spec.nodes.items():
            yield self._node(name, node, f"{self.prefix}nodes.{name}")
        for name, router in self.routers.items():
            by = f"by {router.by}" if isinstance(router, ValueRouter) else ""
            yield Place(self._router_id(name), name, "router", by, details=_plain(router))

    def _others(self, ways: list[Way]) -> Iterator[Place]:
        """The marks that some way begins or ends at, and the names that nothing has."""
        used = dict.fromkeys(id for way in ways for id in (way.source, way.target))
        if f"{self.prefix}limits.on_limit" in used:
            yield Place(f"{self.prefix}limits.on_limit", "at a limit", "limit")
        unknown = f"{self.prefix}?"
        for id in used:
            if id.startswith(unknown):
                yield Place(id, id[len(unknown) :], "unknown", "there is no such place")
        if f"{self.prefix}{END}" in used:
            yield Place(f"{self.prefix}{END}", END, "end")

    def _seen(self, place: Place, leaving: set[str], met: set[str]) -> Place:
        led = place.kind in (*MARKS, "unknown") or place.id in leaving
        return replace(place, reached=place.id in met, stuck=not led)

    def _node(self, name: str, node: NodeSpec | MapWork, id: str) -> Place:
        inside: tuple[Place, ...] = ()
        if isinstance(node, NodeSpec) and node.map:
            inside = (self._node("", node.map.do, f"{id}.map.do"),)
        elif isinstance(node, NodeSpec) and node.parallel:
            branches = node.parallel.items()
            inside = tuple(self._node(branch, work, f"{id}.parallel.{branch}") for branch, work in branches)
        agents, tools = self._named(node)
        return Place(
            id=id,
            name=name,
            kind=_kind(node),
            says=says(node),
            notes=notes(node),
            inside=inside,
            graph=f"graphs.{node.graph}" if node.graph and node.graph in (self.file.graphs or {}) else "",
            agents=agents,
            tools=tools,
            details={key: value for key, value in _plain(node).items() if key != "parallel"},
        )

    def _named(self, node: NodeSpec | MapWork) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The agents and the tools that a node names, itself or through its agent."""
        if node.tool:
            return (), (node.tool,)
        if not node.agent:
            return (), ()
        if isinstance(node.agent, AgentSpec):
            return (), tuple(node.agent.tools or ())
        agent = (self.file.agents or {}).get(node.agent)
        return (node.agent,), tuple(agent.tools or ()) if agent else ()

    def _beginnings(self) -> Iterator[Way]:
        """Where a run starts, and where it goes when a limit is met."""
        yield self._way("start", f"{self.prefix}start", self.spec.start)
        limits = self.spec.limits if isinstance(self.spec, FileSpec) else UNSET
        last = limits.on_limit if limits else UNSET
        if last:
            name = last if isinstance(last, str) else last.node
            yield self._way("limits.on_limit", "limits.on_limit", name, rare=True)

    def _ways(self) -> Iterator[Way]:
        for name, node in self.spec.nodes.items():
            yield from self._from_node(name, node)
        for name in self.routers:
            yield from self._from_router(name)

    def _from_node(self, name: str, node: NodeSpec) -> Iterator[Way]:
        id = f"nodes.{name}"
        here = self.prefix + id
        if node.then:
            yield self._way(f"{id}.then", here, node.then)
        if node.on_timeout:
            yield self._way(f"{id}.on_timeout", here, node.on_timeout, "on timeout", rare=True)
        errors = {"": node.on_error} if isinstance(node.on_error, str) else node.on_error or {}
        for error, to in errors.items():
            way = f"{id}.on_error.{error}" if error else f"{id}.on_error"
            label = f"on error {error}".strip()
            if to == "skip" and node.then:
                yield replace(self._way(way, here, node.then, f"{label}, skip", rare=True), skips=True)
            else:
                yield self._way(way, here, to, label, rare=True)

    def _from_router(self, name: str) -> Iterator[Way]:
        router = self.routers[name]
        here = self._router_id(name)
        if isinstance(router, ValueRouter):
            for value, to in router.to.items():
                yield self._way(f"routers.{name}.to.{value}", here, to, value)
            if router.else_:
                yield self._way(f"routers.{name}.else", here, router.else_, "else")
            return
        for index, arm in enumerate(router):
            id = path_text(("routers", name, index))
            if arm.else_:
                yield self._way(f"{id}.else", here, arm.else_, "else")
            elif arm.to:
                yield self._way(f"{id}.to", here, arm.to, f"when {arm.when}")

    def _way(self, id: str, source: str, to: str, label: str = "", rare: bool = False) -> Way:
        return Way(self.prefix + id, source, self._target(to), label, rare)

    def _target(self, name: str) -> str:
        if name in self.spec.nodes:
            return f"{self.prefix}nodes.{name}"
        if name in self.routers:
            return self._router_id(name)
        return self.prefix + (END if name == END else f"?{name}")

    def _router_id(self, name: str) -> str:
        return f"{self.prefix}routers.{name}"


def _kind(node: NodeSpec | MapWork) -> Kind:
    verb = says(node).split(" ", 1)[0]
    return next(kind for kind in get_args(Kind) if kind == verb)


def _met(ways: Iterable[Way], starts: list[str]) -> set[str]:
    """Every place that some way from the start leads to."""
    onward: dict[str, list[str]] = {}
    for way in ways:
        onward.setdefault(way.source, []).append(way.target)
    met: set[str] = set()
    left = list(starts)
    while left:
        here = left.pop()
        if here not in met:
            met.add(here)
            left += onward.get(here, ())
    return met


def _shown(parts: Mapping[str, msgspec.Struct] | msgspec.UnsetType, keys: tuple[str, ...]) -> Json:
    """Of each agent or tool, the keys that a picture shows; never a header or a key to a door."""
    whole = {name: _plain(part) for name, part in (parts or {}).items()}
    return {name: {key: part[key] for key in keys if key in part} for name, part in whole.items()}


def _plain(part: object) -> Json:
    return msgspec.to_builtins(part)
