"""Servers that break HTTP itself: each fault is an error of its class within the call's time, and nothing is sent twice."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentctl.errors import ToolError
from agentctl.graph.plan import HttpWork, ToolPlan
from agentctl.tools.call import ToolCaller
from agentctl.tools.http import HttpTools
from tests.tools.kinds import SECRET, call_of, mask, tool_of

Json = Any
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\n"


class RawServer:
    """Answers each request of a connection as `behave` says, which is given the request's number; 0 closes."""

    def __init__(self, behave: Callable[[RawServer, socket.socket, int], bool]) -> None:
        self.behave = behave
        self.asked: list[bytes] = []
        self.over = threading.Event()
        self.sent = 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def stop(self) -> None:
        self.over.set()
        self.listening.close()

    def flood(self, client: socket.socket, piece: bytes) -> None:
        """Send it again and again until nobody listens."""
        while not self.over.is_set():
            client.sendall(piece)
            self.sent += len(piece)

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listening.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client:
            try:
                while request := self._request(client):
                    self.asked.append(request)
                    if not self.behave(self, client, len(self.asked)):
                        return
            except OSError:
                return

    def _request(self, client: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = client.recv(4096)
            if not piece:
                return b""
            data += piece
        return data


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., RawServer]]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    begun: list[RawServer] = []

    def serve(behave: Callable[[RawServer, socket.socket, int], bool]) -> RawServer:
        begun.append(RawServer(behave))
        return begun[-1]

    yield serve
    for server in begun:
        server.stop()


def tool(folder: Path, more: str) -> ToolPlan:
    auth = 'headers: {Authorization: "Bearer ${{ env.TOKEN }}"}'
    return tool_of(folder, f"{auth}, {more}", "URL: {}, TOKEN: {secret: true}")


async def ask(
    server: RawServer, plan: ToolPlan, times: int = 1, key: str | None = None, pause: float = 0.0
) -> list[Json]:
    """The answers of calls one after the other over one client."""
    tools = HttpTools({"URL": server.url, "TOKEN": SECRET}, mask)

    async def work(call: Json) -> Json:
        assert isinstance(plan.work, HttpWork)
        return await tools.call(plan.work, call)

    caller = ToolCaller(work, None)
    answers = []
    try:
        for number in range(times):
            await asyncio.sleep(pause if number else 0)
            answers.append((await caller.call(call_of(plan, {}, key))).value)
        return answers
    finally:
        await tools.close()


def sends(*parts: bytes) -> Callable[[RawServer, socket.socket, int], bool]:
    """Send this and close."""

    def behave(server: RawServer, client: socket.socket, number: int) -> bool:
        for part in parts:
            client.sendall(part)
        return False

    return behave


def floods(first: bytes, piece: bytes) -> Callable[[RawServer, socket.socket, int], bool]:
    def behave(server: RawServer, client: socket.socket, number: int) -> bool:
        client.sendall(first)
        server.flood(client, piece)
        return False

    return behave


def drips(server: RawServer, client: socket.socket, number: int) -> bool:
    """A header a byte at a time (slow loris)."""
    client.sendall(HEAD)
    while not server.over.wait(0.02):
        client.sendall(b"X")
    return False


def hears_nothing(server: RawServer, client: socket.socket, number: int) -> bool:
    server.over.wait(20)
    return False


