"""Texts to vectors over a real socket: batches, retries, counts, and everything a server may send instead."""

from __future__ import annotations

import asyncio
import json
import math
from typing import Any

import pytest

from agentctl.errors import CannotRun, ModelError
from agentctl.messages import Usage
from agentctl.models.calling import ModelSettings, ProviderPool
from agentctl.models.embedding import BATCH, ProviderEmbedder
from agentctl.retry import Backoff
from agentctl.spec.model import Price
from tests.models.talk import RawServer

Json = Any


def embed(
    url: str | None, texts: list[str], provider: str = "openai", **settings: Any
) -> tuple[list[Any], list[tuple[Usage, float | None]]]:
    charged: list[tuple[Usage, float | None]] = []

    async def run() -> list[Any]:
        pool = ProviderPool()
        try:
            known = ModelSettings("m", provider, "embed", base_url=url, api_key="k", **settings)
            embedder = ProviderEmbedder(pool, known, Backoff(base=0.001, attempts=known.attempts))
            return await embedder.embed(texts, lambda usage, cost: charged.append((usage, cost)))
        finally:
            await pool.close()

    return asyncio.run(run()), charged


def answer(body: Json, status: str = "200 OK") -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data


def vectors(*found: Json, tokens: Json = 7) -> bytes:
    data = [{"index": index, "embedding": vector} for index, vector in found]
    return answer({"object": "list", "data": data, "model": "embed", "usage": {"prompt_tokens": tokens}})


def test_many_texts_go_in_batches_and_each_is_charged(llmock: Any) -> None:
    texts = [f"text {n}" for n in range(BATCH + 3)]
    found, charged = embed(llmock.base_url(), texts, price=Price(input=2.0, output=0.0))
    assert len(found) == len(texts)
    assert len({len(vector) for vector in found}) == 1
    assert len(charged) == 2
    assert all(usage.input > 0 and cost == pytest.approx(usage.input * 2e-6) for usage, cost in charged)


def test_vectors_are_put_in_the_order_of_their_texts(raw_server: RawServer) -> None:
    raw_server.answers = [vectors((1, [0.0, 1.0]), (0, [1.0, 0.0]))]
    found, charged = embed(raw_server.url, ["a", "b"])
    assert found == [[1.0, 0.0], [0.0, 1.0]]
    assert charged == [(Usage(input=7), None)]
    sent = json.loads(raw_server.requests[0].partition(b"\r\n\r\n")[2])
    assert (sent["model"], sent["input"], sent["encoding_format"]) == ("embed", ["a", "b"], "float")


def test_a_server_that_is_busy_is_asked_again(raw_server: RawServer) -> None:
    raw_server.answers = [answer({"error": {"message": "busy"}}, "503 Busy"), vectors((0, [1.0]))]
    assert embed(raw_server.url, ["a"], attempts=2)[0] == [[1.0]]
    assert len(raw_server.requests) == 2


def test_a_refusal_is_not_tried_again(raw_server: RawServer) -> None:
    raw_server.answers = [answer({"error": {"message": "no such model"}}, "404 Not Found")]
    with pytest.raises(ModelError, match="no such model"):
        embed(raw_server.url, ["a"], attempts=3)
    assert len(raw_server.requests) == 1


@pytest.mark.parametrize(
    "sent",
    [
        vectors(),
        vectors((0, [])),
        vectors((1, [1.0])),
        vectors((0, ["x"])),
        vectors((0, None)),
        vectors(("0", [1.0])),
        answer(vectors((0, [1.0])).partition(b"\r\n\r\n")[2].replace(b"1.0", b"NaN")),
        answer({"data": {"a": 1}}),
        answer({}),
        answer([]),
        answer(b"{"),
        answer(b""),
    ],
)
def test_what_is_no_vector_for_each_text_is_a_fault_of_the_server(raw_server: RawServer, sent: bytes) -> None:
    raw_server.answers = [sent]
    with pytest.raises(ModelError) as refused:
        embed(raw_server.url, ["a"], attempts=1)
    assert refused.value.error_class == "server"


@pytest.mark.parametrize("tokens", [None, "7", -1, 1e9, [7]])
def test_an_impossible_count_is_none(raw_server: RawServer, tokens: Json) -> None:
    raw_server.answers = [vectors((0, [1.0]), tokens=tokens)]
    assert embed(raw_server.url, ["a"])[1] == [(Usage(), None)]


def test_a_server_that_hangs_is_given_up(raw_server: RawServer) -> None:
    raw_server.answers = [b""]
    raw_server.hold = True
    with pytest.raises(ModelError, match="embedded nothing within") as refused:
        embed(raw_server.url, ["a"], timeout=0.2, attempts=1)
    assert refused.value.error_class == "timeout"


def test_a_provider_without_embeddings_says_so() -> None:
    with pytest.raises(CannotRun, match="makes no embeddings"):
        embed(None, ["a"], provider="scripted")


def test_the_embedded_embedder_needs_no_network_and_takes_any_text() -> None:
    pytest.importorskip("static_model", reason="tokenlearn-static-model has no wheel for this machine")
    from agentctl.models.static_embedding import StaticEmbedder

    texts = ["a cat", "", "\0", "日本語", "🙂", "x" * 1_000_000, *(f"text {n}" for n in range(500))]
    found = asyncio.run(StaticEmbedder().embed(texts, lambda usage, cost: pytest.fail("it is free")))
    assert {len(vector) for vector in found} == {64}
    assert math.hypot(*found[0]) == pytest.approx(1, abs=1e-3)
    assert StaticEmbedder().identity == StaticEmbedder().identity
