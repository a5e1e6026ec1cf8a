"""The small embedder that comes with agentctl, for the processor alone: the one home of `tokenlearn-static-model`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import static_model

from agentctl.store.documents.documents import Charge

_BATCH = 200
"""Texts: some milliseconds, after which a cancellation is heard."""


class StaticEmbedder:
    """An Embedder: the mean of learned vectors of a text's tokens (Model2Vec), 64 dimensions, 0.1 ms a text."""

    @cached_property
    def identity(self) -> str:
        """The name and the hash of its weights: a newer package with the same ones is the same embedder."""
        weights = Path(static_model.__file__).parent / "model" / "model.safetensors"
        return f"tokenlearn-static-model {hashlib.blake2b(weights.read_bytes(), digest_size=4).hexdigest()}"

    async def embed(self, texts: Sequence[str], charge: Charge) -> list[Sequence[float]]:
        """See Embedder; it costs nothing."""
        found: list[Sequence[float]] = []
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            found += await asyncio.to_thread(static_model.get_embeddings, batch)
        return found
