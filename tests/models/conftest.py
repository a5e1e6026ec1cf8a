"""What the tests of models share: a server that says exactly the bytes it is told, and short ways to ask."""

from __future__ import annotations

import asyncio
import contextlib
import socketserver
import threading
from collections.abc import Iterator

import pytest

from agentctl.errors import ModelError
from agentctl.json import Json
from agentctl.messages import ChatRequest, Message, ToolOffer
from agentctl.models.calling import call_model
from agentctl.models.provider import Provider
from agentctl.retry import Backoff
from tests.models.talk import Asking, Heard, RawServer


@pytest.fixture
def raw_server() -> Iterator[RawServer]:
    class Talk(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            lines = [line := self.rfile.readline()]
            while line not in (b"\r\n", b""):
                lines.append(line := self.rfile.readline())
            size = next((int(x.split(b":")[1]) for x in lines if x.lower().startswith(b"content-length")), 0)
            raw.requests.append(b"".join(lines) + self.rfile.read(size))
            with contextlib.suppress(OSError):
                self.wfile.write(raw.answers[min(len(raw.requests), len(raw.answers)) - 1])
                self.wfile.flush()
                if raw.hold and self.rfile.read(1) == b"":
                    raw.gone.set()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Talk) as server:
        raw = RawServer(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield raw
        server.shutdown()
        thread.join()


@pytest.fixture
def ask() -> Asking:
    """Ask a provider through `call_model`, in an event loop of its own, without waiting between tries."""

    def run(
        provider: Provider,
        prompt: str | tuple[Message, ...] = "Hello",
        *,
        model: str = "gpt-test",
        tools: tuple[ToolOffer, ...] = (),
        output: Json = None,
        attempts: int = 1,
        timeout: float = 30.0,
        **options: Json,
    ) -> Heard:
        messages = (Message("user", prompt),) if isinstance(prompt, str) else prompt
        request = ChatRequest(model=model, messages=messages, tools=tools, output=output, **options)
        heard = Heard()

        async def no_wait(seconds: float) -> None:
            await asyncio.sleep(0)

        async def call() -> None:
            try:
                heard.reply = await call_model(
                    provider,
                    request,
                    timeout=timeout,
                    backoff=Backoff(attempts=attempts),
                    on_delta=heard.deltas.append,
                    on_retry=lambda error, wait: heard.retries.append((error.error_class, wait)),
                    sleep=no_wait,
                )
            except ModelError as error:
                heard.error = error

        asyncio.run(call())
        return heard

    return run


@pytest.fixture
def weather() -> ToolOffer:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    }
    return ToolOffer("get_weather", "The weather in a city now.", schema)
