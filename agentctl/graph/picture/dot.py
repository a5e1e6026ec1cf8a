"""The picture in the language of Graphviz."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentctl.graph.picture.data import Graph, Picture, Place
from agentctl.graph.picture.words import short

_SHAPES = {
    **dict.fromkeys(("start", "limit", "end"), 'shape=box, style="rounded,filled", fillcolor="#eceff1"'),
    "agent": 'shape=box, style="rounded,filled", fillcolor="#e3edfb"',
    "tool": 'shape=component, style="filled", fillcolor="#e4f3e6"',
    "graph": 'shape=box, peripheries=2, style="filled", fillcolor="#efe7f8"',
    "ask": 'shape=octagon, style="filled", fillcolor="#fdf0d5"',
    "router": 'shape=hexagon, style="filled", fillcolor="#ffffff"',
    "unknown": 'shape=box, style="dashed", color="#c0392b", fontcolor="#c0392b"',
}
_OTHER = 'shape=box, style="filled", fillcolor="#f4f4f4"'


def as_dot(picture: Picture) -> str:
    """A digraph, with a cluster for each graph of `graphs:`. Attributes `id` are the ids of the picture."""
    lines = [f"digraph {_quoted(picture.name)} {{"]
    lines += ['  graph [rankdir=TB, fontname="sans-serif", compound=true];']
    lines += ['  node [fontname="sans-serif", fontsize=11];', '  edge [fontname="sans-serif", fontsize=10];']
    for index, graph in enumerate(picture.graphs):
        chart = list(_chart(graph))
        if index:
            lines.append(f"  subgraph {_quoted(f'cluster_{index}')} {{")
            lines.append(f"    label={_quoted(f'graph {graph.name}')};")
            lines += [f"  {line}" for line in chart]
            lines.append("  }")
        else:
            lines += chart
    return "\n".join([*lines, "}"]) + "\n"


def _chart(graph: Graph) -> Iterator[str]:
    for place in graph.places:
        shape = _SHAPES.get(place.kind, _OTHER)
        if place.stuck:
            shape += ', color="#c0392b"'
        if not place.reached:
            shape += ', fontcolor="#777777"'
        id = _quoted(place.id)
        yield f"  {id} [id={id}, label={_quoted(*_words(place))}, {shape}];"
    for way in graph.ways:
        words = f", label={_quoted(short(way.label))}" if way.label else ""
        rare = ", style=dashed" if way.rare else ""
        yield f"  {_quoted(way.source)} -> {_quoted(way.target)} [id={_quoted(way.id)}{words}{rare}];"


def _words(place: Place) -> list[str]:
    inside = [f"{work.name}: {work.says}" for work in place.inside if work.name]
    stuck = ["leads nowhere"] if place.stuck else []
    return [word for word in (place.name, place.says, ", ".join(place.notes), *inside, *stuck) if word]


def _quoted(*lines: str) -> str:
    """A quoted string in which nothing is markup: no escape sequence, no HTML entity, no line of its own."""
    clean = [re.sub(r"[\x00-\x1f]", " ", line).replace("\\", "\\\\") for line in lines]
    text = "\\n".join(line.replace('"', '\\"').replace("&", "&amp;") for line in clean)
    return f'"{text}"'
