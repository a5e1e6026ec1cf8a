"""`run --each`: a turn for every line, side by side, outcomes in the order of the lines."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from agentctl.cli.each import worst
from tests.cli.desk import REPLIES, make_desk
from tests.cli.shell import Running, Terminal, here, wait_until

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    make_desk(tmp_path)
    return tmp_path


def lines(desk: Path, *inputs: Any) -> Path:
    file = desk / "in.jsonl"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in inputs))
    return file


def outcomes(out: str) -> list[Any]:
    return [json.loads(line) for line in out.splitlines()]


def test_every_line_is_a_turn_on_a_thread_of_its_own_and_the_worst_decides(
    desk: Path, capsys: Captured
) -> None:
    questions = ["keys", "money", "broken", "doors"]
    lines(desk, *({"question": question} for question in questions))
    done = here(capsys, "run", "graph.yaml", "--each", "in.jsonl", "--concurrency", "2", cwd=desk)
    shown = outcomes(done.stdout)
    assert [outcome["line"] for outcome in shown] == [1, 2, 3, 4]
    assert [outcome["status"] for outcome in shown] == ["done", "waiting", "failed", "done"]
    assert shown[3]["output"]["answer"] == "Like this: Answer: doors <doors>"
    assert len({outcome["thread"] for outcome in shown}) == 4
    assert re.fullmatch(r"4 of 4 turns · 2 done · 1 failed · 1 waiting · \S+\n", done.stderr)
    assert done.returncode == 3
    listed = json.loads(here(capsys, "threads", "list", "--json", cwd=desk).stdout)["threads"]
    assert {head["thread"] for head in listed} == {outcome["thread"] for outcome in shown}


@pytest.mark.parametrize(
    ("codes", "code"),
    [([], 0), ([0, 0], 0), ([0, 6], 6), ([6, 5], 5), ([5, 4, 6], 4), ([4, 3, 5], 3), ([3, 70], 70)],
)
def test_the_worst_exit_code_is_the_one_that_most_needs_somebody(codes: list[int], code: int) -> None:
    assert worst(codes) == code


def test_the_order_is_that_of_the_lines_whichever_is_done_first(desk: Path, capsys: Captured) -> None:
    make_desk(desk, replies=REPLIES.replace("delay: 60", "delay: 0.3"))
    log = desk / "events.jsonl"
    lines(desk, {"question": "slow"}, {"question": "keys"}, {"question": "doors"})
    args = ("run", "graph.yaml", "--each", "in.jsonl", "-q", "--events", log)
    done = here(capsys, *args, cwd=desk)
    assert (done.returncode, done.stderr) == (0, "")
    shown = outcomes(done.stdout)
    assert [outcome["line"] for outcome in shown] == [1, 2, 3]
    ended = [event["thread"] for event in outcomes(log.read_text()) if event["type"] == "run.ended"]
    assert ended[-1] == shown[0]["thread"], "side by side: the first line was done last"


def test_no_more_than_n_are_under_way_at_a_time(desk: Path, capsys: Captured) -> None:
    make_desk(desk, replies=REPLIES.replace("delay: 60", "delay: 0.05"))
    lines(desk, *[{"question": "slow"}] * 6)
    log = desk / "events.jsonl"
    here(capsys, "run", "graph.yaml", "--each", "in.jsonl", "--concurrency", "2", "--events", log, cwd=desk)
    under_way, most = set(), 0
    for event in outcomes(log.read_text()):
        if event["type"] == "run.started":
            under_way.add(event["thread"])
        if event["type"] == "run.ended":
            under_way.remove(event["thread"])
        most = max(most, len(under_way))
    assert most == 2


def test_what_the_command_line_gives_wins_over_a_line_and_a_line_over_the_file(
    desk: Path, capsys: Captured
) -> None:
    (desk / "all.yaml").write_text("question: from the file\ntimes: 2\n")
    lines(desk, {"question": "keys"}, {"times": 3})
    log = desk / "events.jsonl"
    given = ("--each", "in.jsonl", "--input", "all.yaml", "--concurrency", "1", "--events", log)
    for more in ((), ("-i", "times=4")):
        assert here(capsys, "run", "graph.yaml", *given, *more, cwd=desk).returncode == 0
    began = [event["data"]["inputs"] for event in outcomes(log.read_text()) if event["type"] == "run.started"]
    assert began == [
        {"question": "keys", "times": 2},
        {"question": "from the file", "times": 3},
        {"question": "keys", "times": 4},
        {"question": "from the file", "times": 4},
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"question": "keys"}\n\n{"question": }\n', "error: --each in.jsonl:3: no JSON: "),
        ('{"question": "keys"}\n[1]\n', "error: --each in.jsonl:2: an object of inputs is wanted, not `[1]`"),
        ('{"question": "keys"}\n{}\n', "error: --each in.jsonl:2: the input `question` is missing"),
        ('{"question": "a"}\n{"question": "b", "x": 1}', "error: --each in.jsonl:2: `x` is no input of desk"),
        (
            '{"question": "a"}\n{"question": "b", "times": "x"}',
            "error: --each in.jsonl:2: input `times` cannot",
        ),
        ("\n \n", "error: --each in.jsonl: there is no line in it"),
    ],
)
def test_a_bad_line_is_named_before_anything_runs(desk: Path, text: str, says: str, capsys: Captured) -> None:
    (desk / "in.jsonl").write_text(text)
    done = here(capsys, "run", "graph.yaml", "--each", "in.jsonl", cwd=desk)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(says)
    assert not (desk / ".agentctl").exists()


@pytest.mark.parametrize("option", [("--thread", "t"), ("--abandon",)])
def test_lines_and_one_thread_do_not_go_together(
    desk: Path, option: tuple[str, ...], capsys: Captured
) -> None:
    lines(desk, {"question": "keys"})
    done = here(capsys, "run", "graph.yaml", "--each", "in.jsonl", *option, cwd=desk)
    assert done.returncode == 2
    assert f"--each and {option[0]} do not go together" in done.stderr


def test_what_happens_is_told_with_the_line_it_happens_to(desk: Path, capsys: Captured) -> None:
    lines(desk, {"question": "keys"}, {"question": "doors"})
    done = here(capsys, "run", "graph.yaml", "--each", "in.jsonl", "-v", cwd=desk)
    for number, word in ((1, "keys"), (2, "doors")):
        assert re.search(rf'^line {number}: 2: look_up .*"{word}".* · ', done.stderr, re.MULTILINE)


def test_turns_that_cannot_be_begun_each_say_so(desk: Path, capsys: Captured) -> None:
    lines(desk, {"question": "keys"}, {"question": "doors"})
    args = ("run", "graph.yaml", "--each", "in.jsonl", "--model", "default=nobody/x")
    done = here(capsys, *args, cwd=desk)
    assert done.returncode == 2
    assert [outcome["status"] for outcome in outcomes(done.stdout)] == ["failed", "failed"]
    assert "no model provider `nobody`" in outcomes(done.stdout)[0]["error"]["message"]


def test_ctrl_c_stops_all_of_them_and_says_how_many_can_go_on(desk: Path) -> None:
    log = desk / "calls.jsonl"
    lines(desk, {"question": "keys"}, *[{"question": "slow"}] * 4)
    run = Running(
        "run",
        "graph.yaml",
        "--each",
        "in.jsonl",
        "--concurrency",
        "2",
        cwd=desk,
        AGENTCTL_SCRIPTED_LOG=str(log),
    )
    wait_until(lambda: log.exists() and log.read_text().count("Answer: slow") == 2)
    run.process.send_signal(signal.SIGINT)
    code, out, err = run.end()
    assert code == 130
    assert [outcome["status"] for outcome in outcomes(out)] == ["done", "interrupted", "interrupted"]
    assert "3 of 5 turns · 1 done · 2 interrupted" in err
    assert "stopped: 2 turns can be resumed, 2 not begun" in err


def test_on_a_terminal_progress_is_one_line_that_makes_way_for_outcomes(desk: Path) -> None:
    lines(desk, {"question": "keys"}, {"question": "doors"})
    run = Terminal("run", "graph.yaml", "--each", "in.jsonl", cwd=desk)
    assert run.exit_code() == 0
    assert "\r\x1b[K0 of 2 turns · 2 running" in run.seen
    written = [line.rpartition("\x1b[K")[2] for line in run.seen.split("\r\n")]
    assert [json.loads(line)["line"] for line in written[:2]] == [1, 2]
    assert written[2].startswith("2 of 2 turns · 2 done · ")
