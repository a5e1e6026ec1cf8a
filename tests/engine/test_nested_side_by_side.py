"""Branches and items: side by side, applied in the order written, cut short as a whole, and never run twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agentctl.engine.watch import Stop
from agentctl.errors import ModelError, ToolError
from tests.engine.desk import Bench, bench, calls, said

BRANCHES = """
    agentctl: 1
    name: branches
    output: [log, sure]
    state: {log: {type: array, reduce: append}, sure: {type: string, default: ""}, n: {type: integer, default: 0}}
    agents: {one: {}}
    tools: {look: {python: "tools:look", effect: read, parameters: {at: string}, retry: {attempts: 1}}}
    start: both
    nodes:
      both:
        parallel:
          slow: {tool: look, args: {at: slow}, save: log SLOW}
          fast: {tool: look, args: {at: fast}, save: log}
          sum: {set: {n: "${{ state.n + 1 }}", log: "${{ state.n }}"}}
        then: end NODE
      sorry: {set: {sure: sorry}, then: end}
"""

ITEMS = """
    agentctl: 1
    name: items
    input: [over]
    output: [found]
    state: {over: array, found: {type: array, default: []}}
    agents: {one: {output: {holds: boolean, why: string}}}
    tools: {look: {python: "tools:look", effect: read, parameters: {at: any}, retry: {attempts: 1}}}
    start: each
    nodes:
      each: {map: {over: state.over, do: {DO} MORE}, save: found, then: end NODE}
      sorry: {set: {found: [sorry]}, then: end}
