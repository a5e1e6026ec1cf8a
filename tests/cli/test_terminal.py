"""What a person sees and types: real pseudo-terminals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.cli.desk import GRAPH, REPLIES, make_desk
from tests.cli.shell import Terminal, here

Captured = pytest.CaptureFixture[str]
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    make_desk(tmp_path)
    return tmp_path


def test_a_person_sees_the_steps_and_the_answer_goes_where_stdout_goes(desk: Path) -> None:
    out = desk / "answer"
    run = Terminal("run", "graph.yaml", "-i", "question=keys", cwd=desk, stdout=out)
    assert run.exit_code() == 0
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", run.seen)
    for words in (
        "desk · turn 1",
        "✓ sort  agent",
        "✓ find  tool",
        "look_up",
        "✓ done · 3 steps · 2 model calls",
    ):
        assert words in shown
    assert _COLOURS.search(run.seen)
    assert out.read_text() == 'answer: "Like this: Answer: keys <keys>"\ndesk: help\n'


def test_words_are_seen_as_they_come(desk: Path) -> None:
    words = "one two three " + "and so on " * 50
    make_desk(desk, replies=REPLIES.replace("one two three four, delay: 60", f'"{words} end", pace: 0.2'))
    run = Terminal("run", "graph.yaml", "-i", "question=slow", cwd=desk)
    seen = run.wait_for("one two")
    assert "end" not in seen.partition("reply")[2]
    run.process.send_signal(2)
    assert run.exit_code() == 130


def test_hostile_words_of_a_model_do_not_steer_the_terminal(desk: Path) -> None:
    make_desk(
        desk, replies=REPLIES + '- {when: "Answer: evil", say: "\\e]0;pwned\\a [red]x[/] \\e[2Jdone"}\n'
    )
    run = Terminal("run", "graph.yaml", "-i", "question=evil", "-v", cwd=desk)
    assert run.exit_code() == 0
    assert "\x1b]0;" not in run.seen
    assert "\x1b[2J" not in run.seen
    assert "␛[2Jdone" in run.seen, "in the progress"
    assert "\\u001b[2Jdone" in run.seen, "in the answer, which is YAML"


def test_no_color_leaves_nothing_coloured_or_bold(desk: Path) -> None:
    plain = Terminal("run", "graph.yaml", "-i", "question=broken", cwd=desk, env={"NO_COLOR": "1"})
    assert plain.exit_code() == 3
    assert not _COLOURS.search(plain.seen)


def test_quiet_is_the_answer_alone_on_a_terminal_too(desk: Path) -> None:
    run = Terminal("run", "graph.yaml", "-i", "question=keys", "-q", cwd=desk)
    assert run.exit_code() == 0
    assert run.seen == 'answer: "Like this: Answer: keys <keys>"\r\ndesk: help\r\n'


def test_a_question_is_asked_there_until_it_is_answered(desk: Path) -> None:
    run = Terminal("run", "graph.yaml", "-i", "question=money", cwd=desk)
    run.wait_for("1) approve")
    run.wait_for("answer [1-2]: ")
    run.type("perhaps\n")
    run.wait_for("`perhaps` is none of them")
    run.type("1\n")
    assert run.exit_code() == 0
    assert "A person said approve." in run.seen


def test_a_question_left_with_ctrl_d_waits(desk: Path) -> None:
    run = Terminal("run", "graph.yaml", "-i", "question=money", cwd=desk)
    run.wait_for("answer [1-2]: ")
    run.type("\x04")
    assert run.exit_code() == 6
    assert "--answer sign=approve" in run.seen


def test_ctrl_c_at_a_question_leaves_it_to_be_answered(desk: Path) -> None:
    run = Terminal("run", "graph.yaml", "-i", "question=money", cwd=desk)
    run.wait_for("answer [1-2]: ")
    run.process.send_signal(2)
    assert run.exit_code() == 130
    assert "go on with: agentctl resume" in run.seen


def test_ctrl_c_gives_the_screen_back(desk: Path) -> None:
    run = Terminal("run", "graph.yaml", "-i", "question=slow", cwd=desk)
    run.wait_for("reply")
    run.process.send_signal(2)
    assert run.exit_code() == 130
    assert run.seen.rindex("\x1b[?25h") > run.seen.rindex("\x1b[?25l")
    assert "go on with: agentctl resume" in run.seen


CHAT = """\
agentctl: 1
name: talk
models: {default: {model: scripted/replies.yaml, retry: {attempts: 1}}}
input: [message]
output: [answer]
state: {message: string, answer: string, said: {type: messages, keep: 20}}
start: reply
nodes:
  reply:
    agent: {instructions: You talk.}
    prompt: ${{ state.message }}
    history: said
    save: answer
    then: end
"""
WORDS = """\
- {when: slow, say: too late, delay: 60}
- {when: broken, error: refused, say: I will not}
- {else: true, say: "You said {last}."}
"""


def test_a_chat_takes_turns_on_one_thread_and_ends_at_ctrl_d(tmp_path: Path, capsys: Captured) -> None:
    make_desk(tmp_path, graph=CHAT, replies=WORDS)
    chat = Terminal("chat", "graph.yaml", "--thread", "t", cwd=tmp_path)
    chat.wait_for("› ")
    chat.type("hello\n")
    chat.wait_for("turn 1")
    chat.wait_for("You said hello.")
    chat.wait_for("› ")
    chat.type("slow\n")
    chat.wait_for("turn 2")
    chat.wait_for("reply")
    chat.process.send_signal(2)
    chat.wait_for("interrupted")
    chat.wait_for("› ")
    chat.type("broken\n")
    chat.wait_for("I will not")
    chat.wait_for("› ")
    chat.type("bye\n")
    chat.wait_for("You said bye.")
    chat.wait_for("› ")
    chat.type("\x04")
    assert chat.exit_code() == 0
    assert "go on with: agentctl chat graph.yaml --thread t" in chat.seen
    shown = here(capsys, "threads", "show", "t", cwd=tmp_path).stdout
    assert [line.split()[2] for line in shown.splitlines() if line.startswith("turn ")] == [
        "done",
        "abandoned",
        "failed",
        "done",
    ]


def test_lines_through_a_pipe_are_turns_and_the_first_failure_ends_them(
    tmp_path: Path, capsys: Captured
) -> None:
    make_desk(tmp_path, graph=CHAT, replies=WORDS)
    done = here(capsys, "chat", "graph.yaml", cwd=tmp_path, stdin="one\n\ntwo\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "You said one.\nYou said two.\n"
    failed = here(capsys, "chat", "graph.yaml", cwd=tmp_path, stdin="one\nbroken\ntwo\n")
    assert failed.returncode == 3
    assert failed.stdout == "You said one.\n"


def test_a_chat_wants_to_know_which_text_is_typed(tmp_path: Path, capsys: Captured) -> None:
    make_desk(tmp_path, graph=GRAPH.replace("input: [question, times]", "input: [question, found]"))
    done = here(capsys, "chat", "graph.yaml", cwd=tmp_path, stdin="keys\n")
    assert done.returncode == 2
    assert "--say question" in done.stderr
    named = here(capsys, "chat", "graph.yaml", "--say", "question", cwd=tmp_path, stdin="keys\n")
    given = here(capsys, "chat", "graph.yaml", "-i", "found=", cwd=tmp_path, stdin="keys\n")
    assert (named.returncode, given.returncode) == (0, 0)
