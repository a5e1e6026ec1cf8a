"""An OpenAI-compatible server, over a real socket: what it says, and every way it can fail."""

from __future__ import annotations

import asyncio
import email.utils
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from agentctl.errors import CannotRun, ModelError
from agentctl.messages import ChatReply, ChatRequest, Message, ToolCall, ToolOffer, Usage
from agentctl.models.openai import OpenAIProvider
from agentctl.models.openai_format import is_strict, request_body
from agentctl.models.openai_stream import Assembly
from agentctl.models.settings import ModelSettings
from tests.models.talk import Asking, RawServer, events, head, whole

DONE = "[DONE]"


def chunk(finish: str | None = None, **delta: Any) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [choice]})


def at(url: str, key: str | None = "k") -> OpenAIProvider:
    return OpenAIProvider(ModelSettings("m", "openai", base_url=url, api_key=key))


@pytest.fixture
def provider(llmock: Any) -> OpenAIProvider:
    return at(llmock.base_url())


def test_an_answer_streams_and_is_counted(llmock: Any, provider: OpenAIProvider, ask: Asking) -> None:
    llmock.reply("Hello there, Ada, how are you?")
    heard = ask(provider, model="gpt-5-mini")
    assert heard.answer.text == "Hello there, Ada, how are you?"
    assert "".join(heard.deltas) == heard.answer.text
    assert len(heard.deltas) > 1
    assert heard.answer.finish == "stop"
    assert heard.answer.usage.input > 0
    assert heard.answer.usage.output > 0
    assert heard.answer.model == "gpt-5-mini"


def test_a_streamed_tool_call_is_put_together(
    llmock: Any, provider: OpenAIProvider, ask: Asking, weather: ToolOffer
) -> None:
    llmock.call_tool("get_weather", {"city": "Oslo in Norway"})
    answer = ask(provider, "Is it raining in Oslo?", tools=(weather,)).answer
    assert [(call.name, call.arguments) for call in answer.calls] == [
        ("get_weather", {"city": "Oslo in Norway"})
    ]
    assert answer.finish == "tool_calls"
    assert answer.calls[0].id


def test_calls_and_their_results_go_back_to_the_server(
    llmock: Any, provider: OpenAIProvider, ask: Asking, weather: ToolOffer
) -> None:
    talk = (
        Message("user", "Is it raining in Oslo?"),
        Message("assistant", calls=(ToolCall("c1", "get_weather", {"city": "Oslo"}),)),
        Message("tool", '{"sky":"rain"}', call_id="c1"),
    )
    assert ask(provider, talk, tools=(weather,)).answer.text
    sent = llmock.last_request.body["messages"]
    assert sent[1]["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city":"Oslo"}'}
    assert sent[2] == {"role": "tool", "tool_call_id": "c1", "content": '{"sky":"rain"}'}


def test_an_output_schema_constrains_the_answer(llmock: Any, provider: OpenAIProvider, ask: Asking) -> None:
    schema = {
        "type": "object",
        "properties": {"intent": {"enum": ["question", "complaint"]}},
        "required": ["intent"],
        "additionalProperties": False,
    }
    answer = ask(provider, "My parcel is lost!", output=schema).answer
    assert json.loads(answer.text)["intent"] in ("question", "complaint")
    assert llmock.last_request.body["response_format"]["json_schema"]["strict"] is True


def test_a_rate_limit_waits_as_long_as_the_server_says(
    llmock: Any, provider: OpenAIProvider, ask: Asking
) -> None:
    llmock.rate_limit(times=2, retry_after=7).reply("at last")
    heard = ask(provider, attempts=3)
    assert heard.answer.text == "at last"
    assert [kind for kind, _ in heard.retries] == ["rate_limited", "rate_limited"]
    assert all(7 <= wait <= 8 for _, wait in heard.retries)


