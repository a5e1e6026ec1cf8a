"""The shortest and the longest way through a graph that goes no loop, by the weights of its nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import heappop, heappush

from msgspec import Struct

from agentctl.check.flow import END
from agentctl.check.reach import Edges, reachable, turned
from agentctl.check.runs.knots import Knot, is_loop, knots

FUEL = 20_000
"""Steps that the search for a longest way may take: some 10 ms."""
Exits = Callable[[str], Iterable[tuple[str, int]]]
"""Where a name may go, each with the weight of leaving the name that way."""


class Way(Struct, frozen=True):
    """A way from `start` to `end`: the names on it, and their weight together."""

    weight: int
    names: tuple[str, ...]
    is_exact: bool = True
    """Whether it is known that none is longer (or shorter)."""


def shortest_way(exits: Exits, start: str) -> Way | None:
    """The lightest way to `end` (Dijkstra, 1959); None when no way leads there."""
    before: dict[str, str] = {}
    weights = {start: 0}
    waiting = [(0, start)]
    while waiting:
        weight, name = heappop(waiting)
        if name == END:
            return Way(weight, _back(before, start))
        if weight > weights[name]:
            continue
        for to, more in exits(name):
            if to not in weights or weight + more < weights[to]:
                weights[to], before[to] = weight + more, name
                heappush(waiting, (weight + more, to))
    return None


def longest_way(edges: Edges, start: str, weights: Mapping[str, int], fuel: int = FUEL) -> Way | None:
    """The heaviest way to `end` that comes to no name with a weight twice; None when no way leads there.

    Names without a weight are routers: they may be passed again, but must not lead to each other in a circle.

    The longest path is NP-hard in general, but a way never comes back to a knot it has left: knots are
    gone through once, in their order, and only inside a knot is there something to search. That search
    has `fuel`; when it is used up, the way is a real one and `is_exact` says that a longer one may exist.
    """
    names = reachable(edges, [start]) & reachable(turned(edges), [END])
    if start not in names or start == END:
        return Way(0, ()) if start == END else None
    search = _Search(edges, weights, fuel)
    search.arrive(start, 0, None)
    for knot in knots(edges, sorted(names - {END})):
        search.go_through(knot)
    best = max(
        (search.left[name] for name in search.left if END in edges.get(name, ())), key=lambda end: end.weight
    )
    return Way(best.weight, best.names(), search.is_exact)


class _Trail(Struct, frozen=True):
    """A name with the way that came to it; trails share their beginnings."""

    name: str
    weight: int
    """Of the whole trail, this name included."""
    before: _Trail | None

    def names(self) -> tuple[str, ...]:
        found: list[str] = []
        trail: _Trail | None = self
        while trail is not None:
            found.append(trail.name)
            trail = trail.before
        return tuple(reversed(found))


class _Search:
    def __init__(self, edges: Edges, weights: Mapping[str, int], fuel: int) -> None:
        self._edges = edges
        self._weights = weights
        self._fuel = fuel
        self._came: dict[str, tuple[int, _Trail | None]] = {}
        """The heaviest way known up to a name, from outside its knot."""
        self.left: dict[str, _Trail] = {}
        """The heaviest way known that ends with a name."""
        self.is_exact = True

    def arrive(self, name: str, weight: int, trail: _Trail | None) -> None:
        if name not in self._came or weight > self._came[name][0]:
            self._came[name] = (weight, trail)

    def go_through(self, knot: Knot) -> None:
        """Find the ways through a knot, and go on from it."""
        inside = frozenset(knot)
        entries = sorted(
            (self._trail(name, *self._came[name]) for name in knot if name in self._came),
            key=lambda entry: -entry.weight,
        )
        if is_loop(self._edges, knot):
            self._span(entries, inside)
            for entry in entries:
                self._try_all(entry, inside)
        for entry in entries:
            self._leave(entry)
        for name in knot:
            for to in self._edges.get(name, ()):
                if to not in inside and name in self.left:
                    self.arrive(to, self.left[name].weight, self.left[name])

    def _span(self, entries: list[_Trail], inside: frozenset[str]) -> None:
        """Some way to each name of a knot, whatever fuel is left."""
        seen: set[str] = set()
        waiting = entries[:1]
        while waiting:
            trail = waiting.pop()
            if trail.name not in seen:
                seen.add(trail.name)
                self._leave(trail)
                waiting += (self._on(trail, to) for to in self._within(trail.name, inside) if to not in seen)

    def _try_all(self, entry: _Trail, inside: frozenset[str]) -> None:
        """Every way from an entry that comes to no name twice, as long as there is fuel."""
        path = [(entry, self._within(entry.name, inside))]
        taken = {entry.name} & self._weights.keys()
        while path:
            trail, following = path[-1]
            to = next(following, None)
            if to is None:
                path.pop()
                taken.discard(trail.name)
            elif self._fuel <= 0:
                self.is_exact = False
                return
            self._fuel -= 1
            if to is not None and to not in taken:
                longer = self._on(trail, to)
                self._leave(longer)
                path.append((longer, self._within(to, inside)))
                if to in self._weights:
                    taken.add(to)

    def _within(self, name: str, inside: frozenset[str]) -> Iterator[str]:
        return (to for to in self._edges.get(name, ()) if to in inside)

    def _on(self, trail: _Trail, to: str) -> _Trail:
        return self._trail(to, trail.weight, trail)

    def _trail(self, name: str, weight: int, before: _Trail | None) -> _Trail:
        return _Trail(name, weight + self._weights.get(name, 0), before)

    def _leave(self, trail: _Trail) -> None:
        if trail.name not in self.left or trail.weight > self.left[trail.name].weight:
            self.left[trail.name] = trail


def _back(before: Mapping[str, str], start: str) -> tuple[str, ...]:
    """The names from the start to before the end."""
    names: list[str] = []
    name = END
    while name != start:
        name = before[name]
        names.append(name)
    return tuple(reversed(names))
