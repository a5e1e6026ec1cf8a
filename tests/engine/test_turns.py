"""What a turn does: nodes, routers, saving, errors, and state from turn to turn."""

from __future__ import annotations

from typing import Any

import pytest

from agentctl.engine.masking import Mask
from agentctl.errors import CannotRun, ModelError, ToolError, UsageError
from tests.engine.desk import bench, calls, said

COUNTER = """
    agentctl: 1
    name: counter
    input: [goal]
    output: [n]
    state:
      goal: {type: integer, default: 3}
      n: {type: integer, default: 0}
      log: {type: array, reduce: append, keep: 2}
    start: more
    nodes:
      more:
        set: {n: "${{ state.n + 1 }}", log: "${{ state.n }}"}
        then: enough
    routers:
      enough:
        - when: state.n >= state.goal
          to: end
        - else: more
"""

SORTER = """
    agentctl: 1
    name: sorter
    input: [question]
    output: [answer]
    state:
      question: string
      desk: {enum: [a, b]}
      answer: {type: string, default: ""}
    agents:
      sorter: {output: {desk: {enum: [a, b]}}}
    start: sort
    nodes:
      sort:
        agent: sorter
        prompt: ${{ state.question }}
        save: [desk]
        then: by_desk
      to_a: {set: {answer: from a}, then: end}
      to_b: {set: {answer: from b}, then: end}
    routers:
      by_desk: {by: state.desk, to: {a: to_a, b: to_b}}
"""

TALK = """
    agentctl: 1
    name: talk
    input: [say]
    output: [answer]
    state: {say: string, answer: string, messages: messages}
    agents:
      one: {instructions: Be brief., tools: [look], max_turns: 3}
    tools:
      look: {python: "tools:look", parameters: {word: string}, effect: read}
    start: talk
    nodes:
      talk:
        agent: one
        history: messages
        prompt: ${{ state.say }}
        save: answer
        then: end
"""


def test_a_loop_of_set_nodes_ends_where_its_router_says() -> None:
    at = bench(COUNTER)
    outcome = at.run(goal=4)
    assert (outcome.status, outcome.output, outcome.steps) == ("done", {"n": 4}, 4)
    assert at.records()[-2]["next"] == "end"


def test_a_start_that_is_a_router_decides_before_the_first_step() -> None:
    at_router = COUNTER.replace("start: more", "start: enough")
    counted = bench(at_router)
    outcome = counted.run(goal=2)
    assert (outcome.status, outcome.steps, outcome.output) == ("done", 2, {"n": 2})
    assert counted.replay().identical
    nothing = bench(at_router)
    assert nothing.run(goal=0).steps == 0
    assert nothing.seen.types().count("route.decided") == 1
    assert nothing.replay().identical


def test_a_start_that_is_a_router_and_cannot_decide_fails_the_turn() -> None:
    broken = bench(
        COUNTER.replace("start: more", "start: enough").replace("state.n >= state.goal", "state.log[7] > 1")
    )
    outcome = broken.run(goal=2)
    assert (outcome.status, outcome.steps, outcome.exit_code) == ("failed", 0, 4)
    assert outcome.error["node"] == "enough"
    assert broken.replay().identical


def test_keep_drops_the_oldest_and_says_so() -> None:
    at = bench(COUNTER)
    at.run(goal=4)
    dropped = [event.data for event in at.seen.events if event.type == "context.trimmed"]
    assert dropped == [{"field": "log", "dropped": 1}] * 2


def test_a_closed_answer_routes_to_its_desk() -> None:
    at = bench(SORTER, said({"desk": "b"}))
    assert at.run(question="?").output == {"answer": "from b"}
    assert at.route() == ["sort", "to_b"]


def test_an_answer_of_the_wrong_shape_is_asked_for_again_with_the_error() -> None:
    at = bench(SORTER, said("no json"), said({"desk": "c"}), said({"desk": "a"}))
    assert at.run(question="?").output == {"answer": "from a"}
    assert "cannot be used" in at.desk.asked[1].messages[-1].content
    assert len(at.desk.asked) == 3


def test_an_answer_that_stays_wrong_is_a_bad_answer() -> None:
    at = bench(SORTER, *[said({"desk": "c"})] * 3)
    outcome = at.run(question="?")
    assert (outcome.status, outcome.exit_code) == ("failed", 4)
    assert outcome.error is not None
    assert outcome.error["class"] == "bad_answer"


