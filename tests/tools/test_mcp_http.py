"""Tools of MCP servers over streamable HTTP: a server of the SDK on loopback, and one that does everything wrong."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agentctl.errors import CannotRun, ToolError
from tests.tools.kinds import SECRET
from tests.tools.mcp_desk import HERE, Desk

Json = Any
TOOL = "mcp: server/it, effect: read, timeout: 20s"


class Served:
    """A server of the SDK in a process of its own, which can be started anew at the same port."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder, self.words = folder, words
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()

    def start(self) -> None:
        command = [sys.executable, HERE / "mcp_served.py", "http", str(self.port), *self.words]
        self.process = subprocess.Popen(command, cwd=self.folder, stderr=subprocess.DEVNULL)
        for _ in range(600):
            with socket.socket() as trial:
                if trial.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("the server does not listen")

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        return f"url: 'http://127.0.0.1:{self.port}/mcp'"


@pytest.fixture(scope="module", params=["events", "json"])
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    server = Served(tmp_path_factory.mktemp("served"), request.param)
    yield server
    server.stop()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path, patience=20)
    yield desk
    desk.close()


def test_a_tool_is_called_and_its_faults_are_told(served: Served, desk: Desk) -> None:
    echo = desk.plan(served.url, "mcp: server/echo, effect: read")
    assert desk.call(echo, {"text": "over HTTP"}) == "over HTTP"
    assert desk.call(desk.plan(served.url, "mcp: server/point, effect: read"), {"x": 3}) == {"x": 3, "y": 2}
    with pytest.raises(ToolError, match="no luck with \\*\\*\\*"):
        desk.call(desk.plan(served.url, "mcp: server/fails, effect: read"), {"secret": SECRET})


def test_a_call_that_times_out_ends_at_once_and_the_server_is_told(served: Served, desk: Desk) -> None:
    wait = desk.plan(served.url, "mcp: server/wait, effect: read, timeout: 1s")
    began = time.monotonic()
    with pytest.raises(ToolError) as late:
        desk.call(wait, {"seconds": 503})
    assert late.value.error_class == "timeout"
    assert time.monotonic() - began < 10
    assert desk.call(wait, {"seconds": 0}) == "waited"
    heard = served.folder / "heard.jsonl"
    while {"cancelled": 503.0} not in [json.loads(line) for line in heard.read_text().splitlines()]:
        assert time.monotonic() - began < 30
        desk.call(wait, {"seconds": 0})


def test_a_server_that_was_started_anew_is_greeted_anew(tmp_path: Path, desk: Desk) -> None:
    served = Served(tmp_path)
    try:
        echo = desk.plan(served.url, "mcp: server/echo, effect: read")
        served.stop()
        with pytest.raises(ToolError) as gone:
            desk.call(echo, {"text": "a"})
        assert gone.value.error_class == "tool_unavailable"
        assert "no connection to 127.0.0.1" in gone.value.message
        served.start()
        assert desk.call(echo, {"text": "b"}) == "b"
    finally:
        served.stop()


# --- servers that do something wrong ------------------------------------------------------------------------------


