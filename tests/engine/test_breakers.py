"""Breakers in a turn: refused calls on the tape, tools hidden from models, and the same again after a kill and in a replay."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from agentctl.engine.watch import Stop
from agentctl.errors import CannotRun, ToolError
from agentctl.store.memory import MemoryBreakers, MemoryMemo
from agentctl.store.protocols import CLOSED, BreakerState
from agentctl.tools.breaker import ToolBreakers
from tests.engine.desk import Bench, bench, calls, compiled, said
from tests.tools.breaking import SetClock

Json = Any

AGENT = """
    agentctl: 1
    name: desk
    output: [answer]
    state:
      answer: {type: string, default: ""}
    tools:
      look: {python: "tools:look", effect: read, parameters: {}, retry: {attempts: 1}, breaker: {failures: 2}}
      dig: {python: "tools:dig", effect: read, parameters: {}}
    agents:
      guide: {tools: [look, dig]}
    start: answer
    nodes:
      answer: {agent: guide, prompt: hi, save: answer, then: end, on_error: {tool_unavailable: without}}
      without: {set: {answer: nothing works}, then: end}
"""
LONE = AGENT.replace("tools: [look, dig]", "tools: [look]")
NODE = """
    agentctl: 1
    name: pay
    output: [answer]
    state:
      answer: {type: string, default: ""}
    tools:
      look:
        python: tools:look
        effect: write
        parameters: {}
        max_calls: 2
        breaker: {failures: 2}
    start: go
    nodes:
      go: {tool: look, args: {}, save: answer, retry: {attempts: 3}, then: end, on_error: {tool_unavailable: without, else: broken}}
      without: {set: {answer: later}, then: end}
      broken: {set: {answer: broken}, then: end}
