"""Background jobs: started by a node, worked on beside the turn, their results taken in by a later turn."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentctl.engine.jobs import Job, JobQueue
from agentctl.engine.outcome import Outcome
from agentctl.engine.session import Session
from agentctl.engine.watch import Stop
from agentctl.engine.working import JobWorker
from agentctl.errors import ModelError, ToolError
from agentctl.messages import ChatReply
from agentctl.store.memory import MemoryThreadStore
from tests.engine.desk import Bench, Desk, Reply, calls, compiled, said

SHELF = """
    agentctl: 1
    name: shelf
    input: [topic]
    output: [answer]
    state:
      topic: string
      reading: {type: string, default: ""}
      notes: {type: array, reduce: append}
      answer: string
    agents: {reader: {tools: [look]}}
    tools: {look: {python: "tools:look", effect: read}}
    start: read_on
    nodes:
      read_on:
        background: true
        agent: reader
        prompt: "${{ state.topic }}"
        placeholder: still reading
        save: reading
        then: reply
      reply: {set: {answer: "${{ state.reading }}"}, then: end}
"""


@dataclass
class JobBench(Bench):
    """A bench with a queue of jobs."""

    jobs: JobQueue = field(default_factory=lambda: JobQueue(MemoryThreadStore()))

    def session(self) -> Session:
        self.ran[self.graph.digest] = self.graph
        return Session(self.graph, self.store, self.desk, sinks=[self.seen], jobs=self.jobs)

    def work(self, stop: Stop | None = None, **settings: Any) -> list[Job]:
        return asyncio.run(self.awork(stop, **settings))

    async def awork(self, stop: Stop | None = None, **settings: Any) -> list[Job]:
        worker = JobWorker(self.graph, self.jobs, self.desk, [self.seen], stop=stop, **settings)
        return await worker.work("t")

    def all_jobs(self) -> list[Job]:
        return asyncio.run(self.jobs.all())


def job_bench(text: str, *replies: Reply, **tools: Any) -> JobBench:
    return JobBench(compiled(text), Desk(list(replies), tools))


def answer(outcome: Outcome) -> Any:
    assert outcome.status == "done", outcome.error
    return outcome.output["answer"]


def test_a_turn_does_not_wait_and_a_later_one_has_the_result() -> None:
    at = job_bench(SHELF, calls(("look", {})), said("A leaf is a plate."), look=lambda: "a leaf")
    assert answer(at.run(topic="leaf")) == "still reading"
    assert at.desk.asked == []
    [job] = at.work()
    assert job.status == "done"
    assert len(at.desk.asked) == 2
    assert answer(at.run(topic="leaf")) == "A leaf is a plate."
    assert len(at.desk.asked) == 2
    assert at.replay().identical


def test_the_placeholder_is_read_and_never_stored() -> None:
    at = job_bench(SHELF, said("A leaf is a plate."))
    at.run(topic="leaf")
    state = asyncio.run(at.session().store.read("t"))
    writes = [record.get("up") for _, record in state if record["kind"] == "step"]
    assert writes == [None, [["answer", "still reading"]]]


def test_the_same_work_is_asked_for_once_and_other_work_is_another_job() -> None:
    at = job_bench(SHELF, said("one"), said("two"))
    at.run(topic="leaf")
    at.run(topic="leaf")
    assert len(at.all_jobs()) == 1
    at.run(topic="root")
    assert len(at.all_jobs()) == 2
    assert {job.status for job in at.work()} == {"done"}
    assert at.replay().identical


def test_a_key_makes_other_inputs_the_same_job() -> None:
    keyed = SHELF.replace("save: reading", "save: reading\n        idempotency_key: one")
    at = job_bench(keyed, said("one"))
    at.run(topic="leaf")
    at.run(topic="root")
    assert len(at.all_jobs()) == 1


def test_results_arrive_in_the_order_of_their_keys_before_the_inputs() -> None:
    listing = SHELF.replace("save: reading", "save: notes").replace("state.reading", "state.notes")
    at = job_bench(listing, *[said(f"note {n}") for n in range(4)])
    for topic in ("a", "b", "c", "d"):
        at.run(topic=topic)
    jobs = at.work()
    found = [job.writes[0][1] for job in sorted(jobs, key=lambda job: job.key)]
    at.run(topic="a")
    [turn] = [r for r in at.records() if r["kind"] == "turn" and "jobs" in r]
    assert [writes for job in turn["jobs"] for _, writes in job["writes"]] == found
    assert at.replay().identical


def test_three_tries_then_it_has_failed_and_the_next_turn_says_so() -> None:
    at = job_bench(SHELF, *[ModelError("refused", f"no {n}") for n in range(5)])
    at.run(topic="leaf")
    [job] = at.work()
    assert (job.status, job.error["message"]) == ("failed", "no 2")
    assert len(at.desk.asked) == 3
    assert "job.failed" in at.seen.types()
    assert at.work() == []
    assert answer(at.run(topic="root")) == "still reading"
    assert "job.lost" in at.seen.types()
    assert at.replay().identical


def test_a_failed_job_that_is_asked_for_again_is_tried_again() -> None:
    at = job_bench(SHELF, *[ModelError("refused", "no")] * 3, said("A leaf."))
    at.run(topic="leaf")
    at.work()
    at.run(topic="leaf")
    [job] = at.work()
    assert job.status == "done"
    assert answer(at.run(topic="leaf")) == "A leaf."
    assert at.replay().identical


def test_a_stopped_job_goes_on_and_asks_nothing_twice() -> None:
    at = job_bench(SHELF, calls(("look", {})), look=lambda: "a leaf")
    at.run(topic="leaf")
    stop = Stop()

    async def stopping() -> ChatReply:
        asyncio.get_running_loop().call_soon(stop.set)
        await asyncio.sleep(60)
        return said("never")

    at.desk.replies.append(stopping)
    [job] = at.work(stop)
    assert job.status == "queued"
    at.desk.replies.append(said("A leaf is a plate."))
    [job] = at.work()
    assert job.status == "done"
    assert len(at.desk.asked) == 3
    assert len(at.desk.worked) == 1


def test_a_job_has_budgets_of_its_own() -> None:
    bounded = SHELF + "\n    limits: {tokens: 100000, background: {tokens: 10}}\n"
    at = job_bench(bounded, calls(("look", {})), said("never"), look=lambda: "a leaf")
    at.run(topic="leaf")
    [job] = at.work()
    assert (job.status, job.error["class"]) == ("failed", "limit")
    assert "tokens" in job.error["message"]


def test_a_cancelled_job_is_not_worked_on_and_brings_nothing() -> None:
    at = job_bench(SHELF, said("never"))
    at.run(topic="leaf")
    [job] = at.all_jobs()
    assert asyncio.run(at.jobs.cancel(job.key)).status == "cancelled"  # type: ignore[union-attr]
    assert at.work() == []
    assert at.desk.asked == []
    at.run(topic="root")
    assert [event.data["error"]["message"] for event in at.seen.events if event.type == "job.lost"] == [
        "the job was cancelled"
    ]


PAYING = """
    agentctl: 1
    name: paying
    output: [paid]
    state: {paid: {type: integer, default: 0}}
    tools: {pay: {python: "tools:pay", effect: write KEY}}
    start: pay
    nodes:
      pay: {background: true, tool: pay, save: paid, placeholder: 0, then: end}
