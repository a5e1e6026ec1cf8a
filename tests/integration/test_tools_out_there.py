"""Tools of the kinds http and command in a whole run: from the command line to the server, and from the tape again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

TOKEN = "a-very-secret-token"
GRAPH = """\
agentctl: 1
name: desk
input: [email]
output: [name, lines, receipt]
env:
  CRM_URL: {}
  CRM_TOKEN: {secret: true}
models:
  default: {model: scripted/replies.json}
tools:
  find_customer:
    http: GET ${{ env.CRM_URL }}/customers/${{ args.email }}
    description: Look a customer up by e-mail address.
    headers: {Authorization: "Bearer ${{ env.CRM_TOKEN }}"}
    parameters: {email: {type: string, format: email}}
    returns: {name: string, seen: string}
    effect: read
    cache: 5m
    timeout: 5s
  refund:
    http: POST ${{ env.CRM_URL }}/refunds
    description: Pay a customer back.
    headers: {Authorization: "Bearer ${{ env.CRM_TOKEN }}"}
    parameters: {email: string, amount: number}
    effect: write
    idempotency_key: ${{ run.thread }}/${{ args.email }}/${{ args.amount }}
    timeout: 5s
  grep_notes:
    command: [grep, -n, --, "${{ args.pattern }}", notes.txt]
    description: Search the notes.
    parameters: {pattern: string}
    effect: read
    cache: 5m
    ok_codes: [0, 1]
    timeout: 5s
agents:
  guide: {instructions: You look things up., tools: [find_customer, grep_notes], max_turns: 3}
state:
  email: string
  name: {type: string, default: ""}
  lines: {type: string, default: ""}
  receipt: {type: object, default: {}}
  words: {type: string, default: ""}
start: find
nodes:
  find: {tool: find_customer, args: {email: "${{ state.email }}"}, save: {name: name}, then: search}
  search: {tool: grep_notes, args: {pattern: "${{ state.name }}"}, save: lines, then: talk}
  talk: {agent: guide, prompt: Who is it?, save: words, then: pay}
  pay: {tool: refund, args: {email: "${{ state.email }}", amount: 12.0}, save: receipt, then: end}