FAULTS = {
    "no answer at all": (sends(), "server"),
    "half a status line": (sends(b"HTTP/1.1 20"), "server"),
    "no HTTP": (sends(b"220 mail.example ESMTP\r\n\r\n"), "server"),
    "half a head": (sends(HEAD + b"X: y\r\n"), "server"),
    "a header of ten megabytes": (sends(HEAD, b"X: ", b"y" * 10_000_000), "server"),
    "headers without end": (floods(HEAD, b"X-Again: and again\r\n" * 500), "server"),
    "two lengths": (sends(HEAD, b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok"), "server"),
    "a length that is none": (sends(HEAD, b"Content-Length: -1\r\n\r\nok"), "server"),
    "a chunk that is none": (sends(HEAD, b"Transfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n"), "server"),
    "a chunk that breaks off": (sends(HEAD, b"Transfer-Encoding: chunked\r\n\r\n5\r\nok"), "server"),
    "no gzip": (sends(HEAD, b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nzzzz"), "server"),
    "half a gzip": (
        sends(HEAD, b"Content-Encoding: gzip\r\nContent-Length: 16\r\n\r\n", gzip.compress(b"x" * 999)[:16]),
        "server",
    ),
    "an error that is no gzip": (
        sends(b"HTTP/1.1 500 Oh\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nzzzz"),
        "server",
    ),
    "an error that is a bomb": (
        sends(b"HTTP/1.1 500 Oh\r\nContent-Encoding: gzip\r\n\r\n", gzip.compress(bytes(20_000_000))),
        "server",
    ),
    "packed twice": (sends(HEAD, b"Content-Encoding: gzip, gzip\r\nContent-Length: 0\r\n\r\n"), "server"),
    "an error with a flood": (
        floods(b"HTTP/1.1 500 Oh\r\nContent-Type: text/plain\r\n\r\n", b"x" * 65536),
        "server",
    ),
    "a body without length or end": (floods(HEAD + b"\r\n", b"x" * 65536), "tool_failed"),
    "continue without end": (floods(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "timeout"),
    "a header byte by byte": (drips, "timeout"),
    "an answer that never begins": (hears_nothing, "timeout"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_answer_is_an_error_of_its_class_in_its_time(
    serve: Callable[..., RawServer], tmp_path: Path, fault: str
) -> None:
    behave, error_class = FAULTS[fault]
    server = serve(behave)
    plan = tool(tmp_path, 'http: "POST ${{ env.URL }}/x", effect: write, timeout: 2s, max_result: 64KB')
    began = time.monotonic()
    with pytest.raises(ToolError) as raised:
        asyncio.run(ask(server, plan))
    assert raised.value.error_class == error_class, raised.value.message
    assert SECRET not in raised.value.message
    assert time.monotonic() - began < 30, "within its timeout, on a busy machine too"
    assert len(server.asked) == 1, "a write without a key is sent once"
    assert server.sent < 50_000_000, "a flood is not read to its end"


@pytest.mark.parametrize(
    ("packing", "packed"),
    [
        ("gzip", gzip.compress(b"whole")),
        ("gzip", gzip.compress(b"who") + gzip.compress(b"le")),
        ("deflate", zlib.compress(b"whole")),
        ("deflate", zlib.compress(b"whole")[2:-4]),
        ("identity", b"whole"),
    ],
    ids=["gzip", "two gzips", "deflate", "bare deflate", "not packed"],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_an_answer_that_is_packed_unasked_is_read_whole(
    serve: Callable[..., RawServer], tmp_path: Path, packing: str, packed: bytes, at_once: bool
) -> None:
    head = b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (packing.encode(), len(packed))

    def behave(server: RawServer, client: socket.socket, number: int) -> bool:
        client.sendall(HEAD + head)
        for piece in [packed] if at_once else [packed[n : n + 1] for n in range(len(packed))]:
            client.sendall(piece)
            time.sleep(0 if at_once else 0.001)
        return False

    assert asyncio.run(ask(serve(behave), tool(tmp_path, READ))) == ["whole"]


READ = 'http: "GET ${{ env.URL }}/x", effect: read, timeout: 5s'
WRITE = 'http: "POST ${{ env.URL }}/x", effect: write, timeout: 5s'
KEYED = WRITE + ', idempotency_key: "k"'


def closes_when_idle(server: RawServer, client: socket.socket, number: int) -> bool:
    client.sendall(OK)
    return False


def closes_on_the_second(server: RawServer, client: socket.socket, number: int) -> bool:
    """The connection is kept, and ends as the next request has come: it may have been worked on."""
    if number == 2:
        return False
    client.sendall(OK)
    return True


def test_a_kept_connection_that_the_server_closed_is_not_used_again(
    serve: Callable[..., RawServer], tmp_path: Path
) -> None:
    server = serve(closes_when_idle)
    assert asyncio.run(ask(server, tool(tmp_path, WRITE), times=3, pause=0.1)) == ["ok"] * 3
    assert len(server.asked) == 3


@pytest.mark.parametrize(("text", "key"), [(READ, None), (KEYED, "k")])
def test_a_kept_connection_lost_under_a_request_is_tried_again_where_that_is_safe(
    serve: Callable[..., RawServer], tmp_path: Path, text: str, key: str | None
) -> None:
    server = serve(closes_on_the_second)
    assert asyncio.run(ask(server, tool(tmp_path, text), times=2, key=key)) == ["ok"] * 2
    assert len(server.asked) == 3
    if key is not None:
        assert all(b"Idempotency-Key: k\r\n" in request for request in server.asked)


def test_a_write_without_a_key_that_may_have_been_sent_is_not_sent_again(
    serve: Callable[..., RawServer], tmp_path: Path
) -> None:
    server = serve(closes_on_the_second)
    with pytest.raises(ToolError) as raised:
        asyncio.run(ask(server, tool(tmp_path, WRITE + ", retry: {attempts: 3}"), times=2))
    assert raised.value.error_class == "server"
    assert len(server.asked) == 2


def test_a_secret_follows_no_redirect_to_another_server_at_any_hop(
    serve: Callable[..., RawServer], tmp_path: Path
) -> None:
    other = serve(sends(OK))
    here = serve(
        lambda server, client, number: (
            client.sendall(
                b"HTTP/1.1 307 On\r\nContent-Length: 0\r\nLocation: %s\r\n\r\n"
                % (b"/next" if number == 1 else f"{other.url}/x".encode())
            )
            is None
        )
    )
    with pytest.raises(ToolError) as raised:
        asyncio.run(ask(here, tool(tmp_path, READ)))
    assert raised.value.error_class == "refused"
    assert [SECRET.encode() in request for request in here.asked] == [True, True]
    assert other.asked == []
