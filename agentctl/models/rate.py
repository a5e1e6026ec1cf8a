"""Limits on calls of one model, kept on our side: token buckets that fill by the minute."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field

from agentctl.messages import ChatReply, ChatRequest
from agentctl.models.groups import CHARACTERS_A_TOKEN
from agentctl.models.provider import Provider, Queueing

MINUTE = 60.0
USUAL_ANSWER = 256
"""Tokens that an answer without `max_output_tokens` is taken to have, until it is there."""
SHORTEST = 1e-6
"""Seconds; what is left to wait below it is an error of arithmetic."""


@dataclass(slots=True)
class Bucket:
    """Holds what a minute allows at most, and fills evenly (a token bucket; Turner, IEEE Communications, 1986).

    It may be overdrawn: how many tokens a call takes is known when it is over.
    """

    a_minute: int
    """Units, >= 1."""
    now: Callable[[], float] = time.monotonic
    """Seconds."""
    _left: float = field(init=False)
    _seen: float = field(init=False)

    def __post_init__(self) -> None:
        self._left, self._seen = float(self.a_minute), self.now()

    def wait(self, amount: float) -> float:
        """Seconds until so much may be taken. More than a whole bucket is let through when the bucket is full."""
        self._fill()
        lacking = min(amount, self.a_minute) - self._left
        return max(0.0, lacking) * MINUTE / self.a_minute

    def take(self, amount: float) -> None:
        """Take it, or with a negative amount give it back."""
        self._fill()
        self._left = min(float(self.a_minute), self._left - amount)

    def _fill(self) -> None:
        now = self.now()
        self._left = min(float(self.a_minute), self._left + (now - self._seen) * self.a_minute / MINUTE)
        self._seen = now


class RateLimit:
    """Lets calls through in the order they came, as fast as both buckets allow. For one event loop."""

    def __init__(
        self,
        requests: int | None,
        tokens: int | None,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`requests` and `tokens` are what a minute allows; None sets no limit."""
        self._requests = Bucket(requests, now) if requests is not None else None
        self._tokens = Bucket(tokens, now) if tokens is not None else None
        self._sleep = sleep
        self._line = asyncio.Lock()

    async def admit(self, estimate: int) -> float:
        """Wait until one request of about so many tokens may be made; the seconds that were waited."""
        waited = 0.0
        async with self._line:
            while (wait := self._wait(estimate)) > SHORTEST:
                await self._sleep(wait)
                waited += wait
            self._take(1, estimate)
        return waited

    def settle(self, estimate: int, used: int) -> None:
        """A call that was let through for `estimate` tokens took `used`."""
        self._take(0, used - estimate)

    def _wait(self, estimate: int) -> float:
        of_requests = self._requests.wait(1) if self._requests is not None else 0.0
        of_tokens = self._tokens.wait(estimate) if self._tokens is not None else 0.0
        return max(of_requests, of_tokens)

    def _take(self, requests: int, tokens: int) -> None:
        if self._requests is not None:
            self._requests.take(requests)
        if self._tokens is not None:
            self._tokens.take(tokens)


class PacedProvider:
    """See Provider: another one, asked at the pace of a limit. Waiting for a turn is no time of the call."""

    def __init__(self, provider: Provider, limit: RateLimit) -> None:
        self._provider = provider
        self._limit = limit

    @asynccontextmanager
    async def turn(self, request: ChatRequest) -> AsyncIterator[None]:
        """See Queueing."""
        await self._limit.admit(_estimate(request))
        inner = self._provider.turn(request) if isinstance(self._provider, Queueing) else nullcontext()
        async with inner:
            yield

    async def chat(self, request: ChatRequest, on_delta: Callable[[str], None]) -> ChatReply:
        """See Provider."""
        reply = await self._provider.chat(request, on_delta)
        self._limit.settle(_estimate(request), reply.usage.total)
        return reply

    async def close(self) -> None:
        """See Provider."""
        await self._provider.close()


def _estimate(request: ChatRequest) -> int:
    """Tokens of a request and a short answer, before anybody has counted them."""
    said = sum(len(message.content) for message in request.messages)
    return said // CHARACTERS_A_TOKEN + (request.max_output_tokens or USUAL_ANSWER)
