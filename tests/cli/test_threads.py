"""`threads` and `replay`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agentctl import load
from tests.cli.desk import GRAPH, make_desk
from tests.cli.shell import environment, here

Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a thread `a` of two turns and a thread `b` that failed."""
    folder = tmp_path_factory.mktemp("desk")
    with load(make_desk(folder), store=folder / ".agentctl") as graph:
        for thread, question in (("a", "keys"), ("a", "doors"), ("b-1", "broken")):
            graph.run({"question": question}, thread=thread)
    return folder


def test_the_list_has_the_newest_first(desk: Path, capsys: Captured) -> None:
    shown = here(capsys, "threads", "list", cwd=desk)
    head, *rows = shown.stdout.splitlines()
    assert head.split() == ["THREAD", "GRAPH", "STATUS", "TURNS", "STEPS", "TOKENS", "COST", "LAST"]
    assert [row.split()[:5] for row in rows] == [
        ["b-1", "desk", "failed", "1", "3"],
        ["a", "desk", "done", "2", "6"],
    ]
    listed = json.loads(here(capsys, "threads", "list", "--json", cwd=desk).stdout)
    assert [(head["thread"], head["turn"], head["status"]) for head in listed["threads"]] == [
        ("b-1", 1, "failed"),
        ("a", 2, "done"),
    ]


def test_a_thread_is_shown_with_its_turns_and_steps(desk: Path, capsys: Captured) -> None:
    shown = json.loads(here(capsys, "threads", "show", "a", "--json", cwd=desk).stdout)
    assert [turn["inputs"]["question"] for turn in shown["turns"]] == ["keys", "doors"]
    steps = shown["turns"][1]["steps"]
    assert [(step["step"], step["node"], step["calls"]) for step in steps] == [
        (4, "sort", ["model"]),
        (5, "find", ["look_up"]),
        (6, "reply", ["model"]),
    ]
    text = here(capsys, "threads", "show", "@failed", cwd=desk).stdout
    assert "turn 1  failed" in text
    assert "the server is down" in text


@pytest.mark.parametrize(
    ("reference", "meant"), [("@last", "b-1"), ("@-2", "a"), ("@failed", "b-1"), ("b", "b-1"), ("a", "a")]
)
def test_a_thread_is_found_by_what_is_short_for_it(
    desk: Path, reference: str, meant: str, capsys: Captured
) -> None:
    shown = here(capsys, "threads", "show", reference, "--json", cwd=desk)
    assert json.loads(shown.stdout)["thread"] == meant


@pytest.mark.parametrize(
    "verb", [["threads", "show"], ["replay"], ["resume"], ["threads", "rm"]], ids=" ".join
)
def test_a_thread_that_is_not_there_is_exit_2(desk: Path, verb: list[str], capsys: Captured) -> None:
    done = here(capsys, *verb, "nobody", cwd=desk)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error: there is no thread `nobody`" in done.stderr


def test_no_store_is_a_clear_error(tmp_path: Path, capsys: Captured) -> None:
    done = here(capsys, "threads", "list", cwd=tmp_path)
    assert done.returncode == 2
    assert "there is no store" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_replay_says_that_it_is_identical_and_calls_nobody(
    desk: Path, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "calls"
    monkeypatch.setenv("AGENTCTL_SCRIPTED_LOG", str(log))
    done = here(capsys, "replay", "a", cwd=desk)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "a: identical (2 turns, 6 steps, 4 model calls, 2 tool calls; 0 made live)\n"
    assert not log.exists()
    shown = json.loads(here(capsys, "replay", "@last", "--json", cwd=desk).stdout)
    assert (shown["v"], shown["thread"], shown["identical"], shown["live"]) == (1, "b-1", True, 0)
    every = json.loads(here(capsys, "replay", "--all", "--json", cwd=desk).stdout)
    assert [report["thread"] for report in every["threads"]] == ["b-1", "a"]
    assert every["identical"] is True


def test_a_replay_on_another_file_names_the_first_divergence(
    desk: Path, tmp_path: Path, capsys: Captured
) -> None:
    other = make_desk(tmp_path, graph=GRAPH.replace("help: find", "help: reply"))
    done = here(capsys, "replay", "a", "--graph", other, cwd=desk)
    assert done.returncode == 1
    assert "a: differs" in done.stdout
    assert "step 1, node sort" in done.stdout
    shown = json.loads(here(capsys, "replay", "a", "--graph", other, "--json", cwd=desk).stdout)
    assert shown["identical"] is False
    assert shown["divergences"][0]["step"] == 1


def test_a_replay_imports_no_client_of_a_model(desk: Path) -> None:
    script = """
import sys
from agentctl.cli.main import run
code = run(["replay", "a"])
heavy = {"openai", "xllamacpp", "pydantic", "rich", "agentctl.models.local", "agentctl.models.openai"}
print(sorted(heavy & set(sys.modules)), code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=desk,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[] 0"


def test_removed_threads_are_gone(tmp_path: Path, capsys: Captured) -> None:
    make_desk(tmp_path)
    for thread in ("a", "b", "c"):
        here(capsys, "run", "graph.yaml", "-i", "question=keys", "--thread", thread, cwd=tmp_path)
    done = here(capsys, "threads", "rm", "@last", "@-2", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "removed c\nremoved b\n")
    left = json.loads(here(capsys, "threads", "list", "--json", cwd=tmp_path).stdout)
    assert [head["thread"] for head in left["threads"]] == ["a"]


def test_a_turn_is_added_to_the_last_thread_by_that_name(tmp_path: Path, capsys: Captured) -> None:
    make_desk(tmp_path)
    run = ["run", "graph.yaml", "--json", "-i", "question=keys", "--thread"]
    here(capsys, *run, "a", cwd=tmp_path)
    added = json.loads(here(capsys, *run, "@last", cwd=tmp_path).stdout)
    assert (added["thread"], added["turn"]) == ("a", 2)
    assert "error: there is no thread `@-9`" in here(capsys, *run, "@-9", cwd=tmp_path).stderr
