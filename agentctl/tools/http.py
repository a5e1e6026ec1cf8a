"""Tools that are requests to a server: the one home of the `httpx2` library among the tools."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urljoin, urlsplit

from agentctl.errors import ErrorClass, ToolError
from agentctl.expressions import ExpressionError
from agentctl.expressions.values import plain, text
from agentctl.graph.plan import HttpWork
from agentctl.json import Json, encode
from agentctl.retry import seconds_to_wait
from agentctl.tools.answers import Unreadable, quoted, read_json, read_text
from agentctl.tools.call import Call
from agentctl.tools.unpacking import PACKINGS, Broken, Unpacker

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Response

REDIRECTS = 5
_FAILURE = 16 * 1024
"""Bytes read of an answer that is an error."""
_REDIRECTED = frozenset((301, 302, 303, 307, 308))
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORM = "application/x-www-form-urlencoded"
_IN_KEY = "!#$&'()*+,/:;=?@[]~\"<>\\^`{|}"
"""What stands for itself in the header of an idempotency key, besides letters, digits and `-._~`."""


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    content: bytes | None

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def where(self) -> str:
        """The server, as messages name it: no more of an address, which may hold what is secret."""
        return f"{self.method} {server_of(self.url)}"


class HttpTools:
    """Makes the requests of http tools over one client, whose connections are kept until `close`.

    It keeps no cookies. `mask` takes secrets out of what is quoted of an answer. For one event loop.
    """

    def __init__(self, env: Mapping[str, str], mask: Callable[[Json], Json]) -> None:
        self._env = dict(env)
        self._mask = mask
        self._client: asyncio.Task[AsyncClient] | None = None

    async def call(self, work: HttpWork, call: Call) -> Json:
        """What the server answers, at most `max_result` bytes of it. Raises ToolError."""
        tool = call.tool
        request = _request(work, call, self._env)
        try:
            async with asyncio.timeout(tool.timeout):
                return await self._answer(work, request, tool.max_result)
        except TimeoutError:
            message = f"{request.where} gave no whole answer within {tool.timeout:g}s, so it was ended"
            raise ToolError("timeout", message) from None

    async def close(self) -> None:
        """Hang up."""
        client, self._client = self._client, None
        if client is not None:
            await (await client).aclose()

    async def _answer(self, work: HttpWork, request: _Request, most: int) -> Json:
        for _ in range(REDIRECTS + 1):
            async with self._sent(request) as response:
                status = response.status_code
                if status in work.ok_status or (not work.ok_status and 200 <= status < 300):
                    return _read(work, response, await _body(response, request, most), request)
                if status not in _REDIRECTED or "location" not in response.headers:
                    raise await self._failure(response, request)
                request = self._redirected(request, status, response.headers["location"])
        raise ToolError("refused", f"{request.where} redirects more than {REDIRECTS} times", retryable=False)

    @asynccontextmanager
    async def _sent(self, request: _Request) -> AsyncIterator[Response]:
        """The response, its body not yet read; every fault on the way is a ToolError."""
        client = await self._opened()
        import httpx2

        try:
            headers = [(name.encode(), value.encode()) for name, value in request.headers]
            built = client.build_request(
                request.method, request.url, headers=headers, content=request.content
            )
            response = await client.send(built, stream=True)
            try:
                yield response
            finally:
                await response.aclose()
        except (httpx2.InvalidURL, httpx2.LocalProtocolError, httpx2.UnsupportedProtocol) as error:
            message = f"{request.where} cannot be asked: {self._mask(str(error))}"
            raise ToolError("tool_failed", message, retryable=False) from error
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError, httpx2.PoolTimeout) as error:
            message = f"no connection to {server_of(request.url)}: {str(error) or type(error).__name__}"
            raise ToolError("tool_unavailable", message, hint="is the server running?") from error
        except httpx2.HTTPError as error:
            said = str(error) or type(error).__name__
            raise ToolError("server", f"{request.where} broke off: {said}") from error

    async def _opened(self) -> AsyncClient:
        if self._client is None:
            # In a thread: the import and the certificates take a while. A task: two first calls make one client.
            self._client = asyncio.create_task(asyncio.to_thread(_new_client))
        return await asyncio.shield(self._client)

    def _redirected(self, request: _Request, status: int, location: str) -> _Request:
        """The next request: to the same server, or none at all."""
        try:
            url = urljoin(request.url, location)
        except ValueError:
            url = "http://"
        if _origin(url) != _origin(request.url):
            there = quoted(str(self._mask(server_of(url))))
            raise ToolError(
                "refused",
                f"{request.where} answered {status}, a redirect to {there}, which is another server",
                hint="write that address into the file if it is right",
                retryable=False,
            )
        if status == 303 or (status in (301, 302) and request.method == "POST"):
            kept = tuple(pair for pair in request.headers if not pair[0].lower().startswith("content-"))
            method = "HEAD" if request.method == "HEAD" else "GET"
            return replace(request, method=method, url=url, content=None, headers=kept)
        return replace(request, url=url)

    async def _failure(self, response: Response, request: _Request) -> ToolError:
        status = response.status_code
        error_class, retryable = meaning_of(status)
        said = str(self._mask(await _words(response)))
        return ToolError(
            error_class,
            f"{request.where} answered {status}: {quoted(said) or '(no message)'}",
            hint="look at the tool's `headers`, and at the variables in them"
            if status in (401, 403)
            else None,
            retryable=retryable,
            retry_after=seconds_to_wait(response.headers.get("retry-after")),
        )


def _new_client() -> AsyncClient:
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx2

    return httpx2.AsyncClient(
        # the whole call is bounded, which no timeout of a single read does
        timeout=None,
        follow_redirects=False,
        # what a server says to one caller is nothing for the next
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"User-Agent": "agentctl", "Accept-Encoding": "identity"},
    )


# --- the request --------------------------------------------------------------------------------------------------


def _request(work: HttpWork, call: Call, env: Mapping[str, str]) -> _Request:
    """The request with everything filled in. Raises ToolError."""
    names: dict[str, Json] = {"args": call.arguments, "run": call.run, "env": env}
    try:
        url = work.address(names)
        query = _query(_unused(work, call.arguments) if work.query is None else work.query(names))
        headers = [(name, _header(name, str(filled(names)))) for name, filled in work.headers]
        body = call.arguments if work.body is None else work.body(names)
    except ExpressionError as error:
        raise ToolError("tool_failed", error.message, hint=error.hint, retryable=False) from error
    given = {name.lower(): value for name, value in headers}
    content, kind = _content(body, given.get("content-type"))
    if kind is not None and "content-type" not in given:
        headers.append(("Content-Type", kind))
    if call.idempotency_key is not None and "idempotency-key" not in given:
        headers.append(("Idempotency-Key", quote(call.idempotency_key, safe=_IN_KEY)))
    if query:
        url = f"{url}{'&' if '?' in url else '?'}{query}"
    return _Request(work.method, url, tuple(headers), content)


def _unused(work: HttpWork, arguments: Json) -> Json:
    if work.args is None:
        return {}
    return {name: value for name, value in arguments.items() if name not in work.args}


def _query(values: Json) -> str:
    """`q=a%20b&tag=x&tag=y`: a list is said once for each item, null is left out, true and 12 are as in JSON."""
    pairs = [
        (name, text(item))
        for name, value in values.items()
        for item in (value if isinstance(value, list) else [value])
        if item is not None
    ]
    return urlencode(pairs, quote_via=quote, safe="")


def _header(name: str, value: str) -> str:
    value = value.strip(" \t")
    if _CONTROL.search(value):
        raise ToolError(
            "tool_failed",
            f"the header `{name}` would hold a line break or another control character",
            retryable=False,
        )
    return value


def _content(body: Json, kind: str | None) -> tuple[bytes | None, str | None]:
    """The bytes of a body and what they are: a text as it is, a form where the header says so, else JSON."""
    if body is None:
        return None, None
    if isinstance(body, str):
        return body.encode(), "text/plain; charset=utf-8"
    if kind is not None and kind.partition(";")[0].strip().lower() == _FORM and isinstance(body, dict):
        return _query(body).encode(), _FORM
    return encode(plain(body)), "application/json"


# --- the answer ---------------------------------------------------------------------------------------------------


async def _body(response: Response, request: _Request, most: int) -> bytes:
    """The whole body. Raises ToolError for one of more than `most` bytes, which is not read to its end."""
    packing = response.headers.get("content-encoding", "").strip().lower()
    if packing not in PACKINGS:
        raise ToolError("server", f"{request.where} sent its answer packed as `{quoted(packing)}`, unasked")
    data, unpacker = bytearray(), Unpacker(packing, most)
    try:
        async for piece in response.aiter_raw():
            data += unpacker.take(piece)
            if len(data) > most:
                raise ToolError(
                    "tool_failed",
                    f"{request.where} answered more than its max_result of {most:,} bytes",
                    hint="ask for less, or raise `max_result`",
                    retryable=False,
                )
        unpacker.end()
    except Broken as error:
        raise ToolError("server", f"{request.where} sent what is no whole {packing}: {error}") from error
    return bytes(data)


def _read(work: HttpWork, response: Response, data: bytes, request: _Request) -> Json:
    """JSON where the server or the file says so, else a text; nothing at all is null, unless a text is due."""
    kind, _, _ = response.headers.get("content-type", "").partition(";")
    kind = kind.strip().lower()
    says_json = kind == "application/json" or kind.endswith("+json")
    if not data:
        return "" if work.answers_text else None
    try:
        if says_json or work.answers_text is False:
            return read_json(data)
        return read_text(data, response.charset_encoding or "utf-8")
    except Unreadable as error:
        message = f"{request.where} answered {response.status_code} with {error}"
        raise ToolError("server" if says_json else "tool_failed", message) from None


async def _words(response: Response) -> str:
    """The beginning of a body that says what went wrong; an HTML page does not."""
    import httpx2

    packing = response.headers.get("content-encoding", "").strip().lower()
    data, unpacker = bytearray(), Unpacker(packing, _FAILURE)
    try:
        async for piece in response.aiter_raw():
            data += unpacker.take(piece)
            if len(data) >= _FAILURE:
                break
    except (httpx2.HTTPError, Broken):
        data += b" (and broke off)"
    said = bytes(data[:_FAILURE]).decode(errors="replace").strip()
    return "(a page of HTML)" if said.startswith("<") else said


def meaning_of(status: int) -> tuple[ErrorClass, bool]:
    """The class of a status, and whether the same request may do better later."""
    if status == 429:
        return "rate_limited", True
    if status == 408:
        return "timeout", True
    return ("server", True) if status >= 500 else ("refused", False)


def _origin(url: str) -> tuple[str, bytes, int | None] | None:
    """Scheme, host and port, as the library that would go there reads them; None for no address."""
    import httpx2

    try:
        parts = httpx2.URL(url)
    except httpx2.InvalidURL:
        return None
    return parts.scheme, parts.raw_host, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def server_of(url: str) -> str:
    """The address of a server without who asks, and without what for."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "an address that is none"
    host = parts.netloc.rpartition("@")[2]
    return host or ("an address that is none" if parts.scheme == "http" else f"a {parts.scheme}: address")