def test_a_retry_after_may_be_a_date(raw_server: RawServer, ask: Asking) -> None:
    date = email.utils.formatdate(time.time() + 20, usegmt=True)
    raw_server.answers = [
        whole(b"{}", status="429 Too Many", type="application/json", more=f"retry-after: {date}\r\n"),
        events(chunk(content="hi"), chunk("stop"), DONE),
    ]
    heard = ask(at(raw_server.url), attempts=2)
    assert heard.answer.text == "hi"
    assert 15 <= heard.retries[0][1] <= 21


@pytest.mark.parametrize(
    ("status", "kind"), [(500, "server"), (503, "server"), (408, "timeout"), (409, "server")]
)
def test_a_passing_fault_is_tried_again_and_then_named(
    llmock: Any, provider: OpenAIProvider, ask: Asking, status: int, kind: str
) -> None:
    llmock.fail(status, times=None, message="the cat sat on the plug")
    heard = ask(provider, attempts=3)
    assert heard.error is not None
    assert (heard.error.error_class, heard.error.retryable) == (kind, True)
    assert str(status) in heard.error.message
    assert "the cat sat on the plug" in heard.error.message
    assert len(llmock.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_refusal_is_not_tried_again(
    llmock: Any, provider: OpenAIProvider, ask: Asking, status: int
) -> None:
    llmock.fail(status, times=None, message="no such thing")
    heard = ask(provider, attempts=3)
    assert heard.error is not None
    assert (heard.error.error_class, heard.error.retryable) == ("refused", False)
    assert "no such thing" in heard.error.message
    assert status == 422 or heard.error.hint
    assert heard.error.exit_code == 3
    assert len(llmock.requests) == 1


def test_a_spent_quota_is_no_rate_limit(llmock: Any, provider: OpenAIProvider, ask: Asking) -> None:
    llmock.fail(429, times=None, code="insufficient_quota")
    heard = ask(provider, attempts=3)
    assert heard.error is not None
    assert heard.error.error_class == "refused"
    assert len(llmock.requests) == 1


@pytest.mark.parametrize("fault", ["truncate", "corrupt", "disconnect"])
def test_a_broken_stream_is_tried_again_and_leaves_nothing(
    llmock: Any, provider: OpenAIProvider, ask: Asking, fault: str
) -> None:
    llmock.reply("one two three four five six", times=None)
    getattr(llmock, fault)(after_chunks=3)
    heard = ask(provider, attempts=2)
    assert heard.answer.text == "one two three four five six"
    assert [kind for kind, _ in heard.retries] == ["server"]
    assert "".join(heard.deltas).endswith("one two three four five six")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (whole(b"<html>It works!</html>", type="text/html"), "text/html"),
        (whole(b"", type="text/event-stream"), "no chunk"),
        (whole(b"{not json", type="application/json"), "application/json"),
        (whole(b'{"choices":[]}', type="application/json"), "application/json"),
        (b"", "no connection"),
        (b"SMTP ready\r\n", "no connection"),
        (events(chunk(content="half")), "before the answer was whole"),
        (events("{oops"), "not JSON"),
        (events("42"), "malformed"),
        (events('{"choices": 5}'), "malformed"),
        (events('{"choices": [{"delta": {"content": 5}}]}'), "malformed"),
        (events('{"error": {"message": "out of memory"}}'), "out of memory"),
        (head(1000) + b"data: ", "no connection"),
        (whole(b"<html>down</html>", status="502 Bad Gateway", type="text/html"), "502: (no message)"),
        (events(chunk("error")), "ended the answer with an error"),
    ],
)
def test_garbage_is_a_server_fault_that_may_pass(
    raw_server: RawServer, ask: Asking, answer: bytes, said: str
) -> None:
    raw_server.answers = [answer]
    heard = ask(at(raw_server.url))
    assert heard.reply is None
    assert heard.error is not None
    assert (heard.error.error_class, heard.error.retryable) == ("server", True)
    assert said in heard.error.message


