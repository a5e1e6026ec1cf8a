"""The worst case by `max_visits`, against every walk of small graphs."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st

from agentctl.check.reach import Edges, reachable
from agentctl.check.runs.worst_case import WorstCase

NAMES = ["a", "b", "c", "d"]


def heaviest_walk(edges: Edges, weights: dict[str, int], caps: dict[str, int]) -> int | None:
    """By trying every walk; None when some loop has no cap."""
    best = 0
    todo: list[tuple[str, int, tuple[str, ...]]] = [("a", 0, ())]
    while todo:
        name, weight, path = todo.pop()
        if name == "end" or (name in caps and path.count(name) >= caps[name]):
            continue
        since = next((place for place in reversed(range(len(path))) if path[place] == name), None)
        if since is not None and caps.keys().isdisjoint(path[since:]):
            return None
        best = max(best, weight + weights[name])
        todo += [(to, weight + weights[name], (*path, name)) for to in edges[name]]
    return best


@st.composite
def some_edges(draw: st.DrawFn) -> Edges:
    targets = st.lists(st.sampled_from([*NAMES, "end"]), unique=True, min_size=1, max_size=3)
    return {name: tuple(draw(targets)) for name in NAMES}


WEIGHTS = st.fixed_dictionaries({name: st.integers(0, 5) for name in NAMES})
CAPS = st.dictionaries(st.sampled_from(NAMES), st.integers(1, 2), max_size=3)


@given(some_edges(), WEIGHTS, CAPS)
def test_the_bound_is_never_under_the_heaviest_walk_nor_the_walk_over_it(
    edges: Edges, weights: dict[str, int], caps: dict[str, int]
) -> None:
    truth = heaviest_walk(edges, weights, caps)
    worst = WorstCase(edges, "a", weights, caps)
    if truth is None:
        assert worst.most is None
    else:
        assert worst.most is not None
        assert worst.walk() <= truth <= worst.most


@given(some_edges(), WEIGHTS, st.sampled_from(NAMES), st.integers(1, 3))
def test_one_capped_name_that_alone_leads_out_gives_the_exact_bound(
    edges: Edges, weights: dict[str, int], pivot: str, cap: int
) -> None:
    edges = {name: tuple(to for to in edges[name] if name == pivot or to != "end") for name in NAMES}
    if any(not reachable(edges, [name]) >= {pivot} for name in reachable(edges, ["a"]) - {"end"}):
        return  # not all in one knot with the pivot
    truth = heaviest_walk(edges, weights, {pivot: cap})
    worst = WorstCase(edges, "a", weights, {pivot: cap})
    if truth is not None and "a" in reachable(edges, [pivot]):
        assert worst.walk() == truth == worst.most


def test_a_visit_without_a_bound_leaves_the_whole_without_one() -> None:
    assert WorstCase({"a": ("b", "end"), "b": ("end",)}, "a", {"a": 1, "b": None}, {}).most is None


def test_what_is_never_reached_does_not_count() -> None:
    assert WorstCase({"a": ("end",), "b": ("b",)}, "a", {"a": 1, "b": None}, {}).most == 1


def test_the_way_out_may_lead_from_the_name_that_counts_the_rounds() -> None:
    edges = {"a": ("b", "c"), "b": ("a",), "c": ("d",), "d": ("end",)}
    assert WorstCase(edges, "a", dict.fromkeys("abcd", 1), {"a": 2}).walk() == 5


def test_ten_thousand_nodes_in_a_row_and_a_million_rounds_take_no_time() -> None:
    edges = {f"n{i}": (f"n{i + 1}",) for i in range(10_000)} | {"n10000": ("n0", "end")}
    weights = dict.fromkeys(edges, 1)
    begun = time.process_time()
    worst = WorstCase(edges, "n0", weights, {"n0": 1_000_000})
    assert worst.most == 10_001 * 1_000_000
    assert worst.walk() == 20_000
    assert time.process_time() - begun < 1
