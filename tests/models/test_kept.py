"""What a server may write that nothing can keep is taken out of its reply, and no packed answer is unpacked."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from agentctl.json import Json, encode
from agentctl.messages import ChatReply, ChatRequest, ToolCall, Usage
from agentctl.models.kept import kept, kept_text
from agentctl.models.openai import OpenAIProvider
from agentctl.models.settings import ModelSettings
from tests.models.talk import Asking, RawServer


class Says:
    """Answers what it was given."""

    def __init__(self, reply: ChatReply) -> None:
        self.reply = reply

    async def chat(self, request: ChatRequest, on_delta: Callable[[str], None]) -> ChatReply:
        on_delta(self.reply.text)
        return self.reply

    async def close(self) -> None:
        pass


def test_lone_surrogates_reach_neither_the_screen_nor_the_tape(ask: Asking) -> None:
    heard = ask(Says(ChatReply("a\ud800b", (ToolCall("\ud800", "t\udc00", "{\ud800"),), model="\ud800")))
    assert heard.deltas == ["a\ufffdb"]
    assert heard.reply == ChatReply("a\ufffdb", (ToolCall("\ufffd", "t\ufffd", "{\ufffd"),), model="\ufffd")


def test_a_pair_of_surrogates_is_its_character() -> None:
    assert kept_text("\ud83d\ude00 é") == "😀 é"


@pytest.mark.parametrize("written", [{"n": 2**70}, {"n": float("nan")}, {"n": ["\ud800"]}])
def test_arguments_that_cannot_be_kept_become_words_that_no_tool_takes(written: Json) -> None:
    (call,) = kept(ChatReply(calls=(ToolCall("1", "t", written),))).calls
    assert isinstance(call.arguments, str)
    encode(call.arguments)


def test_counts_of_tokens_stay_within_reason() -> None:
    assert kept(ChatReply(usage=Usage(-5, 10**30, 3, 4))).usage == Usage(0, 2**53, 3, 4)


def test_a_packed_answer_is_refused_before_it_is_unpacked(raw_server: RawServer, ask: Asking) -> None:
    bomb = gzip.compress(b"\n" * 50_000_000)
    raw_server.answers = [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nConnection: close\r\n"
        + f"Content-Length: {len(bomb)}\r\n\r\n".encode()
        + bomb
    ]
    settings = ModelSettings(
        name="m", provider="openai", model="m", base_url=f"{raw_server.url}/v1", api_key="none"
    )
    heard = ask(OpenAIProvider(settings), timeout=3.0)
    assert heard.error is not None
    assert "packed (content-encoding: gzip)" in heard.error.message
    assert b"accept-encoding: identity" in raw_server.requests[0].lower()
