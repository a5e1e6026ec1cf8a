"""`run --dry-run`: everything is looked at and nothing is run."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.cli.desk import GRAPH, make_desk
from tests.cli.shell import here

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AGENTCTL_SCRIPTED_LOG", str(tmp_path / "calls.jsonl"))
    monkeypatch.setenv("AGENTCTL_MODELS", str(tmp_path / "models"))
    make_desk(tmp_path)
    return tmp_path


def test_a_run_that_would_begin_is_told_and_leaves_nothing_behind(desk: Path, capsys: Captured) -> None:
    before = sorted(desk.iterdir())
    (desk / "tools.py").write_text('raise SystemExit("run!")\n\ndef look_up(word: str) -> str: ...\n')
    done = here(capsys, "run", "graph.yaml", "-i", "question=keys", "--dry-run", cwd=desk)
    assert (done.returncode, done.stderr) == (0, "")
    head, *rows = done.stdout.splitlines()
    assert head == "desk: would run one turn on a new thread"
    for row in (
        "  question  keys",
        "  times     1",
        "  default  scripted/replies.yaml  ready",
        "  look_up  read, answered from the memo where it can be",
        "  find    tool look_up",
        "  recursion    6",
        "  time         10m",
    ):
        assert row in rows
    assert sorted(desk.iterdir()) == before


def test_as_json_it_is_one_object(desk: Path, capsys: Captured) -> None:
    args = ("run", "graph.yaml", "-i", "question=keys", "--limit", "tokens=500", "--dry-run", "--json")
    shown = json.loads(here(capsys, *args, cwd=desk).stdout)
    assert (shown["v"], shown["graph"], shown["thread"], shown["turns"]) == (1, "desk", None, 1)
    assert shown["inputs"] == {"question": "keys", "times": 1}
    (tool,) = shown["tools"]
    assert tool == {
        "name": "look_up",
        "effect": "read",
        "cache": True,
        "kind": "python",
        "calls": "tools:look_up",
    }
    assert [node["name"] for node in shown["nodes"]] == ["sort", "find", "reply", "sign", "thanks"]
    assert shown["limits"]["tokens"] == 500
    assert (shown["problems"], shown["exit_code"]) == ([], 0)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        ([], 2, "the input `question` is missing"),
        (["-i", "question=x", "-i", 'times="x"'], 2, "input `times` cannot hold this"),
        (["-i", "question=x", "--model", "default=openai/gpt-5-mini"], 3, "no API key: OPENAI_API_KEY"),
        (["-i", "question=x", "--model", "default=local"], 3, "is not on this machine"),
        (["-i", "question=x", "--model", "default=scripted/none.yaml"], 2, "none.yaml cannot be read"),
        (["-i", "question=x", "--model", "default=nobody/x"], 2, "no model provider `nobody`"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_its_exit_code_is_the_one_the_run_fails_with(
    desk: Path, args: list[str], code: int, says: str, capsys: Captured
) -> None:
    looked = here(capsys, "run", "graph.yaml", *args, "--dry-run", cwd=desk)
    assert looked.returncode == code
    assert says in looked.stderr
    assert looked.stdout.startswith("desk: would run")
    assert not (desk / ".agentctl").exists()
    assert here(capsys, "run", "graph.yaml", *args, cwd=desk).returncode == code


def test_a_missing_model_that_would_be_fetched_is_no_problem(desk: Path, capsys: Captured) -> None:
    args = ("run", "graph.yaml", "-i", "question=x", "--model", "default=local", "--yes", "--dry-run")
    done = here(capsys, *args, cwd=desk)
    assert done.returncode == 0
    assert "default  local  to be fetched" in done.stdout
    assert not (desk / "models").exists()


def test_a_key_is_enough_and_nobody_is_called(
    desk: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-never-to-be-seen")
    monkeypatch.setattr(socket.socket, "connect", None)
    args = ("run", "graph.yaml", "-i", "question=x", "--model", "default=openai/gpt-5-mini", "--dry-run")
    done = here(capsys, *args, cwd=desk)
    assert done.returncode == 0
    assert "openai/gpt-5-mini  ready" in done.stdout
    assert "sk-never" not in done.stdout


def test_on_a_thread_it_shows_what_the_turn_would_find(desk: Path, capsys: Captured) -> None:
    def looked(*args: str) -> tuple[int, str]:
        done = here(capsys, "run", "graph.yaml", "--thread", "t", "--dry-run", *args, cwd=desk)
        return done.returncode, done.stdout + done.stderr

    here(capsys, "run", "graph.yaml", "--thread", "t", "-i", "question=keys", "-i", "times=7", cwd=desk)
    code, shown = looked()
    assert code == 0
    assert "would run turn 2 of thread t" in shown
    assert "  question  keys\n  times     7\n" in shown

    here(capsys, "run", "graph.yaml", "--thread", "t", "-i", "question=money", cwd=desk)
    code, shown = looked()
    assert code == 2
    assert "error: thread t has a turn that is not over (waiting)" in shown
    assert looked("--abandon")[0] == 0


def test_of_many_lines_it_tells_how_many_and_checks_all(desk: Path, capsys: Captured) -> None:
    file = desk / "in.jsonl"
    file.write_text('{"question": "keys"}\n{"question": "doors"}\n')
    args = ("run", "graph.yaml", "--each", "in.jsonl", "--dry-run")
    done = here(capsys, *args, cwd=desk)
    assert done.stdout.startswith("desk: would run 2 turns, each on a thread of its own; the first:\n")
    file.write_text('{"question": "keys"}\n{"question": 3}\n')
    assert here(capsys, *args, cwd=desk).returncode == 2
    assert not (desk / "calls.jsonl").exists()


def test_a_file_with_findings_is_exit_1(desk: Path, capsys: Captured) -> None:
    make_desk(desk, graph=GRAPH.replace("then: by_desk", "then: by_dsk"))
    done = here(capsys, "run", "graph.yaml", "-i", "question=keys", "--dry-run", cwd=desk)
    assert (done.returncode, done.stdout) == (1, "")
    assert "by_dsk" in done.stderr
