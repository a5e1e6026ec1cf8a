"""Tools that are requests, against real servers on loopback, good ones and bad ones."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from agentctl.errors import ToolError
from agentctl.graph.plan import HttpWork, ToolPlan
from agentctl.tools.call import ToolCaller
from agentctl.tools.http import HttpTools
from tests.tools.kinds import SECRET, call_of, mask, tool_of

Json = Any
BOMB = gzip.compress(bytes(50_000_000))


class Shop(BaseHTTPRequestHandler):
    """Does what the first part of the path says, and answers what it was asked."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None: ...

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.asked.append((self.command, self.path, dict(self.headers), body, self.client_address))
        self.close_connection = self.path.split("/")[1].split("?")[0] not in ("echo", "ok")
        getattr(self, self.path.split("/")[1].split("?")[0].replace("-", "_"))()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = handle_any

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def echo(self) -> None:
        method, path, headers, body, _ = self.server.asked[-1]
        said = {"method": method, "path": path, "headers": headers, "body": body.decode()}
        self.answer(200, json.dumps(said).encode(), Content_Type="application/json", Set_Cookie="who=me")

    def ok(self) -> None:
        self.answer(200, "schön\n".encode(), Content_Type="text/plain; charset=utf-8")

    def nothing(self) -> None:
        self.answer(204)

    def latin(self) -> None:
        self.answer(200, "schön".encode("latin-1"), Content_Type="text/plain; charset=latin-1")

    def picture(self) -> None:
        self.answer(200, b"\x89PNG\xff\xfe", Content_Type="image/png")

    def no_json(self) -> None:
        self.answer(200, b"{no", Content_Type="application/json")

    def long_number(self) -> None:
        self.answer(200, b"[123456789012345678901234567890]", Content_Type="application/json")

    def status(self) -> None:
        self.answer(int(self.path.split("/")[2]), f'{{"no": "{SECRET}"}}'.encode())

    def page(self) -> None:
        self.answer(500, b"<html>oh", Content_Type="text/html")

    def busy(self) -> None:
        if len(self.server.asked) == 1:
            self.answer(429, b"slow down", Retry_After="1")
        else:
            self.answer(200, b"at last")

    def hang(self) -> None:
        self.server.over.wait(20)

    def drip(self) -> None:
        """A byte now and then: no single read is slow."""
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.server.over.wait(0.05):
            self.wfile.write(b"x")

    def drop(self) -> None:
        self.connection.close()

    def cut(self) -> None:
        self.answer(200, b"half", Content_Length="400")

    def flood(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        piece = b"10000\r\n" + bytes(65536) + b"\r\n"
        while not self.server.over.is_set():
            self.wfile.write(piece)
            self.server.flooded += 65536

    def bomb(self) -> None:
        self.answer(200, BOMB, Content_Encoding="gzip")

    def packed(self) -> None:
        self.answer(200, gzip.compress(b"unpacked"), Content_Encoding="gzip")

    def strange(self) -> None:
        self.answer(200, b"?", Content_Encoding="br")

    def to(self) -> None:
        """To the address in the query."""
        where = dict(parse_qsl(urlsplit(self.path).query))["there"]
        self.answer(int(self.path.split("/")[2].split("?")[0]), Location=where)

    def loop(self) -> None:
        self.answer(302, Location="/loop")


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Shop)
        self.asked: list[tuple[str, str, dict[str, str], bytes, Json]] = []
        self.over = threading.Event()
        self.flooded = 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, request: Json, client_address: Json) -> None: ...

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def stop(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    found = Server()
    yield found
    found.stop()


def env(server: Server) -> dict[str, str]:
    return {"URL": server.url, "TOKEN": SECRET}


DECLARED = "URL: {}, TOKEN: {secret: true}"


async def answered(server: Server, tool: ToolPlan, arguments: Json = None, key: str | None = None) -> Json:
    """One call on the path that every call takes, retries and checks included."""
    tools = HttpTools(env(server), mask)

    async def work(call: Json) -> Json:
        assert isinstance(tool.work, HttpWork)
        return await tools.call(tool.work, call)

    try:
        return (await ToolCaller(work, None).call(call_of(tool, arguments, key, {"thread": "t/1"}))).value
    finally:
        await tools.close()


def ask(
    server: Server, folder: Path, http: str, more: str = "", arguments: Json = None, key: str | None = None
) -> Json:
    text = f'http: "{http}", effect: read, timeout: 5s, retry: {{attempts: 1}}{more}'
    return asyncio.run(answered(server, tool_of(folder, text, DECLARED), arguments, key))


def failure(server: Server, folder: Path, http: str, more: str = "", arguments: Json = None) -> ToolError:
    with pytest.raises(ToolError) as raised:
        ask(server, folder, http, more, arguments)
    assert SECRET not in raised.value.message
    return raised.value


# --- what is sent -------------------------------------------------------------------------------------------------

HOSTILE = [
    "a/b",
    "../..",
    "a?b=c&d#e",
    "a b+c%20",
    "schön 🚀",
    "//evil.example",
    "\\evil",
    "a\r\nX: y",
    "@h",
    "\0",
]


@pytest.mark.parametrize("value", HOSTILE)
def test_an_argument_stays_where_the_file_puts_it(server: Server, tmp_path: Path, value: str) -> None:
    http = "GET ${{ env.URL }}/echo/${{ args.x }}/end?q=${{ args.x }}&r=1"
    ask(server, tmp_path, http, arguments={"x": value})
    (_, path, _, _, _) = server.asked[0]
    parts = urlsplit(path)
    assert parts.path.count("/") == 3
    assert (parts.path.startswith("/echo/"), parts.path.endswith("/end")) == (True, True)
    assert parse_qsl(parts.query, keep_blank_values=True) == [("q", value), ("r", "1")]


@pytest.mark.parametrize("value", ["..", ".", ""])
def test_an_argument_makes_no_part_of_the_path_vanish(server: Server, tmp_path: Path, value: str) -> None:
    error = failure(server, tmp_path, "GET ${{ env.URL }}/echo/${{ args.x }}", arguments={"x": value})
    assert (error.error_class, error.retryable, server.asked) == ("tool_failed", False, [])
    assert "a part of its path" in error.message


@pytest.mark.parametrize(
    "value", ["evil.example/", "evil.example#", "u@evil", "evil.example:80", "a.b", "-", ""]
)
def test_an_argument_never_chooses_a_host(server: Server, tmp_path: Path, value: str) -> None:
    error = failure(server, tmp_path, "GET http://${{ args.x }}.example.org/", arguments={"x": value})
    assert "no part of a host name" in error.message


@pytest.mark.parametrize(
    "address", ["http://${{ args.x }}/", "http://localhost${{ args.x }}/", "${{ args.x }}"]
)
def test_a_host_is_never_made_of_arguments(server: Server, tmp_path: Path, address: str) -> None:
    failure(server, tmp_path, f"GET {address}", arguments={"x": "localhost"})
    failure(server, tmp_path, f"GET {address}", arguments={"x": server.url})
    assert server.asked == []


def test_arguments_that_no_template_reads_are_the_query_of_a_get(server: Server, tmp_path: Path) -> None:
    more = ", parameters: {id: string, tag: array, n: number, flag: boolean, none: {}}"
    given = {"id": "7", "tag": ["a", "b&c"], "n": 12.0, "flag": True, "none": None}
    said = ask(server, tmp_path, "GET ${{ env.URL }}/echo/${{ args.id }}?v=1", more, given)
    assert said["path"] == "/echo/7?v=1&tag=a&tag=b%26c&n=12.0&flag=true"
    assert said["body"] == ""


def test_a_query_of_the_file_is_all_of_the_query(server: Server, tmp_path: Path) -> None:
    more = ', query: {q: "${{ args.a }}", all: "${{ args.b }}", fixed: 1}'
    said = ask(server, tmp_path, "GET ${{ env.URL }}/echo", more, {"a": "x y", "b": [1, 2], "c": 3})
    assert said["path"] == "/echo?q=x%20y&all=1&all=2&fixed=1"


def test_the_arguments_are_the_body_of_a_post(server: Server, tmp_path: Path) -> None:
    said = ask(server, tmp_path, "post ${{ env.URL }}/echo/${{ args.a }}", "", {"a": "ü", "b": [1, None]})
    assert (said["method"], json.loads(said["body"])) == ("POST", {"a": "ü", "b": [1, None]})
    assert said["headers"]["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("more", "body", "kind"),
    [
        (
            ', body: {id: "${{ args.n }}", at: ["${{ run.thread }}"]}',
            '{"id":5,"at":["t/1"]}',
            "application/json",
        ),
        (', body: "n is ${{ args.n }}"', "n is 5", "text/plain; charset=utf-8"),
        (
            ', body: {a: "${{ args.n }}", b: "x&y"}, headers: {Content-Type: application/x-www-form-urlencoded}',
            "a=5&b=x%26y",
            "application/x-www-form-urlencoded",
        ),
        (", body: null", "", None),
    ],
)
def test_a_body_of_the_file_is_sent_as_what_it_is(
    server: Server, tmp_path: Path, more: str, body: str, kind: str | None
) -> None:
    said = ask(server, tmp_path, "PUT ${{ env.URL }}/echo", more, {"n": 5})
    assert (said["body"], said["headers"].get("Content-Type")) == (body, kind)


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "\0", "\x7f"])
def test_no_header_is_broken_open(server: Server, tmp_path: Path, value: str) -> None:
    error = failure(
        server, tmp_path, "GET ${{ env.URL }}/echo", ', headers: {X-Say: "${{ args.x }}"}', {"x": value}
    )
    assert (error.error_class, server.asked) == ("tool_failed", [])
    assert "X-Say" in error.message


