"""Killed at any moment, a thread's background jobs are all done: none is lost, nothing recorded is done twice."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import agentctl
from agentctl.store.folder import open_jobs, open_thread_store
from agentctl.store.protocols import ThreadStore

KILLS = 50
TOPICS = 3
ITEMS = 4

GRAPH = """
agentctl: 1
name: shelf
input: [topic]
output: [pages]
state:
  topic: string
  pages: {type: array, reduce: append}
tools:
  look: {python: "tools:look", parameters: {topic: string, n: integer}, effect: read, timeout: 20s}
  pay:
    python: tools:pay
    parameters: {topic: string}
    effect: write
    idempotency_key: ${{ args.topic }}
    timeout: 20s
start: read_on
nodes:
  read_on:
    background: true
    graph: reader
    input: {topic: "${{ state.topic }}"}
    placeholder: []
    save: {pages: page}
    then: end
graphs:
  reader:
    input: [topic]
    output: [page]
    state: {topic: string, numbers: {type: array, default: [0, 1, 2, 3]}, found: {type: array, default: []}, page: string}
    start: each
    nodes:
      each:
        map: {over: state.numbers, do: {tool: look, args: {topic: "${{ state.topic }}", n: "${{ item }}"}}, concurrency: 2}
        save: found
        then: pay
      pay: {tool: pay, args: {topic: "${{ state.topic }}"}, save: page, then: end}
limits: {background: {concurrency: 2}}
"""

TOOLS = """
import os, time

def note(line):
    log = os.open(os.environ["COUNTED"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{line}\\n".encode())
    os.close(log)

def look(topic: str, n: int) -> str:
    note(f"look {topic} {n}")
    time.sleep(0.01)
    return f"seen {topic} {n}; " + "x" * 60

def pay(topic: str, idempotency_key: str) -> str:
    note(f"pay {topic}")
    return f"paid {topic}; " + "y" * 60
"""


def test_every_job_is_done_once_whenever_its_workers_are_killed(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    kills = trial = 0
    while kills < KILLS:
        trial += 1
        folder = tmp_path / str(trial)
        folder.mkdir()
        (folder / "graph.yaml").write_text(GRAPH)
        (folder / "tools.py").write_text(TOOLS)
        kills += _until_done(folder, chance, f"seed {seed}, trial {trial}")
        _check(folder)


def _until_done(folder: Path, chance: random.Random, which: str) -> int:
    """Run children and kill them until one ends by itself; how many were killed."""
    kills = 0
    paid: dict[str, int] = {}
    while True:
        child = os.fork()
        if child == 0:
            _work(folder)
        deadline = time.monotonic() + chance.uniform(0.02, 0.9)
        while time.monotonic() < deadline and kills < 40:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                break
            time.sleep(0.002)
        else:
            if kills < 40:
                os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        counted = _counted(folder)
        for name, times in paid.items():
            assert counted[name] == times, f"{name} was recorded and done again ({which})"
        for name in _recorded(folder):
            paid.setdefault(name, counted[name])
        if os.WIFEXITED(status):
            assert os.waitstatus_to_exitcode(status) == 0, f"a child failed ({which})"
            return kills
        kills += 1


def _work(folder: Path) -> None:
    """In a child: go on with the thread until it has its turns and its jobs are done."""
    code = 1
    try:
        os.environ["COUNTED"] = str(folder / "counted")
        os.chdir(folder)
        with agentctl.load("graph.yaml", store=folder / ".agentctl") as graph:
            for topic in range(TOPICS):
                _take_turn(graph, folder, str(topic))
                jobs = graph.work("t")
                assert all(job.status == "done" for job in jobs), jobs
        code = 0
    finally:
        os._exit(code)


def _take_turn(graph: Any, folder: Path, topic: str) -> None:
    """Begin the turn of a topic, or go on with it; one that is over is left alone."""
    rows = _read(open_thread_store(folder / ".agentctl"))
    begun = [record["inputs"]["topic"] for _, record in rows if record["kind"] == "turn"]
    if topic not in begun:
        outcome = graph.run({"topic": topic}, thread="t")
    elif begun[-1] == topic and rows[-1][1]["kind"] != "end":
        outcome = graph.resume("t")
    else:
        return
    assert outcome.status == "done", outcome.error


def _recorded(folder: Path) -> set[str]:
    """The calls whose answers are on the tape of a job."""
    found: set[str] = set()
    for _, record in _read(open_jobs(folder / ".agentctl")):
        if record["kind"] == "effect" and record["of"] == "tool" and "res" in record:
            text = record["res"].partition(";")[0]
            found.add(text.replace("seen", "look").replace("paid", "pay"))
    return found


def _read(store: ThreadStore) -> list[tuple[str, Any]]:
    async def read() -> list[tuple[str, Any]]:
        try:
            heads = await store.heads()
            return [(h.thread, record) for h in heads for _, record in await store.read(h.thread)]
        finally:
            await store.close()

    return asyncio.run(read())


def _counted(folder: Path) -> Counter[str]:
    file = folder / "counted"
    return Counter(file.read_text().splitlines()) if file.exists() else Counter()


def _check(folder: Path) -> None:
    """Every job is done, every result arrives once, and the thread is replayed as it was."""
    counted = _counted(folder)
    wanted = {f"look {t} {n}" for t in range(TOPICS) for n in range(ITEMS)} | {
        f"pay {t}" for t in range(TOPICS)
    }
    assert set(counted) == wanted
    before = Path.cwd()
    os.environ["COUNTED"] = str(folder / "counted")
    os.chdir(folder)
    try:
        with agentctl.load("graph.yaml", store=folder / ".agentctl") as graph:
            outcome = graph.run({"topic": "0"}, thread="t")
    finally:
        os.chdir(before)
    paid = sorted(page.partition(";")[0] for page in outcome.output["pages"])
    # each once when it arrived; topic 0 is asked for again and saves at once
    assert paid == ["paid 0", *(f"paid {topic}" for topic in range(TOPICS))]
    assert agentctl.replay("t", store=folder / ".agentctl").identical
