"""Ways through a graph, against the plainest way to say the same."""

from __future__ import annotations

from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from agentctl.check.flow import read_flow
from agentctl.check.reach import Edges, circles, reachable, traps, written_before
from agentctl.spec.document import document_from_texts

NAMES = ["a", "b", "c", "d", "e"]


@st.composite
def some_edges(draw: st.DrawFn) -> Edges:
    return {
        name: tuple(draw(st.lists(st.sampled_from([*NAMES, "end"]), unique=True, max_size=3)))
        for name in NAMES
    }


@given(some_edges())
def test_a_knot_is_told_once_and_by_a_circle_that_cannot_end(edges: Edges) -> None:
    edges = {name: names or ("end",) for name, names in edges.items()}
    found = list(traps(edges, NAMES))
    for circle in found:
        assert "end" not in reachable(edges, circle)
        assert all(after in edges[before] for before, after in pairwise((*circle, circle[0])))
    stuck = {name for name in NAMES if "end" not in reachable(edges, [name])}
    assert bool(found) == bool(stuck)
    assert all(
        any(name in reachable(edges, [start]) for circle in found for name in circle) for start in stuck
    )
    assert all(
        not (reachable(edges, one) & set(other)) for one, other in product(found, found) if one is not other
    )


@given(some_edges())
def test_circles_are_circles_and_one_is_found_when_there_is_one(edges: Edges) -> None:
    found = list(circles(edges))
    for circle in found:
        assert all(after in edges[before] for before, after in pairwise((*circle, circle[0])))
    on_one = {
        name for name in NAMES if any(name in reachable(edges, [to]) for to in edges[name] if to in edges)
    }
    assert bool(found) == bool(on_one)


FIELDS = ["x", "y", "z"]
Way = tuple[int, int, str, str | None]
"""Where a node goes, where it goes on an error, what it saves, and whether an error is skipped."""


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.integers(0, 5),
            st.sampled_from(FIELDS),
            st.sampled_from([None, "skip", "node"]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_field_counts_as_written_when_no_walk_without_it_arrives(ways: list[Way]) -> None:
    lines = [
        "agentctl: 1",
        "name: x",
        "start: n0",
        "input: [x]",
        "state: {x: string, y: string, z: string}",
        "nodes:",
    ]
    target = [f"n{i}" for i in range(len(ways))]
    for i, (to, late, field, on_error) in enumerate(ways):
        then = target[to] if to < len(ways) else "end"
        other = target[late] if late < len(ways) else "end"
        error = "" if on_error is None else f", on_error: {'skip' if on_error == 'skip' else other}"
        lines.append(f"  n{i}: {{ask: Hm, save: {field}, then: {then}{error}}}")
    graph = read_flow(document_from_texts("g.yaml", {"g.yaml": "\n".join(lines)})).root
    seen = set()
    todo = [("n0", frozenset(["x"]))]
    while todo:
        name, has = todo.pop()
        if (name, has) in seen:
            continue
        seen.add((name, has))
        if name == "end":
            continue
        to, late, field, on_error = ways[int(name[1:])]
        todo.append((target[to] if to < len(ways) else "end", has | {field}))
        if on_error == "skip":
            todo.append((target[to] if to < len(ways) else "end", has))
        if on_error == "node":
            todo.append((target[late] if late < len(ways) else "end", has))
    walked: dict[str, frozenset[str]] = {}
    for name, has in seen:
        walked[name] = walked.get(name, has) & has
    assert dict(written_before(graph)) == walked
