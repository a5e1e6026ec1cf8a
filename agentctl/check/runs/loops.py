"""The loops of a graph, and what bounds each.

A loop is bounded by `max_visits` of a node on every way round it. A question to a person bounds it too: each round
waits for an answer. So do `tokens`, `cost` and `tool_calls`, where the file sets them and every round surely uses
some: an agent that answered used tokens, and money when all its models have a price; a tool that ran used a tool
call, unless the memo may answer for it. What went wrong used nothing, so ways after an error do not count there.
`time` ends a turn as `recursion` does, whatever a round does, and bounds no loop by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from agentctl.check.facts import Facts
from agentctl.check.flow import END, SKIP, Graph, Work
from agentctl.check.reach import Edges, edges_of, reachable, turned
from agentctl.check.rules.graph import has_gaps
from agentctl.check.runs.knots import is_loop, knots
from agentctl.check.runs.limits import TurnLimits, turn_limits
from agentctl.check.runs.spending import Spending
from agentctl.check.runs.steps import Steps, start_of


class Loop(Struct, frozen=True):
    """A knot of loops."""

    graph: Graph
    names: tuple[str, ...]
    """All that is on it, in the order of the file, nodes first."""
    way: tuple[str, ...]
    """A shortest way round it, from its first node; round the unbounded part where there is one."""
    bounds: tuple[str, ...]
    """What bounds it, in words: `max_visits: 8` of `lead`. Nothing when some way round has no bound."""


class Loops:
    """The loops of every graph of a file that a run can come to and leave."""

    def __init__(self, facts: Facts, steps: Steps) -> None:
        self._facts = facts
        self._steps = steps
        self._limits: TurnLimits = turn_limits(facts.file.data)
        self._spending = Spending(facts)
        self._sure: dict[str, str] = {}
        """Graphs that use up something on every way through them, with what it is."""
        for graph in steps.order:
            if graph.name and (why := self._spent_by_graph(graph)) is not None:
                self._sure[graph.name] = why

    def all(self) -> list[Loop]:
        """In the order of the file."""
        return [loop for graph in self._facts.file.graphs for loop in self._of_graph(graph)]

    def _of_graph(self, graph: Graph) -> list[Loop]:
        start = start_of(graph)
        if start is None or has_gaps(graph):
            return []
        edges = edges_of(graph)
        names = reachable(edges, [start]) & reachable(turned(edges), [END])
        order = [name for name in (*graph.nodes, *graph.routers) if name in names]
        found = [
            self._loop(graph, edges, knot)
            for knot in knots(edges, order)
            if is_loop(edges, knot) and not graph.nodes.keys().isdisjoint(knot)
        ]
        place = {name: number for number, name in enumerate(order)}
        return sorted(found, key=lambda loop: place[loop.names[0]])

    def _loop(self, graph: Graph, edges: Edges, knot: tuple[str, ...]) -> Loop:
        inside = set(knot)
        names = tuple(name for name in (*graph.nodes, *graph.routers) if name in inside)
        visits = {name: f"`max_visits: {most}` of `{name}`" for name in names if (most := _most(graph, name))}
        asks = {name: why for name in names if (why := _asks(graph.nodes.get(name)))}
        spends = {name: why for name in names if (why := self._spends(graph.nodes.get(name)))}
        unbounded: set[str] = set()
        left = edges
        for stops, spent in ((visits, {}), (visits | asks, {}), (visits | asks, spends)):
            left = _without(graph, edges, stops, spent)
            rounds = (part for part in knots(left, names) if is_loop(left, part))
            # routers in a circle are R305's business
            unbounded = {name for part in rounds if not graph.nodes.keys().isdisjoint(part) for name in part}
            if not unbounded:
                bounds = dict.fromkeys((*stops.values(), *spent.values()))
                return Loop(graph, names, _round(edges, names[0], inside), tuple(bounds))
        first = next(name for name in names if name in unbounded)
        return Loop(graph, names, _round(left, first, inside), ())

    def _spends(self, work: Work | None) -> str | None:
        """What a piece of work surely uses up whenever it goes well."""
        if work is None or work.data.get("background") or work.skips_errors:
            return None
        match work.verb:
            case "ask":
                return _asks(work)
            case "agent":
                return self._spent_by_agent(work)
            case "tool":
                return self._spent_by_tool(work.name_of("tool") or "")
            case "graph":
                return self._sure.get(work.name_of("graph") or "")
            case "parallel":
                return next((why for part in work.parts if (why := self._spends(part)) is not None), None)
            case _:
                return None

    def _spent_by_agent(self, work: Work) -> str | None:
        agent = self._facts.file.agent_of(work)
        if agent is None:
            return None
        if "tokens" in self._limits.said:
            return "`limits.tokens`"
        return "`limits.cost`" if "cost" in self._limits.said and self._spending.surely_pays(agent) else None

    def _spent_by_tool(self, name: str) -> str | None:
        tool = self._facts.tooling.tools.get(name, {})
        effect = self._facts.tooling.effect(name)
        has_memo = (
            effect != "write" and (effect == "pure" or "cache" in tool) and tool.get("cache") is not False
        )
        if has_memo or not tool:
            return None
        if "max_calls" in tool:
            return f"`max_calls: {tool['max_calls']}` of tool `{name}`"
        return "`limits.tool_calls`" if "tool_calls" in self._limits.said else None

    def _spent_by_graph(self, graph: Graph) -> str | None:
        """What is used up on every way through a graph; None when there is a way round it."""
        start = start_of(graph)
        if start is None or has_gaps(graph):
            return None
        spends = {name: why for name, node in graph.nodes.items() if (why := self._spends(node)) is not None}
        left = _without(graph, edges_of(graph), {}, spends)
        return None if END in reachable(left, [start]) else next(iter(spends.values()), None)


def _most(graph: Graph, name: str) -> int | None:
    """How often a node may be visited, where it says so."""
    node = graph.nodes.get(name)
    most = None if node is None else node.data.get("max_visits")
    return most if isinstance(most, int) else None


def _asks(work: Work | None) -> str | None:
    return f"the person whom `{work.node}` asks" if work is not None and work.verb == "ask" else None


def _without(graph: Graph, edges: Edges, stops: Mapping[str, str], spends: Mapping[str, str]) -> Edges:
    """The edges that are left when what bounds a loop is cut out: whole nodes, or a node's ways but those after errors."""
    left = dict(edges)
    for name in spends:
        left[name] = tuple(
            target.name
            for target in graph.by_owner.get(name, ())
            if target.kind != "then" and target.name != SKIP
        )
    for name in stops:
        left[name] = ()
    return left


def _round(edges: Edges, first: str, inside: set[str]) -> tuple[str, ...]:
    """A shortest way from a name back to itself."""
    before: dict[str, str] = {}
    waiting = [first]
    for name in waiting:
        for to in edges.get(name, ()):
            if to == first:
                way = [name]
                while way[-1] != first:
                    way.append(before[way[-1]])
                return tuple(reversed(way))
            if to in inside and to not in before:
                before[to] = name
                waiting.append(to)
    return (first,)
