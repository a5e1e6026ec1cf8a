"""Model servers that misbehave, seen from the command line: a clear error, the right exit code, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

GRAPH = """
agentctl: 1
name: far
input: [who]
output: [greeting]
env: {{THE_KEY: {{secret: true}}}}
state: {{who: string, greeting: string}}
models:
  default: {{model: openai/far, base_url: "{url}", api_key: "{key}", {more}timeout: 20s, retry: {{attempts: 2}}}}
start: greet
nodes:
  greet:
    agent: {{instructions: Greet.}}
    prompt: ${{{{ state.who }}}}
    save: greeting
    then: end
"""

CHUNKS = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello "}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "Ada"}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}},
]


class Far(BaseHTTPRequestHandler):
    """Answers as the list of behaviours says, one for each request; the last one stays."""

    behaviours: ClassVar[list[str]] = []
    requests: ClassVar[list[dict[str, Any]]] = []
    keys: ClassVar[list[str | None]] = []
    looked: ClassVar[list[str]] = []
    """What was only looked at."""

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        self.looked.append(self.path)
        self._begin(200, "application/json")
        self.wfile.write(b'{"object": "list", "data": []}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.requests.append(json.loads(body))
        self.keys.append(self.headers["Authorization"])
        behaviour = self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]
        getattr(self, behaviour)()

    def fine(self) -> None:
        self._begin(200, "text/event-stream")
        for chunk in CHUNKS:
            whole = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "far-1", **chunk}
            self.wfile.write(f"data: {json.dumps(whole)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def looked_at_first(self) -> None:
        deadline = time.monotonic() + 30
        while not self.looked and time.monotonic() < deadline:
            time.sleep(0.01)
        self.fine()

    def broken(self) -> None:
        self._error(500, "the disk is full")

    def busy(self) -> None:
        self._error(429, "slow down", retry_after="1")

    def denied(self) -> None:
        self._error(401, "that key is unknown")

    def garbage(self) -> None:
        self._begin(200, "text/event-stream")
        self.wfile.write(b"data: {no json at all\n\n")

    def cut(self) -> None:
        self._begin(200, "text/event-stream")
        whole = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "far-1", **CHUNKS[0]}
        self.wfile.write(f"data: {json.dumps(whole)}\n\n".encode())

    def nothing(self) -> None:
        self.connection.close()

    def _begin(self, status: int, kind: str, retry_after: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()

    def _error(self, status: int, message: str, retry_after: str | None = None) -> None:
        self._begin(status, "application/json", retry_after)
        self.wfile.write(json.dumps({"error": {"message": message}}).encode())


@pytest.fixture
def server() -> Iterator[str]:
    far = ThreadingHTTPServer(("127.0.0.1", 0), Far)
    thread = threading.Thread(target=far.serve_forever, daemon=True)
    thread.start()
    Far.requests, Far.keys, Far.looked = [], [], []
    yield f"http://127.0.0.1:{far.server_port}/v1"
    far.shutdown()
    far.server_close()


def run(
    folder: Path, url: str, key: str = "a-key", more: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    (folder / "graph.yaml").write_text(GRAPH.format(url=url, key=key, more=more))
    command = [sys.executable, "-m", "agentctl", "run", "graph.yaml", "-i", "who=Ada", "--json"]
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **env}
    return subprocess.run(
        command, cwd=folder, env=clean, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_server_that_works_answers_and_its_tokens_are_counted(tmp_path: Path, server: str) -> None:
    Far.behaviours = ["fine"]
    done = run(tmp_path, server)
    outcome = json.loads(done.stdout)
    assert (done.returncode, outcome["output"]) == (0, {"greeting": "Hello Ada"})
    assert outcome["usage"]["input"] == 9
    assert outcome["cost"] is None, "an unknown price is unknown, not nothing"
    assert Far.keys == ["Bearer a-key"]


@pytest.mark.parametrize(
    ("behaviour", "error_class", "said", "asked"),
    [
        ("broken", "server", "the disk is full", 2),
        ("busy", "rate_limited", "slow down", 2),
        ("denied", "refused", "that key is unknown", 1),
        ("garbage", "server", "", 2),
        ("cut", "server", "", 2),
        ("nothing", "server", "", 2),
    ],
)
def test_a_server_that_fails_is_tried_again_where_that_helps_and_then_said_so(
    tmp_path: Path, server: str, behaviour: str, error_class: str, said: str, asked: int
) -> None:
    Far.behaviours = [behaviour]
    done = run(tmp_path, server)
    outcome = json.loads(done.stdout)
    assert done.returncode == 3
    assert (outcome["status"], outcome["error"]["class"]) == ("failed", error_class)
    assert said in outcome["error"]["message"]
    assert len(Far.requests) == asked
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("behaviour", ["broken", "busy", "garbage", "cut", "nothing"])
def test_a_server_that_recovers_gives_the_whole_answer(tmp_path: Path, server: str, behaviour: str) -> None:
    Far.behaviours = [behaviour, "fine"]
    done = run(tmp_path, server)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] == {"greeting": "Hello Ada"}


def test_no_server_at_all_is_named_by_its_address(tmp_path: Path) -> None:
    done = run(tmp_path, "http://127.0.0.1:9/v1")
    assert done.returncode == 3
    assert "127.0.0.1:9" in done.stdout + done.stderr


def test_a_missing_key_is_said_before_anything_is_run(tmp_path: Path, server: str) -> None:
    Far.behaviours = ["fine"]
    done = run(tmp_path, server, key="${{ env.THE_KEY }}")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "THE_KEY" in done.stderr
    assert Far.requests == []


def test_a_secret_reaches_the_server_and_nothing_else(tmp_path: Path, server: str) -> None:
    Far.behaviours = ["denied"]
    done = run(tmp_path, server, key="${{ env.THE_KEY }}", THE_KEY="sk-very-secret-value")
    assert Far.keys == ["Bearer sk-very-secret-value"]
    assert "very-secret" not in done.stdout + done.stderr
    stored = b"".join(path.read_bytes() for path in (tmp_path / ".agentctl").rglob("*") if path.is_file())
    assert b"very-secret" not in stored


@pytest.mark.parametrize(
    ("more", "behaviour", "looked"), [("", "fine", []), ("warm: true, ", "looked_at_first", ["/v1/models"])]
)
def test_a_warm_model_is_connected_to_beside_the_first_steps(
    tmp_path: Path, server: str, more: str, behaviour: str, looked: list[str]
) -> None:
    Far.behaviours = [behaviour]
    done = run(tmp_path, server, more=more)
    assert (done.returncode, Far.looked) == (0, looked)