def test_headers_hold_what_is_filled_in(server: Server, tmp_path: Path) -> None:
    more = ', headers: {Authorization: "Bearer ${{ env.TOKEN }}", X-Say: "${{ args.x }}"}'
    said = ask(server, tmp_path, "GET ${{ env.URL }}/echo", more, {"x": "schön"})
    assert said["headers"]["Authorization"] == f"Bearer {SECRET}"
    assert said["headers"]["X-Say"].encode("latin-1").decode() == "schön"
    assert said["path"] == "/echo", "an argument that a header reads is not sent twice"


@pytest.mark.parametrize(
    ("key", "sent"),
    [("t/a@b.c/12", "t/a@b.c/12"), ("50% off", "50%25%20off"), ("a\r\nb", "a%0D%0Ab"), ("ü", "%C3%BC")],
)
def test_the_idempotency_key_is_a_header(server: Server, tmp_path: Path, key: str, sent: str) -> None:
    said = ask(server, tmp_path, "POST ${{ env.URL }}/echo", "", {}, key)
    assert said["headers"]["Idempotency-Key"] == sent


def test_connections_are_kept_and_cookies_are_not(server: Server, tmp_path: Path) -> None:
    tool = tool_of(tmp_path, 'http: "GET ${{ env.URL }}/echo", effect: read, timeout: 5s', DECLARED)
    assert isinstance(tool.work, HttpWork)
    work = tool.work

    async def twice() -> Json:
        tools = HttpTools(env(server), mask)
        await tools.call(work, call_of(tool))
        said = await tools.call(work, call_of(tool))
        await tools.close()
        return said

    assert "Cookie" not in asyncio.run(twice())["headers"]
    first, second = (asked[4] for asked in server.asked)
    assert first == second