LIMITS
""".replace("any", "string")
LOOK = 'tool: look, args: {at: "${{ item }}${{ index }}"}'


def branches(look: Callable[..., Any], slow: str = "", node: str = "") -> Bench:
    return bench(BRANCHES.replace(" SLOW", slow).replace(" NODE", node), tools={"look": look})


def items(
    do: str = LOOK, *replies: Any, more: str = "", node: str = "", limits: str = "", **desk: Any
) -> Bench:
    text = ITEMS.replace("DO", do).replace(" MORE", more).replace(" NODE", node)
    return bench(text.replace("LIMITS", f"    limits: {limits}" if limits else ""), *replies, **desk)


def error_of(at: Bench) -> Any:
    [step] = [record for record in at.records() if record["kind"] == "step" and "err" in record]
    return step["err"]


async def never() -> Any:
    await asyncio.sleep(30)


def test_updates_are_applied_in_the_order_written() -> None:
    done = []

    async def look(at: str) -> str:
        if at == "slow":
            await asyncio.sleep(0.05)
        done.append(at)
        return at

    at = branches(look)
    assert at.run().output == {"log": ["slow", "fast", 0], "sure": ""}
    assert done == ["fast", "slow"]
    assert at.replay().identical
    paths = [event.path for event in at.seen.events if event.type == "step.started"]
    assert sorted(paths) == ["1", "1/fast", "1/slow", "1/sum"]


def test_a_branch_that_fails_may_be_skipped_and_is_an_event() -> None:
    def look(at: str) -> str:
        if at == "slow":
            raise ToolError("tool_failed", "no")
        return at

    at = branches(look, slow=", on_error: skip")
    assert at.run().output["log"] == ["fast", 0]
    [event] = [e for e in at.seen.events if e.type == "step.ended" and e.data["status"] == "skipped"]
    assert (event.path, event.data["error"]) == ("1/slow", "no")
    assert at.replay().identical


@pytest.mark.parametrize("route", ["", "\n        on_error: {tool_failed: sorry}"])
def test_a_branch_that_fails_fails_the_node_and_ends_the_others(route: str) -> None:
    ended = []

    async def look(at: str) -> str:
        if at == "slow":
            await asyncio.sleep(0.01)
            raise ToolError("tool_failed", "no")
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(at)
        return at

    at = branches(look, node=route)
    outcome = at.run()
    assert (outcome.status, outcome.output.get("sure")) == (("done", "sorry") if route else ("failed", None))
    assert ended == ["fast"]
    assert error_of(at)["message"] == "no"
    assert at.replay().identical


def test_a_timeout_of_the_node_ends_all_branches() -> None:
    async def look(at: str) -> Any:
        return await never() if at == "slow" else at

    at = branches(look, node="\n        timeout: 100ms\n        on_error: {timeout: sorry}")
    assert at.run().output == {"log": [], "sure": "sorry"}
    assert at.replay().identical


def test_a_timeout_of_a_branch_ends_it_alone() -> None:
    async def look(at: str) -> Any:
        return await never() if at == "slow" else at

    at = branches(look, slow=", timeout: 50ms, on_error: {timeout: skip}")
    assert at.run().output["log"] == ["fast", 0]
    assert at.replay().identical


def test_items_come_in_their_order_with_their_names() -> None:
    async def look(at: str) -> str:
        await asyncio.sleep(0.02 if at == "a0" else 0)
        return at

    at = items(tools={"look": look})
    assert at.run(over=["a", "b", "c"]).output == {"found": ["a0", "b1", "c2"]}
    assert [event.path for event in at.seen.events if event.type == "tool.started"] == [
        "1[0]",
        "1[1]",
        "1[2]",
    ]
    assert at.replay().identical


def test_no_items_are_no_work() -> None:
    at = items(tools={"look": lambda at: at})
    assert at.run(over=[]).output == {"found": []}
    assert at.replay().identical


def test_an_item_that_is_worked_out_needs_no_world() -> None:
    at = items('set: {twice: "${{ item * 2 }}"}', more=", result: twice, as: item")
    assert at.run(over=[1, 2, 3]).output == {"found": [2, 4, 6]}
    assert at.replay().identical


def test_a_key_is_picked_from_each_answer_and_stored_once() -> None:
    long = "because it says so in the notes, twice and with a source"
    answers = [said({"holds": n == 1, "why": long}) for n in range(2)]
    at = items("agent: one, prompt: 'is ${{ item }}'", *answers, more=", result: why")
    assert at.run(over=["x", "y"]).output == {"found": [long, long]}
    [step] = [record for record in at.records() if record["kind"] == "step"]
    assert step["up"] == [["found", [None, None]]]
    assert len(step["refs"]) == 2
    assert at.replay().identical


@pytest.mark.parametrize(
    ("tolerate", "status"), [("", "failed"), (", tolerate: 1", "done"), (", tolerate: 40%", "done")]
)
def test_a_failed_item_is_null_at_its_place_while_it_is_tolerated(tolerate: str, status: str) -> None:
    def look(at: str) -> str:
        if at == "b1":
            raise ToolError("tool_failed", "no")
        return at

    at = items(more=tolerate, tools={"look": look})
    outcome = at.run(over=["a", "b", "c"])
    assert outcome.status == status
    if status == "done":
        assert outcome.output == {"found": ["a0", None, "c2"]}
    else:
        assert error_of(at)["class"] == "limit"
        assert error_of(at)["message"] == "1 of 3 items failed, and none may; item 1: no"
    assert at.replay().identical


def test_beyond_what_is_tolerated_the_rest_never_begins() -> None:
    def look(at: str) -> str:
        raise ToolError("tool_failed", "no")

    at = items(more=", tolerate: 1, concurrency: 1", node=", on_error: {limit: sorry}", tools={"look": look})
    assert at.run(over=list("abcdefgh")).output == {"found": ["sorry"]}
    assert len(at.desk.worked) == 2
    assert at.replay().identical


def test_an_item_is_tried_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentctl.retry.Backoff.wait", lambda *_, **__: 0.0)
    failures = iter([ToolError("tool_failed", "no")])

    def look(at: str) -> str:
        for failure in failures if at == "b1" else ():
            raise failure
        return at

    at = items(LOOK + ", retry: {attempts: 2}", tools={"look": look})
    assert at.run(over=["a", "b"]).output == {"found": ["a0", "b1"]}
    assert at.replay().identical


def test_concurrency_bounds_what_runs_at_once_across_the_turn() -> None:
    at_once = most = 0

    async def look(at: str) -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.005)
        at_once -= 1
        return at

    text = """
    agentctl: 1
    name: maps
    output: [log]
    state: {log: {type: array, reduce: append}}
    tools: {look: {python: "tools:look", effect: read, parameters: {at: string}}}
    start: both
    nodes:
      both:
        parallel:
          a: {graph: many, save: {log: found}}
          b: {graph: many, save: {log: found}}
          c: {graph: many, save: {log: found}}
        then: end
    graphs:
      many:
        output: [found]
        state: {found: {type: array, default: []}}
        start: each
        nodes:
          each: {map: {over: "[1, 2, 3, 4, 5, 6]", do: {tool: look, args: {at: "x${{ item }}"}}}, save: found, then: end}
    limits: {concurrency: 4}
    """
    at = bench(text, tools={"look": look})
    assert at.run().output == {"log": [[f"x{n}" for n in range(1, 7)]] * 3}
    assert most == 4
    assert at.replay().identical


def test_a_stopped_map_goes_on_with_the_items_that_are_not_done() -> None:
    stop = Stop()
    seen: list[str] = []

    async def look(at: str) -> str:
        seen.append(at)
        if at == "e4" and seen.count(at) == 1:
            asyncio.get_running_loop().call_soon(stop.set)
            await asyncio.sleep(30)
        return at

    at = items(more=", concurrency: 2", tools={"look": look})
    outcome = asyncio.run(at.arun(stop, over=list("abcdefgh")))
    assert outcome.status == "interrupted"
    assert at.resume().output == {"found": [f"{c}{n}" for n, c in enumerate("abcdefgh")]}
    assert {name for name in seen if seen.count(name) > 1} <= {"e4", "d3", "f5"}
    assert sum(seen.count(name) - 1 for name in set(seen)) <= 2  # what was in flight
    assert at.replay().identical


@pytest.mark.parametrize("limit", ["tool_calls: 3", "time: 200ms"])
def test_a_limit_of_the_turn_ends_the_map(limit: str) -> None:
    async def look(at: str) -> str:
        await asyncio.sleep(0.01 if limit.startswith("tool") else 0.09)
        return at

    at = items(more=", concurrency: 2", limits=f"{{{limit}, on_limit: sorry}}", tools={"look": look})
    outcome = at.run(over=list("abcdefgh"))
    assert (outcome.status, outcome.output) == ("limit", {"found": ["sorry"]})
    assert outcome.error is not None
    assert outcome.error["limit"] == limit.split(":")[0]
    report = at.replay()
    assert report.divergences == ()


def test_an_item_may_be_a_graph_with_agents_that_have_tools() -> None:
    text = """
    agentctl: 1
    name: deep
    output: [found]
    state: {found: {type: array, default: []}}
    agents: {one: {tools: [look], max_turns: 3}}
    tools: {look: {python: "tools:look", effect: read}}
    start: each
    nodes:
      each:
        map: {over: "['a', 'b']", as: word, do: {graph: read, input: {word: "${{ word }}"}}, result: said}
        save: found
        then: end
    graphs:
      read:
        input: [word]
        output: [said]
        state: {word: string, said: string}
        start: ask
        nodes: {ask: {agent: one, prompt: "read ${{ state.word }}", save: said, then: end}}
    limits: {concurrency: 1}
    """
    at = bench(text, calls(("look", {})), said("A"), said("B"), tools={"look": lambda: 7})
    assert at.run().output == {"found": ["A", "B"]}
    assert [e.path for e in at.seen.events if e.type == "model.ended"] == ["1[0]/ask", "1[0]/ask", "1[1]/ask"]
    assert at.replay().identical


def test_a_model_that_is_down_fails_its_item_only() -> None:
    at = items(
        "agent: one, prompt: 'is ${{ item }}'",
        said({"holds": True, "why": "x"}),
        ModelError("server", "down"),
        more=", result: holds, tolerate: 1, concurrency: 1",
    )
    assert at.run(over=["x", "y"]).output == {"found": [True, None]}
    assert at.replay().identical
