"""The shortest and the longest way through a graph, against every way of small graphs."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.check.reach import Edges, reachable
from agentctl.check.runs.knots import is_loop, knots
from agentctl.check.runs.ways import longest_way, shortest_way

NAMES = ["a", "b", "c", "d", "e", "f"]


@st.composite
def some_edges(draw: st.DrawFn) -> Edges:
    targets = st.lists(st.sampled_from([*NAMES, "end"]), unique=True, max_size=4)
    return {name: tuple(draw(targets)) for name in NAMES}


WEIGHTS = st.fixed_dictionaries({name: st.integers(0, 5) for name in NAMES})


def all_ways(edges: Edges, routers: str = "") -> list[tuple[str, ...]]:
    """Every way from `a` to `end` that comes to no name twice, but for routers."""
    found, todo = [], [("a",)]
    while todo:
        way = todo.pop()
        for to in edges[way[-1]]:
            if to == "end":
                found.append(way)
            elif to in routers or to not in way:
                todo.append((*way, to))
    return found


@given(some_edges(), WEIGHTS)
def test_the_shortest_and_the_longest_way_are_those_of_all_ways(
    edges: Edges, weights: dict[str, int]
) -> None:
    ways = all_ways(edges)
    sums = [sum(weights[name] for name in way) for way in ways]
    shortest = shortest_way(lambda name: [(to, weights[name]) for to in edges.get(name, ())], "a")
    longest = longest_way(edges, "a", weights)
    if not ways:
        assert shortest is None
        assert longest is None
        return
    assert shortest is not None
    assert longest is not None
    assert (shortest.weight, longest.weight) == (min(sums), max(sums))
    assert {shortest.names, longest.names} <= set(ways)
    assert longest.is_exact


@settings(max_examples=400)
@given(some_edges(), WEIGHTS)
def test_routers_may_be_passed_again(edges: Edges, weights: dict[str, int]) -> None:
    edges |= {name: tuple(to for to in edges[name] if to not in "ef") for name in "ef"}
    del weights["e"], weights["f"]
    sums = [sum(weights.get(name, 0) for name in way) for way in all_ways(edges, "ef")]
    longest = longest_way(edges, "a", weights)
    assert (None if longest is None else longest.weight) == max(sums, default=None)


@given(some_edges(), WEIGHTS, st.integers(0, 12))
def test_with_little_fuel_the_way_is_still_a_real_one(
    edges: Edges, weights: dict[str, int], fuel: int
) -> None:
    ways, longest = all_ways(edges), longest_way(edges, "a", weights, fuel)
    assert (longest is None) == (not ways)
    if longest is not None:
        assert longest.names in ways
        assert longest.weight == sum(weights[name] for name in longest.names)
        best = max(sum(weights[name] for name in way) for way in ways)
        assert longest.weight == best or not longest.is_exact


@given(some_edges())
def test_knots_are_what_reaches_each_other_and_stand_in_order(edges: Edges) -> None:
    found = knots(edges, NAMES)
    place = {name: number for number, knot in enumerate(found) for name in knot}
    assert sorted(place) == NAMES
    for one in NAMES:
        for other in reachable(edges, [one]) - {"end"}:
            assert place[one] <= place[other]
            assert (one in reachable(edges, [other])) == (place[one] == place[other])
    for knot in found:
        assert is_loop(edges, knot) == any(
            knot[0] in reachable(edges, [to]) for to in edges[knot[0]] if to != "end"
        )


def test_a_router_that_comes_first_in_a_loop_may_be_passed_again() -> None:
    longest = longest_way({"a": ("r",), "r": ("b", "end"), "b": ("r",)}, "a", {"a": 1, "b": 1})
    assert longest is not None
    assert (longest.weight, longest.names) == (2, ("a", "r", "b", "r"))


def test_a_start_that_is_the_end_is_a_way_of_no_weight() -> None:
    assert shortest_way(lambda _: (), "end") == longest_way({}, "end", {})


def test_ten_thousand_nodes_are_walked_in_a_moment() -> None:
    chain = {f"n{i}": (f"n{i + 1}", "end") for i in range(10_000)} | {"n10000": ("end",)}
    ring = {name: (*chain[name], "n0") for name in chain}
    dense = {f"n{i}": (*(f"n{j}" for j in range(100)), "end") for i in range(100)}
    begun = time.process_time()
    for edges in (chain, ring, dense):
        longest = longest_way(edges, "n0", dict.fromkeys(edges, 1))
        assert longest is not None
        assert longest.weight == len(edges)
    assert time.process_time() - begun < 2
