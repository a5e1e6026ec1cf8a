"""The picture as a tree for a terminal."""

from __future__ import annotations

from agentctl.graph.picture.data import Graph, Picture, Place, Way
from agentctl.graph.picture.words import short

_DEEPEST = 120
"""Columns of indentation: what lies deeper is drawn at that depth, or a chain of thousands would fill a disk."""


def as_tree(picture: Picture) -> str:
    """The graphs as trees from their starts. A place is drawn out once, where it is first met."""
    lines: list[str] = []
    for graph in picture.graphs:
        title = f"graph {graph.name}" if graph.id else graph.name
        lines += ["", title] if lines else [title]
        lines += _Tree(graph).lines()
    return "\n".join(lines) + "\n"


class _Tree:
    """One graph drawn as a tree, depth first, each place drawn out once."""

    def __init__(self, graph: Graph) -> None:
        self.places = {place.id: place for place in graph.places}
        self.onward: dict[str, list[Way]] = {}
        for way in graph.ways:
            self.onward.setdefault(way.source, []).append(way)
        self.drawn: set[str] = set()

    def lines(self) -> list[str]:
        begun = [place for place in self.places.values() if place.kind in ("start", "limit")]
        lines = self._draw([way for place in begun for way in self.onward.get(place.id, ())], "")
        nodes = [place for place in self.places.values() if place.id not in self.drawn]
        left = [place.name for place in nodes if not place.reached and place.kind not in ("unknown", "end")]
        return [*lines, "not reached: " + ", ".join(left)] if left else lines

    def _draw(self, ways: list[Way], indent: str) -> list[str]:
        """Lines of all the ways that leave one place. The stack is explicit: a chain may be long."""
        lines: list[str] = []
        stack = [(way, indent, way is ways[-1]) for way in reversed(ways)]
        while stack:
            way, indent, last = stack.pop()
            lines.append(f"{indent}{'└─' if last else '├─'} {self._says(way)}")
            inner = indent + ("   " if last else "│  ") if len(indent) < _DEEPEST else indent
            place = self.places[way.target]
            if place.id in self.drawn or place.kind in ("end", "unknown") or way.skips:
                continue
            self.drawn.add(place.id)
            lines += [f"{inner}· {text}" for text in _branches(place)]
            onward = self.onward.get(place.id, [])
            stack += [(edge, inner, edge is onward[-1]) for edge in reversed(onward)]
        return lines

    def _says(self, way: Way) -> str:
        place = self.places[way.target]
        if way.skips:
            return f"{short(way.label.removesuffix(', skip'))} → skip"
        words = "at a limit" if self.places[way.source].kind == "limit" else way.label
        label = f"{short(words)} → " if words else ""
        return label + self._names(place)

    def _names(self, place: Place) -> str:
        name = short(place.name)
        if place.kind == "end":
            return name
        if place.id in self.drawn:
            return f"{name} (above)"
        if place.kind == "unknown":
            return f"{name} (unknown)"
        text = f"{name}?" if place.kind == "router" else f"{name}  {short(place.says)}"
        return f"{text} (leads nowhere)" if place.stuck else text


def _branches(place: Place) -> list[str]:
    return [f"{work.name}  {short(work.says)}" for work in place.inside] if place.kind == "parallel" else []
