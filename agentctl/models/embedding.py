"""Texts turned into vectors: by a provider's model, in batches tried again where that can help."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from agentctl.errors import CannotRun, ModelError
from agentctl.models.calling import LONGEST_WAIT, ProviderPool, cost_of
from agentctl.models.provider import Embedding
from agentctl.models.settings import ModelSettings
from agentctl.retry import Backoff
from agentctl.store.documents.documents import Charge

BATCH = 64
"""Texts of one request: of 800 characters each they stay within what servers take at once."""


class ProviderEmbedder:
    """An Embedder: a model of a provider that makes embeddings."""

    def __init__(
        self, providers: ProviderPool, settings: ModelSettings, backoff: Backoff | None = None
    ) -> None:
        self._providers = providers
        self._settings = settings
        self._backoff = backoff or Backoff(attempts=settings.attempts)

    @property
    def identity(self) -> str:
        return f"{self._settings.provider}/{self._settings.model}"

    async def embed(self, texts: Sequence[str], charge: Charge) -> list[Sequence[float]]:
        """See Embedder. Each batch is charged as it is answered."""
        provider = await self._providers.get(self._settings)
        if not isinstance(provider, Embedding):
            raise CannotRun(
                f"the provider `{self._settings.provider}` makes no embeddings",
                hint="write `embed: true` for the embedded ones, or `embed: openai/MODEL`",
            )
        found: list[Sequence[float]] = []
        for start in range(0, len(texts), BATCH):
            found += await self._batch(provider, texts[start : start + BATCH], charge)
        return found

    async def _batch(
        self, provider: Embedding, texts: Sequence[str], charge: Charge
    ) -> list[Sequence[float]]:
        tries = 0
        while True:
            tries += 1
            try:
                return await self._one_try(provider, texts, charge)
            except ModelError as error:
                wait = self._backoff.wait(tries, retry_after=error.retry_after)
                if not error.retryable or tries >= self._backoff.attempts or wait > LONGEST_WAIT:
                    raise
            await asyncio.sleep(wait)

    async def _one_try(
        self, provider: Embedding, texts: Sequence[str], charge: Charge
    ) -> list[Sequence[float]]:
        settings = self._settings
        deadline = asyncio.timeout(settings.timeout)
        try:
            async with deadline:
                vectors, usage = await provider.embed(settings.model, texts, settings.extra)
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise ModelError(
                "timeout",
                f"{self.identity} embedded nothing within {settings.timeout:g}s",
                hint="raise its `timeout`",
                retryable=True,
            ) from error
        charge(usage, cost_of(usage, settings.price))
        return vectors
