"""The graphs that the benchmarks run, and a world that answers at once."""

from __future__ import annotations

import textwrap
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from agentctl.engine.outcome import Outcome
from agentctl.engine.session import Request, Session
from agentctl.events import Event, Sink
from agentctl.graph.compile import compile_graph
from agentctl.graph.plan import Graph, Model, ToolPlan
from agentctl.json import Json
from agentctl.messages import ChatReply, ChatRequest, Usage
from agentctl.models.groups import Hearing, ModelAnswer
from agentctl.spec.document import document_from_texts
from agentctl.store.protocols import Memo, ThreadStore
from agentctl.tools.call import Answered, Call, ToolCaller

LIMITS = "limits: {recursion: 10000000, tool_calls: 10000000, time: 10h, state_size: 1GB}"
LOOP = f"""
    agentctl: 1
    name: loop
    input: [goal]
    output: [count]
    state:
      goal: integer
      count: {{type: integer, default: 0}}
    {LIMITS}
    start: work
    nodes:
      work:
        set:
          count: ${{{{ state.count + 1 }}}}
        then: more
    routers:
      more:
        - {{when: state.count < state.goal, to: work}}
        - {{else: end}}
"""
"""One set node and a router by condition: what the engine costs when the work costs nothing."""
NOTES = LOOP.replace(
    "default: 0}", "default: 0}\n      notes: {type: array, items: string, reduce: append}"
).replace("state.count + 1 }}", "state.count + 1 }}\n          notes: note ${{ state.count }}")
"""The same with a field that grows by one item a step."""
WRITES = LOOP.replace(
    """        set:
          count: ${{ state.count + 1 }}
""",
    """        tool: bump
        args:
          count: ${{ state.count + 1 }}
        save: [count]
""",
).replace(
    "    start: work",
    """    tools:
      bump:
        python: tools:bump
        parameters: {count: integer}
        effect: write
        in_process: true
        idempotency_key: ${{ args.count }}
    start: work""",
)
"""The same where each step is a write, whose intent and result are synced."""
CHAT = f"""
    agentctl: 1
    name: chat
    input: [goal]
    output: [talk]
    state:
      goal: integer
      talk: messages
    {LIMITS}
    start: speak
    agents:
      poet:
        model: poet
        instructions: Answer.
    models:
      poet: {{model: scripted/none.yaml}}
    nodes:
      speak:
        agent: poet
        prompt: Go on.
        history: talk
        then: more
    routers:
      more:
        - {{when: state.talk | length < 2 * state.goal, to: speak}}
        - {{else: end}}
"""
"""An agent that talks to itself, its whole history before it."""


def graph_of(text: str) -> Graph:
    """The graph of a YAML text, compiled; its tools have no code and take any object."""
    document = document_from_texts("graph.yaml", {"graph.yaml": textwrap.dedent(text)})
    assert not [finding for finding in document.findings if finding.severity == "error"], document.findings
    tools = {name: [{"type": "object"}, ""] for name in document.data.get("tools", {})}
    return compile_graph(document, recorded=tools)


@dataclass
class Script:
    """A World whose model says what it is given, and whose tools are functions."""

    reply: Callable[[ChatRequest], str] = lambda request: "yes"
    work: Callable[[Json], Json] = lambda arguments: arguments
    memo: Memo | None = None
    ask: None = None
    clock: float = 0.0
    caller: ToolCaller = field(init=False)

    def __post_init__(self) -> None:
        self.caller = ToolCaller(self._work, self.memo)

    async def chat(self, model: Model, request: ChatRequest, hearing: Hearing) -> ModelAnswer:
        """See World."""
        text = self.reply(request)
        hearing.on_delta(text)
        return ModelAnswer.of(ChatReply(text=text, usage=Usage(input=10, output=50)), model.reference, 0.0)

    async def call_tool(self, call: Call) -> Answered:
        """See World."""
        return await self.caller.call(call)

    async def open_breakers(self, tools: Sequence[ToolPlan]) -> Collection[str]:
        return ()

    def code_digest(self, tool: ToolPlan) -> str:
        """See World."""
        return "code"

    def now(self) -> float:
        """See World."""
        return self.clock

    async def _work(self, call: Call) -> Json:
        return self.work(call.arguments)


@dataclass
class OneEvent:
    """A sink that takes the events of one type."""

    type: str = "step.ended"
    taken: int = 0
    at: Callable[[], None] | None = None

    def wants(self, type: str) -> bool:
        return type == self.type

    def emit(self, event: Event) -> None:
        self.taken += 1
        if self.at is not None:
            self.at()

    async def settle(self) -> None: ...

    async def close(self) -> None: ...


def run(
    graph: Graph,
    store: ThreadStore,
    thread: str,
    inputs: Mapping[str, Json],
    *,
    world: Script | None = None,
    sinks: Sequence[Sink] = (),
) -> Awaitable[Outcome]:
    """One turn of a graph."""
    return Session(graph, store, world or Script(), sinks=sinks).run(thread, Request(inputs=inputs))
