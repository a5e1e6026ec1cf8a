"""The HTTP client of MCP sessions: bounded, without cookies, and every fault an answer the session understands.

The session would break down with all its calls where one request of it meets a closed port or a page of HTML.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

import anyio
import httpx2
from anyio.streams.memory import MemoryObjectReceiveStream
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.message import SessionMessage

from agentctl.json import Json, decode, encode
from agentctl.retry import seconds_to_wait
from agentctl.tools.answers import quoted
from agentctl.tools.http import meaning_of, server_of

if TYPE_CHECKING:
    from mcp.client._transport import ReadStream, WriteStream

    Reads = ReadStream[SessionMessage | Exception]
    Writes = WriteStream[SessionMessage]

FAULT = -31999
"""The code of errors made here; their data says the class of a ToolError."""
_FAILURE = 16 * 1024
"""Bytes read of an answer that is an error."""
_NOTICE = 2.0
"""Seconds for a message that nobody waits for."""
_CONNECT = 10.0


@asynccontextmanager
async def http_streams(
    url: str, headers: Mapping[str, str], longest: int
) -> AsyncIterator[tuple[Reads, Writes]]:
    """The streams of a session with a server; no answer of it may have more than `longest` bytes."""
    client = httpx2.AsyncClient(
        transport=_Bounded(httpx2.AsyncClient(cookies=_no_cookies()), longest),
        headers={"User-Agent": "agentctl", **headers, "Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(None, connect=_CONNECT),  # a whole call is bounded, by who makes it
        follow_redirects=False,
        cookies=_no_cookies(),
    )
    # redirects: the SDK follows them on the same server only, with all that a request holds
    transport = streamable_http_client(url, http_client=client, max_sse_event_size=longest)
    async with client, transport as (read, write):
        # without a bound: a server that takes nothing must not hold up who gives up waiting for it
        given, taken = anyio.create_memory_object_stream[SessionMessage](math.inf)
        async with given, taken, anyio.create_task_group() as tasks:
            tasks.start_soon(_pass_on, taken, write)
            yield read, given
            tasks.cancel_scope.cancel()


async def _pass_on(
    taken: MemoryObjectReceiveStream[SessionMessage], write: WriteStream[SessionMessage]
) -> None:
    async for message in taken:
        await write.send(message)


def _no_cookies() -> CookieJar:
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


class _Bounded(httpx2.AsyncBaseTransport):
    """Asks through another client, which knows the proxies; what went wrong comes back as a JSON-RPC error."""

    def __init__(self, inner: httpx2.AsyncClient, longest: int) -> None:
        self._inner = inner
        self._longest = longest

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        patience = _NOTICE if _is_notice(request) else None
        try:
            async with asyncio.timeout(patience):
                return await self._answer(request)
        except TimeoutError:
            return httpx2.Response(202, request=request)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            said = f"no connection to {server_of(str(request.url))}: {str(error) or type(error).__name__}"
            return _fault(request, said, "tool_unavailable")
        except httpx2.HTTPError as error:
            return _fault(request, f"it broke off: {str(error) or type(error).__name__}", "server")

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _answer(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.send(request, stream=True, follow_redirects=False)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        status = response.status_code
        if kind == "text/event-stream" and status < 300:
            return response  # each event is bounded by who reads them
        try:
            if response.headers.get("content-encoding", "identity").lower() not in ("", "identity"):
                return _fault(request, "it sent its answer packed, unasked", "server")
            body = await self._body(response, self._longest if status < 300 else _FAILURE)
        finally:
            await response.aclose()
        if status < 300 and len(body) > self._longest:
            return _fault(
                request, f"it answered more than {self._longest:,} bytes", "tool_failed", again=False
            )
        if status >= 400 and request.method == "POST" and not _is_understood(status, kind, body, request):
            return _failure(request, response, body)
        return httpx2.Response(status, headers=response.headers, content=body, request=request)

    async def _body(self, response: httpx2.Response, most: int) -> bytes:
        """The body, or the first of it that is more than `most` bytes."""
        data = bytearray()
        async for piece in response.aiter_raw():
            data += piece
            if len(data) > most:
                break
        return bytes(data)


def _is_notice(request: httpx2.Request) -> bool:
    """Whether nobody waits for the answer: a notification, the end of a session."""
    if request.method != "POST":
        return request.method == "DELETE"
    try:
        return "id" not in decode(request.content)
    except (ValueError, TypeError):
        return False


def _is_understood(status: int, kind: str, body: bytes, request: httpx2.Request) -> bool:
    """Whether the session makes sense of a failure itself: an error of the protocol, the end of a session."""
    if status == 404 and "mcp-session-id" in request.headers:
        return True
    try:
        return kind == "application/json" and "error" in decode(body)
    except (ValueError, TypeError):
        return False


def _failure(request: httpx2.Request, response: httpx2.Response, body: bytes) -> httpx2.Response:
    status = response.status_code
    error_class, again = meaning_of(status)
    text = body[:_FAILURE].decode(errors="replace").strip()
    said = "(a page of HTML)" if text.startswith("<") else quoted(text)
    wait = seconds_to_wait(response.headers.get("retry-after"))
    return _fault(
        request, f"it answered {status}: {said or '(no message)'}", error_class, again=again, wait=wait
    )


def _fault(
    request: httpx2.Request, said: str, error_class: str, *, again: bool = True, wait: float | None = None
) -> httpx2.Response:
    data: Json = {"class": error_class, "again": again, "wait": wait}
    body = {"jsonrpc": "2.0", "id": None, "error": {"code": FAULT, "message": said, "data": data}}
    headers = {"content-type": "application/json"}
    return httpx2.Response(502, headers=headers, content=encode(body), request=request)
