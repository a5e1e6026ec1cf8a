"""A call to a model: its timeout, its retries, its price, and the providers kept for the next one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from importlib.metadata import EntryPoint, entry_points

from agentctl.errors import CannotRun, ModelError, UsageError
from agentctl.messages import ChatReply, ChatRequest, Usage
from agentctl.models.kept import kept, kept_text
from agentctl.models.provider import Provider, ProviderFactory, Queueing
from agentctl.models.settings import ModelSettings, split_name
from agentctl.retry import Backoff
from agentctl.spec.model import Price

__all__ = ["LONGEST_WAIT", "ModelSettings", "ProviderPool", "call_model", "cost_of", "split_name"]

LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more is given up, never asked sooner than it said."""

GROUP = "agentctl.providers"


async def call_model(
    provider: Provider,
    request: ChatRequest,
    *,
    timeout: float,
    backoff: Backoff,
    on_delta: Callable[[str], None],
    on_retry: Callable[[ModelError, float], None],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> ChatReply:
    """A whole reply, tried again where that can help; what a failed try said is void from `on_retry` on.

    `timeout` is in seconds and bounds each try. Raises the ModelError of the last try.
    """
    tries = 0
    while True:
        tries += 1
        try:
            return await _one_try(provider, request, timeout, on_delta)
        except ModelError as error:
            wait = backoff.wait(tries, retry_after=error.retry_after)
            if not error.retryable or tries >= backoff.attempts or wait > LONGEST_WAIT:
                raise
            on_retry(error, wait)
        await sleep(wait)


async def _one_try(
    provider: Provider, request: ChatRequest, timeout: float, on_delta: Callable[[str], None]
) -> ChatReply:
    async with _turn(provider, request):
        deadline = asyncio.timeout(timeout)
        try:
            async with deadline:
                return kept(await provider.chat(request, lambda text: on_delta(kept_text(text))))
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise ModelError(
                "timeout",
                f"the model gave no whole answer within {timeout:g}s",
                hint="raise its `timeout`, or ask for less",
                retryable=True,
            ) from error


def _turn(provider: Provider, request: ChatRequest) -> AbstractAsyncContextManager[None]:
    return provider.turn(request) if isinstance(provider, Queueing) else nullcontext()


def cost_of(usage: Usage, price: Price | None) -> float | None:
    """US dollars; None when the price is not known."""
    if price is None:
        return None
    cached_price = price.cached if isinstance(price.cached, float | int) else price.input
    uncached = usage.input - usage.cached
    total = uncached * price.input + usage.cached * cached_price + usage.output * price.output
    return total / 1_000_000


class ProviderPool:
    """Providers by (provider, address, key), each loaded and made when it is first asked for."""

    def __init__(self) -> None:
        self._providers: dict[tuple[str, str | None, str | None], Provider] = {}

    async def get(self, settings: ModelSettings) -> Provider:
        """The provider of a model. Raises UsageError for one that does not exist."""
        key = (settings.provider, settings.base_url, settings.api_key)
        known = self._providers.get(key)
        if known is None:
            # In a thread: some take a second to import, and Ctrl-C must work meanwhile.
            factory = await asyncio.to_thread(_load, settings.provider)
            known = self._providers.setdefault(key, factory(settings))
        return known

    async def close(self) -> None:
        """Close every provider; the next `get` makes new ones."""
        providers, self._providers = self._providers, {}
        for provider in providers.values():
            await provider.close()


def _load(name: str) -> ProviderFactory:
    point = _entry_point(name)
    try:
        factory: ProviderFactory = point.load()
    except (ImportError, AttributeError) as error:
        raise CannotRun(
            f"the provider `{name}` cannot be loaded: {error}",
            hint=f"install what `{point.value}` needs",
        ) from error
    return factory


def _entry_point(name: str) -> EntryPoint:
    points = entry_points(group=GROUP)
    if name in points.names:
        return points[name]
    if not points.names:
        raise CannotRun(
            "no provider of models is installed, not even agentctl's own",
            hint="install agentctl with pip instead of running it from its folder",
        )
    raise UsageError(_unknown(name, points.names))


def _unknown(name: str, known: set[str]) -> str:
    names = ", ".join(f"`{other}`" for other in sorted(known))
    return f"there is no model provider `{name}`; write PROVIDER/MODEL with one of {names}"
