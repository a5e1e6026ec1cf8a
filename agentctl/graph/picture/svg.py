"""The picture as SVG: one drawing without script or font, light and dark, its text text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from agentctl.graph.picture.boxes import Box, width_of
from agentctl.graph.picture.data import Picture, Place, Way
from agentctl.graph.picture.layout import laid_out
from agentctl.graph.picture.sheet import Curve, Laid, Sheet

_MARGIN = 24.0
_TITLE = 34.0
_LEAST_WIDTH = 900.0
"""Graphs stand side by side up to this width, or that of the first one."""


@dataclass(frozen=True)
class _Framed:
    """A graph with the corner of its frame."""

    laid: Laid
    x: float
    y: float
    width: float
    height: float


def as_svg(picture: Picture) -> str:
    """A whole file of SVG, for a browser, a page or a printer."""
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + drawing(picture, style=style(), role="img")


def style() -> str:
    """How the drawing looks, as CSS."""
    return files("agentctl.graph.picture").joinpath("drawing.css").read_text("utf-8")


def drawing(picture: Picture, *, style: str = "", role: str, focusable: bool = False) -> str:
    """The `svg` element. Each `g` of a place or a way has its id in `data-place` or `data-way`."""
    framed = _framed(laid_out(picture))
    width = max(frame.x + frame.width for frame in framed) + _MARGIN
    height = max(frame.y + frame.height for frame in framed) + _MARGIN
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="picture" {size} role="{role}"'
        ' aria-labelledby="picture-title picture-desc">',
        f'<title id="picture-title">{said(f"The graph {picture.name}")}</title>',
        f'<desc id="picture-desc">{said(_described(picture))}</desc>',
    ]
    if style:
        lines.append(f"<style>{style}</style>")
    lines.append(_ARROWS)
    for frame in framed:
        lines += _graph(frame, focusable)
    return "\n".join([*lines, "</svg>"]) + "\n"


def said(text: str) -> str:
    """Text that is text in XML and HTML, in an attribute too; what XML cannot say, or turns the text
    around it (U+202E), is a replacement character."""
    return escape(
        re.sub(
            r"[^\t\n\r\x20-\x7e\x85\xa0-\u2029\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]",
            "\ufffd",
            text,
        )
    )


_ARROWS = """<defs>
<marker id="tip" viewBox="0 0 10 10" refX="10" refY="5" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path class="tip" d="M0 0.8L10 5L0 9.2z"/></marker>
<marker id="rare-tip" viewBox="0 0 10 10" refX="10" refY="5" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path class="tip rare" d="M0 0.8L10 5L0 9.2z"/></marker>
</defs>"""


def _described(picture: Picture) -> str:
    """What one who does not see it is told."""
    first = picture.graphs[0]
    nodes = sum(place.id.startswith("nodes.") for place in first.places)
    routers = sum(place.kind == "router" for place in first.places)
    counted = f"{nodes} nodes and {routers} routers, {len(first.ways)} ways between them."
    nested = ", ".join(graph.name for graph in picture.graphs[1:])
    return " ".join(filter(None, [picture.description, counted, nested and f"Graphs inside it: {nested}."]))


def _framed(laid: list[Laid]) -> list[_Framed]:
    """The first graph, then the others beside and below it on shelves."""
    widest = max(_LEAST_WIDTH, laid[0].width)
    framed: list[_Framed] = []
    x, y, deepest = _MARGIN, _MARGIN, 0.0
    for one in laid:
        nested = bool(one.sheet.graph.id)
        title = width_of(_title(one), 14) if nested else 0.0
        width = max(one.width, title) + (2 * _MARGIN if nested else 0)
        height = one.height + (_TITLE + _MARGIN if nested else 0)
        if framed and x + width > widest + _MARGIN:
            x, y, deepest = _MARGIN, y + deepest + _MARGIN, 0.0
        framed.append(_Framed(one, x, y, width, height))
        x, deepest = x + width + _MARGIN, max(deepest, height)
    return framed


def _title(laid: Laid) -> str:
    return f"graph {laid.sheet.graph.name}"


def _graph(frame: _Framed, focusable: bool) -> Iterator[str]:
    graph = frame.laid.sheet.graph
    x, y = frame.x, frame.y
    yield f'<g class="graph" data-graph="{said(graph.id)}" transform="translate({x:.1f} {y:.1f})">'
    if graph.id:
        yield f'<rect class="frame" width="{frame.width:.1f}" height="{frame.height:.1f}" rx="10"/>'
        yield f'<text class="frame-title" x="14" y="22">{said(_title(frame.laid))}</text>'
        inset = (frame.width - frame.laid.width) / 2
        yield f'<g transform="translate({inset:.1f} {_TITLE:.1f})">'
    for way in graph.ways:
        yield from _way(frame.laid.sheet, way, frame.laid.curves[way.id])
    for id, (left, top) in frame.laid.corners.items():
        yield from _place(frame.laid.sheet.boxes[id], left, top, focusable)
    yield "</g></g>" if graph.id else "</g>"


def _way(sheet: Sheet, way: Way, curve: Curve) -> Iterator[str]:
    rare = " rare" if way.rare else ""
    ends = f'data-from="{said(way.source)}" data-to="{said(way.target)}"'
    yield f'<g class="way{rare}" data-way="{said(way.id)}" {ends}>'
    if way.label:
        yield f"<title>{said(way.label)}</title>"
    yield f'<path d="{curve.path}" marker-end="url(#{"rare-" if rare else ""}tip)"/>'
    if way.id in sheet.labels and curve.label:
        x, y = curve.label
        yield f'<text x="{x:.1f}" y="{y + 4:.1f}">{said(sheet.labels[way.id].text)}</text>'
    yield "</g>"


def _place(box: Box, x: float, y: float, focusable: bool) -> Iterator[str]:
    place = box.place
    classes = ["place", place.kind, *["unreached"] * (not place.reached), *["stuck"] * place.stuck]
    reader = f' tabindex="0" role="button" aria-label="{said(_spoken(place))}"' if focusable else ""
    names = f'class="{" ".join(classes)}" data-place="{said(place.id)}"'
    yield f'<g {names}{reader} transform="translate({x:.1f} {y:.1f})">'
    yield f"<title>{said(_spoken(place))}</title>"
    yield from _shape(box)
    yield from _words(box)
    yield from _insides(box)
    yield "</g>"


def _insides(box: Box) -> Iterator[str]:
    """The boxes inside a box, and those inside them."""
    for inner in box.inside:
        work = inner.box.place
        names = f'class="inner {work.kind}" data-place="{said(work.id)}"'
        yield f'<g {names} transform="translate({inner.x:.1f} {inner.y:.1f})">'
        yield from _shape(inner.box)
        yield from _words(inner.box)
        yield from _insides(inner.box)
        yield "</g>"


def _shape(box: Box) -> Iterator[str]:
    width, height, kind = box.width, box.height, box.place.kind
    if kind == "router":
        slant, middle = 14, height / 2
        points = [
            (slant, 0),
            (width - slant, 0),
            (width, middle),
            (width - slant, height),
            (slant, height),
            (0, middle),
        ]
        yield f'<polygon class="box" points="{" ".join(f"{x:.0f},{y:.0f}" for x, y in points)}"/>'
        return
    corner = {"agent": 10, "start": height / 2, "end": height / 2, "limit": height / 2, "ask": 10}.get(
        kind, 3
    )
    yield f'<rect class="box" width="{width:.0f}" height="{height:.0f}" rx="{corner:g}"/>'
    if kind == "graph":
        yield f'<rect class="line" x="3" y="3" width="{width - 6:.0f}" height="{height - 6:.0f}" rx="1"/>'
    if kind == "tool":
        yield f'<path class="line" d="M5 0V{height:.0f}M{width - 5:.0f} 0V{height:.0f}"/>'


def _words(box: Box) -> Iterator[str]:
    middle = ' text-anchor="middle"' if box.centred else ""
    for line in box.lines:
        yield f'<text class="{line.role}"{middle} x="{line.x:.1f}" y="{line.y:.1f}">{said(line.text)}</text>'


def _spoken(place: Place) -> str:
    """All that a place says, in one line."""
    inside = [f"{work.name} {work.says}".strip() for work in place.inside if work.name]
    kind = ["router"] if place.kind == "router" else []
    stuck = ["leads nowhere"] if place.stuck else []
    return ", ".join(filter(None, [place.name, *kind, place.says, *place.notes, *inside, *stuck]))
