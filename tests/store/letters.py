"""An embedder for tests, whose vectors can be told in one's head."""

from __future__ import annotations

from collections.abc import Sequence

from agentctl.store.documents.documents import Charge


class Letters:
    """Vectors of how often each of the letters a to z occurs."""

    def __init__(self, identity: str = "letters", dimensions: int = 26) -> None:
        self.identity = identity
        self.dimensions = dimensions
        self.texts: list[str] = []
        """What was embedded."""

    async def embed(self, texts: Sequence[str], charge: Charge) -> list[Sequence[float]]:
        self.texts += texts
        return [[float(text.lower().count(chr(97 + n))) for n in range(self.dimensions)] for text in texts]
