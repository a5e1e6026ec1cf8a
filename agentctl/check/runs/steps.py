"""How many nodes a run of each graph begins: on the shortest way, on the longest one without a loop, and at most.

`recursion` counts every node that is begun, those of nested graphs too; branches and items are no nodes, but the
graphs that run in them have some. Routers count for nothing. What runs in the background is counted in its job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

from agentctl.check.flow import SKIP, FileModel, Graph, Work, text
from agentctl.check.reach import circles, edges_of
from agentctl.check.rules.graph import has_gaps
from agentctl.check.runs.knots import is_loop, knots
from agentctl.check.runs.limits import MANY, attempts_of
from agentctl.check.runs.ways import FUEL, Way, longest_way, shortest_way
from agentctl.check.runs.worst_case import WorstCase
from agentctl.check.sites import Sites
from agentctl.check.tools.calls import calls_of

Totals = Mapping[str, int | None]
"""A number for each graph by its name; None where it has no bound."""


class Steps:
    """The graphs of a file, those that others run first."""

    def __init__(self, file: FileModel, sites: Sites) -> None:
        self._file = file
        self._sites = sites

    @cached_property
    def order(self) -> tuple[Graph, ...]:
        """The graphs, each after those it runs; none when graphs run themselves (G225)."""
        graphs = {graph.name: graph for graph in self._file.graphs}
        edges: dict[str, list[str]] = {f"graph {name}": [] for name in graphs}
        for call in calls_of(self._file):
            edges.setdefault(" ".join(call.caller), []).append(" ".join(call.callee))
        found = knots({name: tuple(to) for name, to in edges.items()}, edges)
        if any(is_loop({name: tuple(edges[name]) for name in knot}, knot) for knot in found):
            return ()
        names = (knot[0].removeprefix("graph ") for knot in reversed(found) if knot[0].startswith("graph "))
        return tuple(graphs[name] for name in names if name in graphs)

    @cached_property
    def shortest(self) -> Mapping[str, Way | None]:
        """The shortest way of each graph, by the fewest nodes it must begin.

        An error may come before anything of a nested graph began, so that ways after errors count a node as
        one; a map may have no items.
        """
        found: dict[str, Way | None] = {}
        known: dict[str, int] = {}
        for graph in self.order:
            way = found[graph.name] = _shortest(graph, known)
            known[graph.name] = 0 if way is None else min(way.weight, MANY)
        return found

    @cached_property
    def longest(self) -> Mapping[str, Way | None]:
        """The longest way of each graph that comes to no node twice, by the nodes it may begin.

        Each item of a map counts where their number is known, else one does. What a model calls is no way of
        the graph, and is not counted.
        """
        found: dict[str, Way | None] = {}
        for graph in self.order:
            start, fuel = start_of(graph), max(FUEL // len(self.order), 100)
            if start is None or has_gaps(graph) or _has_circle_of_routers(graph):
                found[graph.name] = None
            else:
                found[graph.name] = longest_way(edges_of(graph), start, self._weights(graph, found), fuel)
        return found

    @cached_property
    def everything(self) -> int:
        """The nodes of all graphs, as often as the longest way could have them: no way has more."""
        found: dict[str, int | None] = {}
        for graph in self.order:
            known = [self._begun(node, found, items=1) or 0 for node in graph.nodes.values()]
            found[graph.name] = min(sum(known), MANY)
        return found.get("") or 0

    @cached_property
    def most(self) -> Totals:
        """The most nodes that a run of each graph begins, when only `max_visits` ends its loops."""
        return self.totals(lambda _: 0, each=1)

    def walk(self, graph: Graph) -> tuple[int, int] | None:
        """Nodes that `max_visits` lets a run of a graph begin: surely, and at most; None when it ends not every loop."""
        start = start_of(graph)
        if start is None or has_gaps(graph):
            return None
        worst = WorstCase(edges_of(graph), start, self._weights(graph, self.longest), _caps(graph))
        return None if worst.most is None else (worst.walk(), min(worst.most, MANY))

    def totals(self, own: Callable[[Work], int | None], *, each: int = 0) -> Totals:
        """For each graph, the most of something that a run of it uses; `own` is what one piece of work uses itself.

        `each` is what every visit of a node uses, however often the node is tried.
        """
        found: dict[str, int | None] = {}
        for graph in self.order:
            weights = {name: plus(each, self.used(node, own, found)) for name, node in graph.nodes.items()}
            start = start_of(graph)
            ok = start is not None and not has_gaps(graph)
            worst = WorstCase(edges_of(graph), start or "", weights, _caps(graph)) if ok else None
            most = None if worst is None else worst.most
            found[graph.name] = None if most is None else min(most, MANY)
        return found

    def used(self, work: Work, own: Callable[[Work], int | None], nested: Totals) -> int | None:
        """The most of something that one visit of a piece of work uses, its parts and its graph included."""
        if work.data.get("background"):
            return 0
        total = own(work)
        if work.verb == "graph":
            total = plus(total, nested.get(work.name_of("graph") or "", 0))
        for part in work.parts:
            times_ = self.items(work) if work.verb == "map" else 1
            total = plus(total, times(times_, self.used(part, own, nested)))
        return times(attempts_of(work.data, 1), total)

    def items(self, work: Work) -> int | None:
        """How many items a map has at most; None when nothing bounds them."""
        keys = (*work.keys, "map", "over")
        site = self._sites.by_keys.get(keys)
        if site is None:
            return None
        known = [site.analysis.type.get("maxItems")] if isinstance(site.analysis.type, dict) else []
        field = site.graph.fields.get(site.text.strip().removeprefix("state."))
        if field is not None and site.text.strip() == f"state.{field.name}":
            kept = field.type.first if field.reducer == "last" else field.type.keep
            begins = len(field.type.default) if isinstance(field.type.default, list) else 0
            known.append(None if kept is None else max(kept, begins))
        return min((count for count in known if isinstance(count, int)), default=None)

    def _weights(self, graph: Graph, known: Mapping[str, Way | None]) -> Mapping[str, int]:
        counts = {name: 0 if way is None else min(way.weight, MANY) for name, way in known.items()}
        return {name: self._begun(node, counts, items=1) or 0 for name, node in graph.nodes.items()}

    def _begun(self, node: Work, nested: Totals, *, items: int) -> int | None:
        """The nodes that one visit of a node may begin, itself among them; `items` for a map of unknown length."""

        def inside(work: Work) -> int:
            if work.data.get("background"):
                return 0
            count = (nested.get(work.name_of("graph") or "") or 0) if work.verb == "graph" else 0
            known = self.items(work) if work.verb == "map" and work.parts[0].verb == "graph" else None
            return count + sum(map(inside, work.parts)) * (items if known is None else known)

        return min(1 + inside(node), MANY)


def start_of(graph: Graph) -> str | None:
    """Where a run of a graph begins."""
    return text(graph.data.get("start"))


def plus(one: int | None, other: int | None) -> int | None:
    """The sum; None, which has no bound, when one of them has none."""
    return None if one is None or other is None else min(one + other, MANY)


def times(one: int | None, other: int | None) -> int | None:
    """The product; nothing is nothing, however often."""
    if one == 0 or other == 0:
        return 0
    return None if one is None or other is None else min(one * other, MANY)


def _has_circle_of_routers(graph: Graph) -> bool:
    """R305 says so."""
    edges = edges_of(graph)
    among = {name: tuple(to for to in edges.get(name, ()) if to in graph.routers) for name in graph.routers}
    return next(circles(among), None) is not None


def _shortest(graph: Graph, nested: Mapping[str, int]) -> Way | None:
    start = start_of(graph)
    if start is None or has_gaps(graph):
        return None
    whole = {name: 1 + _least_inside(node, nested) for name, node in graph.nodes.items()}

    def exits(name: str) -> Iterator[tuple[str, int]]:
        node = graph.nodes.get(name)
        for target in graph.by_owner.get(name, ()):
            if target.name != SKIP:
                is_whole = target.kind in ("then", "arm") and not (node is not None and node.skips_errors)
                yield target.name, 0 if node is None else whole[name] if is_whole else 1

    return shortest_way(exits, start)


def _least_inside(work: Work, nested: Mapping[str, int]) -> int:
    """The nodes of graphs that a piece of work begins whenever it goes well."""
    if work.data.get("background") or work.verb == "map":
        return 0
    if work.verb == "graph":
        return nested.get(work.name_of("graph") or "", 0)
    return min(sum(_least_inside(part, nested) for part in work.parts if not part.skips_errors), MANY)


def _caps(graph: Graph) -> Mapping[str, int]:
    return {
        name: most
        for name, node in graph.nodes.items()
        if isinstance(most := node.data.get("max_visits"), int)
    }
