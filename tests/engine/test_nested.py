"""Graphs inside graphs: their own state, one path, one budget, and errors, waits and times that go to the right place."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentctl.engine.watch import Stop
from agentctl.errors import ModelError, ToolError
from agentctl.messages import ChatReply
from tests.engine.desk import Bench, bench, calls, compiled, said

INNER = """
      graphs:
        facts:
          description: Look a text up.
          input: [text]
          output: [best]
          state: {text: string, best: {type: string, default: ""}, n: {type: integer, default: 0}}
          start: split
          nodes:
            split: {agent: one, prompt: "look ${{ state.text }}", save: best TAIL, then: count}
            count: {set: {n: "${{ state.n + 1 }}"}, then: again}
          routers:
            again: [{when: state.n < 2, to: split}, {else: end}]
"""
OUTER = (
    """
      agentctl: 1
      name: outer
      input: [topic]
      output: [report]
      state: {topic: string, n: {type: integer, default: 7}, report: {type: string, default: ""}}
      start: check
      nodes:
        check: {graph: facts, input: {text: "${{ state.topic }}"}, save: {report: best}, then: endMORE}
        sorry: {set: {report: sorry}, then: end}
      agents: {one: {}}
LIMITS"""
    + INNER
)


def outer(*replies: Any, more: str = "", tail: str = "", limits: str = "", **desk: Any) -> Bench:
    text = OUTER.replace("MORE", more).replace(" TAIL", tail)
    return bench(text.replace("LIMITS", f"      limits: {limits}\n" if limits else ""), *replies, **desk)


async def slowly() -> ChatReply:
    await asyncio.sleep(30)
    return said("never")


def steps(at: Bench) -> list[str]:
    return [event.path for event in at.seen.events if event.type == "step.started"]


def test_a_nested_graph_has_its_own_state_and_gives_its_output() -> None:
    at = outer(said("a"), said("b"))
    outcome = at.run(topic="tea")
    assert (outcome.output, outcome.steps) == ({"report": "b"}, 5)
    assert [request.messages[0].content for request in at.desk.asked] == ["look tea", "look tea"]
    assert steps(at) == ["1", "1/split", "1/count", "1/split#2", "1/count#2"]
    assert {event.step for event in at.seen.events if event.type.startswith("model.")} == {1}
    assert at.route() == ["check"]
    assert at.replay().identical


def test_each_run_of_it_begins_with_a_fresh_state() -> None:
    at = outer(said("a"), said("b"), said("c"), said("d"))
    at.run(topic="tea")
    assert at.run(topic="milk").output == {"report": "d"}
    assert at.replay().identical


def test_an_error_inside_is_the_nodes_error_of_the_same_class() -> None:
    at = outer(ModelError("rate_limited", "slow down"), more=", on_error: {rate_limited: sorry}")
    assert at.run(topic="tea").output == {"report": "sorry"}
    failed = outer(ModelError("rate_limited", "slow down"))
    outcome = failed.run(topic="tea")
    assert (outcome.status, outcome.exit_code) == ("failed", 3)
    assert outcome.error is not None
    assert outcome.error["class"] == "rate_limited"
    assert outcome.error["message"] == "node `split` of graph `facts`: slow down"
    assert failed.replay().identical


def test_an_error_that_is_routed_inside_stays_inside() -> None:
    at = outer(ModelError("server", "down"), ModelError("server", "down"), tail=", on_error: skip")
    assert at.run(topic="tea").status == "done"


def test_a_retry_of_the_node_runs_the_graph_again_under_a_path_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agentctl.retry.Backoff.wait", lambda *_, **__: 0.0)
    at = outer(said("a"), ModelError("server", "down"), said("b"), said("c"), more=", retry: {attempts: 2}")
    assert at.run(topic="tea").output == {"report": "c"}
    assert steps(at)[-4:] == ["1~2/split", "1~2/count", "1~2/split#2", "1~2/count#2"]
    assert at.replay().identical


@pytest.mark.parametrize("reply", [slowly, said("a")])
def test_a_timeout_of_the_node_cuts_what_is_inside(reply: Any) -> None:
    at = outer(reply, slowly, more=", timeout: 100ms, on_error: {timeout: sorry}")
    outcome = at.run(topic="tea")
    assert outcome.output == {"report": "sorry"}
    [step] = [record for record in at.records() if record["kind"] == "step" and record["node"] == "check"]
    assert step["err"]["message"] == "`check` took longer than 0.1s (timeout of node `check`)"
    report = at.replay()
    assert report.identical


def test_a_timeout_inside_is_the_inner_nodes_error() -> None:
    at = outer(slowly, slowly, tail=", timeout: 50ms, on_error: {timeout: count}", more=", timeout: 20s")
    assert at.run(topic="tea").status == "done"
    assert at.replay().identical


def test_the_time_of_the_turn_is_a_limit_wherever_it_ends() -> None:
    at = outer(slowly, limits="{time: 200ms}")
    outcome = at.run(topic="tea")
    assert (outcome.status, outcome.exit_code) == ("limit", 5)
    assert [e.data["status"] for e in at.seen.events if e.type == "step.ended"] == ["limit", "error"]
    assert at.replay().identical


@pytest.mark.parametrize("limit", ["recursion: 3", "tokens: 10", "depth: 1"])
def test_a_limit_inside_ends_the_turn_through_on_limit(limit: str) -> None:
    at = outer(*map(said, "abcd"), limits=f"{{{limit}, on_limit: sorry}}")
    if limit == "depth: 1":
        at.graph = compiled(DEEP)
    outcome = at.run(topic="tea")
    assert (outcome.status, outcome.output) == ("limit", {"report": "sorry"})
    assert outcome.error is not None
    assert outcome.error["limit"] == limit.split(":")[0]
    assert at.replay().identical


DEEP = """
    agentctl: 1
    name: deep
    input: [topic]
    output: [report]
    state: {topic: string, report: {type: string, default: ""}}
    start: one
    nodes:
      one: {graph: first, then: end}
      sorry: {set: {report: sorry}, then: end}
    graphs:
      first: {start: a, nodes: {a: {graph: second, then: end}}}
      second: {start: b, state: {n: {type: integer, default: 0}}, nodes: {b: {set: {n: 1}, then: end}}}
    limits: {depth: 1, on_limit: sorry}
