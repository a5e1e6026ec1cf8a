"""Graphviz's own layout: the only home of the graphviz-pure program.

It is told numbers alone, the sizes of boxes and labels, so nothing of the file reaches it and no font matters: the
same picture is the same on every machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from agentctl.graph.picture.sheet import LABEL_HEIGHT, Curve, Laid, Sheet
from agentctl.json import Json

_PATIENCE = 5.0
"""Seconds for all graphs; a slower machine gets the simpler layout."""
_INCH = 72.0


def by_graphviz(sheets: Sequence[Sheet]) -> list[Laid] | None:
    """The graphs laid out by Graphviz; None where there is none or it has no answer in time."""
    program = _program()
    if program is None:
        return None
    text = "\n".join(line for sheet in sheets for line in _question(sheet))
    try:
        done = subprocess.run(
            [program, "-Kdot", "-Tjson0"],
            input=text.encode(),
            capture_output=True,
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None  # the simpler layout needs no program
    answers = list(_values(done.stdout.decode()))
    if len(answers) != len(sheets):
        return None
    return [_laid(sheet, answer) for sheet, answer in zip(sheets, answers, strict=True)]


def _program() -> str | None:
    """The program that came with the package of its name, wherever that is, else the machine's own `dot`."""
    try:
        files = distribution("graphviz-pure").files or []
    except PackageNotFoundError:
        files = []
    for file in files:
        if file.stem == "graphviz-pure" and Path(str(file.locate())).is_file():
            return str(Path(str(file.locate())).resolve())
    return shutil.which("dot")


def _question(sheet: Sheet) -> Iterator[str]:
    numbers = {id: index for index, id in enumerate(sheet.boxes)}
    yield "digraph {"
    yield 'graph [rankdir=TB, nodesep=0.35, ranksep=0.42]; node [shape=box, fixedsize=true, label=""];'
    yield "edge [arrowsize=0.8];"
    for id, box in sheet.boxes.items():
        yield f"{numbers[id]} [width={box.width / _INCH:.4f}, height={box.height / _INCH:.4f}];"
    for index, way in enumerate(sheet.graph.ways):
        label = sheet.labels.get(way.id)
        words = f", label={_room(label.width)}" if label else ""
        weight = 1 if way.rare else 3
        yield f"{numbers[way.source]} -> {numbers[way.target]} [w={index}, weight={weight}{words}];"
    yield "}"


def _room(width: float) -> str:
    """A label that is nothing but its size."""
    size = f'WIDTH="{width:.0f}" HEIGHT="{LABEL_HEIGHT:.0f}"'
    return f'<<TABLE BORDER="0" CELLBORDER="0" FIXEDSIZE="TRUE" {size}><TR><TD></TD></TR></TABLE>>'


def _values(text: str) -> Iterator[Json]:
    """The JSON values of a text that holds one after the other."""
    decoder = json.JSONDecoder()
    at = 0
    while (at := text.find("{", at)) >= 0:
        value, at = decoder.raw_decode(text, at)
        yield value


def _laid(sheet: Sheet, answer: Json) -> Laid:
    _, _, width, height = map(float, answer["bb"].split(","))
    ids = list(sheet.boxes)
    corners = {}
    for item in answer.get("objects", ()):
        box = sheet.boxes[ids[int(item["name"])]]
        x, y = map(float, item["pos"].split(","))
        corners[box.place.id] = (round(x - box.width / 2, 1), round(height - y - box.height / 2, 1))
    curves = {}
    for item in answer.get("edges", ()):
        way = sheet.graph.ways[int(item["w"])]
        label = _point(item["lp"], height) if "lp" in item else None
        curves[way.id] = Curve(_path(item["pos"], height), label)
    return Laid(sheet, width, height, corners, curves)


def _path(text: str, height: float) -> str:
    """An SVG path of Graphviz's `e,x,y x,y x,y …`: the arrow's tip, then the points of Bézier curves."""
    points = text.split(" ")
    tip = _point(points.pop(0)[2:], height) if points[0].startswith("e,") else None
    (x, y), *rest = [_point(point, height) for point in points]
    parts = [f"M{x} {y}"]
    for index in range(0, len(rest) - 2, 3):
        parts.append("C" + " ".join(f"{x} {y}" for x, y in rest[index : index + 3]))
    if tip:
        parts.append(f"L{tip[0]} {tip[1]}")
    return "".join(parts)


def _point(text: str, height: float) -> tuple[float, float]:
    x, y = map(float, text.split(","))
    return round(x, 1), round(height - y, 1)
