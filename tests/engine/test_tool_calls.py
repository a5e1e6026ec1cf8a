"""What surrounds a tool call: arguments told, budgets exact, retries where they may be, and calls side by side."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from agentctl.errors import CannotRun, ToolError
from agentctl.json import encode
from agentctl.store.memory import MemoryMemo
from tests.engine.desk import Bench, bench, calls, said

GRAPH = """
    agentctl: 1
    name: calling
    output: [c]
    state: {c: {type: string, default: ""}}
    agents: {one: {tools: [look, pay], max_turns: 9}}
    tools:
      look: {python: "tools:look", effect: read, parameters: {n: integer, who: "string?"} LOOK}
      pay: {python: "tools:pay", effect: write, parameters: {n: integer} PAY}
    start: first
    nodes:
      first: {agent: one, prompt: a, save: c, then: second}
      second: {agent: one, prompt: b, save: c, then: end}
    limits: {recursion: 9 LIMITS}
"""


def desk(*replies: Any, look: str = "", pay: str = "", limits: str = "", **more: Any) -> Bench:
    text = GRAPH.replace(" LOOK", look).replace(" PAY", pay).replace(" LIMITS", limits)
    tools = {"look": lambda n, who="": n, "pay": lambda n: n, **more.pop("tools", {})}
    return bench(text, *replies, tools=tools, **more)


def looks(*numbers: int) -> Any:
    return calls(*(("look", {"n": n}) for n in numbers))


def heard(at: Bench) -> list[str]:
    """What the model was told of its last calls."""
    return [message.content for message in at.desk.asked[1].messages if message.role == "tool"]


def events(at: Bench, type: str) -> list[Any]:
    return [event.data for event in at.seen.events if event.type == type]


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that retries would have waited."""
    waited: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds:
            waited.append(seconds)
        await sleep(0)

    monkeypatch.setattr("agentctl.tools.call.asyncio.sleep", noted)
    return waited


# --- arguments and results ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "`n` is missing: it must be a whole number"),
        ({"n": "7"}, '`n` must be a whole number, got "7"'),
        ({"n": 1, "nn": 2}, "`nn` is not known here; did you mean `n`?"),
        (
            {"n": None, "x": 1},
            "`x` is not known here; known are `n` and `who`; `n` must be a whole number, got null",
        ),
        ([1], "it must be"),
        ("{n: 1", "its arguments are no JSON object"),
    ],
)
def test_each_thing_wrong_with_arguments_is_a_sentence_to_the_model_and_an_event(
    arguments: Any, told: str
) -> None:
    at = desk(calls(("look", arguments)), said("x"), said("y"))
    assert at.run().status == "done"
    assert at.desk.worked == []
    [message] = heard(at)
    assert message.startswith("error: the call was not made: ")
    assert all(part in message for part in told.split("; "))
    [refused] = events(at, "tool.refused")
    assert refused["reason"] in message
    assert at.replay().identical


@pytest.mark.parametrize(
    "result",
    [
        "",
        [],
        {},
        None,
        False,
        0,
        -0.5,
        2**63 - 1,
        2**64 - 1,
        1e308,
        "schön 🚀 \u2028 \x00 \x7f",
        {"a\nb": [{"": [[]]}]},
        "x" * 200_000,
    ],
)
def test_a_result_arrives_whole_from_the_tool_and_from_the_tape(result: Any) -> None:
    at = desk(looks(1), said("x"), said("y"), tools={"look": lambda n: result})
    assert at.run().status == "done"
    assert heard(at) == [result if isinstance(result, str) else encode(result).decode()]
    assert [record["res"] for record in at.records() if record.get("of") == "tool"] == [result]
    [ended] = events(at, "tool.ended")
    assert (ended["ok"], ended["result"]) == (True, result)
    assert at.replay().identical


@pytest.mark.parametrize(("length", "fits"), [(98, True), (99, False)])
def test_max_result_is_exact(length: int, fits: bool) -> None:
    at = desk(
        looks(1), said("x"), said("y"), look=", max_result: 100B", tools={"look": lambda n: "x" * length}
    )
    at.run()
    [message] = heard(at)
    assert message == (
        "x" * length if fits else "error: tool `look` returned 101 bytes, over its max_result of 100"
    )


