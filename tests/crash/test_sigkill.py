"""Killed at any moment, a run goes on to its end: nothing recorded is done twice, nothing recorded is lost."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import agentctl
from agentctl.engine.effects import Effects
from agentctl.engine.history import History
from agentctl.store.folder import open_thread_store

CYCLES = 10
STEPS = 3 * CYCLES
EFFECTS = 4 * CYCLES
"""Each cycle looks, asks a model, pays, and asks the model again."""

GRAPH = """
agentctl: 1
name: thirty
output: [n]
state:
  n: {type: integer, default: 0}
  got: {type: array, reduce: append}
  said: {type: array, reduce: append}
models:
  default: {model: scripted/script.json}
agents:
  payer: {tools: [pay]}
tools:
  look:
    python: tools:look
    parameters: {n: integer}
    effect: read
    timeout: 20s
  pay:
    python: tools:pay
    parameters: {n: integer}
    effect: write
    idempotency_key: ${{ run.thread }}/${{ args.n }}
    timeout: 20s
start: count
nodes:
  count: {set: {n: "${{ state.n + 1 }}"}, then: look}
  look: {tool: look, args: {n: "${{ state.n }}"}, save: got, then: pay}
  pay: {agent: payer, prompt: "go ${{ state.n }};", save: said, then: more}
routers:
  more: [{when: state.n < 10, to: count}, {else: end}]
limits: {recursion: 100, time: 10m}
"""

TOOLS = """
import os

