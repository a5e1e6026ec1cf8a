"""What a node may ask of the turn it runs in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from agentctl.graph.plan import AgentPlan, AskNode, Graph, MapNode, ParallelNode, ToolPlan
from agentctl.json import Json
from agentctl.messages import ChatReply, ChatRequest
from agentctl.state import Write


class Place(NamedTuple):
    """Where in a thread an effect belongs: the same place asks the same question in every run of it."""

    path: str
    """The step, `12`; inside it a path, `12/judge_each[3]`."""
    attempt: int = 1
    """Try of the node, 1, 2, ..."""
    reply: int = 0
    """Round of an agent's loop, 1, 2, ...; 0 outside of one."""
    call: int = 0
    """Tool call of that reply, 1, 2, ...; 0 is the reply itself."""

    @property
    def key(self) -> str:
        return f"{self.path}!{self.attempt}.{self.reply}.{self.call}"


Part = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """A place in the writes whose value is a part of a recorded effect: the log need not hold it twice."""

    at: Part
    """Index of the write, 1 for its value, then keys."""
    effect: str
    """The effect's key."""
    part: Part
    """`text` or `json` of a reply, `result` of a tool, then keys."""


class NodeResult(msgspec.Struct, frozen=True):
    """What a node wants written, and which of it is already on the tape."""

    writes: list[Write] = []
    references: tuple[Reference, ...] = ()
    next: str | None = None
    """Where to go instead of `then`."""


class Offered(NamedTuple):
    """What a model may call in one round."""

    tools: tuple[ToolPlan, ...]
    hidden: Collection[str] = ()
    """Those that it may not, because their breakers are open."""


class NodeTurn(Protocol):
    """The turn as a node sees it: names to read, and the few ways to reach the world."""

    @property
    def names(self) -> Mapping[str, Json]:
        """`state` and `run`, for expressions."""

    async def chat(self, place: Place, agent: AgentPlan, request: ChatRequest) -> ChatReply:
        """Ask the agent's model once (retries included). Raises ModelError, Cut, LimitReached."""

    async def offered(self, place: Place, agent: AgentPlan) -> Offered:
        """The tools of an agent that may be called: the tier of this node offers them, and no breaker is open.

        Raises NodeError for a tier that is none, ToolError(tool_unavailable) when a breaker hides every one.
        """

    def tell(self, place: Place, type: str, **data: Json) -> None:
        """Tell what the node does of itself, as an event."""

    def refused(self, place: Place, tool: str, reason: str) -> None:
        """Tell that a model's call was not made."""

    async def approved(self, place: Place, tool: ToolPlan, arguments: Json) -> bool:
        """Whether the call may be made: a person is asked where the tier says so. Raises Waiting."""

    async def call_tool(self, place: Place, tool: ToolPlan, arguments: Json) -> Json:
        """Call a tool with checked arguments. Raises ToolError, Cut, LimitReached."""

    async def run_graph(self, place: Place, graph: Graph, inputs: Mapping[str, Json]) -> Json:
        """The output of a graph run inside this one. Raises NodeError, Cut, LimitReached, Waiting."""

    async def fan_out(self, place: Place, node: ParallelNode | MapNode) -> NodeResult:
        """What branches, or items, come to side by side. Raises NodeError, Cut, LimitReached, Waiting."""

    async def ask(self, place: Place, node: AskNode, question: str) -> Json | None:
        """A person's answer, or None when the deadline passed. Raises Waiting."""