# --- budgets ------------------------------------------------------------------------------------------------------


async def soon(n: int) -> int:
    await asyncio.sleep(0.002 * (5 - n))
    return n


@pytest.mark.parametrize("most", [1, 3, 5])
def test_max_calls_of_a_tool_is_exact_under_calls_side_by_side(most: int) -> None:
    at = desk(looks(1, 2, 3, 4, 5), said("x"), said("y"), look=f", max_calls: {most}", tools={"look": soon})
    outcome = at.run()
    assert (outcome.status, outcome.tool_calls, len(at.desk.worked)) == ("done", most, most)
    over = [message for message in heard(at) if message.startswith("error")]
    assert len(over) == 5 - most
    assert all(f"may be called {most} times in a turn" in message for message in over)
    assert at.replay().identical


@pytest.mark.parametrize(
    ("limits", "made", "met"),
    [
        (", tool_calls: 3", 3, "tool_calls"),
        (", step: {tool_calls: 2}", 2, "step.tool_calls"),
        (", tool_calls: 1, step: {tool_calls: 2}", 1, "tool_calls"),
    ],
)
def test_limits_of_a_step_and_a_turn_are_exact_under_calls_side_by_side(
    limits: str, made: int, met: str
) -> None:
    at = desk(looks(1, 2, 3, 4, 5), limits=limits, tools={"look": soon})
    outcome = at.run()
    assert (outcome.status, outcome.exit_code, outcome.tool_calls) == ("limit", 5, made)
    assert outcome.error is not None
    assert (outcome.error["limit"], outcome.error["message"]) == (
        met,
        f"limits.{met} is met: {made} of {made}",
    )
    assert len(at.desk.worked) == made
    assert at.replay().divergences == ()


def test_a_step_has_its_own_count_and_the_turn_goes_on_counting() -> None:
    at = desk(looks(1, 2), said("x"), looks(3, 4), said("y"), limits=", step: {tool_calls: 2}, tool_calls: 4")
    assert (at.run().status, len(at.desk.worked)) == ("done", 4)
    at = desk(looks(1, 2), said("x"), looks(3, 4), said("y"), limits=", step: {tool_calls: 2}, tool_calls: 3")
    assert (at.run().status, len(at.desk.worked)) == ("limit", 3)


@pytest.mark.parametrize("limits", [", tool_calls: 3", ", step: {tool_calls: 3}"])
def test_a_resumed_step_has_no_more_calls_than_it_had(limits: str) -> None:
    at = desk(
        looks(1, 2), CannotRun("no key"), looks(3, 4, 5), said("x"), limits=limits, tools={"look": soon}
    )
    assert at.run().exit_code == 3
    assert at.resume().status == "limit"
    assert len(at.desk.worked) == 3
    assert at.replay().divergences == ()


def test_failed_calls_count_and_refused_ones_do_not() -> None:
    def broken(n: int) -> int:
        raise ToolError("tool_failed", "no", retryable=False)

    wrong = calls(("look", {"m": 1}), ("nothing", {}), ("look", {"n": 1}), ("look", {"n": 2}))
    at = desk(wrong, said("x"), said("y"), limits=", tool_calls: 2", tools={"look": broken})
    outcome = at.run()
    assert (outcome.status, outcome.tool_calls) == ("done", 2)


# --- retries ------------------------------------------------------------------------------------------------------


def failing(times: int, **error: Any) -> Callable[..., Any]:
    count = itertools.count(1)

    def work(n: int) -> int:
        if next(count) <= times:
            raise ToolError("server", "it is down", **error)
        return n

    return work


