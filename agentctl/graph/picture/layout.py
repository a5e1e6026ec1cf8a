"""Where everything of a picture is drawn: boxes, curves and their labels."""

from __future__ import annotations

from agentctl.graph.picture.boxes import box_of, cut, width_of
from agentctl.graph.picture.data import Graph, Picture, Way
from agentctl.graph.picture.graphviz import by_graphviz
from agentctl.graph.picture.layered import in_layers
from agentctl.graph.picture.sheet import LABEL_SIZE, Label, Laid, Sheet

_WIDEST_LABEL = 170.0
_LARGEST = 700
"""Places and ways of a graph that Graphviz still draws in a second or two; it takes minutes for thousands."""

_DENSEST = 5
"""Ways to a place; of a graph with many more Graphviz takes minutes, too, and draws a thicket."""


def laid_out(picture: Picture) -> list[Laid]:
    """All graphs of a picture, each from its own corner. The same picture always gives the same."""
    sheets = [_sheet(graph) for graph in picture.graphs]
    small = [sheet for sheet in sheets if sheet.size <= _LARGEST and not _is_dense(sheet)]
    drawn = by_graphviz(small) if small else None
    ready = dict(zip([sheet.graph.id for sheet in small], drawn or (), strict=False))
    return [ready.get(sheet.graph.id) or in_layers(sheet) for sheet in sheets]


def _is_dense(sheet: Sheet) -> bool:
    return len(sheet.graph.ways) > max(50, _DENSEST * len(sheet.boxes))


def _sheet(graph: Graph) -> Sheet:
    boxes = {place.id: box_of(place) for place in graph.places}
    labels = {way.id: _label(way) for way in graph.ways if way.label}
    return Sheet(graph, boxes, labels)


def _label(way: Way) -> Label:
    text = cut(way.label, LABEL_SIZE, _WIDEST_LABEL)
    return Label(text, width_of(text, LABEL_SIZE) + 8)