limits: {recursion: 6}
"""
REPLIES = [
    {"when": "Who is it", "call": {"tool": "find_customer", "args": {"email": "ada@example.org"}}},
    {"else": True, "say": "It is Ada: {last}"},
]


class Crm(BaseHTTPRequestHandler):
    asked: ClassVar[list[tuple[str, str, dict[str, str], str]]] = []

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        self._answer({"name": "Ada", "seen": self.headers["Authorization"]})

    def do_POST(self) -> None:
        self._answer({"paid": True})

    def _answer(self, value: Any) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        self.asked.append((self.command, self.path, dict(self.headers), body))
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def crm() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Crm)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    Crm.asked.clear()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "graph.yaml").write_text(GRAPH)
    (tmp_path / "replies.json").write_text(json.dumps(REPLIES))
    (tmp_path / "notes.txt").write_text("first\nAda was here\n")
    return tmp_path


def agentctl(folder: Path, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **env}
    return subprocess.run(
        [sys.executable, "-m", "agentctl", *args],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


RUN = ("run", "graph.yaml", "-i", "email=ada@example.org", "--json")


def test_a_run_reaches_the_world_once_and_its_replay_not_at_all(folder: Path, crm: str) -> None:
    done = agentctl(folder, *RUN, "--thread", "t", CRM_URL=crm, CRM_TOKEN=TOKEN)
    outcome = json.loads(done.stdout)
    assert (done.returncode, outcome["status"]) == (0, "done"), done.stderr
    assert outcome["output"] == {"name": "Ada", "lines": "2:Ada was here", "receipt": {"paid": True}}
    (_, found, headers, _), (method, path, keyed, body) = Crm.asked
    assert (found, headers["Authorization"]) == ("/customers/ada%40example.org", f"Bearer {TOKEN}")
    assert (method, path, json.loads(body)) == (
        "POST",
        "/refunds",
        {"email": "ada@example.org", "amount": 12.0},
    )
    assert keyed["Idempotency-Key"] == "t/ada@example.org/12"
    assert outcome["memo_hits"] == 1, "the agent asks what the node has asked"

    script = (
        "import os, socket, subprocess\n"
        "def refused(*a, **k): raise AssertionError('the world was asked')\n"
        "socket.socket.connect = subprocess.Popen.__init__ = os.fork = refused\n"
        "from agentctl.cli.main import run\n"
        "raise SystemExit(run(['replay', 't', '--json']))\n"
    )
    (folder / "notes.txt").unlink()
    replayed = subprocess.run(
        [sys.executable, "-c", script],
        cwd=folder,
        env={"PATH": "", "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(replayed.stdout)["identical"] is True, replayed.stderr
    assert len(Crm.asked) == 2

    stored = b"".join(path.read_bytes() for path in (folder / ".agentctl").rglob("*") if path.is_file())
    assert TOKEN.encode() not in stored
    assert TOKEN not in done.stdout + done.stderr


def test_what_is_remembered_is_asked_again_for_another_token_and_another_file(folder: Path, crm: str) -> None:
    def asked(**env: str) -> tuple[int, int]:
        before = len(Crm.asked)
        done = agentctl(folder, *RUN, CRM_URL=crm, **env)
        assert done.returncode == 0, done.stderr
        return sum(each[0] == "GET" for each in Crm.asked[before:]), json.loads(done.stdout)["memo_hits"]

    assert asked(CRM_TOKEN=TOKEN) == (1, 1)
    assert asked(CRM_TOKEN=TOKEN) == (0, 3)
    assert asked(CRM_TOKEN=f"{TOKEN}-2")[0] == 1
    (folder / "notes.txt").write_text("Ada is gone\n")
    done = agentctl(folder, *RUN, CRM_URL=crm, CRM_TOKEN=TOKEN)
    assert json.loads(done.stdout)["output"]["lines"] == "1:Ada is gone", "a file that it names is its code"


def test_a_variable_that_is_not_set_is_said_before_anything_is_asked(folder: Path, crm: str) -> None:
    for more in ((), ("--dry-run",)):
        done = agentctl(folder, *RUN, *more, CRM_URL=crm)
        assert done.returncode == 3
        assert "tools.find_customer needs CRM_TOKEN, which is not set" in done.stderr
    assert Crm.asked == []


def test_a_dry_run_shows_what_the_tools_would_do_and_asks_nothing(folder: Path, crm: str) -> None:
    shown = agentctl(folder, *RUN[:-1], "--dry-run", CRM_URL=crm, CRM_TOKEN=TOKEN).stdout
    assert "http GET ${{ env.CRM_URL }}/customers/${{ args.email }}" in shown
    assert "command grep -n -- ${{ args.pattern }} notes.txt" in shown
    assert Crm.asked == []


def test_a_server_that_is_gone_is_routed_by_its_class(folder: Path, crm: str) -> None:
    text = (
        GRAPH.replace("then: search}", "on_error: {tool_unavailable: search}, then: search}", 1)
        .replace("then: talk}", "then: end}")
        .replace("  talk: {", "  talk: &x {")
    )
    text = text[: text.index("  talk:")] + "limits: {recursion: 6}\n"
    (folder / "graph.yaml").write_text(text)
    done = agentctl(folder, *RUN, CRM_URL="http://127.0.0.1:9", CRM_TOKEN=TOKEN)
    assert json.loads(done.stdout)["output"]["name"] == "", done.stderr
    assert json.loads(done.stdout)["status"] == "done"


def test_an_interrupted_run_leaves_no_program_behind_and_goes_on_later(folder: Path, crm: str) -> None:
    (folder / "wait.sh").write_text("touch begun\ntest -e go && exit\ntrap '' INT TERM\nsleep 600 & wait\n")
    text = (
        "agentctl: 1\nname: slow\noutput: [done]\nstate: {done: {type: string, default: no}}\n"
        "tools:\n  wait: {command: [sh, wait.sh], description: Wait., effect: read, timeout: 100s}\n"
        "start: wait\nnodes:\n  wait: {tool: wait, then: say}\n  say: {set: {done: yes}, then: end}\n"
    )
    (folder / "graph.yaml").write_text(text)
    run = subprocess.Popen(
        [sys.executable, "-m", "agentctl", "run", "graph.yaml", "--thread", "t"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (folder / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    run.send_signal(signal.SIGINT)
    _, said = run.communicate(timeout=60)
    assert (run.returncode, "resume t" in said) == (130, True), said
    at_work = [pid for pid in Path("/proc").glob("[0-9]*") if _works_in(pid, folder)]
    assert at_work == []
    (folder / "go").touch()
    done = agentctl(folder, "resume", "t")
    assert (done.returncode, done.stdout.strip()) == (0, "yes"), done.stderr


def _works_in(pid: Path, folder: Path) -> bool:
    try:
        return (pid / "cwd").readlink() == folder
    except OSError:
        return False
