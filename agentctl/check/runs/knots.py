"""Knots: the parts of a graph in which every name can be reached from every other, in the order of the ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from agentctl.check.reach import Edges

Knot = tuple[str, ...]


def knots(edges: Edges, names: Iterable[str]) -> list[Knot]:
    """The strongly connected components of some names, each before those it leads to (Tarjan, 1972).

    What lies outside of `names` is not looked at.
    """
    walk = _Walk(edges, dict.fromkeys(names))
    found = [knot for start in walk.among for knot in walk.from_name(start)]
    found.reverse()
    return found


def is_loop(edges: Edges, knot: Knot) -> bool:
    """Whether a knot can be gone round: it has several names, or one that leads to itself."""
    return len(knot) > 1 or knot[0] in edges.get(knot[0], ())


class _Walk:
    """A depth-first walk without recursion: a file may have 10,000 nodes in a row."""

    def __init__(self, edges: Edges, among: dict[str, None]) -> None:
        self.among = among
        self._edges = edges
        self._number: dict[str, int] = {}
        self._lowest: dict[str, int] = {}
        self._open: dict[str, None] = {}

    def from_name(self, start: str) -> Iterator[Knot]:
        """The knots that are reached from a name and were not found before, the last ones first."""
        if start in self._number:
            return
        path = [(start, self._enter(start))]
        while path:
            name, following = path[-1]
            to = next(following, None)
            if to is None:
                path.pop()
                if path:
                    self._lower(path[-1][0], self._lowest[name])
                if self._lowest[name] == self._number[name]:
                    yield self._close(name)
            elif to not in self._number:
                path.append((to, self._enter(to)))
            elif to in self._open:
                self._lower(name, self._number[to])

    def _enter(self, name: str) -> Iterator[str]:
        self._number[name] = self._lowest[name] = len(self._number)
        self._open[name] = None
        return (to for to in self._edges.get(name, ()) if to in self.among)

    def _lower(self, name: str, number: int) -> None:
        self._lowest[name] = min(self._lowest[name], number)

    def _close(self, name: str) -> Knot:
        knot: list[str] = []
        while not knot or knot[-1] != name:
            knot.append(self._open.popitem()[0])
        return tuple(reversed(knot))
