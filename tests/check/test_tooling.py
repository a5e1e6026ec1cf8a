"""Tiers with what they extend, and sets of names."""

from __future__ import annotations

import time

import pytest

from agentctl.check.flow import read_flow
from agentctl.check.tools.name_sets import NameSet
from agentctl.check.tools.tooling import Tooling
from agentctl.spec.document import document_from_texts


def tooling(levels: str, tools: int = 4) -> Tooling:
    listed = "".join(f"  t{n}: {{command: [ls]}}\n" for n in range(tools))
    text = f"agentctl: 1\nname: a\ntools:\n{listed}tiers:\n  by: state.x\n  levels:\n{levels}start: b\nnodes: {{b: {{ask: Who?, then: end}}}}\n"
    return Tooling(read_flow(document_from_texts("graph.yaml", {"graph.yaml": text})))


def test_a_tier_has_what_the_tiers_below_it_have() -> None:
    tiers = tooling(
        "    gold: {extends: silver, tools: [t2], approve: [t2]}\n"
        "    silver: {extends: free, tools: [t1], deny: [t0], max_calls: 5}\n"
        "    free: {tools: [t0, t3], max_calls: 9}\n"
    ).tiers
    assert [*tiers] == ["gold", "silver", "free"]
    assert set(tiers["gold"].tools) == {"t0", "t1", "t2", "t3"}
    assert set(tiers["gold"].offered) == {"t1", "t2", "t3"}
    assert set(tiers["silver"].offered) == {"t1", "t3"}
    assert set(tiers["gold"].approve) == {"t2"}
    assert set(tiers["silver"].approve) == set()
    assert [tier.max_calls for tier in tiers.values()] == [5, 5, 9]


def test_tiers_in_a_circle_and_above_nothing_are_tiers_all_the_same() -> None:
    tiers = tooling(
        "    a: {extends: b, tools: [t0]}\n    b: {extends: a, tools: [t1]}\n    c: {extends: gone, tools: [t2, nix]}\n"
    ).tiers
    assert set(tiers["a"].tools) == {"t0", "t1"}
    assert set(tiers["c"].tools) == {"t2"}


def test_a_graph_of_another_file_counts_as_a_write_and_so_does_what_runs_it() -> None:
    tools = "  far: {graph: far.yaml}\n  near: {graph: g}\n  own: {agent: a}\n  said: {graph: far.yaml, effect: read}\n"
    graphs = "graphs: {g: {start: n, nodes: {n: {set: {x: 1}, then: end}}, state: {x: integer}}}\n"
    agents = "agents: {a: {instructions: You look., tools: [far]}}\n"
    text = f"agentctl: 1\nname: a\ntools:\n{tools}{agents}{graphs}start: b\nnodes: {{b: {{ask: Who?, then: end}}}}\n"
    found = Tooling(read_flow(document_from_texts("graph.yaml", {"graph.yaml": text})))
    effects = {name: found.effect(name) for name in found.tools}
    assert effects == {"far": "write", "near": "pure", "own": "write", "said": "read"}


def test_a_chain_of_a_thousand_tiers_is_read_in_no_time() -> None:
    levels = "    l0: {tools: [t0]}\n" + "".join(
        f"    l{n}: {{extends: l{n - 1}, tools: [t{n}]}}\n" for n in range(1, 1000)
    )
    found = tooling(levels, tools=1000)
    began = time.process_time()
    tiers = found.tiers
    assert len(tiers["l999"].offered) == 1000
    assert "t999" not in tiers["l998"].offered
    assert time.process_time() - began < 2


def test_a_set_of_names_is_a_set() -> None:
    index = {"a": 0, "b": 1, "c": 2}
    both = NameSet.of(["a", "b", "nix"], index)
    assert both == {"a", "b"}
    assert both | NameSet.of(["c"], index) == {"a", "b", "c"}
    assert both - NameSet.of(["a"], index) == {"b"}
    assert (len(both), [*both], "c" in both, "nix" in both, 1 in both) == (2, ["a", "b"], False, False, False)
    with pytest.raises(TypeError, match="no set of an index"):
        both - {"a"}
