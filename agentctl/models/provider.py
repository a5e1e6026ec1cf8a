"""What a provider of models has to do; entry points of the group `agentctl.providers` name them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from agentctl.json import Json
from agentctl.messages import ChatReply, ChatRequest, Usage
from agentctl.models.settings import ModelSettings


class Provider(Protocol):
    """Answers requests. Made once for an address and a key, used from any event loop, kept warm."""

    async def chat(self, request: ChatRequest, on_delta: Callable[[str], None]) -> ChatReply:
        """One try at a whole reply; `on_delta` gets its text as it comes. Raises ModelError, CannotRun.

        Cancelling it ends the work on the other side as well.
        """

    async def close(self) -> None: ...


@runtime_checkable
class Queueing(Protocol):
    """A provider whose callers wait for a turn; the waiting does not count as time of the call."""

    def turn(self, request: ChatRequest) -> AbstractAsyncContextManager[None]: ...


@runtime_checkable
class Embedding(Protocol):
    """A provider whose models turn texts into vectors."""

    async def embed(
        self, model: str, texts: Sequence[str], extra: Mapping[str, Json]
    ) -> tuple[list[Sequence[float]], Usage]:
        """One try at the vectors of all the texts, in their order. Raises ModelError, CannotRun."""
        ...


@runtime_checkable
class Checkable(Protocol):
    """A provider that can tell before a call that the call would fail."""

    def check(self, model: str) -> None:
        """Look whether the key, the file or whatever the model needs is there. Raises CannotRun, UsageError."""
        ...


@runtime_checkable
class Warmable(Protocol):
    """A provider that can be made ready before it is asked."""

    async def warm(self, model: str) -> None:
        """Open the connection, or load the model. Raises ModelError, CannotRun."""
        ...


class ProviderFactory(Protocol):
    """What an entry point holds: usually the provider's class."""

    def __call__(self, settings: ModelSettings) -> Provider: ...