def test_a_server_that_is_not_there_is_named(ask: Asking) -> None:
    heard = ask(at("http://127.0.0.1:9/v1"))
    assert heard.error is not None
    assert heard.error.error_class == "server"
    assert "http://127.0.0.1:9/v1" in heard.error.message


def test_a_slow_server_is_a_timeout(llmock: Any, provider: OpenAIProvider, ask: Asking) -> None:
    ask(provider)  # loads the library, which is not what is timed here
    llmock.slow_first_token(1.0, times=None)
    heard = ask(provider, timeout=0.2)
    assert heard.error is not None
    assert (heard.error.error_class, heard.error.retryable) == ("timeout", True)


def test_a_stalled_stream_is_a_timeout(raw_server: RawServer, ask: Asking) -> None:
    raw_server.answers = [head(None) + b"data: " + chunk(content="well").encode() + b"\n\n"]
    raw_server.hold = True
    heard = ask(at(raw_server.url), timeout=2.0)
    assert heard.error is not None
    assert heard.error.error_class == "timeout"
    assert raw_server.gone.wait(5)


def test_cancelling_a_call_closes_its_connection(raw_server: RawServer) -> None:
    raw_server.answers = [head(None) + b"data: " + chunk(content="well").encode() + b"\n\n"]
    raw_server.hold = True
    provider = at(raw_server.url)

    async def call_and_cancel() -> None:
        begun = asyncio.Event()
        request = ChatRequest(model="m", messages=(Message("user", "hi"),))
        task = asyncio.create_task(provider.chat(request, lambda text: begun.set()))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(raw_server.gone.wait, 5)

    asyncio.run(call_and_cancel())


def test_a_missing_key_says_what_to_set(monkeypatch: pytest.MonkeyPatch, ask: Asking) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(CannotRun, match="OPENAI_API_KEY is not set") as caught:
        ask(OpenAIProvider(ModelSettings("m", "openai")))
    assert caught.value.exit_code == 3
    assert "--model default=local" in (caught.value.hint or "")


@pytest.mark.parametrize(("key", "sent"), [("none", b""), ("sk-1", b"authorization: bearer sk-1")])
def test_the_key_none_sends_no_key(raw_server: RawServer, ask: Asking, key: str, sent: bytes) -> None:
    raw_server.answers = [events(chunk(content="hi"), chunk("stop"), DONE)]
    assert ask(at(raw_server.url, key)).answer.text == "hi"
    lines = [
        line for line in raw_server.requests[0].lower().split(b"\r\n") if line.startswith(b"authorization")
    ]
    assert b"".join(lines) == sent


def test_a_cut_answer_says_so_and_calls_nothing(raw_server: RawServer, ask: Asking) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "pay", "arguments": '{"amount": 1'}}
    raw_server.answers = [events(chunk(tool_calls=[call]), chunk("length"), DONE)]
    answer = ask(at(raw_server.url)).answer
    assert answer.finish == "length"
    assert answer.calls == ()


@pytest.mark.parametrize("stream", [[chunk("content_filter")], [chunk(refusal="I will not."), chunk("stop")]])
def test_a_refused_answer_is_an_error(raw_server: RawServer, ask: Asking, stream: list[str]) -> None:
    raw_server.answers = [events(chunk(content="Well"), *stream, DONE)]
    heard = ask(at(raw_server.url))
    assert heard.error is not None
    assert (heard.error.error_class, heard.error.retryable) == ("refused", False)


def test_usage_counts_cached_and_reasoning_tokens(raw_server: RawServer, ask: Asking) -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 80},
        "completion_tokens_details": {"reasoning_tokens": 30},
    }
    last = json.dumps({"id": "x", "object": "chat.completion.chunk", "choices": [], "usage": usage})
    raw_server.answers = [events(chunk(content="hi"), chunk("stop"), last, DONE)]
    assert ask(at(raw_server.url)).answer.usage == Usage(100, 50, 80, 30)


def test_a_server_without_usage_still_answers(raw_server: RawServer, ask: Asking) -> None:
    raw_server.answers = [events(chunk(content="hi"), chunk("stop"))]
    assert ask(at(raw_server.url)).answer.usage == Usage()