"""


@dataclass
class Service:
    """What the tools ask: it fails while it is down."""

    down: bool = True
    store: MemoryBreakers = field(default_factory=MemoryBreakers)
    clock: SetClock = field(default_factory=SetClock)

    def look(self) -> str:
        if self.down:
            raise ToolError("timeout", "no answer")
        return "seen"

    def desk(self, text: str, *replies: Any, tools: dict[str, Callable[..., Json]] | None = None) -> Bench:
        breakers = ToolBreakers(self.store, lambda tool: tool.name, self.clock)
        known = {"look": self.look, "dig": lambda: "dug", **(tools or {})}
        return bench(text, *replies, tools=known, breakers=breakers)

    def opened(self) -> Service:
        asyncio.run(self.open())
        return self

    async def open(self) -> None:
        """Two calls of some other run fail."""
        now = self.clock()
        await self.store.change("look", lambda state: BreakerState(failures=2, opened=now))


def shown(one: Bench) -> list[list[str]]:
    """The tools of each request to a model."""
    return [[offer.name for offer in request.tools] for request in one.desk.asked]


def told(one: Bench, type: str) -> list[dict[str, Json]]:
    return [event.data for event in one.seen.events if event.type == type]


def hidden(one: Bench) -> list[Json]:
    return [record for record in one.records() if record.get("of") == "breakers"]


def test_a_tool_node_that_is_refused_goes_where_tool_unavailable_says() -> None:
    one = Service().desk(NODE.replace("attempts: 3", "attempts: 1"))
    assert [one.run().output["answer"] for _ in range(3)] == ["broken", "broken", "later"]
    assert len(one.desk.worked) == 2
    assert [type for type in one.seen.types() if type.startswith("breaker.")] == [
        "breaker.opened",
        "breaker.refused",
    ]
    (refused,) = told(one, "breaker.refused")
    assert refused["tool"] == "look"
    assert 0 < refused["retry_in"] <= 60
    assert one.replay().identical


def test_a_refused_call_uses_no_budget_makes_no_intent_and_is_not_tried_again() -> None:
    one = Service().opened().desk(NODE)
    outcome = one.run()
    assert (outcome.output, outcome.tool_calls) == ({"answer": "later"}, 0)
    kinds = [record["kind"] for record in one.records()]
    assert "intent" not in kinds
    (refused,) = [record for record in one.records() if record.get("of") == "tool"]
    assert refused["err"]["class"] == "tool_unavailable"
    assert refused["err"]["message"].startswith("tool `look` is not called: its last 2 calls failed")
    assert one.replay().identical


def test_an_open_breaker_hides_its_tool_from_the_model_and_the_tape_says_so() -> None:
    one = Service().opened().desk(AGENT, calls(("dig", {})), said("done"))
    assert one.run().output == {"answer": "done"}
    assert shown(one) == [["dig"], ["dig"]]
    assert [record["res"] for record in hidden(one)] == [["look"], ["look"]]
    assert one.replay().identical


def test_a_breaker_that_opens_in_mid_conversation_hides_its_tool_from_the_next_round_on() -> None:
    one = Service().desk(AGENT, calls(("look", {}), ("look", {})), calls(("look", {})), said("sorry"))
    assert one.run().output == {"answer": "sorry"}
    assert shown(one) == [["look", "dig"], ["dig"], ["dig"]]
    (refused,) = told(one, "tool.refused")
    assert refused["reason"] == "its breaker is open"
    assert one.replay().identical


def test_nothing_is_on_the_tape_while_nothing_is_hidden() -> None:
    one = Service(down=False).desk(AGENT, calls(("look", {})), said("done"))
    one.run()
    assert shown(one) == [["look", "dig"]] * 2
    assert hidden(one) == []


def test_after_the_cooldown_the_model_is_shown_the_tool_and_its_call_is_the_trial() -> None:
    service = Service().opened()
    service.clock.pass_by(60)
    service.down = False
    one = service.desk(AGENT, calls(("look", {})), said("done"))
    one.run()
    assert shown(one) == [["look", "dig"]] * 2
    assert [type for type in one.seen.types() if type.startswith("breaker.")] == [
        "breaker.half_open",
        "breaker.closed",
    ]
    assert one.replay().identical


def test_with_every_tool_hidden_the_model_is_not_asked() -> None:
    one = Service().opened().desk(LONE, said("never"))
    outcome = one.run()
    assert (outcome.output, outcome.model_calls) == ({"answer": "nothing works"}, 0)
    assert one.desk.asked == []
    assert one.replay().identical


def test_killed_after_a_tool_was_hidden_it_stays_hidden_where_the_turn_goes_on() -> None:
    service = Service().opened()
    one = service.desk(AGENT, CannotRun("the provider is gone"), said("done"))
    assert one.run().exit_code == 3
    asyncio.run(service.store.change("look", lambda state: CLOSED))
    assert one.resume().output == {"answer": "done"}
    assert shown(one) == [["dig"], ["dig"]]
    assert len(hidden(one)) == 1
    assert one.replay().identical


def test_killed_after_a_tool_was_shown_it_stays_shown_where_the_reply_is_on_the_tape() -> None:
    service = Service(down=False)

    async def dig() -> str:
        await service.open()
        raise CannotRun("the disk is gone")

    one = service.desk(AGENT, calls(("dig", {}), ("look", {})), said("done"), tools={"dig": dig})
    assert one.run().exit_code == 3
    one.desk.tools = {**one.desk.tools, "dig": lambda: "dug"}
    assert one.resume().output == {"answer": "done"}
    assert shown(one) == [["look", "dig"], ["dig"]]
    assert one.replay().identical


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda record: None, "D12"),
        (lambda record: {**record, "res": []}, "D12"),
        (lambda record: {**record, "res": ["look", "dig"]}, "D14"),
    ],
    ids=["removed", "emptied", "another"],
)
def test_a_tape_that_says_otherwise_is_found(change: Callable[[Json], Json], code: str) -> None:
    one = Service().opened().desk(AGENT, said("done"))
    one.run()
    read = one.store.read

    async def changed(*place: Any) -> list[tuple[int, Json]]:
        rows = [
            (n, change(record) if record.get("of") == "breakers" else record)
            for n, record in await read(*place)
        ]
        return [(n, record) for n, record in rows if record is not None]

    one.store.read = changed  # type: ignore[method-assign]
    (divergence,) = one.replay().divergences
    assert divergence.code == code


def test_a_replay_with_a_file_without_the_breaker_names_what_was_hidden() -> None:
    one = Service().opened().desk(AGENT, said("done"))
    one.run()
    (divergence,) = one.replay(compiled(AGENT.replace(", breaker: {failures: 2}", ""))).divergences
    assert (divergence.code, divergence.step, divergence.node) == ("D14", 1, "answer")
    assert (
        divergence.message == "tools were hidden from the model whose breakers were open, and have none now"
    )
    assert (divergence.expected, divergence.actual) == (["look"], [])


def test_a_remembered_answer_is_given_though_the_breaker_is_open() -> None:
    text = NODE.replace("effect: write", "effect: read\n        cache: true")
    service = Service(down=False)
    one = service.desk(text)
    one.desk.memo = MemoryMemo()
    one.desk.__post_init__()
    assert one.run().output == {"answer": "seen"}
    service.opened()
    outcome = one.run()
    assert (outcome.output, outcome.memo_hits) == ({"answer": "seen"}, 1)


@pytest.mark.parametrize("cut", ["timeout of the node", "stop"])
def test_a_call_that_is_cut_short_by_others_does_not_count(cut: str) -> None:
    service = Service()
    began = asyncio.Event()

    async def look() -> str:
        began.set()
        await asyncio.Event().wait()
        return "never"

    text = NODE.replace("failures: 2", "failures: 1").replace("attempts: 3", "attempts: 1")
    if cut != "stop":
        text = text.replace("then: end, on_error", "timeout: 100ms, then: end, on_error", 1)
    one = service.desk(text, tools={"look": look})

    async def work() -> None:
        stop = Stop()
        running = asyncio.create_task(one.arun(stop))
        await began.wait()
        if cut == "stop":
            stop.set()
        await running

    asyncio.run(work())
    assert asyncio.run(service.store.get("look")) == CLOSED
    assert not [type for type in one.seen.types() if type.startswith("breaker.")]


NESTED = """
    agentctl: 1
    name: pay
    output: [answer]
    state:
      answer: {type: string, default: ""}
    tools:
      seek: {python: "tools:seek", effect: read, parameters: {}, retry: {attempts: 1}}
      look: {graph: lookup, breaker: {failures: 2}}
    graphs:
      lookup:
        output: [found]
        state:
          found: {type: string, default: ""}
        start: seek
        nodes:
          seek: {tool: seek, args: {}, save: found, then: end}
    start: go
    nodes:
      go: {tool: look, args: {}, then: end, on_error: {tool_unavailable: without, else: broken}}
      without: {set: {answer: later}, then: end}
      broken: {set: {answer: broken}, then: end}
"""


def test_a_graph_that_is_a_tool_has_a_breaker_too() -> None:
    service = Service()
    one = service.desk(NESTED, tools={"seek": service.look})
    assert [one.run().output["answer"] for _ in range(3)] == ["broken", "broken", "later"]
    assert [name for name, _, _ in one.desk.worked] == ["seek", "seek"]
    assert one.replay().identical
