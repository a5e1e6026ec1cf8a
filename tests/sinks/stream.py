"""Events as an engine publishes them, for sinks."""

from __future__ import annotations

from typing import Any

from agentctl.events import EventStream, Sink, TurnFacts

THREAD = "0199aa12-7f00-7abc-8def-0123456789ab"


def stream(*sinks: Sink) -> EventStream:
    facts = TurnFacts(run="r1", thread=THREAD, turn=1, graph="support", digest="d")
    return EventStream(facts, sinks)


def model_call(events: EventStream, step: int, *words: str, recorded: bool = False) -> None:
    place = (step, str(step))
    events.publish("model.started", *place, model="local", agent="sorter")
    for word in words:
        events.publish("model.delta", *place, text=word)
    events.publish(
        "model.ended",
        *place,
        model="local",
        usage={"input": 120, "output": 14},
        cost=None,
        seconds=1.2,
        finish="stop",
        calls=[],
        recorded=recorded,
    )


def tool_call(events: EventStream, step: int, tool: str, args: Any, **ended: Any) -> None:
    place = (step, str(step))
    memo, call = ended.pop("hit", None), ended.pop("call", "1.1")
    events.publish("tool.started", *place, tool=tool, call=call, args=args)
    if memo:
        events.publish("memo.hit", *place, tool=tool, call=call, **memo)
    shown = {
        "ok": True,
        "seconds": 0.22,
        "recorded": False,
        "memo": bool(memo),
        "result": None,
        "error": None,
    }
    events.publish("tool.ended", *place, tool=tool, call=call, **{**shown, **ended})


def step(events: EventStream, number: int, node: str, kind: str, **ended: Any) -> None:
    shown = {"status": "ok", "seconds": 1.21, "next": "end", "saved": [], "error": None, **ended}
    events.publish("step.ended", number, str(number), node=node, kind=kind, **shown)


def end(events: EventStream, status: str = "done", **more: Any) -> None:
    usage = {"input": 540, "output": 128}
    shown = {"output": {}, "steps": 2, "usage": usage, "cost": None, "seconds": 9.3, "error": None, **more}
    events.publish("run.ended", status=status, **shown)
