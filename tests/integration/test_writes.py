"""A write whose end nobody saw, from the command line: asked about with its arguments, and settled by a person."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.shell import PATIENCE, Running, agentctl, wait_until
from tests.crash.paying import Bank

GRAPH = """\
agentctl: 1
name: paying
output: [receipts]
env: {BANK: {}}
models: {default: {model: scripted/script.json}}
tools:
  pay:
    http: POST ${{ env.BANK }}/pay/${{ args.name }}
    description: Pay.
    parameters: {name: string}
    returns: {paid: string}
    effect: write
    timeout: 60s
agents: {payer: {tools: [pay], max_turns: 3}}
state: {receipts: {type: string, default: ""}}
start: pay
nodes:
  pay: {agent: payer, prompt: go, save: receipts, then: end}
"""
SCRIPT = [
    {"when": "go", "call": [{"tool": "pay", "args": {"name": name}} for name in ("a", "b", "c")]},
    {"else": True, "say": "{last}"},
]


@pytest.fixture
def bank() -> Iterator[Bank]:
    found = Bank()
    yield found
    found.close()


@pytest.fixture
def killed(tmp_path: Path, bank: Bank) -> Path:
    """The folder of a run that was killed as the bank was at two of three payments."""
    (tmp_path / "graph.yaml").write_text(GRAPH)
    (tmp_path / "script.json").write_text(json.dumps(SCRIPT))
    bank.open("b", "c")
    run = Running("run", "graph.yaml", "--thread", "t", "-v", cwd=tmp_path, BANK=bank.url)
    for name in ("b", "c"):
        assert bank.arrived[name].wait(PATIENCE)
    assert run.process.stderr is not None
    # told once it is on the tape
    assert any('pay {"name":"a"} · ' in line for line in run.process.stderr)
    run.process.send_signal(signal.SIGKILL)
    run.end()
    bank.release()
    wait_until(lambda: bank.paid.total() == 3)
    return tmp_path


def test_each_write_whose_end_nobody_saw_is_asked_about_and_settled(killed: Path, bank: Bank) -> None:
    asked = agentctl("resume", "t", cwd=killed, BANK=bank.url)
    assert (asked.returncode, asked.stdout) == (6, "")
    assert 'waiting: `pay` was called with {"name":"b"} and its outcome is unknown' in asked.stderr
    assert "agentctl resume t --assume done '1!1.1.2'" in asked.stderr
    assert "agentctl resume t --assume retry '1!1.1.2'" in asked.stderr
    assert bank.asked == {"a": 1, "b": 1, "c": 1}, "nothing is made again unasked"

    wrong = agentctl("resume", "t", "--assume", "done", "1!1.1.2", "--result", "7", cwd=killed, BANK=bank.url)
    assert wrong.returncode == 2
    assert "`pay` cannot have given 7" in wrong.stderr

    result = ("--result", '{"paid": "b"}')
    done = agentctl("resume", "t", "--assume", "done", "1!1.1.2", *result, cwd=killed, BANK=bank.url)
    assert done.returncode == 6, "the other one is still unknown"
    assert "1!1.1.3" in done.stderr
    again = agentctl("resume", "t", "--assume", "retry", "1!1.1.3", "--json", cwd=killed, BANK=bank.url)
    outcome = json.loads(again.stdout)
    assert (again.returncode, outcome["status"], outcome["tool_calls"]) == (0, "done", 3)
    assert bank.asked == {"a": 1, "b": 1, "c": 2}, "made again only where a person said so"
    replayed = agentctl("replay", "t", "--json", cwd=killed)
    assert (replayed.returncode, json.loads(replayed.stdout)["identical"]) == (0, True)


def test_an_assumption_about_another_call_is_refused(killed: Path, bank: Bank) -> None:
    assert agentctl("resume", "t", cwd=killed, BANK=bank.url).returncode == 6
    other = agentctl("resume", "t", "--assume", "retry", "1!1.1.1", cwd=killed, BANK=bank.url)
    assert other.returncode == 2
    assert "it waits for an answer to `1!1.1.2`" in other.stderr
    assert bank.asked == {"a": 1, "b": 1, "c": 1}


def test_the_events_tell_what_is_asked_and_whole_results(killed: Path, bank: Bank) -> None:
    file = killed / "events.jsonl"
    agentctl("resume", "t", "--events", file, cwd=killed, BANK=bank.url)
    events = [json.loads(line) for line in file.read_text().splitlines()]
    waiting = next(event["data"] for event in events if event["type"] == "ask.waiting")
    assert (waiting["id"], waiting["kind"], waiting["choices"]) == ("1!1.1.2", "outcome", ["done", "retry"])
    [ended] = [event["data"] for event in events if event["type"] == "tool.ended"]
    assert (ended["tool"], ended["call"], ended["result"]) == ("pay", "1.1", {"paid": "a"})
    begun = [event["data"]["call"] for event in events if event["type"] == "tool.started"]
    assert begun == ["1.1"], "a call that waits for a person has not begun"