def test_one_provider_serves_several_event_loops(llmock: Any, provider: OpenAIProvider, ask: Asking) -> None:
    llmock.reply("yes", times=None)
    assert [ask(provider).answer.text for _ in range(3)] == ["yes"] * 3


def test_extra_keys_reach_the_server(llmock: Any, provider: OpenAIProvider, ask: Asking) -> None:
    ask(provider, extra={"seed": 7}, temperature=0.0, max_output_tokens=9, reasoning="low")
    body = llmock.last_request.body
    assert (body["seed"], body["temperature"], body["max_tokens"], body["reasoning_effort"]) == (
        7,
        0,
        9,
        "low",
    )


def test_openai_itself_knows_max_tokens_by_its_new_name() -> None:
    request = ChatRequest(model="m", messages=(), max_output_tokens=9)
    assert request_body(request, official=True)["max_completion_tokens"] == 9
    assert request_body(request, official=False)["max_tokens"] == 9


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "object", "properties": {}, "required": [], "additionalProperties": False}, True),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}, False),
        ({"type": "object", "properties": {}, "required": []}, False),
        ({"type": "array", "items": {}}, False),
        ({"type": "string", "minLength": 2}, False),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, True),
    ],
)
def test_strict_is_asked_only_where_the_schema_allows_it(schema: Any, strict: bool) -> None:
    assert is_strict(schema) is strict


def test_calls_that_share_an_index_are_told_apart_by_id() -> None:
    assembly = Assembly()
    for id, city in (("a", "Oslo"), ("b", "Rome")):
        call = {"index": 0, "id": id, "function": {"name": "get", "arguments": json.dumps({"city": city})}}
        assembly.add({"choices": [{"delta": {"tool_calls": [call]}}]})
    assembly.add({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    reply = assembly.reply()
    assert [call.arguments for call in reply.calls] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert reply.finish == "tool_calls"


def test_arguments_that_are_not_json_are_kept_as_written() -> None:
    assembly = Assembly()
    for piece in ('{"city": ', "Oslo}"):
        call = {"index": 0, "id": "a", "function": {"name": "get", "arguments": piece}}
        assembly.add({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]})
    assert assembly.reply().calls == (ToolCall("a", "get", '{"city": Oslo}'),)


def test_a_half_stream_never_becomes_a_reply() -> None:
    assembly = Assembly()
    assembly.add({"choices": [{"delta": {"content": "half"}}]})
    with pytest.raises(ModelError):
        assembly.reply()


def test_a_warm_provider_answers_over_the_connection_that_it_opened() -> None:
    connections: list[tuple[str, int]] = []
    paths: list[str] = []

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None: ...

        def do_GET(self) -> None:
            self._answer(b'{"object": "list", "data": []}', "application/json")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            said = (chunk(content="Hello"), chunk("stop"), DONE)
            body = "".join(f"data: {each}\n\n" for each in said)
            self._answer(body.encode(), "text/event-stream")

        def _answer(self, body: bytes, kind: str) -> None:
            connections.append(self.client_address)
            paths.append(f"{self.command} {self.path}")
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        provider = at(f"http://127.0.0.1:{server.server_port}/v1")

        async def warmed() -> ChatReply:
            await provider.warm("m")
            reply = await provider.chat(ChatRequest("m", (Message("user", "Hi"),)), lambda text: None)
            await provider.close()
            return reply

        reply = asyncio.run(warmed())
        server.shutdown()
    assert reply.text == "Hello"
    assert paths == ["GET /v1/models", "POST /v1/chat/completions"]
    assert connections[0] == connections[1]


def test_what_cannot_be_warmed_says_why(raw_server: RawServer) -> None:
    raw_server.answers = [b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]
    with pytest.raises(ModelError) as raised:
        asyncio.run(at(raw_server.url).warm("m"))
    assert raised.value.error_class == "refused"
