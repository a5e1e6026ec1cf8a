"""Paid once: after a stop, a crash or a wait, what is on the tape is never asked for again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agentctl.engine.history import History, read_history
from agentctl.engine.session import Request
from agentctl.engine.watch import Stop
from agentctl.errors import CannotRun, ModelError, StoreError, UsageError
from agentctl.messages import ChatReply
from tests.engine.desk import Bench, bench, calls, compiled, said

STEPS = """
    agentctl: 1
    name: steps
    output: [c]
    state: {a: string, b: string, c: string}
    agents: {one: {tools: [look], max_turns: 4}}
    tools: {look: {python: "tools:look", effect: read}}
    start: first
    nodes:
      first: {agent: one, prompt: a, save: a, then: second}
      second: {agent: one, prompt: b, save: b, then: third}
      third: {agent: one, prompt: c, save: c, then: end}
"""

ASKING = """
    agentctl: 1
    name: asking
    output: [said]
    state: {decision: {enum: [approve, reject]}, said: {type: string, default: nothing}}
    start: ask_it
    nodes:
      ask_it: {ask: "Pay 5?", choices: [approve, reject], save: decision, timeout: 1h, on_timeout: late, then: heard}
      heard: {set: {said: "${{ state.decision }}"}, then: end}
      late: {set: {said: late}, then: end}
"""

PAYING = """
    agentctl: 1
    name: paying
    output: [paid]
    state: {paid: {type: integer, default: 0}}
    tools: {pay: {python: "tools:pay", effect: write KEY}}
    start: pay
    nodes:
      pay: {tool: pay, save: paid, then: end}
