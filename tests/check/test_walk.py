"""What a test's inputs and stubs settle: routes that are told as impossible are those that cannot be."""

from __future__ import annotations

import pytest

from agentctl.check.check import check
from agentctl.spec.document import document_from_texts

GRAPH = """agentctl: 1
name: desk
input: [plan]
output: [answer]
state:
  plan: {enum: [free, pro], default: free}
  sure: {type: number, default: 0}
  notes: {type: array, reduce: append}
  answer: {type: string, default: ""}
agents:
  judge: {instructions: You judge., output: {sure: number}}
start: by_plan
nodes:
  judge: {agent: judge, prompt: "${{ state.plan }}", save: [sure], on_error: sorry, then: is_sure}
  note: {set: {notes: "${{ state.plan }}"}, then: has_notes}
  sorry: {set: {answer: Sorry.}, then: end}
  fine: {set: {answer: "Fine, ${{ state.notes }}."}, then: end}
routers:
  by_plan: {by: state.plan, to: {free: note, pro: judge}}
  is_sure: [{when: state.sure > 0.5, to: fine}, {else: note}]
  has_notes: [{when: (state.notes | length) > 1, to: fine}, {else: judge}]
tests:
  one:
"""


def codes(test: str) -> list[str]:
    lines = "".join(f"    {line}\n" for line in test.split("; "))
    findings = check(document_from_texts("graph.yaml", {"graph.yaml": GRAPH + lines}))
    return [finding.code for finding in findings if finding.code.startswith(("N", "S", "Y"))]


@pytest.mark.parametrize(
    "test",
    [
        "input: {plan: pro}; stub: {judge: {sure: 0.9}}; expect: {route: [judge, fine]}",
        "input: {plan: pro}; stub: {judge: {sure: 0.1}}; expect: {route: [judge, note, fine]}",
        "stub: {judge: {sure: 1}}; expect: {route: [note, judge, fine]}",
        "stub: {judge: {sure: 1}}; expect: {route: [note, fine]}",
        "input: {plan: pro}; stub: {judge: {$error: server}}; expect: {route: [judge, sorry]}",
        "input: {plan: pro}; stub: {judge: {sure: 1}}; faults: {judge: {$error: server}}; expect: {route: [judge, sorry]}",
        "input: {plan: pro}; stub: {judge: {$delay: 3s}}; expect: {route: [judge, note, fine]}",
    ],
)
def test_a_way_that_the_graph_may_take_is_silent(test: str) -> None:
    assert codes(test) == []


@pytest.mark.parametrize(
    "test",
    [
        "input: {plan: pro}; stub: {judge: {sure: 0.1}}; expect: {route: [judge, fine]}",
        "input: {plan: pro}; stub: {judge: {sure: 0.9}}; expect: {route: [note, fine]}",
        "stub: {judge: {sure: 0.9}}; expect: {route: [judge, fine]}",
        "input: {plan: pro}; stub: {judge: {$error: server}}; expect: {route: [judge, fine]}",
        "input: {plan: pro}; stub: {judge: {$error: server}}; expect: {route: [judge]}",
        "input: {plan: pro}; stub: {judge: {sure: 0.9}}; expect: {route: [judge]}",
    ],
)
def test_a_way_that_the_inputs_and_stubs_rule_out_is_told(test: str) -> None:
    assert codes(test) == ["N905"]


def test_a_later_turn_may_find_anything_in_the_state() -> None:
    first = "input: {plan: pro}; stub: {judge: {sure: 0.9}}"
    later = "  two:\n    after: one\n    stub: {judge: {sure: 0.9}}\n    expect: {route: [note, fine]}\n"
    text = GRAPH + "".join(f"    {line}\n" for line in first.split("; ")) + later
    assert [f for f in check(document_from_texts("g.yaml", {"g.yaml": text})) if f.code[0] == "N"] == []


def test_a_variant_that_changes_the_ways_leaves_routes_alone() -> None:
    experiment = "experiments: {way: {assign_by: run.thread, variants: {a: {weight: 1}, b: {weight: 1, override: {nodes.note.then: fine}}}}}\n"
    test = "    stub: {judge: {sure: 0.9}}\n    expect: {route: [fine]}\n"
    text = experiment + GRAPH + test
    assert [f for f in check(document_from_texts("g.yaml", {"g.yaml": text})) if f.code == "N905"] == []


def test_a_knot_of_routers_is_followed_once() -> None:
    """Two arms of each of forty routers lead to the next: a million million ways, and forty routers."""
    routers = "".join(
        f"  r{at}: [{{when: state.sure > {at}, to: r{at + 1}}}, {{else: r{at + 1}}}]\n" for at in range(40)
    )
    text = GRAPH.replace(
        "routers:\n", f"routers:\n{routers}  r40: [{{when: state.sure > 40, to: fine}}, {{else: note}}]\n"
    )
    text = text.replace("then: is_sure", "then: r0")
    test = "    input: {plan: pro}\n    stub: {judge: {$delay: 1s}}\n    expect: {route: [judge, fine]}\n"
    findings = check(document_from_texts("g.yaml", {"g.yaml": text + test}), information=True)
    assert [finding for finding in findings if finding.code == "N905"] == []
