"""A simple layered layout, for graphs too large for the better one: rows by distance from the start."""

from __future__ import annotations

from collections.abc import Iterator

from agentctl.graph.picture.sheet import LABEL_HEIGHT, Curve, Laid, Sheet

_IN_A_ROW = 12
_ACROSS = 40.0
_DOWN = 64.0
_MARGIN = 60.0


def in_layers(sheet: Sheet) -> Laid:
    """Every place once, those as far from the start side by side. Takes time in proportion to the graph."""
    rows = [row[at : at + _IN_A_ROW] for row in _rows(sheet) for at in range(0, len(row), _IN_A_ROW)]
    widths = [sum(sheet.boxes[id].width + _ACROSS for id in row) - _ACROSS for row in rows]
    widest = max(widths)
    corners: dict[str, tuple[float, float]] = {}
    y = 0.0
    for row, width in zip(rows, widths, strict=True):
        x = _MARGIN + (widest - width) / 2
        for id in row:
            corners[id] = (round(x, 1), round(y, 1))
            x += sheet.boxes[id].width + _ACROSS
        y += max(sheet.boxes[id].height for id in row) + _DOWN
    curves = dict(_curves(sheet, corners))
    return Laid(sheet, widest + 2 * _MARGIN, y - _DOWN, corners, curves)


def _rows(sheet: Sheet) -> list[list[str]]:
    """The places by distance, each row in the order in which the row above leads to it."""
    onward: dict[str, list[str]] = {id: [] for id in sheet.boxes}
    for way in sorted(sheet.graph.ways, key=lambda way: way.rare):
        onward[way.source].append(way.target)
    met: set[str] = set()
    rows: list[list[str]] = []
    first = [place.id for place in sheet.graph.places if place.kind in ("start", "limit")]
    for begin in [first, *([id] for id in sheet.boxes)]:
        row = [id for id in begin if id not in met]
        while row:
            met.update(row)
            rows.append(row)
            row = list(dict.fromkeys(to for id in row for to in onward[id] if to not in met))
    last = [id for row in rows for id in row if sheet.boxes[id].place.kind == "end"]
    kept = [[id for id in row if id not in last] for row in rows]
    return [row for row in [*kept, last] if row]


def _curves(sheet: Sheet, corners: dict[str, tuple[float, float]]) -> Iterator[tuple[str, Curve]]:
    """Down from the middle of one side to the next; what leads up or along goes round at the right."""
    leaving: dict[str, int] = {}
    for way in sheet.graph.ways:
        here, there = sheet.boxes[way.source], sheet.boxes[way.target]
        (x, y), (to_x, to_y) = corners[way.source], corners[way.target]
        count = leaving[way.source] = leaving.get(way.source, 0) + 1
        bottom = y + here.height
        if to_y >= bottom:
            x, to_x = x + here.width / 2, to_x + there.width / 2
            bend = min(_DOWN, (to_y - bottom) / 2)
            path = f"M{x:.1f} {bottom:.1f}C{x:.1f} {bottom + bend:.1f} {to_x:.1f} {to_y - bend:.1f} {to_x:.1f} {to_y:.1f}"
            yield (
                way.id,
                Curve(path, (x + (to_x - x) * 0.2, bottom + 4 + LABEL_HEIGHT * (0.5 + (count - 1) % 3))),
            )
        else:
            x, to_x = x + here.width, to_x + there.width
            y, to_y = y + here.height / 2, to_y + there.height / 2 + 4
            far = max(x, to_x) + 24 + 6 * (count % 4)
            path = f"M{x:.1f} {y:.1f}C{far:.1f} {y:.1f} {far:.1f} {to_y:.1f} {to_x:.1f} {to_y:.1f}"
            yield way.id, Curve(path, (far - 4, (y + to_y) / 2))