"""

ASKING = """
    agentctl: 1
    name: asking
    output: [said]
    state: {said: {type: string, default: nothing}}
    agents: {one: {}}
    start: pay
    nodes:
      pay: {graph: ask_twice, save: {said: second}, then: end}
    graphs:
      ask_twice:
        output: [second]
        state: {first: string, second: string, note: string}
        start: think
        nodes:
          think: {agent: one, prompt: think, save: note, then: one}
          one: {ask: "First?", save: first, timeout: 1h, then: two}
          two: {ask: "Second after ${{ state.first }}?", save: second, timeout: 2h, then: end}
"""


def test_a_question_inside_waits_and_the_turn_goes_on_inside() -> None:
    at = bench(ASKING, said("hm"))
    outcome = at.run()
    assert (outcome.status, outcome.exit_code) == ("waiting", 6)
    assert outcome.question is not None
    assert outcome.question.id == "1/one"
    again = at.resume(answers={"1/one": "yes"})
    assert again.question is not None
    assert (again.question.id, again.question.text) == ("1/two", "Second after yes?")
    assert again.question.deadline == at.desk.clock + 7200
    assert at.resume(answers={"1/two": "sure"}).output == {"said": "sure"}
    assert len(at.desk.asked) == 1
    assert at.replay().identical


def test_a_stop_inside_leaves_the_turn_resumable_inside() -> None:
    stop = Stop()

    async def stopping() -> ChatReply:
        asyncio.get_running_loop().call_soon(stop.set)
        await asyncio.sleep(30)
        return said("never")

    at = outer(said("a"), stopping)
    outcome = asyncio.run(at.arun(stop, topic="tea"))
    assert (outcome.status, outcome.exit_code) == ("interrupted", 130)
    at.desk.replies = [said("b")]
    assert at.resume().output == {"report": "b"}
    assert len(at.desk.asked) == 3
    assert at.replay().identical


TIERED = """
    agentctl: 1
    name: tiered
    input: [plan]
    output: [said]
    state: {plan: string, said: {type: string, default: ""}}
    agents: {one: {tools: [look, pay]}}
    tools:
      look: {python: "tools:look", effect: read}
      pay: {python: "tools:pay", effect: read}
    tiers: {by: state.plan, levels: {free: {tools: [look]}, pro: {extends: free, tools: [pay]}}}
    start: inside
    nodes:
      inside: {graph: inner, input: {plan: pro}, save: [said], then: end}
    graphs:
      inner:
        input: [plan]
        output: [said]
        state: {plan: string, said: string}
        start: talk
        nodes: {talk: {agent: one, prompt: "${{ run.tier }}", save: said, then: end}}
