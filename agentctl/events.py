"""What happens in a turn, as one ordered stream; logs, metrics and the live view are sinks of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from agentctl.ids import new_uuid
from agentctl.json import Json


class TurnFacts(msgspec.Struct, kw_only=True):
    """What all events of one turn share; built once."""

    run: str
    thread: str
    turn: int
    graph: str
    digest: str
    thread_name: str = ""
    tenant: str = ""
    tier: str = ""
    variants: dict[str, str] = {}


class Event(msgspec.Struct, frozen=True):
    """One thing that happened. `time` is Unix seconds; `data` depends on `type`."""

    facts: TurnFacts
    seq: int
    time: float
    type: str
    step: int
    path: str
    attempt: int
    data: dict[str, Json]

    def envelope(self) -> dict[str, Json]:
        """The event as outside sinks see it (version 1)."""
        facts = self.facts
        return {
            "v": 1,
            "id": f"{facts.run}/{self.seq}",
            "seq": self.seq,
            "time": self.time,
            "type": self.type,
            "run": facts.run,
            "thread": facts.thread,
            "thread_name": facts.thread_name,
            "turn": facts.turn,
            "step": self.step,
            "path": self.path,
            "attempt": self.attempt,
            "tenant": facts.tenant,
            "tier": facts.tier,
            "variants": facts.variants,
            "graph": facts.graph,
            "digest": facts.digest,
            "data": self.data,
        }


class Sink(Protocol):
    """Takes events; `wants` is asked before an event is built."""

    def wants(self, type: str) -> bool: ...

    def emit(self, event: Event) -> None:
        """Take one event, at once; must not block."""

    async def settle(self) -> None:
        """Wait until everything taken is where it belongs."""

    async def close(self) -> None: ...


@dataclass(slots=True)
class EventStream:
    """The events of one turn, numbered from 1 and handed to every sink that wants them, in order."""

    facts: TurnFacts
    sinks: Sequence[Sink] = ()
    seq: int = 0
    wanted: dict[str, tuple[Sink, ...]] = field(default_factory=dict)
    """The sinks that want a type, asked once for each type."""

    def wants(self, type: str) -> bool:
        """Whether any sink wants events of this type; what the answer costs is paid once."""
        return bool(self._who_wants(type))

    def publish(self, type: str, step: int = 0, path: str = "", attempt: int = 1, /, **data: Json) -> None:
        """Number an event and hand it to the sinks."""
        self.seq += 1
        sinks = self._who_wants(type)
        if not sinks:
            return
        event = Event(self.facts, self.seq, time.time(), type, step, path, attempt, data)
        for sink in sinks:
            sink.emit(event)

    async def settle(self) -> None:
        for sink in self.sinks:
            await sink.settle()

    def _who_wants(self, type: str) -> tuple[Sink, ...]:
        known = self.wanted.get(type)
        if known is None:
            known = self.wanted[type] = tuple(sink for sink in self.sinks if sink.wants(type))
        return known


def new_run_id() -> str:
    """A run's id when the file does not say how it is built."""
    return new_uuid()
