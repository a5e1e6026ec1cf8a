"""What is laid out of a graph, and the same with a place for everything."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.graph.picture.boxes import Box
from agentctl.graph.picture.data import Graph

LABEL_SIZE = 11.0
LABEL_HEIGHT = 18.0


@dataclass(frozen=True)
class Label:
    """The words of a way and the room they need."""

    text: str
    width: float


@dataclass(frozen=True)
class Curve:
    """A way as an SVG path that ends at the arrow's tip, with the middle of its label."""

    path: str
    label: tuple[float, float] | None = None


@dataclass(frozen=True)
class Sheet:
    """What is to be laid out of one graph: its boxes and labels by id."""

    graph: Graph
    boxes: dict[str, Box]
    labels: dict[str, Label]

    @property
    def size(self) -> int:
        return len(self.graph.places) + len(self.graph.ways)


@dataclass(frozen=True)
class Laid:
    """One graph with a place for everything: the corners of its boxes, the curves of its ways."""

    sheet: Sheet
    width: float
    height: float
    corners: dict[str, tuple[float, float]]
    curves: dict[str, Curve]
