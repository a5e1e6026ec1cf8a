"""What a person reads of a thread: what each step saved, which question is open, a list that fits the screen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentctl.cli.thread_view import list_text
from agentctl.store.protocols import Head
from tests.cli.desk import make_desk
from tests.cli.shell import here

Captured = pytest.CaptureFixture[str]
UUID = "01a2042b-c1d8-7123-a180-91b50e794ee4"


def head(thread: str) -> Head:
    """A thread that is done."""
    return Head(
        thread=thread,
        graph="support",
        digest="0" * 32,
        tenant="",
        status="done",
        seq=1,
        snapshot_seq=0,
        turn_seq=1,
        turns=1,
        steps=3,
        input_tokens=200,
        output_tokens=20,
        cost=0.0,
        created=1795366372.0,
        updated=1795366372.0,
        variants={},
    )


def test_a_step_says_what_it_saved(tmp_path: Path, capsys: Captured) -> None:
    make_desk(tmp_path)
    here(capsys, "run", "graph.yaml", "-i", "question=keys", "--thread", "a", cwd=tmp_path)
    shown = json.loads(here(capsys, "threads", "show", "a", "--json", cwd=tmp_path).stdout)
    assert [step["writes"] for step in shown["turns"][0]["steps"]] == [
        [["desk", "help"]],
        [["found", "<keys>"]],
        [["answer", "Like this: Answer: keys <keys>"]],
    ]
    text = here(capsys, "threads", "show", "a", cwd=tmp_path).stdout
    assert "look_up → reply\n       found: <keys>\n" in text


def test_an_error_is_said_once(tmp_path: Path, capsys: Captured) -> None:
    make_desk(tmp_path)
    here(capsys, "run", "graph.yaml", "-i", "question=broken", "--thread", "b", cwd=tmp_path)
    assert here(capsys, "threads", "show", "b", cwd=tmp_path).stdout.count("the server is down") == 1


def test_an_answer_to_a_question_that_is_not_open_is_refused(tmp_path: Path, capsys: Captured) -> None:
    make_desk(tmp_path)
    here(capsys, "run", "graph.yaml", "-i", "question=money", "--thread", "w", cwd=tmp_path)
    for given in (["--answer", "sgin=approve"], ["--assume", "retry", "sgin"]):
        done = here(capsys, "resume", "w", *given, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "no open question `sgin`\nhint: it waits for an answer to `sign`" in done.stderr
    assert here(capsys, "resume", "w", "--answer", "sign=approve", cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (None, ["GRAPH", "STATUS", "TURNS", "STEPS", "TOKENS", "COST", "LAST"]),
        (120, ["GRAPH", "STATUS", "TURNS", "STEPS", "TOKENS", "COST", "LAST"]),
        (80, ["GRAPH", "STATUS", "LAST"]),
        (20, ["GRAPH", "STATUS", "LAST"]),
    ],
)
def test_the_list_leaves_columns_out_until_it_fits(width: int | None, columns: list[str]) -> None:
    lines = list_text([head(UUID)], width).splitlines()
    assert lines[0].split() == ["THREAD", *columns]
    assert width in (None, 20) or max(map(len, lines)) <= width
    assert lines[1].startswith(f"{UUID}  support  done")
