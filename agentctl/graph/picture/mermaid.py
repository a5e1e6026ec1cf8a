"""The picture in the language of mermaid.js.org."""

from __future__ import annotations

import re
from collections.abc import Iterator

from agentctl.graph.picture.data import Graph, Picture, Place
from agentctl.graph.picture.words import short

_SHAPES = {
    **dict.fromkeys(("start", "limit", "end"), ("([", "])")),
    **dict.fromkeys(("tool", "graph"), ("[[", "]]")),
    "ask": ("{{", "}}"),
    "router": ("{", "}"),
}


def as_mermaid(picture: Picture) -> str:
    """A flowchart, with a subgraph for each graph of `graphs:`."""
    lines = ["flowchart TD"]
    for index, graph in enumerate(picture.graphs):
        chart = list(_chart(graph, f"g{index}_" if index else ""))
        if index:
            lines.append(f'    subgraph g{index} ["graph {_quoted(graph.name)}"]')
            lines += [f"    {line}" for line in chart]
            lines.append("    end")
        else:
            lines += chart
    lines += _styles(picture)
    return "\n".join(lines) + "\n"


def _chart(graph: Graph, prefix: str) -> Iterator[str]:
    ids = {place.id: f"{prefix}n{index}" for index, place in enumerate(graph.places)}
    for place in graph.places:
        opening, closing = _SHAPES.get(place.kind, ("[", "]"))
        style = _style(place)
        yield f'    {ids[place.id]}{opening}"{"<br/>".join(_words(place))}"{closing}{style and ":::" + style}'
    for way in graph.ways:
        arrow = "-.->" if way.rare else "-->"
        label = f'|"{_quoted(short(way.label))}"|' if way.label else ""
        yield f"    {ids[way.source]} {arrow}{label} {ids[way.target]}"


def _words(place: Place) -> list[str]:
    branches = [f"{work.name}: {work.says}" for work in place.inside if work.name]
    stuck = ["leads nowhere"] if place.stuck else []
    words = [place.name, place.says, ", ".join(place.notes), *branches, *stuck]
    return [_quoted(short(word)) for word in words if word]


def _style(place: Place) -> str:
    if place.kind == "unknown" or place.stuck:
        return "nowhere"
    return "" if place.reached else "unreached"


def _styles(picture: Picture) -> Iterator[str]:
    used = {_style(place) for graph in picture.graphs for place in graph.places}
    if "nowhere" in used:
        yield "    classDef nowhere stroke:#c0392b,stroke-width:2px,stroke-dasharray:5 3"
    if "unreached" in used:
        yield "    classDef unreached opacity:0.55,stroke-dasharray:2 3"


def _quoted(text: str) -> str:
    """Text inside a Mermaid string: its own entities, so that nothing in it is markup."""
    return re.sub(r'[#"<>&`\\*_~$\x00-\x1f]', lambda found: f"#{ord(found[0])};", text)