def test_a_provider_that_fails_ends_the_run_with_its_words() -> None:
    at = bench(SORTER, ModelError("server", "the server said 500"))
    outcome = at.run(question="?")
    assert (outcome.status, outcome.exit_code) == ("failed", 3)
    assert outcome.error is not None
    assert outcome.error["message"] == "the server said 500"


def test_a_conversation_goes_on_from_turn_to_turn() -> None:
    at = bench(TALK, said("hi Ada"), said("your name is Ada"))
    at.run(say="I am Ada")
    outcome = at.run(say="who am I?")
    assert outcome.output == {"answer": "your name is Ada"}
    assert [m.content for m in at.desk.asked[1].messages] == ["Be brief.", "I am Ada", "hi Ada", "who am I?"]


def test_tool_calls_and_results_stand_in_the_history_in_the_order_asked() -> None:
    two = calls(("look", {"word": "x"}), ("look", {"word": "y"}))
    at = bench(TALK, two, said("done"), said("again"), tools={"look": lambda word: f"{word}!"})
    assert at.run(say="go").output == {"answer": "done"}
    at.run(say="more")
    heard = at.desk.asked[2].messages
    assert [(m.role, m.content) for m in heard[1:]] == [
        ("user", "go"),
        ("assistant", ""),
        ("tool", "x!"),
        ("tool", "y!"),
        ("assistant", "done"),
        ("user", "more"),
    ]
    assert [call.name for call in heard[2].calls] == ["look", "look"]


def test_a_failed_tool_is_a_message_to_the_model() -> None:
    def broken(word: str) -> str:
        raise ToolError("tool_failed", "the shelf is empty")

    at = bench(TALK, calls(("look", {"word": "x"})), said("sorry"), tools={"look": broken})
    assert at.run(say="go").output == {"answer": "sorry"}
    assert at.desk.asked[1].messages[-1].content == "error: the shelf is empty"


def test_wrong_arguments_and_unknown_tools_are_told_to_the_model_and_never_called() -> None:
    wrong = calls(("look", {"words": "x"}), ("drop", {}), ("look", {"word": 3}))
    at = bench(TALK, wrong, said("ok"), tools={"look": lambda word: word})
    assert at.run(say="go").status == "done"
    told = [m.content for m in at.desk.asked[1].messages[-3:]]
    assert "word" in told[0]
    assert "there is no tool `drop`; you may call: look" in told[1]
    assert at.desk.worked == []


def test_an_agent_that_never_stops_calling_is_a_limit_of_its_node() -> None:
    at = bench(TALK, *[calls(("look", {"word": "x"}))] * 5, tools={"look": lambda word: word})
    outcome = at.run(say="go")
    assert outcome.error is not None
    assert (outcome.status, outcome.error["class"]) == ("failed", "limit")
    assert len(at.desk.asked) == 3


ERRORS = """
    agentctl: 1
    name: errors
    output: [answer]
    state: {answer: {type: string, default: none}, got: {type: integer, default: 0}}
    tools:
      read: {python: "tools:read", effect: read, retry: {attempts: 1}}
    start: read
    nodes:
      read:
        tool: read
        save: got
        on_error: ON_ERROR
        then: fine
      fine: {set: {answer: fine}, then: end}
      slow: {set: {answer: slow}, then: end}
      other: {set: {answer: other}, then: end}
"""


@pytest.mark.parametrize(
    ("on_error", "error", "answer"),
    [
        ("{timeout: slow, else: other}", ToolError("timeout", "late"), "slow"),
        ("{timeout: slow, else: other}", ToolError("tool_failed", "broken"), "other"),
        ("other", ToolError("timeout", "late"), "other"),
        ("skip", ToolError("tool_failed", "broken"), "fine"),
    ],
)
def test_an_error_goes_where_its_class_says(on_error: str, error: ToolError, answer: str) -> None:
    def broken() -> int:
        raise error

    at = bench(ERRORS.replace("ON_ERROR", on_error), tools={"read": broken})
    assert at.run().output == {"answer": answer}
    assert at.replay().identical


def test_a_result_that_does_not_fit_its_field_changes_nothing_and_is_routed() -> None:
    at = bench(ERRORS.replace("ON_ERROR", "{bad_answer: other}"), tools={"read": lambda: "text"})
    assert at.run().output == {"answer": "other"}


def test_outputs_return_to_their_default_and_other_fields_carry_over() -> None:
    at = bench(COUNTER)
    at.run(goal=2)
    outcome = at.run()
    assert outcome.output == {"n": 2}
    assert outcome.turn == 2


