"""The bounds of a run, and what bounds its loops, as a file says them."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agentctl
from agentctl.check.check import check
from agentctl.check.facts import Facts
from agentctl.check.flow import read_flow
from agentctl.check.rules.run import sentence
from agentctl.check.runs.bounds import RunBounds, run_bounds
from agentctl.check.runs.limits import MANY, TurnLimits
from agentctl.check.runs.loops import Loops
from agentctl.check.runs.spending import CORRECTIONS
from agentctl.check.sites import Sites
from agentctl.spec.document import document_from_texts

CASES = Path(__file__).parent.parent / "cases" / "check"
HEAD = "agentctl: 1\nname: x\noutput: [x]\nstate: {x: {type: string, default: ''}}\nstart: a\n"
AGENTS = """
agents:
  plain: {instructions: You write.}
  armed: {instructions: You look., tools: [look], max_turns: 5}
tools:
  look: {command: [ls], description: Look., effect: read, timeout: 5s}
"""


def facts_of(text: str) -> Facts:
    file = read_flow(document_from_texts("graph.yaml", {"graph.yaml": text}))
    return Facts(file, Sites(file))


def bounds_of(text: str) -> RunBounds:
    facts = facts_of(text)
    found = run_bounds(facts, facts.steps)
    assert found is not None
    return found


def test_the_defaults_are_those_of_the_engine() -> None:
    from agentctl.graph.plan import LimitPlan

    said, used = TurnLimits(), LimitPlan()
    names = [name for name in msgspec.structs.asdict(said) if hasattr(used, name)]
    assert len(names) > 10
    assert {name: getattr(said, name) for name in names} == {name: getattr(used, name) for name in names}


def test_an_answer_is_corrected_as_often_as_the_agent_node_does() -> None:
    from agentctl.nodes import agent

    assert agent.CORRECTIONS == CORRECTIONS


def test_an_agent_without_tools_answers_at_once_or_is_corrected() -> None:
    text = HEAD + AGENTS + "nodes: {a: {agent: plain, prompt: Hi, save: x, then: end}}"
    assert bounds_of(text) == RunBounds(1, 3 * 3, 0, None, 0.0)


def test_an_agent_with_tools_may_use_all_its_turns_and_all_tool_calls() -> None:
    text = HEAD + AGENTS + "nodes: {a: {agent: armed, prompt: Hi, save: x, then: end}}"
    assert bounds_of(text) == RunBounds(1, 7 * 3, 100, None, 0.0)


def test_a_node_that_is_retried_asks_each_time() -> None:
    text = HEAD + AGENTS + "nodes: {a: {agent: plain, prompt: Hi, save: x, retry: {attempts: 4}, then: end}}"
    assert bounds_of(text).model_calls == 4 * 9


def test_every_member_of_a_group_counts_but_one_alone_is_chosen() -> None:
    models = "models:\n  all: {race: [one, local]}\n  one: {model: local, retry: {attempts: 1}}\n"
    models += "  some: {choose: \"'all'\", among: [all, one]}\n"
    node = "nodes: {a: {agent: {instructions: Hi., model: some}, prompt: Hi, save: x, then: end}}"
    assert bounds_of(HEAD + models + node).model_calls == 3 * (1 + 3)


def test_recursion_bounds_what_no_visits_bound() -> None:
    loop = "nodes: {a: {agent: plain, prompt: Hi, save: x, then: r}}\nrouters: {r: [{when: state.x == '', to: a}, {else: end}]}\n"
    bounds = bounds_of(HEAD + AGENTS + loop + "limits: {recursion: 7, tokens: 900}")
    assert bounds == RunBounds(7, 7 * 9, 0, 900, 0.0)


def test_the_node_at_a_limit_comes_on_top() -> None:
    nodes = "nodes: {a: {set: {x: b}, then: end}, late: {agent: plain, prompt: Hi, save: x, then: end}}\n"
    bounds = bounds_of(HEAD + AGENTS + nodes + "limits: {on_limit: late}")
    assert (bounds.steps, bounds.model_calls) == (2, 9)


def test_items_of_a_map_count_where_their_number_is_known() -> None:
    text = HEAD.replace("{x:", "{few: {type: array, first: 4, default: []}, x:") + AGENTS
    node = "nodes: {a: {map: {over: state.%s, do: {agent: plain, prompt: Hi}}, then: end}}"
    assert bounds_of(text + node % "few").model_calls == 4 * 9
    assert bounds_of(text + node % "x").model_calls is None


def test_dollars_follow_from_tokens_and_the_dearest_price() -> None:
    models = "models: {m: {model: openai/gpt-5, price: {input: 1, output: 10}}}\n"
    node = "nodes: {a: {agent: {instructions: Hi., model: m}, prompt: Hi, save: x, then: end}}\n"
    assert bounds_of(HEAD + models + node + "limits: {tokens: 2000}").cost == pytest.approx(0.02)
    assert bounds_of(HEAD + models + node + "limits: {tokens: 2000, cost: $0.01}").cost == 0.01
    assert bounds_of(HEAD + models + node).cost is None
    assert bounds_of(HEAD + models.replace(", price: {input: 1, output: 10}", "") + node).cost is None


def test_a_graph_as_a_tool_begins_nodes_at_every_call() -> None:
    tool = AGENTS.replace("{command: [ls], ", "{graph: g, ")
    graph = "graphs: {g: {output: [y], state: {y: {type: string, default: ''}}, start: b, nodes: {b: {set: {y: c}, then: end}}}}\n"
    text = HEAD + tool + graph + "nodes: {a: {agent: armed, prompt: Hi, save: x, then: end}}\n"
    assert bounds_of(text + "limits: {recursion: 500}").steps == 1 + 100
    assert bounds_of(text + "limits: {recursion: 50}").steps == 50


def test_graphs_that_run_themselves_have_no_bounds() -> None:
    facts = facts_of(
        HEAD + "nodes: {a: {graph: g, then: end}}\ngraphs: {g: {start: b, nodes: {b: {graph: g, then: end}}}}"
    )
    assert run_bounds(facts, facts.steps) is None


def test_a_sentence_names_what_has_no_bound() -> None:
    assert sentence(RunBounds(16, 48, 20, 20_000, 0.05)) == (
        "at most 16 steps, 48 model calls, 20 tool calls, 20,000 tokens and $0.05 in one run"
    )
    assert sentence(RunBounds(1, None, 0, None, None)) == (
        "at most 1 step and no tool calls in one run; no bound for model calls, tokens or dollars"
    )


@pytest.mark.parametrize(
    ("name", "bounds"),
    [
        ("support", ["`max_visits: 2` of `clarify`"]),
        ("research", ["`max_visits: 8` of `lead`"]),
        ("notebook", []),
    ],
)
def test_what_bounds_the_loops_of_the_large_examples(name: str, bounds: list[str]) -> None:
    texts = {file.name: file.read_text() for file in (CASES / "ok").glob("*.yaml")}
    file = read_flow(document_from_texts(f"{name}.yaml", texts))
    facts = Facts(file, Sites(file))
    assert [what for loop in Loops(facts, facts.steps).all() for what in loop.bounds] == bounds


def test_a_longest_way_that_was_not_searched_to_the_end_is_said_to_be_longer() -> None:
    nodes = "".join(f"  n{i}: {{ask: Go on?, then: hub}}\n" for i in range(200))
    arms = "".join(f"    - {{when: state.x == '{i}', to: n{i}}}\n" for i in range(200))
    text = f"{HEAD.replace('start: a', 'start: n0')}nodes:\n{nodes}routers:\n  hub:\n{arms}    - else: end\n"
    findings = check(document_from_texts("graph.yaml", {"graph.yaml": text}))
    (found,) = [finding for finding in findings if finding.code == "L702"]
    assert found.message.endswith(" or more")


def test_huge_numbers_neither_fail_nor_are_written_out() -> None:
    huge = "9" * 4000
    text = HEAD + AGENTS.replace("max_turns: 5", f"max_turns: {huge}")
    text += f"nodes: {{a: {{agent: armed, prompt: Hi, save: x, retry: {{attempts: {huge}}}, max_visits: {huge}, then: r}}}}\n"
    text += "routers: {r: [{when: state.x == '', to: a}, {else: end}]}\n"
    text += f"limits: {{recursion: {huge}, tokens: {huge}, cost: {huge}, on_limit: a}}"
    bounds = bounds_of(text)
    assert bounds.model_calls == MANY
    assert bounds.steps <= MANY + 1
    assert f"over {MANY:,} model calls" in sentence(bounds)
    check(document_from_texts("graph.yaml", {"graph.yaml": text}), information=True)


@st.composite
def some_graph(draw: st.DrawFn) -> str:
    """Nodes that count their visits, each with a router that sends it on by a drawn list, then to the next node."""
    names = ["a", "b", "c", "d", "end"]
    nodes, routers, fields = ["  late: {set: {a: 9}, then: end}"], [], []
    for name, following in pairwise(names):
        plan = draw(st.lists(st.sampled_from(names), max_size=4))
        most = draw(st.sampled_from(["", "max_visits: 1, ", "max_visits: 2, ", "max_visits: 3, "]))
        fields.append(f"{name}: {{type: integer, default: 0}}")
        nodes.append(f"  {name}: {{set: {{{name}: '${{{{ state.{name} + 1 }}}}'}}, {most}then: r_{name}}}")
        arms = [f"{{when: state.{name} == {visit}, to: {to}}}" for visit, to in enumerate(plan, 1)]
        routers.append(f"  r_{name}: [{', '.join([*arms, f'{{else: {following}}}'])}]")
    limits = f"limits: {{recursion: {draw(st.integers(4, 20))}, on_limit: late}}"
    state = f"state: {{{', '.join(fields)}}}"
    head = ["agentctl: 1", "name: x", "output: [a, b, c, d]", "start: a", limits, state, "nodes:"]
    return "\n".join([*head, *nodes, "routers:", *routers, ""])


@settings(max_examples=40, deadline=None)
@given(some_graph())
def test_no_run_of_any_graph_begins_more_steps_than_its_bound(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    facts = facts_of(text)
    bounds = run_bounds(facts, facts.steps)
    assert bounds is not None
    file = tmp_path_factory.mktemp("graph") / "graph.yaml"
    file.write_text(text)
    outcome = asyncio.run(agentctl.load(file).arun({}))
    assert outcome.steps <= bounds.steps
    assert outcome.status in ("done", "limit")
