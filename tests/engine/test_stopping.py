"""Stops, timers and cancellations, at the moments that are easily forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from agentctl.engine.watch import Stop
from agentctl.messages import ChatReply
from agentctl.store.memory import MemoryThreadLog, MemoryThreadStore
from tests.engine.desk import Bench, bench, calls, said

TWO = """
    agentctl: 1
    name: two
    output: [c]
    state: {c: {type: string, default: none}}
    agents: {one: {tools: [look], max_turns: 4}}
    tools: {look: {python: "tools:look", effect: read}}
    start: first
    nodes:
      first: {agent: one, prompt: a, save: c, LIMIT, then: second}
      second: {SECOND, save: c, then: end}
"""


def two(limit: str, *replies: Any, second: str = "agent: one, prompt: b", **desk: Any) -> Bench:
    return bench(TWO.replace("LIMIT", limit).replace("SECOND", second), *replies, **desk)


async def _slowly() -> ChatReply:
    await asyncio.sleep(30)
    return said("late")


class SlowLog(MemoryThreadLog):
    """As over a store that others write too: an append is made, and is waited for."""

    async def append(self, records: Sequence[Any], *, sync: bool = False) -> int:
        seq = await super().append(records, sync=sync)
        assert isinstance(self._store, SlowStore)
        self._store.appended()
        await asyncio.sleep(self._store.seconds)
        return seq


class SlowStore(MemoryThreadStore):
    def __init__(self, seconds: float, appended: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.seconds, self.appended = seconds, appended

    async def open(self, thread: str) -> MemoryThreadLog:
        self._claim(thread)
        return SlowLog(self, thread)


def test_a_stop_that_came_before_the_run_is_heard() -> None:
    at = two("max_visits: 3", said("A"), said("B"))
    stop = Stop()
    stop.set()
    assert asyncio.run(at.arun(stop)).status == "interrupted"
    assert at.desk.asked == []
    assert at.resume().output == {"c": "B"}


def test_a_stop_in_a_question_after_a_timeout_is_a_stop() -> None:
    stop = Stop()

    async def person(question: Any) -> str:
        asyncio.get_running_loop().call_soon(stop.set)
        await asyncio.sleep(30)
        return "never"

    at = two("timeout: 20ms, on_error: skip", _slowly, second='ask: "well?"', person=person)
    outcome = asyncio.run(at.arun(stop))
    assert (outcome.status, outcome.exit_code) == ("interrupted", 130)
    assert at.resume(answers={"second": "yes"}).output == {"c": "yes"}
    assert at.replay().identical


def test_a_stop_in_the_wait_before_a_retry_after_a_timeout_is_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.random", lambda: 0.9)
    stop = Stop()

    async def stopped_later() -> ChatReply:
        asyncio.get_running_loop().call_later(0.06, stop.set)
        return await _slowly()

    at = two("timeout: 20ms, retry: {attempts: 2}", stopped_later, said("A"), said("B"))
    assert asyncio.run(at.arun(stop)).status == "interrupted"
    assert at.resume().output == {"c": "B"}
    assert at.replay().identical


@pytest.mark.parametrize("number", range(12))
def test_a_stop_while_a_record_is_written_loses_nothing(number: int) -> None:
    at = two("max_visits: 3", said("A"), calls(("look", {})), said("B"), tools={"look": lambda: 7})
    stop, appended = Stop(), iter(range(100))
    at.store = SlowStore(0.002, lambda: stop.set() if next(appended) == number else None)
    outcome = asyncio.run(at.arun(stop))
    assert outcome.status in ("interrupted", "done")
    if outcome.status == "interrupted":
        outcome = at.resume()
    assert outcome.output == {"c": "B"}
    assert len(at.desk.worked) == 1
    assert at.replay().identical


def test_a_timer_that_rings_while_the_last_answer_is_written_cuts_nothing_after_it() -> None:
    at = two("timeout: 10ms", said("A"), said("B"))
    at.store = SlowStore(0.03)
    assert at.run().output == {"c": "B"}
    assert at.replay().identical


def test_a_timeout_begins_no_further_call_of_the_same_reply() -> None:
    async def slow() -> int:
        await asyncio.sleep(0.5)
        return 1

    many = calls(*[("look", {})] * 10)
    at = two("timeout: 30ms, on_error: skip", many, said("B"), tools={"look": slow})
    outcome = at.run()
    assert (outcome.output, len(at.desk.worked)) == ({"c": "B"}, 8)
    assert outcome.seconds < 0.4
    assert at.replay().identical


def test_a_run_cancelled_from_outside_can_be_resumed() -> None:
    at = two("max_visits: 3", said("A"), _slowly, said("B"))

    async def cancelled() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(at.arun(), 0.05)

    asyncio.run(cancelled())
    assert at.resume().output == {"c": "B"}
    assert len(at.desk.asked) == 3
    assert at.replay().identical
