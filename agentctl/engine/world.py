"""The live world of a turn: models, tools and people. A replay has none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Protocol

from agentctl.engine.signals import Question
from agentctl.graph.plan import Model, ToolPlan
from agentctl.json import Json
from agentctl.messages import ChatRequest
from agentctl.models.groups import Hearing, ModelAnswer
from agentctl.tools.call import Answered, Call

Ask = Callable[[Question], Awaitable[Json]]
"""Asks a person who is there now, and waits for the answer."""


class World(Protocol):
    """What live effects reach."""

    @property
    def ask(self) -> Ask | None: ...

    async def chat(
        self,
        model: Model,
        request: ChatRequest,
        hearing: Hearing,
    ) -> ModelAnswer:
        """A reply, and what it took. The model's choices are made. Raises ModelError, CannotRun."""

    async def call_tool(self, call: Call) -> Answered:
        """A tool's result. Raises ToolError."""

    async def open_breakers(self, tools: Sequence[ToolPlan]) -> Collection[str]:
        """The names of those tools that would be refused now, because too many calls of them failed."""

    def code_digest(self, tool: ToolPlan) -> str:
        """Digest of a tool's code."""

    def now(self) -> float:
        """Unix seconds."""