def note(line):
    log = os.open(os.environ["COUNTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{line}\\n".encode())
    os.close(log)

def look(n: int) -> str:
    note(f"look {n}")
    return f"seen {n}; " + "x" * 60

def pay(n: int, idempotency_key: str) -> str:
    note(f"pay {n}")
    return f"paid {n}; " + "y" * 60
"""


@dataclass
class Project:
    """A graph in a folder, a child process that runs it, and what can be seen of both from outside."""

    folder: Path
    harm: Callable[[], None] = lambda: None
    """What is broken on purpose in the child, to see that the test would notice."""
    kills_inside: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "graph.yaml").write_text(GRAPH)
        (self.folder / "tools.py").write_text(TOOLS)
        (self.folder / "script.json").write_text(
            json.dumps([rule for n in range(1, 11) for rule in rules(n)])
        )
        self.store = self.folder / "store"

    def fork(self) -> int:
        """A process that begins the run, or goes on with it; its pid."""
        records = self.records()
        pid = os.fork()
        if pid == 0:
            os.environ["COUNTED"] = str(self.folder / "counted")
            os.environ["AGENTCTL_SCRIPTED_LOG"] = str(self.folder / "asked")
            try:
                self.harm()
                graph = agentctl.load(self.folder / "graph.yaml", store=self.store)
                graph.resume("t") if records else graph.run({}, thread="t")
            finally:
                os._exit(0)
        return pid

    def records(self) -> list[Any]:
        if not self.store.is_dir():
            return []

        async def read() -> list[Any]:
            store = open_thread_store(self.store)
            try:
                known = any(head.thread == "t" for head in await store.heads())
                return [record for _, record in await store.read("t")] if known else []
            finally:
                await store.close()

        return asyncio.run(read())

    def calls(self) -> Counter[str]:
        """Every call that was really made, of tools and of the model."""
        tools = lines(self.folder / "counted")
        asked = [json.loads(line)["last"].split(";")[0] for line in lines(self.folder / "asked")]
        return Counter([*tools, *(f"model {words}" for words in asked)])


def rules(n: int) -> list[Any]:
    return [
        {"when": f"go {n};", "call": {"tool": "pay", "args": {"n": n}}},
        {"when": f"paid {n};", "say": f"thanks {n}; " + "z" * 60},
    ]


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def recorded_calls(records: list[Any]) -> set[str]:
    """The calls whose answers are on the tape, in the words they are counted by."""
    found = set()
    for record in records:
        if record["kind"] != "effect":
            continue
        answer = (
            record["res"] if record["of"] == "tool" else record["res"].get("text") or record["res"]["calls"]
        )
        if isinstance(answer, list):
            found.add(f"model go {answer[0]['arguments']['n']}")
        else:
            word, n = answer.split(";")[0].split()
            found.add({"seen": f"look {n}", "paid": f"pay {n}", "thanks": f"model paid {n}"}[word])
    return found


def check_log(records: list[Any], before: list[Any]) -> None:
    assert records[: len(before)] == before, "something recorded was lost"
    keys = [record["key"] for record in records if record["kind"] == "effect"]
    assert len(keys) == len(set(keys)), "an effect is recorded twice"
    steps = [record["n"] for record in records if record["kind"] == "step"]
    assert steps == list(range(1, len(steps) + 1)), "a step is missing or repeated"


def kill_and_go_on(project: Project, draw: random.Random) -> None:
    """Kill the run at a random moment; what was on the tape before must not have been called again."""
    before, counted = project.records(), project.calls()
    pid = project.fork()
    if begin_calls(project, pid, sum(counted.values()) + draw.randrange(6)):
        time.sleep(draw.uniform(0.0, 0.02))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    after = project.records()
    check_log(after, before)
    project.kills_inside += len(after) > len(before) and after[-1]["kind"] != "end"
    repeated = recorded_calls(before) & set(project.calls() - counted)
    assert not repeated, f"on the tape, and called again: {repeated}"


def begin_calls(project: Project, pid: int, count: int) -> bool:
    """Wait until so many calls were begun; false when the run ended first."""
    while sum(project.calls().values()) < count:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return False
        time.sleep(0.001)
    return True


def finish(project: Project) -> None:
    """Run to the end undisturbed, and hold the thread against what was counted."""
    if not ended(project):
        os.waitpid(project.fork(), 0)
    records = project.records()
    check_log(records, [])
    assert (records[-1]["kind"], records[-1].get("status")) == ("end", "done")
    assert sum(record["kind"] == "step" for record in records) == STEPS
    assert sum(record["kind"] == "effect" for record in records) == EFFECTS
    assert recorded_calls(records) == set(project.calls())
    assert agentctl.replay("t", store=project.store).identical
    for database in project.store.rglob("*.db"):
        with sqlite3.connect(database) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def ended(project: Project) -> bool:
    records = project.records()
    return bool(records) and records[-1]["kind"] == "end"


def kill_often(folder: Path, seed: int, kills: int, harm: Callable[[], None] = lambda: None) -> None:
    draw = random.Random(seed)
    project, inside = Project(folder / "0", harm), 0
    for number in range(1, kills + 1):
        kill_and_go_on(project, draw)
        if ended(project):
            finish(project)
            inside += project.kills_inside
            project = Project(folder / str(number), harm)
    finish(project)
    assert inside + project.kills_inside >= kills / 2, (
        "most kills met nothing under way: the test has no teeth"
    )


@pytest.mark.parametrize("seed", range(10))
def test_a_run_killed_at_random_moments_goes_on_to_its_end(tmp_path: Path, seed: int) -> None:
    kill_often(tmp_path, seed, kills=20)


def forget_the_tape() -> None:
    Effects.known = lambda self, place: None  # type: ignore[method-assign]


def forget_the_steps() -> None:
    def begin_again(self: History, record: Any) -> None: ...

    History._step = begin_again  # type: ignore[method-assign]


@pytest.mark.parametrize("harm", [forget_the_tape, forget_the_steps])
def test_without_its_tape_or_its_checkpoints_the_same_kills_are_noticed(
    tmp_path: Path, harm: Callable[[], None]
) -> None:
    with pytest.raises(AssertionError, match=r"called again|recorded twice|missing or repeated"):
        kill_often(tmp_path, seed=1, kills=20, harm=harm)