def test_an_input_that_does_not_fit_is_refused_before_anything_is_recorded() -> None:
    at = bench(COUNTER)
    with pytest.raises(UsageError, match="goal"):
        at.run(goal="many")
    assert at.records() == []


def test_a_secret_is_masked_before_a_node_sees_it() -> None:
    at = bench(TALK, said("the key is s3cr3t-value"))
    at.secrets = ["s3cr3t-value"]
    assert at.run(say="tell").output == {"answer": "the key is ***"}
    assert "s3cr3t" not in str(at.records())


def test_every_step_has_one_start_and_one_end() -> None:
    at = bench(COUNTER)
    at.run(goal=3)
    types = [t for t in at.seen.types() if t.startswith(("run.", "step."))]
    assert types == ["run.started", *["step.started", "step.ended"] * 3, "run.ended"]
    assert [event.seq for event in at.seen.events] == sorted({event.seq for event in at.seen.events})


SECRET = "s3cr3t-value"
TOLD = """
    agentctl: 1
    name: told
    input: [q]
    output: [c]
    state: {q: string, c: {type: string, default: none}}
    agents: {one: {}}
    tools: {look: {python: "tools:look", parameters: {w: string}, effect: write}}
    start: a
    nodes:
      a: {tool: look, args: {w: "${{ state.q }}"}, save: c, then: b}
      b: {agent: one, prompt: "${{ state.q }}", save: c, then: end}
"""


def test_a_secret_is_in_no_record_event_or_error() -> None:
    at = bench(TOLD, CannotRun(f"the key {SECRET} is refused"), tools={"look": lambda w: w})
    at.secrets = [SECRET]
    outcome = at.run(q=f"use {SECRET}")
    assert "***" in str(outcome.error)
    assert SECRET not in str([outcome, at.records(), [event.data for event in at.seen.events]])


def test_of_two_secrets_the_longer_is_masked_whole() -> None:
    assert Mask(["12345678", "12345678-and-more", "short"])("x 12345678-and-more short") == "x *** short"


@pytest.mark.parametrize(
    "last", [said("B"), ModelError("refused", "no"), CannotRun("no key"), calls(("look", {"w": "x"}))]
)
def test_whatever_begins_in_the_events_ends_once(last: Any) -> None:
    def look(w: str) -> str:
        if w == "x":
            raise CannotRun("no worker")
        return w

    text = TOLD.replace("agents: {one: {}}", "agents: {one: {tools: [look]}}")
    at = bench(text, last, tools={"look": look})
    at.run(q="q")
    types = at.seen.types()
    for kind in ("run", "step", "model", "tool"):
        assert types.count(f"{kind}.started") == types.count(f"{kind}.ended") > 0


def test_a_step_that_waits_ends_so_in_the_events() -> None:
    at = bench(TOLD.replace("agent: one, prompt", "ask"), tools={"look": lambda w: w})
    at.run(q="well?")
    ended = [event.data["status"] for event in at.seen.events if event.type == "step.ended"]
    assert ended == ["ok", "waiting"]


def test_an_input_never_given_is_missed_before_anything_is_recorded() -> None:
    at = bench(TOLD)
    with pytest.raises(UsageError, match="`q` is missing"):
        at.run()
    assert at.records() == []


def test_results_whose_call_keep_has_dropped_are_not_sent() -> None:
    text = TALK.replace("messages: messages", "messages: {type: messages, keep: 3}")
    two = calls(("look", {"word": "x"}), ("look", {"word": "y"}))
    at = bench(text, two, said("done"), said("again"), tools={"look": lambda word: word})
    at.run(say="go")
    at.run(say="more")
    assert [message.role for message in at.desk.asked[2].messages] == ["system", "assistant", "user"]
    assert at.replay().identical


@pytest.mark.parametrize(("kind", "most"), [("integer", 9 * 10**18), ("number", 1.7e308)])
def test_a_sum_that_no_number_can_hold_is_an_error_of_its_node(kind: str, most: float) -> None:
    at = bench(f"""
        agentctl: 1
        name: sums
        output: [t]
        state: {{t: {{type: {kind}, reduce: sum}}}}
        start: a
        nodes:
          a: {{set: {{t: {most:{"d" if kind == "integer" else ".1e"}}}}, then: b}}
          b: {{set: {{t: {most:{"d" if kind == "integer" else ".1e"}}}}, then: end}}
    """)
    outcome = at.run()
    assert outcome.error is not None
    assert (outcome.status, outcome.error["class"]) == ("failed", "bad_answer")
    assert at.replay().identical