# --- what comes back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "more", "value"),
    [
        ("ok", "", "schön\n"),
        ("latin", "", "schön"),
        ("nothing", "", None),
        ("nothing", ", returns: string", ""),
        ("packed", "", "unpacked"),
        ("status/404", ", ok_status: [200, 404]", f'{{"no": "{SECRET}"}}'),
        ("status/200", ", returns: object", {"no": SECRET}),
    ],
)
def test_an_answer_is_json_or_a_text(
    server: Server, tmp_path: Path, what: str, more: str, value: Json
) -> None:
    assert ask(server, tmp_path, f"GET ${{{{ env.URL }}}}/{what}", more) == value


@pytest.mark.parametrize(
    ("what", "error_class", "says"),
    [
        ("status/400", "refused", 'answered 400: {"no": "***"}'),
        ("status/401", "refused", "answered 401"),
        ("status/408", "timeout", "answered 408"),
        ("status/429", "rate_limited", "answered 429"),
        ("status/500", "server", "answered 500"),
        ("status/304", "refused", "answered 304"),
        ("page", "server", "answered 500: (a page of HTML)"),
        ("drop", "server", "broke off"),
        ("cut", "server", "broke off"),
        ("no_json", "server", "answered 200 with what is no JSON"),
        ("long_number", "server", "an integer of more than 64 bits"),
        (
            "picture",
            "tool_failed",
            "bytes that are no text in utf-8",
        ),
        ("strange", "server", "packed as `br`"),
        ("bomb", "tool_failed", "more than its max_result of 262,144 bytes"),
        ("flood", "tool_failed", "more than its max_result of 262,144 bytes"),
        ("loop", "refused", "redirects more than 5 times"),
    ],
)
def test_what_goes_wrong_has_its_class(
    server: Server, tmp_path: Path, what: str, error_class: str, says: str
) -> None:
    error = failure(server, tmp_path, f"GET ${{{{ env.URL }}}}/{what}")
    assert (error.error_class, says in error.message) == (error_class, True), error.message
    assert server.flooded < 20_000_000, "reading stops at the bound"


def test_the_end_of_a_head_is_nothing(server: Server, tmp_path: Path) -> None:
    assert ask(server, tmp_path, "HEAD ${{ env.URL }}/ok") is None


def test_a_secret_in_an_address_is_told_to_nobody_but_its_server(server: Server, tmp_path: Path) -> None:
    error = failure(server, tmp_path, "GET ${{ env.URL }}/status/500/${{ env.TOKEN }}?t=${{ env.TOKEN }}")
    assert server.asked[0][1] == f"/status/500/{SECRET}?t={SECRET}"
    assert error.message.startswith(f"GET 127.0.0.1:{server.server_port} answered 500")


