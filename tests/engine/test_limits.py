"""Every run ends: limits end a turn in a sentence, through `on_limit`, and a replay meets them again."""

from __future__ import annotations

import asyncio

import pytest

from agentctl.errors import CannotRun
from agentctl.messages import ChatReply
from tests.engine.desk import Bench, bench, calls, said

LOOP = """
    agentctl: 1
    name: loop
    output: [answer]
    state: {n: {type: integer, default: 0}, text: {type: string, default: ""}, answer: {type: string, default: none}}
    agents: {one: {tools: [look], max_turns: 20}}
    tools: {look: {python: "tools:look", effect: read}}
    start: work
    nodes:
      work: {WORK, then: again}
      last: {LAST, then: end}
    routers:
      again: [{when: state.n < 1000, to: work}, {else: end}]
    limits: {LIMITS}
"""
COUNT = 'set: {n: "${{ state.n + 1 }}"}'
SAY = "agent: one, prompt: go, save: text"
SORRY = "set: {answer: sorry}"


def loop(work: str, limits: str, *replies: object, last: str = SORRY, **desk: object) -> Bench:
    text = LOOP.replace("WORK", work).replace("LIMITS", limits).replace("LAST", last)
    return bench(text, *replies, **desk)  # type: ignore[arg-type]


def limit_of(at: Bench) -> str | None:
    outcome = at.run()
    assert (outcome.status, outcome.exit_code) == ("limit", 5)
    assert at.replay().divergences == ()
    assert outcome.error is not None
    return str(outcome.error["limit"])


def test_recursion_ends_an_endless_loop_and_on_limit_runs_outside_of_it() -> None:
    at = loop(COUNT, "recursion: 4, on_limit: last")
    assert limit_of(at) == "recursion"
    assert at.route() == ["work"] * 4 + ["last"]


def test_without_on_limit_the_output_so_far_stands() -> None:
    at = loop(COUNT, "recursion: 4")
    outcome = at.run()
    assert outcome.output == {"answer": "none"}


def test_max_visits_is_a_limit_of_the_turn() -> None:
    assert limit_of(loop(COUNT + ", max_visits: 3", "recursion: 50, on_limit: last")) == "max_visits"


def test_tokens_stop_a_run_before_the_next_call_and_hold_a_reserve_back() -> None:
    replies = [said("x" * 10, input=90, output=10)] * 30
    at = loop(
        SAY,
        "tokens: 400, on_limit: {node: last, reserve: {tokens: 100}}",
        *replies,
        last="agent: one, prompt: end, save: answer",
    )
    assert limit_of(at) == "tokens"
    assert len(at.desk.asked) == 4
    assert at.route() == ["work", "work", "work", "work", "last"]


def test_cost_stops_a_run() -> None:
    at = loop(SAY, "cost: $0.05, on_limit: last", *[said("x")] * 30, price=0.02)
    assert limit_of(at) == "cost"
    assert len(at.desk.asked) == 3


def test_tool_calls_are_counted_one_by_one() -> None:
    two = calls(("look", {}), ("look", {}))
    at = loop(SAY, "tool_calls: 3, on_limit: last", two, two, said("x"), tools={"look": lambda: 1})
    assert limit_of(at) == "tool_calls"
    assert len(at.desk.worked) == 3


def test_a_state_that_grows_too_large_is_a_limit() -> None:
    assert (
        limit_of(
            loop("set: {text: \"${{ state.text ~ '0123456789' }}\"}", "state_size: 100B, on_limit: last")
        )
        == "state_size"
    )


async def _slowly() -> ChatReply:
    await asyncio.sleep(30)
    return said("late")


def test_a_step_over_its_time_is_a_timeout_of_its_node_and_replays_without_waiting() -> None:
    at = loop(SAY + ", on_error: {timeout: last}", "step_time: 50ms", _slowly)
    assert at.run().output == {"answer": "sorry"}
    assert at.replay().identical


def test_a_timeout_while_two_tools_are_under_way_replays_the_same() -> None:
    async def slow() -> int:
        await asyncio.sleep(30)
        return 1

    at = loop(
        SAY + ", on_error: {timeout: last}, timeout: 50ms",
        "recursion: 9",
        calls(("look", {}), ("look", {})),
        tools={"look": slow},
    )
    assert at.run().output == {"answer": "sorry"}
    assert at.replay().identical


def test_the_time_of_a_turn_cuts_the_call_in_flight() -> None:
    at = loop(SAY, "time: 60ms, on_limit: last", _slowly)
    assert limit_of(at) == "time"


@pytest.mark.parametrize("work", [COUNT, SAY])
def test_time_is_met_between_steps_too(work: str) -> None:
    at = loop(work, "time: 1ms, recursion: 100000, on_limit: last", *[said("x")] * 2000)
    assert limit_of(at) == "time"


CAPPED = """
    agentctl: 1
    name: capped
    output: [c]
    state: {a: {type: string, default: ""}, c: {type: string, default: ""}}
    agents: {one: {tools: [look], max_turns: 9}}
    tools: {look: {python: "tools:look", effect: read, max_calls: 2}}
    start: zero
    nodes:
      zero: {set: {a: x}, then: first}
      first: {agent: one, prompt: a, save: c, then: end}
    limits: {tool_calls: MOST}
"""


async def _looked() -> int:
    await asyncio.sleep(0.01)
    return 7


def test_calls_made_side_by_side_are_counted_before_they_are_done() -> None:
    at = bench(CAPPED.replace("MOST", "9"), calls(*[("look", {})] * 5), said("C"), tools={"look": _looked})
    outcome = at.run()
    assert (outcome.output, outcome.tool_calls, len(at.desk.worked)) == ({"c": "C"}, 2, 2)
    assert at.replay().identical
    at = bench(CAPPED.replace("MOST", "1"), calls(*[("look", {})] * 5), tools={"look": _looked})
    assert limit_of(at) == "tool_calls"
    assert len(at.desk.worked) == 1


def test_a_resumed_step_counts_its_recorded_calls_once() -> None:
    once = calls(("look", {}))
    at = bench(
        CAPPED.replace("MOST", "9"), once, CannotRun("no key"), once, said("C"), tools={"look": _looked}
    )
    assert at.run().exit_code == 3
    assert at.resume().tool_calls == 2
    assert len(at.desk.worked) == 2
    assert at.replay().identical