"""


def stopped_in(at: Bench, number: int) -> Any:
    """Run, and stop in the model call with that number."""
    stop = Stop()

    async def stopping() -> ChatReply:
        asyncio.get_running_loop().call_soon(stop.set)
        await asyncio.sleep(30)
        return said("never")

    at.desk.replies.insert(number, stopping)
    return asyncio.run(at.arun(stop))


def test_a_stopped_run_goes_on_where_it_was_and_asks_nothing_twice() -> None:
    at = bench(STEPS, said("A"), calls(("look", {})), said("B"), said("C"), tools={"look": lambda: 7})
    outcome = stopped_in(at, 2)
    assert (outcome.status, outcome.exit_code) == ("interrupted", 130)
    assert at.resume().output == {"c": "C"}
    assert len(at.desk.asked) == 5
    assert len(at.desk.worked) == 1
    assert at.replay().identical


def test_a_new_turn_on_a_stopped_thread_is_refused_with_the_way_out() -> None:
    at = bench(STEPS, said("A"), said("B"), said("C"))
    stopped_in(at, 1)
    with pytest.raises(UsageError) as refused:
        at.run()
    assert refused.value.hint is not None
    assert "--abandon" in refused.value.hint
    at.desk.replies = [said("A"), said("B"), said("C2")]
    assert at.run(abandon=True).output == {"c": "C2"}
    assert at.replay().identical


def test_there_is_nothing_to_resume_on_a_finished_thread() -> None:
    at = bench(STEPS, said("A"), said("B"), said("C"))
    at.run()
    with pytest.raises(UsageError, match="no turn to resume"):
        at.resume()


def test_a_missing_key_leaves_the_turn_resumable() -> None:
    at = bench(STEPS, said("A"), CannotRun("no key"), said("B"), said("C"))
    outcome = at.run()
    assert (outcome.status, outcome.exit_code) == ("failed", 3)
    assert at.resume().output == {"c": "C"}
    assert len(at.desk.asked) == 4


def test_a_question_suspends_the_turn_until_it_is_answered() -> None:
    at = bench(ASKING)
    outcome = at.run()
    assert (outcome.status, outcome.exit_code) == ("waiting", 6)
    assert outcome.question is not None
    assert (outcome.question.id, outcome.question.choices) == ("ask_it", ("approve", "reject"))
    assert at.resume(answers={"ask_it": "approve"}).output == {"said": "approve"}
    assert at.replay().identical


def test_an_answer_that_is_no_choice_is_refused_and_the_question_stands() -> None:
    at = bench(ASKING)
    at.run()
    with pytest.raises(UsageError, match="choose approve or reject"):
        at.resume(answers={"ask_it": "maybe"})
    assert at.resume(answers={"ask_it": "reject"}).output == {"said": "reject"}


def test_after_the_deadline_the_turn_takes_on_timeout() -> None:
    at = bench(ASKING)
    at.run()
    assert at.resume().status == "waiting"
    at.desk.clock += 3601
    assert at.resume().output == {"said": "late"}
    assert at.replay().identical


def test_a_run_after_the_deadline_settles_the_old_turn_first() -> None:
    at = bench(ASKING)
    at.run()
    at.desk.clock += 3601
    outcome = at.run()
    assert (outcome.status, outcome.turn) == ("waiting", 2)
    assert [r["status"] for r in at.records() if r["kind"] == "end"] == ["done"]


def test_an_overdue_turn_that_asks_again_is_not_passed_over() -> None:
    at = bench(ASKING.replace("late: {set: {said: late}", 'late: {ask: "Really?", save: said'))
    at.run()
    at.desk.clock += 3601
    with pytest.raises(UsageError, match=r"not over \(waiting\)"):
        at.run()
    assert at.resume(answers={"late": "yes"}).output == {"said": "yes"}
    assert at.replay().identical


def test_the_deadline_rings_while_the_question_stands() -> None:
    async def nobody(question: Any) -> str:
        await asyncio.sleep(30)
        return "approve"

    at = bench(ASKING.replace("timeout: 1h", "timeout: 50ms"), person=nobody)
    assert at.run().output == {"said": "late"}
    assert at.replay().identical


def test_a_stopped_turn_says_how_long_it_took() -> None:
    at = bench(STEPS)
    assert stopped_in(at, 0).seconds > 0


def test_a_person_at_hand_is_asked_at_once() -> None:
    async def person(question: Any) -> str:
        return "approve"

    at = bench(ASKING, person=person)
    assert at.run().output == {"said": "approve"}


def interrupted_write(key: str) -> Bench:
    """A run whose write was begun and whose process died before it was done."""
    at = bench(PAYING.replace("KEY", key), tools={"pay": lambda: 5})

    async def until_intent() -> None:
        log = await at.store.open("t")
        first = bench(PAYING.replace("KEY", key), tools={"pay": lambda: 5})
        await first.session().run("t", Request())
        rows = [record for _, record in await first.store.read("t")]
        cut = next(i for i, record in enumerate(rows) if record["kind"] == "intent")
        await log.append(rows[: cut + 1])
        await at.store.save_file(at.graph.digest, at.graph.recording)
        await log.close()

    asyncio.run(until_intent())
    return at


def test_a_write_whose_end_nobody_saw_is_never_repeated_unasked() -> None:
    at = interrupted_write("")
    outcome = at.resume()
    assert outcome.status == "waiting"
    assert outcome.question is not None
    assert outcome.question.kind == "outcome"
    assert at.desk.worked == []
    done = at.resume(assume={outcome.question.id: {"done": 5}})
    assert done.output == {"paid": 5}
    assert at.desk.worked == []
    assert at.replay().identical


def test_a_person_may_have_it_made_again() -> None:
    at = interrupted_write("")
    question = at.resume().question
    assert question is not None
    assert at.resume(assume={question.id: "retry"}).output == {"paid": 5}
    assert len(at.desk.worked) == 1


def test_a_write_with_a_key_is_made_again_with_the_same_key() -> None:
    at = interrupted_write(', idempotency_key: "k-${{ run.thread }}"')
    assert at.resume().output == {"paid": 5}
    assert at.desk.worked == [("pay", {}, "k-t")]


def test_resume_is_refused_where_the_pending_node_changed() -> None:
    at = bench(STEPS, said("A"), said("B"), said("C"))
    stopped_in(at, 1)
    at.graph = compiled(STEPS.replace("prompt: b", "prompt: changed"))
    with pytest.raises(UsageError, match=r"nodes\.second"):
        at.resume()
    assert at.resume(accept_changes=True).output == {"c": "C"}
    assert at.replay().identical


def test_what_a_changed_node_has_paid_for_stands_when_the_change_is_accepted() -> None:
    at = bench(STEPS, said("A"), calls(("look", {})), said("B"), said("C"), tools={"look": lambda: 7})
    stopped_in(at, 2)
    at.graph = compiled(STEPS.replace("prompt: b", "prompt: changed").replace("prompt: c", "prompt: d"))
    assert at.resume(accept_changes=True).output == {"c": "C"}
    assert (len(at.desk.asked), len(at.desk.worked)) == (5, 1)
    assert at.replay().identical


def test_an_accepted_change_without_the_node_to_go_on_at_is_refused() -> None:
    at = bench(STEPS, said("A"), said("B"))
    stopped_in(at, 1)
    at.graph = compiled(STEPS.replace("second", "another"))
    with pytest.raises(UsageError, match="would go on at `second`"):
        at.resume(accept_changes=True)


def test_a_turn_resumed_with_other_options_replays_with_each() -> None:
    at = bench(STEPS, said("A"), said("B"), said("C"))
    stopped_in(at, 1)
    at.resume(options={"models": {"default": "scripted"}})
    [resumed] = [record for record in at.records() if record["kind"] == "resume"]
    assert (resumed["changed"], resumed["options"]) == (True, {"models": {"default": "scripted"}})
    assert at.replay().identical


def test_resume_goes_on_where_something_else_changed() -> None:
    at = bench(STEPS, said("A"), said("B"), said("C"))
    stopped_in(at, 1)
    at.graph = compiled(STEPS.replace("prompt: c", "prompt: changed"))
    assert at.resume().output == {"c": "C"}
    assert at.replay().identical


def test_a_new_turn_on_a_changed_file_is_refused_only_where_the_state_does_not_fit() -> None:
    at = bench(STEPS, *[said("A")] * 6)
    at.run()
    at.graph = compiled(STEPS.replace("a: string", "a: string, d: {type: string, default: x}"))
    assert at.run().status == "done"
    at.graph = compiled(STEPS.replace("a: string", "a: number").replace("save: a", "on_error: skip"))
    with pytest.raises(UsageError, match="does not fit the file"):
        at.run()


def test_updates_are_folded_by_the_reducers_of_the_file_that_made_them() -> None:
    kept = """
        agentctl: 1
        name: kept
        output: [n]
        state: {n: {type: integer, default: 0}, log: {type: array, items: integer, reduce: append}}
        start: one
        nodes:
          one: {set: {log: 1}, then: two}
          two: {set: {log: 2}, then: end}
    """
    at = bench(kept)
    at.run()
    at.graph = compiled(kept.replace("reduce: append", "default: []").replace("set: {log:", "set: {n:"))
    at.run()
    [snapshot] = [record for record in at.records() if record["kind"] == "snapshot"]
    assert snapshot["values"] == {"n": 0, "log": [1, 2]}
    assert at.replay().identical


@pytest.mark.parametrize("keep", range(1, 10))
def test_a_crash_after_any_record_repeats_nothing_and_loses_nothing(keep: int) -> None:
    whole = bench(STEPS, said("A"), calls(("look", {})), said("B"), said("C"), tools={"look": lambda: 7})
    whole.run()
    rows = whole.records()
    assert [r["kind"] for r in rows] == [
        "turn",
        "effect",
        "step",
        "effect",
        "effect",
        "effect",
        "step",
        "effect",
        "step",
        "end",
    ]
    at = bench(STEPS, tools={"look": lambda: 7})
    at.desk.replies = [said("A"), calls(("look", {})), said("B"), said("C")]
    done = sum(r["kind"] == "effect" and r["of"] == "model" for r in rows[:keep])
    del at.desk.replies[:done]

    async def cut() -> None:
        log = await at.store.open("t")
        await log.append(rows[:keep])
        await at.store.save_file(at.graph.digest, at.graph.recording)
        await log.close()

    asyncio.run(cut())
    assert at.resume().output == {"c": "C"}
    assert at.desk.replies == []
    report = at.replay()
    assert report.identical
    assert report.digest == whole.replay().digest


def test_a_thread_of_a_damaged_log_is_said_so() -> None:
    at = bench(STEPS)

    async def spoil() -> None:
        log = await at.store.open("t")
        await log.append([{"kind": "step", "n": 1, "node": "first", "used": [], "t": 0}])
        await log.close()

    asyncio.run(spoil())
    with pytest.raises(StoreError):
        at.replay()


def cut_after(at: Bench, records: list[Any]) -> Bench:
    """A thread whose process was killed right after these records."""

    async def write() -> None:
        log = await at.store.open("t")
        await log.append(records)
        await at.store.save_file(at.graph.digest, at.graph.recording)
        await log.close()

    asyncio.run(write())
    return at


def test_a_turn_whose_failing_step_is_on_the_log_is_no_success_when_resumed() -> None:
    whole = bench(STEPS, said("A"), ModelError("refused", "no"))
    assert whole.run().exit_code == 3
    at = cut_after(bench(STEPS, said("B"), said("C")), whole.records()[:-1])
    outcome = at.resume()
    assert (outcome.status, outcome.exit_code, at.desk.asked) == ("failed", 3, [])
    assert at.replay().identical


def test_a_key_that_cannot_be_worked_out_fails_its_node_and_replays() -> None:
    at = bench(PAYING.replace("KEY", ', idempotency_key: "${{ args.missing }}"'), tools={"pay": lambda: 5})
    outcome = at.run()
    assert outcome.error is not None
    assert (outcome.status, outcome.error["class"], at.desk.worked) == ("failed", "expression", [])
    assert at.replay().identical


GIVEN_UP = """
    agentctl: 1
    name: given_up
    output: [c]
    state: {n: {type: integer, default: 0}, c: {type: string, default: none}}
    agents: {one: {}}
    start: first
    nodes:
      first: {agent: one, prompt: a, save: c, then: second}
      second: {set: {n: "${{ state.n + 1 }}"}, then: end}
