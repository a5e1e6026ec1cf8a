"""A call that a tier has a person approve: waited for, answered, or approved beforehand."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shell import here

Captured = pytest.CaptureFixture[str]
GRAPH = """\
agentctl: 1
name: desk
input: [plan]
output: [answer]
state: {plan: {enum: [free, staff], default: free}, answer: {type: string, default: ""}}
models: {default: {model: scripted/replies.yaml}}
tools:
  refund: {python: "tools:refund", description: Pay back., parameters: {amount: number}, effect: write, timeout: 5s}
tiers:
  by: state.plan
  levels:
    free: {tools: []}
    staff: {tools: [refund], approve: [refund]}
agents: {guide: {instructions: You help., tools: [refund], max_turns: 3}}
start: answer
nodes:
  answer: {agent: guide, prompt: Pay 5 back., save: answer, then: end}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    (tmp_path / "graph.yaml").write_text(GRAPH)
    (tmp_path / "tools.py").write_text(
        "def refund(amount: float):\n    open('paid', 'a').write(f'{amount}\\n')\n    return 'paid'\n"
    )
    replies = "[{when: Pay 5, call: {tool: refund, args: {amount: 5}}}, {else: true, say: Done.}]\n"
    (tmp_path / "replies.yaml").write_text(replies)
    return tmp_path


def test_with_nobody_to_ask_the_turn_waits_and_prints_the_lines_that_answer(
    desk: Path, capsys: Captured
) -> None:
    waits = here(capsys, "run", "graph.yaml", "-i", "plan=staff", "--thread", "t", cwd=desk)
    assert waits.returncode == 6
    assert 'waiting: May `refund` be called with {"amount":5}?' in waits.stderr
    assert "answer with: agentctl resume t --answer refund@1.1.1=approve" in waits.stderr
    assert not (desk / "paid").exists()
    done = here(capsys, "resume", "t", "--answer", "refund@1.1.1=approve", cwd=desk)
    assert (done.returncode, done.stdout) == (0, "Done.\n")
    assert (desk / "paid").read_text() == "5\n"
    assert here(capsys, "replay", "t", cwd=desk).returncode == 0


def test_a_rejected_call_is_not_made_and_the_model_goes_on(desk: Path, capsys: Captured) -> None:
    here(capsys, "run", "graph.yaml", "-i", "plan=staff", "--thread", "t", cwd=desk)
    done = here(capsys, "resume", "t", "--answer", "refund@1.1.1=reject", "-v", cwd=desk)
    assert done.returncode == 0
    assert "refund refused: a person rejected it" in done.stderr
    assert not (desk / "paid").exists()


def test_approved_beforehand_nobody_is_asked_and_the_replay_knows(desk: Path, capsys: Captured) -> None:
    done = here(
        capsys, "run", "graph.yaml", "-i", "plan=staff", "--thread", "t", "--approve", "refund", cwd=desk
    )
    assert (done.returncode, done.stdout) == (0, "Done.\n")
    assert here(capsys, "replay", "t", cwd=desk).returncode == 0


def test_only_what_a_tier_has_approved_can_be_approved_beforehand(desk: Path, capsys: Captured) -> None:
    refused = here(capsys, "run", "graph.yaml", "-i", "plan=staff", "--approve", "refnd", cwd=desk)
    assert refused.returncode == 2
    assert "no tier has `refnd` approved by a person" in refused.stderr


def test_another_tier_is_not_offered_the_tool_whatever_is_approved(desk: Path, capsys: Captured) -> None:
    done = here(capsys, "run", "graph.yaml", "-i", "plan=free", "--approve", "refund", "-v", cwd=desk)
    assert done.returncode == 0
    assert "refund refused: the tier does not offer it" in done.stderr
    assert not (desk / "paid").exists()


def test_an_answer_that_is_none_leaves_the_question_open(desk: Path, capsys: Captured) -> None:
    here(capsys, "run", "graph.yaml", "-i", "plan=staff", "--thread", "t", cwd=desk)
    refused = here(capsys, "resume", "t", "--answer", "refund@1.1.1=perhaps", cwd=desk)
    assert refused.returncode == 2
    assert "`perhaps` is no answer to `refund@1.1.1`; choose approve or reject" in refused.stderr
    shown = here(capsys, "threads", "show", "t", cwd=desk)
    assert "waiting" in shown.stdout
    assert "May `refund` be called" in shown.stdout
    done = here(capsys, "resume", "t", "--answer", "refund@1.1.1=approve", cwd=desk)
    assert (done.returncode, (desk / "paid").read_text()) == (0, "5\n")
    assert here(capsys, "replay", "t", cwd=desk).returncode == 0
