"""`run` and `resume`, through pipes: the answer on stdout, the rest on stderr, the exit code."""

from __future__ import annotations

import json
import re
import shlex
import signal
from pathlib import Path

import pytest

from tests.cli.desk import GRAPH, REPLIES, make_desk
from tests.cli.shell import Running, agentctl, here, wait_until

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    make_desk(tmp_path)
    return tmp_path


def test_a_pipe_sees_the_answer_and_nothing_else(desk: Path) -> None:
    done = agentctl("run", "graph.yaml", "-i", "question=keys", cwd=desk)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == 'answer: "Like this: Answer: keys <keys>"\ndesk: help\n'


def test_one_output_is_its_text(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_desk(desk, graph=GRAPH.replace("output: [answer, desk]", "output: [answer]"))
    done = here(capsys, "run", "graph.yaml", "-i", "question=keys", cwd=desk)
    assert done.stdout == "Like this: Answer: keys <keys>\n"


def test_json_is_the_whole_outcome_in_one_object(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here(capsys, "run", "graph.yaml", "-i", "question=keys", "--json", "--thread", "t1", cwd=desk)
    shown = json.loads(done.stdout)
    promised = [
        "v",
        "thread",
        "run",
        "turn",
        "status",
        "output",
        "steps",
        "usage",
        "cost",
        "variants",
        "warnings",
    ]
    assert [key for key in shown if key in promised] == promised
    assert (shown["v"], shown["thread"], shown["turn"], shown["status"]) == (1, "t1", 1, "done")
    assert shown["output"]["desk"] == "help"
    assert (shown["steps"], shown["error"]) == (3, None)
    assert shown["usage"]["input"] > 0


def test_a_log_tells_more_with_v_and_nothing_with_q(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loud = here(capsys, "run", "graph.yaml", "-i", "question=keys", "-v", cwd=desk)
    assert "1: sort (agent)" in loud.stderr
    assert re.search(r"^2: look_up .*\"keys\".* · ", loud.stderr, re.MULTILINE)
    assert loud.stderr.splitlines()[-1].startswith("done · 3 steps · 2 model calls · 1 tool call")
    again = here(capsys, "run", "graph.yaml", "-i", "question=keys", "-v", cwd=desk)
    assert "from memo" in again.stderr
    assert (
        "from memo"
        not in here(capsys, "run", "graph.yaml", "-i", "question=keys", "-v", "--no-cache", cwd=desk).stderr
    )
    quiet = here(capsys, "run", "graph.yaml", "-i", "question=keys", "-q", cwd=desk)
    assert quiet.stderr == ""


def test_inputs_come_from_a_file_a_pipe_and_the_command_line_typed(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "in.yaml").write_text("question: keys\ntimes: 2\n")
    args = ["run", "graph.yaml", "--json", "--input"]
    from_file = here(capsys, *args, "in.yaml", "-i", "times=3", "--events", "e1", cwd=desk)
    from_pipe = here(capsys, *args, "-", "--events", "e2", cwd=desk, stdin='{"question": "keys", "times": 4}')
    assert from_file.returncode == from_pipe.returncode == 0
    inputs = [
        json.loads((desk / name).read_text().splitlines()[0])["data"]["inputs"] for name in ("e1", "e2")
    ]
    assert inputs == [{"question": "keys", "times": 3}, {"question": "keys", "times": 4}]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "error: the input `question` is missing"),
        (["-i", "quesion=x"], "error: `quesion` is no input of desk\nhint: did you mean `question`?"),
        (["-i", "answer=x"], "hint: it is a field, but `input:` lists question, times"),
        (["-i", "question=x", "-i", "times=many"], "error: `times=many`: times is an integer"),
        (["--input", "nowhere.json"], "error: nowhere.json: no such file or directory"),
        (["--input", "tools.py"], "error: --input tools.py"),
        (["-i", "question=x", "--limit", "speed=1"], "error: limits:"),
        (
            ["-i", "question=x", "--limit", "time=abc"],
            "error: limits: `abc` is no duration\nhint: write it like 500ms",
        ),
        (["-i", "question=x", "--limit", "tokns=5"], "hint: did you mean `tokens`?"),
        (["-i", "question=x", "--limit", "on_limit=no"], "`on_limit` names `no`, and there is no such node"),
        (["-i", "question=x", "--model", "fast=local"], "no model `fast`\nhint: its models are: `default`"),
        (["-i", "question=x", "--model", "default=gpt-5"], "no model provider `gpt-5`; write PROVIDER/MODEL"),
        (["-i", "question=x", "--thread", "@last"], "error: there is no store here or in a folder above"),
        (["-i", "question=x", "--model", "default"], "error: --model `default`: write key=value"),
        (["-i", "question=x", "--env-file", "no.env"], "error: cannot read the env file no.env"),
        (["-i", "question=x", "--events", "no/e.jsonl"], "error: --events no/e.jsonl: there is no folder no"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_given_wrongly_is_said_before_anything_runs(
    desk: Path, args: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here(capsys, "run", "graph.yaml", *args, cwd=desk)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr


def test_a_file_that_is_not_there_is_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done = here(capsys, "run", "no.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "no.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_invalid_graph_shows_its_findings_and_does_not_run(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_desk(desk, graph=GRAPH.replace("then: by_desk", "then: by_dsk"))
    done = here(capsys, "run", "graph.yaml", "-i", "question=keys", cwd=desk)
    assert (done.returncode, done.stdout) == (1, "")
    assert "by_dsk" in done.stderr
    assert "G203" in done.stderr
    assert not (desk / ".agentctl").exists()


def test_a_limit_prints_the_output_so_far_and_is_exit_5(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here(capsys, "run", "graph.yaml", "-i", "question=keys", "--limit", "recursion=1", cwd=desk)
    assert done.returncode == 5
    assert done.stdout == 'answer: ""\ndesk: help\n'
    assert "limits.recursion" in done.stderr


def test_a_model_that_fails_is_an_error_with_its_exit_code(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here(capsys, "run", "graph.yaml", "-i", "question=broken", cwd=desk)
    assert (done.returncode, done.stdout) == (3, "")
    assert "error: the server is down" in done.stderr


def test_a_question_without_a_person_waits_and_the_line_it_prints_answers_it(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = here(capsys, "run", "graph.yaml", "-i", "question=money", cwd=desk)
    assert (done.returncode, done.stdout) == (6, "")
    assert "waiting: May we answer money?" in done.stderr
    line = next(line for line in done.stderr.splitlines() if line.endswith("sign=approve"))
    answered = here(capsys, *shlex.split(line.partition("agentctl ")[2]), cwd=desk)
    assert answered.returncode == 0
    assert answered.stdout == "answer: A person said approve.\ndesk: person\n"
    again = here(capsys, *shlex.split(line.partition("agentctl ")[2]), cwd=desk)
    assert again.returncode == 2
    assert "no turn to resume" in again.stderr


def test_a_wrong_answer_is_refused_and_a_suspended_turn_can_be_abandoned(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here(capsys, "run", "graph.yaml", "-i", "question=money", "--thread", "t", cwd=desk)
    wrong = here(capsys, "resume", "t", "--answer", "sign=maybe", cwd=desk)
    assert wrong.returncode == 2
    assert "approve or reject" in wrong.stderr
    refused = here(capsys, "run", "graph.yaml", "-i", "question=keys", "--thread", "t", cwd=desk)
    assert refused.returncode == 2
    assert "--abandon" in refused.stderr
    instead = here(capsys, "run", "graph.yaml", "-i", "question=keys", "--thread", "t", "--abandon", cwd=desk)
    assert instead.returncode == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_a_model_call_and_the_line_it_prints_goes_on(
    desk: Path,
    number: signal.Signals,
    code: int,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = desk / "calls.jsonl"
    monkeypatch.setenv("AGENTCTL_SCRIPTED_LOG", str(log))
    run = Running("run", "graph.yaml", "-i", "question=slow", cwd=desk, AGENTCTL_SCRIPTED_LOG=str(log))
    wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == 2)
    run.process.send_signal(number)
    ended, out, err = run.end()
    assert (ended, out) == (code, "")
    line = next(line for line in err.splitlines() if line.startswith("go on with: agentctl "))
    assert UUID.search(line)

    (desk / "replies.yaml").write_text(REPLIES.replace("delay: 60", "delay: 0"))
    done = here(capsys, *shlex.split(line.removeprefix("go on with: agentctl ")), cwd=desk)
    assert done.returncode == 0
    assert "one two three four" in done.stdout
    assert len(log.read_text().splitlines()) == 3, (
        "the call that was cut is made again, the finished one is not"
    )


def test_events_are_appended_to_a_file(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        here(capsys, "run", "graph.yaml", "-i", "question=keys", "--events", "events.jsonl", cwd=desk)
    lines = [json.loads(line) for line in (desk / "events.jsonl").read_text().splitlines()]
    types = [line["type"] for line in lines]
    assert types.count("run.started") == types.count("run.ended") == 2
    assert lines[-1]["data"]["status"] == "done"
    assert all(set(line) >= {"v", "id", "seq", "time", "type", "run", "thread", "data"} for line in lines)


def test_threads_are_kept_where_the_option_or_the_variable_says(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    here(capsys, "run", "graph.yaml", "-i", "question=keys", "--store", "kept", cwd=desk)
    money = here(capsys, "run", "graph.yaml", "-i", "question=money", "--store", "kept", cwd=desk)
    assert "--store kept" in money.stderr
    monkeypatch.setenv("AGENTCTL_STORE", str(desk / "kept"))
    listed = here(capsys, "threads", "list", "--json", cwd=desk)
    assert len(json.loads(listed.stdout)["threads"]) == 2
    assert not (desk / ".agentctl").exists()