"""


def test_the_tier_is_that_of_the_root_graphs_state() -> None:
    at = bench(TIERED, calls(("pay", {})), said("x"), tools={"pay": lambda: 1})
    at.run(plan="free")
    assert [tool.name for tool in at.desk.asked[0].tools] == ["look"]
    assert at.desk.asked[0].messages[-1].content == "free"
    assert at.desk.worked == []
    assert at.replay().identical


LEAD = """
    agentctl: 1
    name: lead
    output: [report]
    state: {report: {type: string, default: ""}}
    agents:
      one: {}
      lead: {tools: [facts, one], max_turns: 3}
    tools:
      facts: {graph: facts, parameters: {text: string} MORE}
      one: {agent: one, parameters: {prompt: string}}
    start: talk
    nodes:
      talk: {agent: lead, prompt: go, save: report, then: end}
LIMITS""" + INNER.replace("      ", "    ", 1).replace("\n      ", "\n    ").replace(" TAIL", "")


def lead(*replies: Any, more: str = "", limits: str = "", **desk: Any) -> Bench:
    text = LEAD.replace(" MORE", more)
    return bench(text.replace("LIMITS", f"    limits: {limits}\n" if limits else ""), *replies, **desk)


def test_graphs_and_agents_are_tools_side_by_side_each_with_its_own_state() -> None:
    wishes = calls(("facts", {"text": "x"}), ("one", {"prompt": "hi"}), ("facts", {"text": "y"}))
    at = lead(wishes, *map(said, "abcde"), said("all"))
    outcome = at.run()
    assert (outcome.output, outcome.steps, outcome.tool_calls) == ({"report": "all"}, 9, 3)
    results = [message.content for message in at.desk.asked[-1].messages if message.role == "tool"]
    assert results == ['{"best":"d"}', "b", '{"best":"e"}']
    assert {path.split("/")[0] for path in steps(at)} == {"1", "1.1.1", "1.1.3"}
    deltas = {event.path for event in at.seen.events if event.type == "model.delta"}
    assert deltas == {"1", "1.1.1/split", "1.1.1/split#2", "1.1.2", "1.1.3/split", "1.1.3/split#2"}
    assert at.replay().identical


def test_a_nested_tool_that_fails_is_told_to_the_model() -> None:
    at = lead(calls(("facts", {"text": "x"})), ModelError("server", "down"), said("well"))
    assert at.run().output == {"report": "well"}
    assert at.desk.asked[-1].messages[-1].content == "error: node `split` of graph `facts`: down"
    assert at.replay().identical


def test_a_timeout_of_a_nested_tool_cuts_its_inside_alone() -> None:
    wishes = calls(("facts", {"text": "x"}), ("one", {"prompt": "hi"}))
    at = lead(wishes, slowly, said("b"), said("well"), more=", timeout: 100ms")
    assert at.run().output == {"report": "well"}
    told = [message.content for message in at.desk.asked[-1].messages if message.role == "tool"]
    assert told == ["error: tool `facts` took longer than 0.1s", "b"]
    assert at.replay().identical


def test_the_time_of_the_step_cuts_a_nested_tool_with_it() -> None:
    at = lead(calls(("facts", {"text": "x"})), said("a"), slowly, limits="{step_time: 200ms}")
    outcome = at.run()
    assert outcome.error is not None
    assert outcome.error["message"] == "`talk` took longer than 0.2s (limits.step_time)"
    assert at.replay().identical


def test_a_result_over_its_size_is_refused_and_replays() -> None:
    wish = calls(("facts", {"text": "x"}))
    at = lead(wish, said("a"), said("b" * 2000), said("well"), more=", max_result: 1KB")
    assert at.run().output == {"report": "well"}
    assert "max_result" in at.desk.asked[-1].messages[-1].content
    assert at.replay().identical


def test_a_nested_call_that_was_over_is_one_read_on_resume() -> None:
    stop = Stop()

    async def stopping() -> ChatReply:
        asyncio.get_running_loop().call_soon(stop.set)
        await asyncio.sleep(30)
        return said("never")

    at = lead(calls(("facts", {"text": "x"})), said("a"), said("b"), stopping)
    asyncio.run(at.arun(stop))
    before = len(at.seen.events)
    at.desk.replies = [said("all")]
    outcome = at.resume()
    assert (outcome.output, outcome.steps, outcome.usage.total) == ({"report": "all"}, 5, 60)
    assert "1.1.1/split" not in {event.path for event in at.seen.events[before:]}
    assert at.replay().identical


def test_a_changed_file_goes_on_with_what_a_nested_call_came_to() -> None:
    stop = Stop()

    async def stopping() -> ChatReply:
        asyncio.get_running_loop().call_soon(stop.set)
        await asyncio.sleep(30)
        return said("never")

    at = lead(calls(("facts", {"text": "x"})), said("a"), said("b"), stopping)
    asyncio.run(at.arun(stop))
    at.graph = compiled(LEAD.replace(" MORE", "").replace("LIMITS", "").replace("look ${{", "search ${{"))
    at.desk.replies = [said("all")]
    assert at.resume(accept_changes=True).output == {"report": "all"}
    assert at.replay().identical


def test_a_tool_of_a_nested_graph_counts_towards_the_turn() -> None:
    text = LEAD.replace(" MORE", "").replace("LIMITS", "    limits: {tool_calls: 2}\n")
    text = text.replace("one: {}\n", "one: {tools: [look], max_turns: 9}\n").replace(
        "    tools:\n", "    tools:\n      look: {python: 'tools:look', effect: read, retry: {attempts: 1}}\n"
    )
    look = calls(("look", {}))
    at = bench(text, calls(("facts", {"text": "x"})), look, look, look, tools={"look": lambda: 1})
    outcome = at.run()
    assert outcome.error is not None
    assert (outcome.status, outcome.error["limit"]) == ("limit", "tool_calls")
    assert len(at.desk.worked) == 1
    assert at.replay().identical


def test_a_failing_tool_node_inside_fails_as_a_tool() -> None:
    text = (
        OUTER.replace("MORE", ", on_error: {tool_failed: sorry}")
        .replace("LIMITS", "")
        .replace(
            '{agent: one, prompt: "look ${{ state.text }}", save: best TAIL, then: count}',
            "{tool: look, save: best, then: count}",
        )
    )
    text = text.replace("agents: {one: {}}", "tools: {look: {python: 'tools:look', effect: write}}")

    def look() -> Any:
        raise ToolError("tool_failed", "no", retryable=False)

    at = bench(text, tools={"look": look})
    assert at.run(topic="tea").output == {"report": "sorry"}
    assert at.replay().identical


def test_a_text_that_a_graph_brings_up_is_stored_once() -> None:
    long = "a report that is long enough to be worth a reference, and more"
    at = outer(said("a"), said(long))
    assert at.run(topic="tea").output == {"report": long}
    [step] = [record for record in at.records() if record["kind"] == "step"]
    assert step["up"] == [["report", None]]
    assert step["refs"] == [[[0, 1], "1/split#2!1.1.0", ["text"]]]
    assert at.replay().identical


def test_a_replay_on_another_file_names_the_place_inside() -> None:
    at = outer(said("a"), said("b"))
    at.run(topic="tea")
    text = OUTER.replace("MORE", "").replace(" TAIL", "").replace("LIMITS", "").replace("look $", "seek $")
    [divergence] = at.replay(compiled(text)).divergences
    assert (divergence.code, divergence.step, divergence.node) == ("D12", 1, "1/split")