"""


def test_a_turn_given_up_between_two_steps_replays_no_further_than_it_went() -> None:
    whole = bench(GIVEN_UP, said("A"))
    whole.run()
    until = next(i for i, record in enumerate(whole.records()) if record["kind"] == "step")
    at = cut_after(bench(GIVEN_UP, said("B")), whole.records()[: until + 1])
    at.run(abandon=True)
    assert at.replay().divergences == ()


COUNTED = """
    agentctl: 1
    name: counted
    output: [n]
    state: {n: {type: integer, default: 0}}
    start: q
    nodes:
      q: {ask: "How many?", save: n, timeout: 1h, on_timeout: end, then: end}
"""


def test_an_answer_that_does_not_fit_its_field_is_refused_and_the_question_stands() -> None:
    at = bench(COUNTED)
    at.run()
    with pytest.raises(UsageError, match="whole number"):
        at.resume(answers={"q": "many"})
    assert at.resume(answers={"q": "3"}).output == {"n": 3}
    assert at.replay().identical


def test_a_refused_answer_does_not_stop_the_deadline() -> None:
    at = bench(COUNTED)
    at.run()
    with pytest.raises(UsageError, match="whole number"):
        at.resume(answers={"q": "many"})
    at.desk.clock += 3601
    assert at.run().turn == 2
    assert [record["status"] for record in at.records() if record["kind"] == "end"] == ["done"]


GROWING = """
    agentctl: 1
    name: growing
    input: [until]
    output: [n]
    state: {until: integer, n: {type: integer, default: 0}, last: {type: array, reduce: append, keep: 2}}
    start: more
    nodes:
      more: {set: {n: "${{ state.n + 1 }}", last: "number ${{ state.n }} of many"}, then: again}
    routers: {again: [{when: state.n < state.until, to: more}, {else: end}]}
    limits: {recursion: 100}
"""


def test_turns_go_on_from_a_snapshot_in_the_middle_of_an_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agentctl.engine.executor.SNAPSHOT_FLOOR", 100)
    at = bench(GROWING)
    at.run(until=21)
    snapshots = [i for i, record in enumerate(at.records()) if record["kind"] == "snapshot"]
    assert snapshots
    assert at.records()[snapshots[-1] + 1]["kind"] == "step"
    for turn in (2, 3):
        assert at.run(until=1).turn == turn
    report = at.replay()
    assert report.identical
    folded = asyncio.run(read(at))
    assert (folded.turns, folded.state.digest, folded.state.values["n"]) == (3, report.digest, 1)


async def read(at: Bench) -> History:
    return await read_history(at.store, await at.store.head("t"), "t", at.graph.fields)
