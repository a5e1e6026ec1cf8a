"""The live world of a turn: models, tools and people. A replay has none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from agentctl.engine.signals import Question
from agentctl.errors import AgentctlError
from agentctl.graph.plan import ModelPlan, ToolPlan
from agentctl.json import Json
from agentctl.messages import ChatReply, ChatRequest
from agentctl.tools.call import Answered, Call

Ask = Callable[[Question], Awaitable[Json]]
"""Asks a person who is there now, and waits for the answer."""
OnRetry = Callable[[AgentctlError, float], None]


class World(Protocol):
    """What live effects reach."""

    @property
    def ask(self) -> Ask | None: ...

    async def chat(
        self,
        model: ModelPlan,
        request: ChatRequest,
        on_delta: Callable[[str], None],
        on_retry: OnRetry,
    ) -> tuple[ChatReply, float | None]:
        """A reply and its cost in US dollars, None when there is no price. Raises ModelError, CannotRun."""

    async def call_tool(self, call: Call) -> Answered:
        """A tool's result. Raises ToolError."""

    async def open_breakers(self, tools: Sequence[ToolPlan]) -> Collection[str]:
        """The names of those tools that would be refused now, because too many calls of them failed."""

    def code_digest(self, tool: ToolPlan) -> str:
        """Digest of a tool's code."""

    def now(self) -> float:
        """Unix seconds."""
