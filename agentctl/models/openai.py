"""Models behind an OpenAI-compatible API: the one home of the `openai` library."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

from agentctl.errors import CannotRun, ErrorClass, ModelError
from agentctl.json import Json
from agentctl.messages import ChatReply, ChatRequest, Usage
from agentctl.models.openai_embeddings import read_embeddings
from agentctl.models.openai_format import request_body
from agentctl.models.openai_stream import Assembly
from agentctl.models.settings import ModelSettings
from agentctl.retry import seconds_to_wait

if TYPE_CHECKING:
    from openai import APIConnectionError, APIStatusError, AsyncOpenAI

KEY_VARIABLE = "OPENAI_API_KEY"
CONNECT_TIMEOUT = 10.0
"""Seconds to get a connection; how long an answer may take is for `call_model` to bound."""

_HINTS = {
    400: "the server does not take the request as it is: look at the model's settings and `extra`",
    401: f"look at the key in {KEY_VARIABLE} or the model's `api_key`",
    403: "the key is not allowed to use this model",
    404: "look at the model's name and its `base_url`, which usually ends in /v1",
}


class OpenAIProvider:
    """Speaks to one server with one key. Tries once: retries are for `call_model`."""

    def __init__(self, settings: ModelSettings) -> None:
        self._base_url = settings.base_url
        self._api_key = settings.api_key
        self._clients: dict[asyncio.AbstractEventLoop, AsyncOpenAI] = {}

    def check(self, model: str) -> None:
        self._key()

    async def chat(self, request: ChatRequest, on_delta: Callable[[str], None]) -> ChatReply:
        client = await self._client()
        assembly = Assembly()
        async with aclosing(_chunks(client, request, assembly)) as chunks:
            async for chunk in chunks:
                if text := assembly.add(chunk):
                    on_delta(text)
        return assembly.reply()

    async def warm(self, model: str) -> None:
        client = await self._client()
        with _faults(str(client.base_url)):
            # the cheapest question there is: what it leaves is an open connection
            await client.models.list(extra_headers=_headers(client))

    async def embed(
        self, model: str, texts: Sequence[str], extra: Mapping[str, Json]
    ) -> tuple[list[Sequence[float]], Usage]:
        client = await self._client()
        address = str(client.base_url)
        with _faults(address):
            answer = await client.embeddings.create(
                model=model,
                input=list(texts),
                encoding_format="float",
                extra_body=dict(extra),
                extra_headers=_headers(client),
            )
        return read_embeddings(_plain(answer), len(texts), address)

    async def close(self) -> None:
        clients, self._clients = self._clients, {}
        for loop, client in clients.items():
            if loop is asyncio.get_running_loop():
                await client.close()

    async def _client(self) -> AsyncOpenAI:
        """The client of the running event loop: a connection does not move from one loop to another."""
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            client = await asyncio.to_thread(_new_client, self._base_url, self._key())
            self._clients = {old: kept for old, kept in self._clients.items() if not old.is_closed()}
            self._clients[loop] = client
        return self._clients[loop]

    def _key(self) -> str:
        key = self._api_key or os.environ.get(KEY_VARIABLE)
        if not key:
            raise _no_key()
        return key


def _no_key() -> CannotRun:
    return CannotRun(
        f"no API key: {KEY_VARIABLE} is not set and the model has no `api_key`",
        hint=f"set {KEY_VARIABLE}; write `api_key: none` for a server that wants none; "
        "or use `--model default=local`, which needs no key",
    )


def _new_client(base_url: str | None, key: str) -> AsyncOpenAI:
    import httpx2
    import openai

    client = openai.AsyncOpenAI(
        base_url=base_url,
        api_key="" if key == "none" else key,
        max_retries=0,
        timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT),
        default_headers={"Accept-Encoding": "identity"},
        _enforce_credentials=False,
    )
    client.chat.completions  # noqa: B018 - loads the rest of the library here, off the event loop
    return client


async def _chunks(
    client: AsyncOpenAI, request: ChatRequest, assembly: Assembly
) -> AsyncGenerator[Json, None]:
    """The chunks of one streamed reply as plain data; every fault on the way is a ModelError."""
    address = str(client.base_url)
    body = request_body(request, official=client.base_url.host.endswith(".openai.com"))
    with _faults(address):
        stream = await client.chat.completions.create(
            **body, extra_body=request.extra, extra_headers=_headers(client), stream=True
        )
        assembly.content_type = stream.response.headers.get("content-type", "")
        _check_encoding(stream.response.headers.get("content-encoding", "identity"), address)
        async with stream:
            async for chunk in stream:
                yield _plain(chunk)


def _plain(answer: Json) -> Json:
    """What the library made of an answer, which it does not check: any JSON value can come out."""
    import openai

    return answer.to_dict(warnings=False) if isinstance(answer, openai.BaseModel) else answer


def _headers(client: AsyncOpenAI) -> dict[str, Json]:
    """Without a key the header is left out: a local server may refuse one that it cannot check."""
    import openai

    return {} if client.api_key else {"Authorization": openai.Omit()}


@contextmanager
def _faults(address: str) -> Iterator[None]:
    """Within it, every fault on the way is a ModelError."""
    import httpx2
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        raise _refusal(error, address) from error
    except openai.APITimeoutError as error:
        raise ModelError("timeout", f"{address} did not answer in time", retryable=True) from error
    except openai.APIConnectionError as error:
        raise _no_connection(error, address) from error
    except openai.APIError as error:
        raise ModelError("server", f"{address} broke off with: {error.message}", retryable=True) from error
    except httpx2.HTTPError as error:
        # openai lets what goes wrong while it reads a refusal through as it is.
        raise ModelError(
            "server", f"{address} broke off: {error or type(error).__name__}", retryable=True
        ) from error
    except ValueError as error:
        # openai lets the JSONDecodeError of a malformed chunk through as it is.
        raise ModelError(
            "server", f"{address} sent a chunk that is not JSON: {error}", retryable=True
        ) from error


def _check_encoding(encoding: str, address: str) -> None:
    """Raises ModelError for a stream that comes packed, though we asked for a plain one.

    One packet of a few KB can unpack to gigabytes, and no timer rings until it is all read.
    """
    if encoding not in ("", "identity"):
        raise ModelError(
            "server",
            f"{address} sent its answer packed (content-encoding: {encoding}), which was not asked for",
            hint="switch compression off at the server, or at the proxy before it",
        )


def _refusal(error: APIStatusError, address: str) -> ModelError:
    """What an HTTP status of 400 and over means for the caller."""
    status = error.status_code
    error_class, retryable = _meaning(status, error.code)
    return ModelError(
        error_class,
        f"{address} answered {status}: {_server_words(error)}",
        hint=None if retryable else _HINTS.get(status),
        retryable=retryable,
        retry_after=seconds_to_wait(error.response.headers.get("retry-after")),
    )


def _meaning(status: int, code: str | None) -> tuple[ErrorClass, bool]:
    """The class of a status, and whether the same request may do better later."""
    if code == "insufficient_quota":  # sent as 429, but no waiting will help
        return "refused", False
    if status == 429:
        return "rate_limited", True
    if status == 408:
        return "timeout", True
    if status == 409 or status >= 500:
        return "server", True
    return "refused", False


def _server_words(error: APIStatusError) -> str:
    """The server's own message, bounded; an HTML page is not one."""
    body = error.body
    if isinstance(body, dict) and isinstance(body.get("message"), str):
        return _short(body["message"])
    text = error.response.text.strip()
    return _short(text) if text and not text.startswith("<") else "(no message)"


def _short(text: str) -> str:
    return text if len(text) <= 500 else text[:500] + " …"


def _no_connection(error: APIConnectionError, address: str) -> ModelError:
    cause = error.__cause__ or error
    return ModelError(
        "server",
        f"no connection to {address}: {cause or type(cause).__name__}",
        hint="is the server running, and is `base_url` right?",
        retryable=True,
    )