def test_what_reads_is_tried_again_with_jitter_and_each_retry_is_an_event(no_waiting: list[float]) -> None:
    at = desk(looks(7), said("x"), said("y"), look=", retry: {attempts: 4}", tools={"look": failing(3)})
    at.run()
    assert (heard(at), len(at.desk.worked)) == (["7"], 4)
    assert all(0 <= wait <= 0.5 * 2**n for n, wait in enumerate(no_waiting))
    assert len(set(no_waiting)) == 3, "full jitter: no two waits are the same"
    retries = events(at, "tool.retry")
    assert [(each["tool"], each["call"], each["error"]) for each in retries] == [
        ("look", "1.1", "it is down")
    ] * 3
    assert [each["wait"] for each in retries] == no_waiting
    assert at.run().tool_calls == 0
    assert at.replay().identical


def test_a_server_that_says_when_is_asked_then(no_waiting: list[float]) -> None:
    at = desk(looks(7), said("x"), said("y"), tools={"look": failing(1, retry_after=17.0)})
    at.run()
    assert no_waiting == [17.0]


def test_a_write_with_a_key_is_tried_again_with_the_same_key(no_waiting: list[float]) -> None:
    key = ', idempotency_key: "${{ run.thread }}/${{ args.n }}"'
    at = desk(calls(("pay", {"n": 7})), said("x"), said("y"), pay=key, tools={"pay": failing(2)})
    at.run()
    assert at.desk.worked == [("pay", {"n": 7}, "t/7")] * 3


@pytest.mark.parametrize("retry", ["", ", retry: {attempts: 3}"])
def test_a_write_without_a_key_is_never_tried_again(no_waiting: list[float], retry: str) -> None:
    at = desk(calls(("pay", {"n": 7})), said("x"), said("y"), pay=retry, tools={"pay": failing(1)})
    at.run()
    assert (len(at.desk.worked), heard(at), no_waiting) == (1, ["error: it is down"], [])


# --- side by side -------------------------------------------------------------------------------------------------


def test_the_calls_of_a_reply_run_side_by_side_and_stand_in_the_order_asked() -> None:
    waiting: list[int] = []
    all_here = asyncio.Event()

    async def meet(n: int) -> int:
        waiting.append(n)
        if len(waiting) == 5:
            all_here.set()
        await asyncio.wait_for(all_here.wait(), 30)
        await asyncio.sleep(0.005 * (5 - n))
        return n

    at = desk(looks(1, 2, 3, 4, 5), said("x"), said("y"), tools={"look": meet})
    at.run()
    assert heard(at) == ["1", "2", "3", "4", "5"]
    ended = [data["result"] for data in events(at, "tool.ended")]
    assert ended != sorted(ended), "they ended in another order"
    assert at.replay().identical


def test_one_that_fails_takes_no_other_along() -> None:
    async def odd(n: int) -> int:
        if n % 2 == 0:
            raise ToolError("tool_failed", f"{n} is even", retryable=False)
        return await soon(n)

    at = desk(looks(1, 2, 3, 4), said("x"), said("y"), tools={"look": odd})
    at.run()
    assert heard(at) == ["1", "error: 2 is even", "3", "error: 4 is even"]
    assert at.replay().identical


def test_each_result_is_on_the_tape_as_soon_as_it_is_there() -> None:
    seen: list[int] = []

    async def one_by_one(n: int) -> int:
        while len(tape()) < n - 1:
            await asyncio.sleep(0)
        seen.append(len(tape()))
        return n

    def tape() -> list[Any]:
        rows = at.store.contents.logs["t"]  # type: ignore[attr-defined]
        return [row for row in rows if '"of":"tool"' in row]

    at = desk(looks(1, 2, 3), said("x"), said("y"), tools={"look": one_by_one})
    at.run()
    assert seen == [0, 1, 2]


def test_what_is_remembered_uses_no_call() -> None:
    at = desk(
        looks(1, 1),
        said("x"),
        looks(1, 1),
        said("y"),
        look=", cache: 1h",
        limits=", tool_calls: 1",
        memo=MemoryMemo(),
    )
    outcome = at.run()
    assert (outcome.status, outcome.tool_calls, outcome.memo_hits, len(at.desk.worked)) == ("done", 1, 3, 1)
    assert [event["memo"] for event in events(at, "tool.ended")].count(True) == 3
    assert at.replay().identical
