"""The example with two MCP servers from public registries: with both, with one, without any; and one killed in mid-run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli import shell
from tests.tools.processes import processes_in

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "mcp"
BIN = Path(sys.executable).parent
CLOCK = BIN / "mcp-server-time"
BARE = f"{os.defpath}:/usr/local/bin"
"""A PATH with programs of the system alone."""
BY_HAND = "The clock is out of order."
TOLD = "15:00 in Rome is 23:00 in Tokyo and 9:00 in Lima, in winter."
needs_clock = pytest.mark.skipif(
    not CLOCK.exists(), reason="mcp-server-time is not installed: pip install '.[dev]'"
)


def copy(folder: Path) -> Path:
    ignored = shutil.ignore_patterns("node_modules", ".agentctl")
    return shutil.copytree(EXAMPLE, folder / "example", ignore=ignored)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    return copy(tmp_path)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its server from npm."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = copy(tmp_path_factory.mktemp("whole"))
    words = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--fetch-retries=0"]
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not install the server within 120s")
    if done.returncode != 0:
        pytest.skip(f"npm cannot install the server: {done.stderr.strip()[-200:]}")
    return folder


def run(folder: Path, path: str, *words: str) -> Any:
    done = shell.agentctl("run", "graph.yaml", "--json", *words, cwd=folder, PATH=path)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["output"]


def events(folder: Path, type: str) -> list[Any]:
    found = map(json.loads, (folder / ".agentctl" / "events.jsonl").read_text().splitlines())
    return [event["data"] for event in found if event["type"] == type]


def test_it_runs_where_neither_server_is_installed(example: Path) -> None:
    assert BY_HAND in run(example, BARE)["answer"]
    assert "identical" in shell.agentctl("replay", "@last", cwd=example).stdout


@needs_clock
def test_it_asks_the_server_from_pypi(example: Path) -> None:
    assert run(example, f"{BIN}:{BARE}")["answer"] == TOLD
    asked = [(call["ok"], call["result"]["time_difference"]) for call in events(example, "tool.ended")[1:]]
    assert sorted(asked) == [(True, "+8.0h"), (True, "-6.0h")]
    assert "identical" in shell.agentctl("replay", "@last", cwd=example, PATH=BARE).stdout


@needs_clock
def test_it_asks_both_servers(whole: Path) -> None:
    output = run(whole, f"{BIN}:{os.environ['PATH']}")
    assert output == {"plan": (EXAMPLE / "notes/meeting.md").read_text(), "answer": TOLD}
    assert [call["ok"] for call in events(whole, "tool.ended")] == [True, True, True]
    assert processes_in(whole) == []


def test_the_server_from_npm_reads_no_other_folder(whole: Path) -> None:
    shutil.rmtree(whole / ".agentctl", ignore_errors=True)
    run(whole, f"{BARE}:{os.environ['PATH']}", "-i", "note=../graph.yaml")
    [refused] = events(whole, "tool.ended")[:1]
    assert not refused["ok"]
    assert "Access denied" in refused["error"]


@needs_clock
def test_a_server_killed_in_mid_run_opens_its_breaker_and_the_run_goes_on(example: Path) -> None:
    slow = (example / "script.yaml").read_text().replace("  when: Rome\n", "  when: Rome\n  delay: 2\n")
    (example / "script.yaml").write_text(slow)
    asked, path = example / "asked.jsonl", f"{BIN}:{BARE}"
    env = shell.environment(PATH=path, AGENTCTL_SCRIPTED_LOG=str(asked))
    command = [*shell.COMMAND, "run", "graph.yaml", "--json"]
    with subprocess.Popen(command, cwd=example, env=env, stdout=subprocess.PIPE, text=True) as running:
        while not asked.exists():  # the servers were asked for their tools, and the model is at work
            assert running.poll() is None
            time.sleep(0.01)
        killed = set()
        while running.poll() is None:  # whenever it is started again
            killed |= _kill_clocks(example)
            time.sleep(0.005)
        assert running.stdout is not None
        outcome = json.loads(running.stdout.read())
    assert (outcome["status"], BY_HAND in outcome["output"]["answer"]) == ("done", True)
    assert killed
    failures = [call["error"] for call in events(example, "tool.ended") if call["tool"] == "convert_time"]
    assert any("MCP server `clock`: " in error for error in failures)
    assert "convert_time" in [event["tool"] for event in events(example, "breaker.opened")]
    assert "identical" in shell.agentctl("replay", "@last", cwd=example, PATH=BARE).stdout
    began = len(events(example, "tool.started"))
    assert BY_HAND in run(example, path)["answer"], "the next process knows that the breaker is open"
    assert all(call["tool"] != "convert_time" for call in events(example, "tool.started")[began:])


def _kill_clocks(folder: Path) -> set[int]:
    """SIGKILL for each process of the clock; not for its keeper, which is ours."""
    killed = set()
    for pid in processes_in(folder):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if any(word.endswith(b"mcp-server-time") for word in words) and b"-c" not in words:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        except OSError:
            continue
    return killed
