"""Killed at any moment, a run goes on to its end: nothing recorded is done twice, nothing recorded is lost."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import agentctl
from agentctl.store.folder import open_thread_store

GRAPH = """
agentctl: 1
name: thirty
output: [n]
state:
  n: {type: integer, default: 0}
  got: {type: array, reduce: append}
  paid: {type: array, reduce: append}
models:
  default: {model: scripted}
agents:
  echo: {}
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
  pay: {tool: pay, args: {n: "${{ state.n }}"}, save: paid, then: more}
routers:
  more: [{when: state.n < 10, to: count}, {else: end}]
limits: {recursion: 100, time: 10m}
"""

TOOLS = """
import os

def note(word, n):
    line = f"{word} {n}\\n".encode()
    log = os.open(os.environ["COUNTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, line)
    os.close(log)

def look(n: int) -> str:
    note("look", n)
    return f"seen {n} " + "x" * 60

def pay(n: int, idempotency_key: str) -> str:
    note(f"pay {idempotency_key}", n)
    return f"paid {n} " + "y" * 60
"""


class Killed:
    """A project, a child that runs it, and what can be seen of both from outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "graph.yaml").write_text(GRAPH)
        (folder / "tools.py").write_text(TOOLS)
        self.counted = folder / "counted"
        self.store = folder / "store"

    def child(self, work: Callable[[Any], object]) -> int:
        """Fork a process that does the work on the loaded graph; its pid."""
        pid = os.fork()
        if pid == 0:
            os.environ["COUNTED"] = str(self.counted)
            try:
                work(agentctl.load(self.folder / "graph.yaml", store=self.store))
            finally:
                os._exit(0)
        return pid

    def begin_or_go_on(self, graph: Any) -> None:
        records = self.records()
        if not records:
            graph.run({}, thread="t")
        elif records[-1]["kind"] != "end":
            graph.resume("t")

    def records(self) -> list[Any]:
        if not self.store.is_dir():
            return []

        async def read() -> list[Any]:
            store = open_thread_store(self.store)
            try:
                if await store.head("t") is None and not any(h.thread == "t" for h in await store.heads()):
                    return []
                return [record for _, record in await store.read("t")]
            finally:
                await store.close()

        return asyncio.run(read())

    def calls(self) -> Counter[str]:
        return Counter(self.counted.read_text().splitlines() if self.counted.exists() else [])


def effects_in(records: list[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for record in records:
        if record["kind"] == "effect":
            assert record["key"] not in found, "an effect is recorded twice"
            found[record["key"]] = record
    return found


def steps_in(records: list[Any]) -> list[int]:
    return [record["n"] for record in records if record["kind"] == "step"]


@pytest.mark.parametrize("seed", range(10))
def test_a_run_killed_at_random_moments_goes_on_to_its_end(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    at = Killed(tmp_path)
    kills = 0
    while kills < 20:
        before = at.records()
        done, counted = effects_in(before), at.calls()
        pid = at.child(at.begin_or_go_on)
        time.sleep(draw.uniform(0.0, 0.25))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        kills += 1
        after = at.records()
        assert after[: len(before)] == before, "something recorded was lost"
        assert steps_in(after) == list(range(1, len(steps_in(after)) + 1)), "a step is missing or repeated"
        recorded = {words(done[key]) for key in done}
        for call, times in (at.calls() - counted).items():
            name, number = call.split()[0], call.split()[-1]
            assert f"{name}:{number}" not in recorded, f"`{call}` was on the tape and made {times} times more"
        if after and after[-1]["kind"] == "end":
            at = start_again(at, tmp_path, kills)
    finish(at)


def words(effect: Any) -> str:
    return f"{effect['tool']}:{effect['res'].split()[1]}"


def start_again(at: Killed, folder: Path, number: int) -> Killed:
    finish(at)
    fresh = folder / f"again{number}"
    fresh.mkdir()
    return Killed(fresh)


def finish(at: Killed) -> None:
    """Run to the end undisturbed, and hold the thread against what was counted."""
    pid = at.child(at.begin_or_go_on)
    os.waitpid(pid, 0)
    records = at.records()
    assert records[-1]["kind"] == "end"
    assert records[-1]["status"] == "done"
    assert steps_in(records) == list(range(1, 31))
    assert len(effects_in(records)) == 20
    assert {call.split()[0] for call in at.calls()} == {"look", "pay"}
    assert len(at.calls()) == 20, "every call was made, each under its own key"
    assert agentctl.replay("t", store=at.store).identical
