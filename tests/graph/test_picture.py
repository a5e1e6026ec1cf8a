"""Every format shows every place and way of the picture, as text, and the same each time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from time import process_time
from xml.etree import ElementTree

import msgspec
import pytest

from agentctl.graph.picture.data import Picture, as_json
from agentctl.graph.picture.dot import as_dot
from agentctl.graph.picture.html import as_html
from agentctl.graph.picture.layout import laid_out
from agentctl.graph.picture.mermaid import as_mermaid
from agentctl.graph.picture.reading import picture_of
from agentctl.graph.picture.svg import as_svg
from agentctl.graph.picture.tree import as_tree
from agentctl.json import Json
from agentctl.spec.document import read_document
from agentctl.spec.model import FileSpec

ROOT = Path(__file__).parent.parent.parent
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</script><script>alert(1)</script> \"q\" 'a' \\ & # `x` ]]> --> {}| <b> 日本語 🎉 "
FORMATS = (as_tree, as_mermaid, as_dot, as_svg, as_html, as_json)
Draw = Callable[[Picture], str]


def picture(**keys: Json) -> Picture:
    file = {"agentctl": 1, "name": "drawn", "start": "a", **keys}
    return picture_of(msgspec.convert(file, FileSpec, strict=False))


def example(name: str) -> Picture:
    spec = read_document(ROOT / name).spec
    assert spec is not None
    return picture_of(spec)


def hostile() -> Picture:
    node = {"agent": {"instructions": HOSTILE * 3}, "prompt": HOSTILE * 3, "then": "r"}
    nodes = {
        "a": node,
        "b": {"ask": HOSTILE, "choices": [HOSTILE, "\x00\x1b[2J"], "then": "b"},
        "c": {"tool": HOSTILE, "then": HOSTILE},
        "stuck": {"set": {HOSTILE: 1}},
        "p": {"parallel": {f"b{i}": {"agent": HOSTILE} for i in range(15)}, "then": "end"},
    }
    to = {HOSTILE: "b", "x": "b", "p": "p", "s": "stuck"}
    return picture(
        description=HOSTILE, nodes=nodes, routers={"r": {"by": "state.a", "to": to, "else": "c"}, "idle": []}
    )


def loops(count: int) -> Picture:
    nodes: dict[str, Json] = {
        f"n{i}": {"agent": "x", "then": f"r{i}" if i % 3 == 2 else f"n{i + 1}", "on_error": "sorry"}
        for i in range(count)
    }
    nodes |= {f"n{count}": {"set": {"a": 1}, "then": "end"}, "sorry": {"set": {"a": 1}, "then": "end"}}
    routers = {
        f"r{i}": [{"when": "state.more", "to": f"n{max(0, i - 4)}"}, {"else": f"n{i + 1}"}]
        for i in range(count)
        if i % 3 == 2
    }
    return picture(start="n0", nodes=nodes, routers=routers)


PICTURES = {
    "support": lambda: example("examples/support/graph.yaml"),
    "one": lambda: picture(nodes={"a": {"set": {"x": 1}, "then": "a"}}),
    "loops": lambda: loops(40),
    "hostile": hostile,
}


@pytest.mark.parametrize("draw", FORMATS)
@pytest.mark.parametrize("name", PICTURES)
def test_the_same_file_gives_the_same_bytes(name: str, draw: Draw) -> None:
    assert draw(PICTURES[name]()) == draw(PICTURES[name]())


@pytest.mark.parametrize("name", PICTURES)
def test_every_place_and_way_is_in_every_format(name: str) -> None:
    shown = PICTURES[name]()
    places = [place.id for graph in shown.graphs for place in graph.places]
    ways = [way.id for graph in shown.graphs for way in graph.ways]
    root = ElementTree.fromstring(as_svg(shown))
    drawn = {group.get("data-place") for group in root.iter(f"{SVG}g")}
    assert drawn >= set(places)
    assert {group.get("data-way") for group in root.iter(f"{SVG}g")} >= set(ways)
    data = json.loads(as_json(shown))
    assert [place["id"] for graph in data["graphs"] for place in graph["places"]] == places
    assert [way["id"] for graph in data["graphs"] for way in graph["ways"]] == ways
    assert len(re.findall(r"^ +g?\w*n\d+ -\.?->", as_mermaid(shown), re.M)) == len(ways)
    assert as_dot(shown).count(" -> ") >= len(ways)
    assert as_html(shown).count('<g class="way') == len(ways)
    tree = as_tree(shown)
    nodes = [place.name for graph in shown.graphs for place in graph.places if place.id.startswith("nodes.")]
    assert [name for name in nodes if name not in tree] == []


def test_ids_are_the_keys_of_the_file() -> None:
    shown = example("examples/support/graph.yaml").graphs[0]
    places = {place.id for place in shown.places}
    assert {"start", "end", "nodes.sort", "routers.by_desk"} <= places
    ways = {way.id: (way.source, way.target) for way in shown.ways}
    assert len(ways) == len(shown.ways)
    assert ways["nodes.sort.then"][0] == "nodes.sort"
    assert all(end in places for way in ways.values() for end in way)


def test_what_leads_nowhere_is_drawn_as_such() -> None:
    nodes = {
        "a": {"set": {"x": 1}, "then": "gone"},
        "b": {"set": {"x": 1}},
        "c": {"set": {"x": 1}, "then": "c"},
    }
    graph = picture(nodes=nodes).graphs[0]
    kinds = {place.id: (place.kind, place.stuck, place.reached) for place in graph.places}
    assert kinds["?gone"] == ("unknown", False, True)
    assert kinds["nodes.b"] == ("set", True, False)
    assert kinds["nodes.c"] == ("set", False, False)
    assert "end" not in kinds
    assert "gone (unknown)" in as_tree(picture(nodes=nodes))
    assert "leads nowhere" in as_svg(picture(nodes=nodes))


def test_two_ways_between_two_places_and_a_way_to_itself_are_drawn_apart() -> None:
    nodes = {"a": {"tool": "t", "then": "b", "on_error": "b"}, "b": {"tool": "t", "then": "b"}}
    (laid,) = laid_out(picture(nodes=nodes))
    paths = [curve.path for curve in laid.curves.values()]
    assert len(set(paths)) == len(paths) == 4


@pytest.mark.parametrize("name", PICTURES)
def test_no_box_lies_on_another_and_no_label_on_a_box(name: str) -> None:
    for laid in laid_out(PICTURES[name]()):
        boxes = [(id, *laid.corners[id], box.width, box.height) for id, box in laid.sheet.boxes.items()]
        labels = []
        for id, label in laid.sheet.labels.items():
            middle = laid.curves[id].label
            assert middle is not None
            labels.append((id, middle[0] - label.width / 2, middle[1] - 6, label.width, 12.0))
        for index, one in enumerate(boxes):
            for other in [*boxes[index + 1 :], *labels]:
                assert not _overlap(one[1:], other[1:]), (one[0], other[0])


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    (x, y, width, height), (to_x, to_y, to_width, to_height) = one, other
    return (
        x + width > to_x + 1
        and to_x + to_width > x + 1
        and y + height > to_y + 1
        and to_y + to_height > y + 1
    )


def test_hostile_text_stays_text() -> None:
    svg = as_svg(hostile())
    assert not list(ElementTree.fromstring(svg).iter(f"{SVG}script"))
    page = as_html(hostile())
    assert page.count("<script") == page.count("</script>") == 2
    assert "<b>" not in page
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    dot = re.sub(r'"(?:[^"\\]|\\.)*"', "", as_dot(hostile()))
    assert "alert" not in dot
    mermaid = re.sub(r'"[^"]*"', "", as_mermaid(hostile()))
    assert "alert" not in mermaid


def test_a_drawing_says_what_it_is_and_carries_no_script() -> None:
    root = ElementTree.fromstring(as_svg(example("examples/support/graph.yaml")))
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title") == "The graph support"
    assert "nodes" in (root.findtext(f"{SVG}desc") or "")
    assert not list(root.iter(f"{SVG}script"))


def test_a_thousand_nodes_take_seconds() -> None:
    shown = loops(1000)
    begun = process_time()
    ElementTree.fromstring(as_svg(shown))
    assert process_time() - begun < 5


def test_a_tree_of_a_long_chain_grows_in_step_with_it() -> None:
    last = 2_000
    nodes = {f"n{at}": {"ask": "?", "then": f"n{at + 1}" if at < last else "end"} for at in range(last + 1)}
    lines = as_tree(picture(start="n0", nodes=nodes)).splitlines()
    assert [line.split()[1] for line in lines if "─ n" in line] == [*nodes]
    assert max(map(len, lines)) < 200
