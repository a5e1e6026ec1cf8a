"""Tiers: what a model is shown, what it may call, and whom a person must say yes to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentctl.engine.signals import Question
from agentctl.errors import UsageError
from agentctl.graph.tiers import with_approvals
from tests.engine.desk import Bench, bench, calls, said

GRAPH = """
    agentctl: 1
    name: desk
    input: [plan, question]
    output: [answer]
    state:
      plan: {enum: [free, pro, staff, odd], default: free}
      question: {type: string, default: ""}
      answer: {type: string, default: ""}
    tools:
      look: {python: "tools:look", effect: read, parameters: {}}
      dig: {python: "tools:dig", effect: read, parameters: {}}
      refund: {python: "tools:refund", effect: write, parameters: {amount: number}}
    tiers:
      by: state.plan
      levels:
        free: {tools: [look], max_calls: 2}
        pro: {extends: free, tools: [dig, refund], deny: [refund], max_calls: 4}
        staff: {extends: free, tools: [dig, refund], approve: [refund]}
    agents:
      guide: {tools: [look, dig, refund]}
    start: answer
    nodes:
      answer: {agent: guide, prompt: "${{ state.question }} (${{ run.tier }})", save: answer, then: end}
"""
TOOLS: dict[str, Any] = {
    "look": lambda: "seen",
    "dig": lambda: "dug",
    "refund": lambda amount: f"paid {amount}",
}


def desk(*replies: Any, text: str = GRAPH, **world: Any) -> Bench:
    return bench(text, *replies, tools=TOOLS, **world)


def shown(one: Bench, asked: int = 0) -> list[str]:
    return [offer.name for offer in one.desk.asked[asked].tools]


@pytest.mark.parametrize(
    ("plan", "tools"),
    [("free", ["look"]), ("pro", ["look", "dig"]), ("staff", ["look", "dig", "refund"])],
)
def test_a_model_is_shown_what_its_agent_lists_less_what_the_tier_lacks(plan: str, tools: list[str]) -> None:
    one = desk(said("hello"))
    one.run(plan=plan, question="hi")
    assert shown(one) == tools
    assert one.desk.asked[0].messages[-1].content == f"hi ({plan})"
    assert {event.envelope()["tier"] for event in one.seen.events if event.type.startswith("step.")} == {plan}


@pytest.mark.parametrize("tool", ["dig", "refund"])
def test_a_hidden_tool_that_a_model_names_is_refused_and_the_refusal_is_an_event(tool: str) -> None:
    one = desk(calls((tool, {"amount": 1} if tool == "refund" else {})), said("sorry"))
    assert one.run(plan="free").output == {"answer": "sorry"}
    assert one.desk.worked == []
    (refused,) = [event.data for event in one.seen.events if event.type == "tool.refused"]
    assert refused == {"tool": tool, "call": "1.1", "reason": "the tier does not offer it"}
    assert f"there is no tool `{tool}`; you may call: look" in one.desk.asked[1].messages[-1].content
    assert one.replay().identical


def test_what_is_denied_is_denied_though_the_tier_lists_it() -> None:
    one = desk(calls(("refund", {"amount": 1})), said("no"))
    one.run(plan="pro")
    assert one.desk.worked == []


def test_an_unknown_tier_is_an_error_and_never_the_largest() -> None:
    one = desk(said("hello"))
    outcome = one.run(plan="odd")
    assert (outcome.status, outcome.exit_code) == ("failed", 4)
    assert outcome.error["message"] == "tiers.by gives `odd`, and the tiers are free, pro, staff"
    assert one.desk.asked == []
    assert one.replay().identical


def test_a_tier_is_read_as_each_node_begins() -> None:
    text = GRAPH.replace("start: answer", "start: first").replace(
        "nodes:",
        "nodes:\n      first: {agent: guide, prompt: a, then: rise}\n      rise: {set: {plan: pro}, then: answer}",
    )
    one = desk(said("one"), said("two"), text=text)
    one.run(plan="free")
    assert (shown(one, 0), shown(one, 1)) == (["look"], ["look", "dig"])


def test_a_tool_node_is_the_authors_own_act() -> None:
    text = GRAPH.replace(
        'answer: {agent: guide, prompt: "${{ state.question }} (${{ run.tier }})", save: answer, then: end}',
        "answer: {tool: refund, args: {amount: 5}, save: answer, then: end}",
    )
    one = desk(text=text)
    assert one.run(plan="free").output == {"answer": "paid 5"}


def test_a_tier_bounds_the_calls_of_models_in_a_turn() -> None:
    one = desk(calls(("look", {}), ("look", {}), ("look", {})), calls(("look", {})), said("done"))
    one.run(plan="free")
    assert len(one.desk.worked) == 2
    told = [message.content for message in one.desk.asked[-1].messages if message.role == "tool"]
    assert told[2:] == ["error: models of tier `free` may call tools 2 times in a turn"] * 2
    assert one.replay().identical


def test_a_person_at_the_terminal_approves_or_rejects_each_call() -> None:
    asked: list[Question] = []

    async def person(question: Question) -> str:
        asked.append(question)
        return "reject" if len(asked) == 1 else "approve"

    one = desk(
        calls(("refund", {"amount": 1}), ("look", {}), ("refund", {"amount": 2})), said("done"), person=person
    )
    one.run(plan="staff")
    assert [question.id for question in asked] == ["refund@1.1.1", "refund@1.1.3"]
    assert asked[0].text == 'May `refund` be called with {"amount":1}?'
    assert sorted(name for name, *_ in one.desk.worked) == ["look", "refund"]
    told = [message.content for message in one.desk.asked[1].messages if message.role == "tool"]
    assert told == ["error: the call was not made: a person rejected it", "seen", "paid 2"]
    assert one.replay().identical


def test_with_nobody_there_the_turn_waits_and_goes_on_with_the_answer() -> None:
    one = desk(calls(("look", {}), ("refund", {"amount": 3})), said("done"))
    outcome = one.run(plan="staff")
    assert (outcome.status, outcome.exit_code) == ("waiting", 6)
    assert outcome.question is not None
    assert (outcome.question.kind, outcome.question.id) == ("approval", "refund@1.1.2")
    assert one.desk.worked == []
    outcome = one.resume(answers={"refund@1.1.2": "approve"})
    assert outcome.output == {"answer": "done"}
    assert [name for name, *_ in one.desk.worked] == ["look", "refund"]
    assert len(one.desk.asked) == 2
    assert one.replay().identical


def test_an_answer_that_is_none_is_refused_and_the_question_stays_open() -> None:
    one = desk(calls(("refund", {"amount": 3})), said("done"))
    one.run(plan="staff")
    with pytest.raises(UsageError, match="choose approve or reject"):
        one.resume(answers={"refund@1.1.1": "maybe"})
    assert one.resume(answers={"refund@1.1.1": "reject"}).output == {"answer": "done"}
    assert one.desk.worked == []


def test_a_tool_approved_beforehand_asks_nobody_and_a_denied_one_stays_denied() -> None:
    one = desk(calls(("refund", {"amount": 3})), said("done"))
    one.graph = with_approvals(one.graph, ["refund"])
    assert one.run(plan="staff").status == "done"
    assert [name for name, *_ in one.desk.worked] == ["refund"]
    other = desk(calls(("refund", {"amount": 3})), said("done"))
    other.graph = with_approvals(other.graph, ["refund"])
    other.run(plan="pro")
    assert other.desk.worked == []
    with pytest.raises(UsageError, match="no tier has `look` approved by a person"):
        with_approvals(one.graph, ["look"])


def test_a_persons_thinking_is_not_counted_in_the_time_of_a_step() -> None:
    async def slow(question: Question) -> str:
        await asyncio.sleep(0.3)
        return "approve"

    text = GRAPH.replace(
        "    start: answer", "    limits: {step_time: 200ms, time: 250ms}\n    start: answer"
    )
    one = desk(calls(("refund", {"amount": 3})), said("done"), person=slow, text=text)
    outcome = one.run(plan="staff")
    assert (outcome.status, outcome.output) == ("done", {"answer": "done"})
    assert outcome.seconds < 0.25