"""


@pytest.mark.parametrize(("key", "calls_made"), [("", 1), (", idempotency_key: one", 3)])
def test_a_write_that_failed_is_made_again_only_with_a_key(key: str, calls_made: int) -> None:
    def pay() -> int:
        raise ToolError("tool_failed", "no money", retryable=False)

    at = job_bench(PAYING.replace(" KEY", key), pay=pay)
    at.run()
    [job] = at.work()
    assert job.status == "failed"
    assert len(at.desk.worked) == calls_made


TIERED = (
    SHELF
    + """
    tiers: {by: 'state.topic == "leaf" and "low" or "high"', levels: {low: {tools: []}, high: {tools: [look]}}}
"""
)


@pytest.mark.parametrize(("topic", "offered"), [("leaf", []), ("root", ["look"])])
def test_a_job_keeps_the_tier_of_the_node_that_started_it(topic: str, offered: list[str]) -> None:
    at = job_bench(
        TIERED.replace('state.topic == "leaf" and "low" or "high"', "state.topic")
        .replace("low:", "leaf:")
        .replace("high:", "root:"),
        said("x"),
    )
    at.run(topic=topic)
    at.work()
    assert [tool.name for tool in at.desk.asked[0].tools] == offered


NESTED = """
    agentctl: 1
    name: nested
    state: {n: {type: integer, default: 1}}
    tools: {look: {python: "tools:look", effect: read}}
    start: inner
    nodes:
      inner: {background: true, graph: outer, then: end}
    graphs:
      outer:
        state: {found: {type: string, default: ""}}
        start: both
        nodes:
          both: {background: true, tool: look, args: {}, save: found, placeholder: wait, then: end}
"""


def test_a_job_starts_jobs_and_they_are_worked_on_too() -> None:
    at = job_bench(NESTED, look=lambda: "found")
    at.run()
    assert [job.status for job in at.work()] == ["done", "done"]
    assert len(at.desk.worked) == 1
    at.run()
    assert at.replay().identical


def test_a_branch_starts_a_job_beside_the_others() -> None:
    at = job_bench(
        """
        agentctl: 1
        name: branches
        output: [b]
        state: {a: {type: string, default: ""}, b: {type: string, default: ""}}
        tools: {look: {python: "tools:look", effect: read}}
        start: both
        nodes:
          both:
            parallel:
              one: {background: true, tool: look, args: {n: 1}, save: a, placeholder: wait}
              two: {tool: look, args: {n: 2}, save: b}
            then: end
        """,
        look=lambda n: f"found {n}",
    )
    assert at.run().output == {"b": "found 2"}
    at.work()
    at.run()
    assert asyncio.run(at.store.read("t")) is not None
    assert [job["writes"] for r in at.records() if r["kind"] == "turn" for job in r.get("jobs", ())] == [
        [["a", "found 1"]]
    ]
    assert at.replay().identical


def test_open_jobs_outlive_a_snapshot() -> None:
    growing = SHELF.replace("then: reply\n", "then: grow\n").replace(
        "notes: {type: array, reduce: append}", "big: string"
    )
    grow = 'grow: {set: {big: "${{ state.topic }}"}, then: reply}'
    at = job_bench(growing.replace("    nodes:\n", f"    nodes:\n      {grow}\n"), said("A leaf is a plate."))
    for _ in range(6):
        at.run(topic="x" * 90_000)
    [*_, snapshot] = [record for record in at.records() if record["kind"] == "snapshot"]
    assert len(snapshot["jobs"]) == 1
    at.work()
    assert answer(at.run(topic="x" * 90_000)) == "A leaf is a plate."
    assert at.replay().identical
