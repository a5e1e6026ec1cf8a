"""The answer of an embeddings API, as vectors: whatever a server may send instead is a ModelError."""

from __future__ import annotations

import math
from collections.abc import Sequence

from agentctl.errors import ModelError
from agentctl.json import Json
from agentctl.messages import Usage


def read_embeddings(answer: Json, count: int, address: str) -> tuple[list[Sequence[float]], Usage]:
    """The vectors in the order of the texts, of which there were `count`, and the tokens they took."""
    items = answer.get("data") if isinstance(answer, dict) else None
    found = {_index(item): item.get("embedding") for item in items or () if isinstance(item, dict)}
    vectors: list[Json] = [found.get(index) for index in range(count)]
    if not all(_is_vector(vector) for vector in vectors):
        raise ModelError(
            "server",
            f"{address} did not answer one vector for each of {count} texts",
            hint="is it a model for embeddings, at a server that offers /embeddings?",
            retryable=True,
        )
    return vectors, Usage(input=_tokens(answer.get("usage")))


def _index(item: Json) -> int:
    index = item.get("index")
    return index if isinstance(index, int) else -1


def _is_vector(vector: Json) -> bool:
    return (
        isinstance(vector, list)
        and len(vector) > 0
        and all(type(part) in (int, float) and math.isfinite(part) for part in vector)
    )


def _tokens(usage: Json) -> int:
    counted = usage.get("prompt_tokens") if isinstance(usage, dict) else None
    return min(counted, 2**53) if isinstance(counted, int) and counted > 0 else 0
