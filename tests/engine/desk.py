"""A world for engine tests that keeps its Protocol: replies come from a list, tools are plain functions."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from agentctl.engine.outcome import Outcome
from agentctl.engine.replay import ReplayReport, replay
from agentctl.engine.session import Request, Session
from agentctl.engine.signals import Question
from agentctl.engine.watch import Stop
from agentctl.errors import ModelError
from agentctl.events import Event
from agentctl.graph.compile import compile_graph
from agentctl.graph.plan import Graph, Model, ToolPlan
from agentctl.json import encode
from agentctl.messages import ChatReply, ChatRequest, ToolCall, Usage
from agentctl.models.groups import Hearing, ModelAnswer
from agentctl.spec.document import document_from_texts
from agentctl.store.memory import MemoryThreadStore
from agentctl.store.protocols import ThreadStore
from agentctl.tools.breaker import ToolBreakers
from agentctl.tools.call import Answered, Call, ToolCaller

Json = Any


def compiled(text: str, **others: str) -> Graph:
    """The graph of a YAML text; its tools need no code, and take anything."""
    document = document_from_texts("graph.yaml", {"graph.yaml": textwrap.dedent(text), **others})
    assert not [f for f in document.findings if f.severity == "error"], document.findings
    tools = document.data.get("tools", {})
    signatures = {name: [_open(tool), ""] for name, tool in tools.items()}
    return compile_graph(document, recorded=signatures)


def _open(tool: Json) -> Json:
    from agentctl.spec.types import fields_schema

    return fields_schema(tool["parameters"]) if "parameters" in tool else {"type": "object"}


def said(text: Json, **usage: int) -> ChatReply:
    """A reply in words, or, for anything but text, in JSON."""
    body = text if isinstance(text, str) else encode(text).decode()
    return ChatReply(text=body, usage=Usage(input=usage.get("input", 10), output=usage.get("output", 5)))


def calls(*named: tuple[str, Json]) -> ChatReply:
    """A reply that calls tools."""
    wishes = tuple(ToolCall(f"c{n}", name, args) for n, (name, args) in enumerate(named))
    return ChatReply(calls=wishes, finish="tool_calls", usage=Usage(input=10, output=5))


Reply = ChatReply | Exception | Callable[[], Awaitable[ChatReply]]


@dataclass
class Desk:
    """See engine.World. `asked` are the model calls, `worked` the tool calls that were made."""

    replies: list[Reply] = field(default_factory=list)
    tools: Mapping[str, Callable[..., Json]] = field(default_factory=dict)
    person: Callable[[Question], Awaitable[Json]] | None = None
    asked: list[ChatRequest] = field(default_factory=list)
    worked: list[tuple[str, Json, str | None]] = field(default_factory=list)
    clock: float = 1_000_000.0
    price: float | None = 0.0
    memo: Any = None
    breakers: ToolBreakers | None = None

    def __post_init__(self) -> None:
        self.caller = ToolCaller(self._work, self.memo, breakers=self.breakers)

    @property
    def ask(self) -> Callable[[Question], Awaitable[Json]] | None:
        return self.person

    async def chat(self, model: Model, request: ChatRequest, hearing: Hearing) -> ModelAnswer:
        self.asked.append(request)
        await asyncio.sleep(0)
        if not self.replies:
            raise ModelError("server", "the script is over")
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        if callable(reply):
            reply = await reply()
        hearing.on_delta(reply.text)
        return ModelAnswer.of(reply, model.reference, self.price)

    async def call_tool(self, call: Call) -> Answered:
        return await self.caller.call(call)

    async def _work(self, call: Call) -> Json:
        self.worked.append((call.tool.name, call.arguments, call.idempotency_key))
        result = self.tools[call.tool.name](**call.arguments)
        return await result if asyncio.iscoroutine(result) else result

    async def open_breakers(self, tools: Sequence[ToolPlan]) -> Collection[str]:
        return () if self.breakers is None else await self.breakers.refusing(tools)

    def code_digest(self, tool: ToolPlan) -> str:
        return "code"

    def now(self) -> float:
        return self.clock


@dataclass
class Seen:
    """A sink that keeps every event."""

    events: list[Event] = field(default_factory=list)

    def wants(self, type: str) -> bool:
        return True

    def emit(self, event: Event) -> None:
        self.events.append(event)

    async def settle(self) -> None: ...

    async def close(self) -> None: ...

    def types(self) -> list[str]:
        return [event.type for event in self.events]


@dataclass
class Bench:
    """A graph, a store and a world; `run` begins a turn on thread `t`."""

    graph: Graph
    desk: Desk
    store: ThreadStore = field(default_factory=MemoryThreadStore)
    seen: Seen = field(default_factory=Seen)
    secrets: Sequence[str] = ()
    ran: dict[str, Graph] = field(default_factory=dict)
    """The graphs that ran, by digest."""

    def session(self) -> Session:
        self.ran[self.graph.digest] = self.graph
        return Session(self.graph, self.store, self.desk, sinks=[self.seen], secrets=self.secrets)

    async def arun(self, stop: Stop | None = None, abandon: bool = False, **inputs: Json) -> Outcome:
        return await self.session().run("t", Request(inputs=inputs, abandon=abandon), stop)

    def run(self, abandon: bool = False, **inputs: Json) -> Outcome:
        return asyncio.run(self.arun(abandon=abandon, **inputs))

    def resume(self, **request: Json) -> Outcome:
        return asyncio.run(self.session().resume("t", Request(**request)))

    def records(self) -> list[Json]:
        return [record for _, record in asyncio.run(self.store.read("t"))]

    def route(self) -> list[str]:
        return [record["node"] for record in self.records() if record["kind"] == "step"]

    def replay(self, graph: Graph | None = None) -> ReplayReport:
        rows = asyncio.run(self.store.read("t"))
        return asyncio.run(replay("t", rows, lambda turn: graph or self.ran.get(turn["digest"], self.graph)))


def bench(
    text: str, *replies: Reply, tools: Mapping[str, Callable[..., Json]] | None = None, **desk: Any
) -> Bench:
    return Bench(compiled(text), Desk(list(replies), tools or {}, **desk))