class Faulty(BaseHTTPRequestHandler):
    """Speaks as much of the protocol as it takes to be asked; the path says what it does then."""

    protocol_version = "HTTP/1.1"
    server: Shop

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        self.server.asked.append(("GET", self.path, dict(self.headers)))
        self.answer(405, b"")

    def do_DELETE(self) -> None:
        self.answer(200, b"")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((body["method"], self.path, dict(self.headers)))
        wrong = self.path.strip("/")
        match body["method"]:
            case "initialize" if not wrong.startswith("first-"):
                info = {"name": "faulty", "version": "0"}
                version = body["params"]["protocolVersion"]
                self.result(
                    body, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
                )
            case "tools/list":
                self.result(
                    body, {"tools": [{"name": "it", "inputSchema": {"type": "object", "properties": {}}}]}
                )
            case "tools/call" | "initialize":
                self.fault(wrong.removeprefix("first-"), body)
            case _:
                self.answer(202, b"")

    def fault(self, wrong: str, body: Json) -> None:
        match wrong:
            case "hangs":
                self.server.over.wait(60)
            case "drops":
                self.connection.shutdown(socket.SHUT_RDWR)
            case "page":
                self.answer(200, b"<html>hello</html>", "text/html")
            case "garbage":
                self.answer(200, b'{"jsonrpc": ')
            case "events-garbage":
                self.answer(200, b"event: message\ndata: {no\n\n", "text/event-stream")
            case "events-end":
                self.answer(200, b"event: message\n", "text/event-stream")
            case "flood":
                self.flood(b"application/json", b"x" * 65536)
            case "events-flood":
                self.flood(b"text/event-stream", b"data: " + b"x" * 65536)
            case "packed":
                self.answer(200, b"\x1f\x8b", **{"Content-Encoding": "gzip"})
            case "elsewhere" | "file":
                there = self.server.other if wrong == "elsewhere" else "file:///etc/passwd"
                self.answer(307, b"", Location=there)
            case _:
                self.answer(int(wrong), f"no: {SECRET}".encode(), "text/plain", **{"Retry-After": "7"})

    def flood(self, kind: bytes, piece: bytes) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nConnection: close\r\n\r\n")
        self.close_connection = True
        try:
            for _ in range(2000):
                self.wfile.write(piece)
                self.server.flooded += len(piece)
        except OSError:
            return  # whoever asked has hung up

    def result(self, body: Json, result: Json) -> None:
        self.answer(200, json.dumps({"jsonrpc": "2.0", "id": body["id"], "result": result}).encode())

    def answer(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Shop(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Faulty)
        self.asked: list[Json] = []
        self.over = threading.Event()
        self.flooded = 0
        self.other = ""
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"url: 'http://127.0.0.1:{self.server_port}/{path}'"

    def end(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    yield shop
    shop.end()


@pytest.mark.parametrize(
    ("wrong", "error_class", "said", "again"),
    [
        ("401", "refused", "it answered 401: no: ***", False),
        ("429", "rate_limited", "it answered 429", True),
        ("500", "server", "it answered 500", True),
        ("drops", "server", "it broke off", True),
        ("garbage", "server", "Failed to parse JSON response", True),
        ("events-garbage", "server", "Failed to parse SSE message", True),
        ("packed", "server", "it sent its answer packed, unasked", True),
        ("flood", "tool_failed", "it answered more than 16,777,216 bytes", False),
        ("file", "refused", "it redirects elsewhere", False),
        ("hangs", "timeout", "no answer within 1s", True),
    ],
)
def test_each_fault_has_its_class_and_hurts_no_other_call(
    shop: Shop, desk: Desk, wrong: str, error_class: str, said: str, again: bool
) -> None:
    timeout = "1s" if wrong == "hangs" else "20s"
    tool = desk.plan(shop.url(wrong), f"mcp: server/it, effect: read, timeout: {timeout}")
    for _ in range(2):
        with pytest.raises(ToolError) as failed:
            desk.call(tool)
        assert (failed.value.error_class, failed.value.retryable) == (error_class, again), (
            failed.value.message
        )
        assert said in failed.value.message
        assert failed.value.message.startswith("MCP server `server`: ")
        assert SECRET not in failed.value.message
    assert [method for method, _, _ in shop.asked].count("initialize") == 1, "the session lived on"
    assert shop.flooded < 100_000_000, "a flood is not read to its end"


@pytest.mark.parametrize("wrong", ["page", "events-end", "events-flood"])
def test_what_is_no_answer_is_a_fault(shop: Shop, desk: Desk, wrong: str) -> None:
    tool = desk.plan(shop.url(wrong), TOOL)
    with pytest.raises(ToolError) as failed:
        desk.call(tool)
    assert failed.value.error_class in ("server", "tool_failed", "tool_unavailable")


def test_a_wait_that_a_server_asks_for_is_known(shop: Shop, desk: Desk) -> None:
    with pytest.raises(ToolError) as failed:
        desk.call(desk.plan(shop.url("429"), TOOL))
    assert failed.value.retry_after == 7


def test_a_redirect_to_another_server_takes_no_secret_there(shop: Shop, desk: Desk) -> None:
    other = Shop()
    try:
        shop.other = f"http://127.0.0.1:{other.server_port}/200"
        url = f"{shop.url('elsewhere')}, headers: {{Authorization: 'Bearer ${{{{ env.TOKEN }}}}'}}"
        tool = desk.plan(url, TOOL)
        with pytest.raises(ToolError) as refused:
            desk.call(tool)
        assert refused.value.error_class == "refused"
        assert other.asked == []
        assert {headers["Authorization"] for _, _, headers in shop.asked} == {f"Bearer {SECRET}"}
    finally:
        other.end()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("url: 'http://127.0.0.1:1/mcp'", "no connection to 127.0.0.1:1"),
        ("url: 'ftp://127.0.0.1/mcp'", "its `url` is no http or https address"),
        ("url: 'http://127.0.0.1:1/', headers: {X: \"a\\nb\"}", "its header `X` holds what no header can"),
        ("first-500", "it answered 500: no: ***"),
        ("first-hangs", "it did not answer within 1s"),
    ],
)
def test_a_server_that_cannot_be_used_stops_the_run_before_it_begins(
    shop: Shop, tmp_path: Path, url: str, said: str
) -> None:
    desk = Desk(tmp_path, patience=1)
    try:
        with pytest.raises(CannotRun) as refused:
            desk.plan(url if url.startswith("url") else shop.url(url), TOOL)
        assert said in refused.value.message
        assert SECRET not in refused.value.message
    finally:
        desk.close()