def test_no_server_is_a_tool_that_is_not_available(server: Server, tmp_path: Path) -> None:
    server.stop()
    error = failure(server, tmp_path, "GET ${{ env.URL }}/ok")
    assert error.error_class == "tool_unavailable"
    assert str(server.server_port) in error.message


@pytest.mark.parametrize("what", ["hang", "drip"])
def test_the_timeout_is_for_the_whole_call(server: Server, tmp_path: Path, what: str) -> None:
    text = f'http: "GET ${{{{ env.URL }}}}/{what}", effect: read, timeout: 300ms, retry: {{attempts: 1}}'
    tool = tool_of(tmp_path, text, DECLARED)
    began = time.monotonic()
    with pytest.raises(ToolError) as raised:
        asyncio.run(answered(server, tool))
    assert raised.value.error_class == "timeout"
    assert time.monotonic() - began < 3


def test_retry_after_is_obeyed(server: Server, tmp_path: Path) -> None:
    tool = tool_of(tmp_path, 'http: "GET ${{ env.URL }}/busy", effect: read, timeout: 5s', DECLARED)
    began = time.monotonic()
    assert asyncio.run(answered(server, tool)) == "at last"
    assert time.monotonic() - began >= 1


def test_what_was_refused_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    tool = tool_of(tmp_path, 'http: "GET ${{ env.URL }}/status/403", effect: read, timeout: 5s', DECLARED)
    with pytest.raises(ToolError):
        asyncio.run(answered(server, tool))
    assert len(server.asked) == 1


def test_what_writes_without_a_key_is_asked_once(server: Server, tmp_path: Path) -> None:
    tool = tool_of(tmp_path, 'http: "POST ${{ env.URL }}/drop", effect: write, timeout: 5s', DECLARED)
    with pytest.raises(ToolError):
        asyncio.run(answered(server, tool))
    assert len(server.asked) == 1


# --- redirects ----------------------------------------------------------------------------------------------------

AUTH = ', headers: {Authorization: "Bearer ${{ env.TOKEN }}"}'


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "PUT", "GET"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
    ],
)
def test_a_redirect_on_the_same_server_is_followed(
    server: Server, tmp_path: Path, status: int, method: str, then: str
) -> None:
    said = ask(
        server, tmp_path, f"{method} ${{{{ env.URL }}}}/to/{status}?there=/echo/x", AUTH, {"a": 1}, "key"
    )
    assert (said["method"], said["path"]) == (then, "/echo/x")
    assert said["headers"]["Authorization"] == f"Bearer {SECRET}"
    assert said["headers"]["Idempotency-Key"] == "key"
    assert said["body"] == ("" if then == "GET" else '{"a":1}')


OTHERS = [
    "http://localhost:{port}/echo",
    "http://127.0.0.1:{other}/echo",
    "//127.0.0.1:{other}/echo",
    "https://127.0.0.1:{port}/echo",
    "file:///etc/passwd",
    "http://127.0.0.1:{port}@127.0.0.1:{other}/echo",
    "http://127.0.0.1:{other}%5C@127.0.0.1/",
    "gopher://127.0.0.1:{port}/",
    "http://[::1/",
]


@pytest.mark.parametrize("there", OTHERS)
def test_a_redirect_to_another_server_is_refused_and_nothing_goes_there(
    server: Server, tmp_path: Path, there: str
) -> None:
    other = Server()
    where = there.format(port=server.server_port, other=other.server_port).replace("%5C", "%255C")
    error = failure(server, tmp_path, f"GET ${{{{ env.URL }}}}/to/302?there={where}", AUTH)
    other.stop()
    assert (error.error_class, error.retryable) == ("refused", False)
    assert "another server" in error.message
    assert (len(server.asked), other.asked) == (1, [])


# --- what the file says -------------------------------------------------------------------------------------------


def test_a_tool_without_parameters_takes_what_its_templates_read(tmp_path: Path) -> None:
    tool = tool_of(tmp_path, 'http: "GET https://example.org/${{ args.id }}?q=${{ args.q | default(1) }}"')
    assert tool.parameters == {"type": "object", "properties": {"id": {}, "q": {}}, "required": ["id"]}
    assert tool.check_arguments({}) != []
    assert tool.check_arguments({"id": 1, "more": 2}) == []


def test_the_variables_of_its_templates_are_known(tmp_path: Path) -> None:
    text = 'http: "GET ${{ env.URL }}/${{ run.tenant }}", headers: {X: "${{ env.TOKEN | default(1) }}"}'
    tool = tool_of(tmp_path, text, DECLARED)
    assert (tool.env, tool.needs, tool.run) == (("URL", "TOKEN"), ("URL",), ("tenant",))
