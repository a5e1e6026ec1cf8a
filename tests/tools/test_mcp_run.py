"""MCP servers in a run: asked before it begins, recorded with the file, ended with it; never started by what only looks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import agentctl
from agentctl.errors import CannotRun, UsageError
from tests.cli import shell
from tests.tools.mcp_desk import faulty
from tests.tools.processes import processes_in

Json = Any
WITHOUT = "import sys; sys.modules['mcp'] = sys.modules['mcp_types'] = None\nfrom agentctl.cli.main import main\nmain()"
"""agentctl where the package `mcp` is not installed."""


def graph_file(
    folder: Path,
    wrong: str = "none",
    *,
    tool: str = "",
    args: str = "{n: 3}",
    more: str = "",
    error: str = "say",
) -> Path:
    """An agent that calls the server's tool, and a node that does."""
    (folder / "script.yaml").write_text(
        "- {when: done, say: All done.}\n- {when: go, call: {tool: it, args: {n: 4}}}\n"
        "- {when: fine, say: '{last}'}\n- {else: true, say: '{last}'}\n"
    )
    file = folder / "graph.yaml"
    file.write_text(
        f"""
agentctl: 1
name: mcp
env: {{TOKEN: {{secret: true}}}}
models: {{default: {{model: scripted/script.yaml}}}}
mcp:
  server: {{{faulty(wrong)}{more}}}
tools:
  it: {{mcp: server, effect: read, timeout: 20s{tool}}}
agents:
  one: {{instructions: Work., tools: [it], max_turns: 3}}
input: [word]
output: [answer, found]
state: {{word: string, answer: {{type: string, default: ""}}, found: {{type: string, default: ""}}}}
start: look
nodes:
  look: {{tool: it, args: {args}, save: found, on_error: {{tool_unavailable: {error}, else: end}}, then: say}}
  say: {{agent: one, prompt: "${{{{ state.word }}}}", save: answer, then: end}}
"""
    )
    return file


def count(folder: Path, what: str) -> int:
    file = folder / what
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_run_asks_a_server_once_and_its_replay_needs_neither_server_nor_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with agentctl.load(graph_file(tmp_path)) as graph:
        outcome = graph.run({"word": "go"})
    assert (outcome.status, outcome.output) == ("done", {"answer": "fine", "found": "fine"})
    assert (count(tmp_path, "started"), count(tmp_path, "called")) == (1, 2)
    assert _without_us(tmp_path) == []
    (tmp_path / "graph.yaml").write_text("gone")
    words = [sys.executable, "-c", WITHOUT, "replay", "@last"]
    replayed = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "identical" in replayed.stdout, replayed.stderr
    assert count(tmp_path, "started") == 1


@pytest.mark.parametrize(
    "words", [["validate"], ["graph"], ["run", "--dry-run", "-i", "word=go"]], ids=" ".join
)
def test_what_only_looks_starts_no_server_and_needs_no_package(tmp_path: Path, words: list[str]) -> None:
    file = graph_file(tmp_path)
    command = [sys.executable, "-c", WITHOUT, words[0], str(file), *words[1:]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert count(tmp_path, "started") == 0


def test_without_the_package_a_run_says_how_to_get_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, "run", str(graph_file(tmp_path)), "-i", "word=go"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "mcp.server needs the package `mcp" in done.stderr
    assert "pip install 'agentctl[mcp]'" in done.stderr


def test_a_variable_that_a_server_needs_is_missed_before_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TOKEN", raising=False)
    file = graph_file(tmp_path, more=", env: {KEY: '${{ env.TOKEN }}'}")
    with pytest.raises(CannotRun, match=r"tools\.it needs TOKEN, which is not set"):
        agentctl.load(file).run({"word": "go"})
    assert count(tmp_path, "started") == 0


def test_a_run_begins_without_a_server_whose_tools_the_file_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CannotRun, match="cannot find my settings"):
        agentctl.load(graph_file(tmp_path, "exits")).run({"word": "go"})
    file = graph_file(
        tmp_path, "exits", tool=", parameters: {n: integer}, retry: {attempts: 1}", error="skip"
    )
    outcome = agentctl.load(file).run({"word": "hello"})
    assert (outcome.status, outcome.output) == ("done", {"answer": "hello", "found": ""})
    assert agentctl.replay(outcome.thread).identical


def test_a_graph_of_another_file_asks_its_own_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner").mkdir()
    graph_file(tmp_path / "inner")
    (tmp_path / "changes.json").write_text('{"version": "9"}')
    outer = graph_file(tmp_path)
    outer.write_text(
        outer.read_text()
        .replace("agents:\n", "  other: {graph: inner/graph.yaml, description: Works.}\nagents:\n")
        .replace(
            'prompt: "${{ state.word }}", save: answer, then: end', "prompt: hello, save: answer, then: on"
        )
        + "  on: {tool: other, args: {word: go}, then: end}\n"
    )
    outcome = agentctl.load(outer).run({"word": "go"})
    assert outcome.status == "done", outcome.error
    assert (count(tmp_path, "called"), count(tmp_path / "inner", "called")) == (1, 2)
    assert agentctl.replay(outcome.thread).identical


def test_runs_of_one_opened_graph_share_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    import asyncio

    async def many() -> None:
        graph = agentctl.load(graph_file(tmp_path))
        async with graph, graph.opened():
            outcomes = await asyncio.gather(*(graph.arun({"word": "go"}) for _ in range(5)))
            outcomes.append(await graph.arun({"word": "go"}))
        assert {outcome.status for outcome in outcomes} == {"done"}

    asyncio.run(many())
    assert (count(tmp_path, "started"), count(tmp_path, "called")) == (1, 12)


def test_another_version_of_a_server_is_asked_anew_and_the_same_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = graph_file(tmp_path, tool=", cache: 1h")
    for _ in range(2):
        agentctl.load(file).run({"word": "hello"})
    assert count(tmp_path, "called") == 1
    (tmp_path / "changes.json").write_text('{"version": "1"}')
    agentctl.load(file).run({"word": "hello"})
    assert count(tmp_path, "called") == 2


def test_a_server_that_changed_between_two_turns_is_as_a_changed_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = graph_file(tmp_path)
    changed = {
        "schema": {"type": "object", "properties": {"n": {"type": "integer"}, "m": {"type": "integer"}}}
    }
    first = agentctl.load(file).run({"word": "go"}, thread="t")
    (tmp_path / "changes.json").write_text(json.dumps(changed))
    second = agentctl.load(file).run({"word": "go"}, thread="t")
    assert (first.status, second.status) == ("done", "done")
    report = agentctl.replay("t")
    assert report.identical, "each turn is replayed with what its server said then"


def test_a_turn_is_not_resumed_on_a_tool_that_changed_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = graph_file(tmp_path, "hangs")
    with subprocess.Popen(
        [*shell.COMMAND, "run", file, "-i", "word=go", "--thread", "t"], cwd=tmp_path
    ) as run:
        _until_called(tmp_path)
        run.kill()
    graph_file(tmp_path)  # one that answers
    (tmp_path / "changes.json").write_text(
        '{"version": "2", "schema": {"type": "object", "properties": {"n": {}}}}'
    )
    graph = agentctl.load(file)
    with pytest.raises(UsageError, match=r"mcp\.server, tools\.it \(as its MCP server says\)"):
        graph.resume("t")
    assert graph.resume("t", accept_changes=True).status == "done"


def test_ctrl_c_ends_a_run_that_waits_for_a_server(tmp_path: Path) -> None:
    file = graph_file(tmp_path, "hangs")
    with subprocess.Popen(
        [*shell.COMMAND, "run", file, "-i", "word=go", "--thread", "t"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=shell.environment(),
        start_new_session=True,
    ) as run:
        _until_called(tmp_path)
        began = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, said = run.communicate()
    assert run.returncode == 130, said
    assert time.monotonic() - began < 10
    assert "agentctl resume t" in said
    assert _without_us(tmp_path) == []


def _until_called(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not count(folder, "called"):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _without_us(folder: Path) -> list[int]:
    return [pid for pid in processes_in(folder) if pid != os.getpid()]


def test_a_difference_stops_the_run_with_exit_3_before_a_model_is_asked(tmp_path: Path) -> None:
    file = graph_file(tmp_path, tool=", parameters: {n: string}", args="{n: three}")
    done = shell.agentctl(
        "run", file, "-i", "word=go", cwd=tmp_path, AGENTCTL_SCRIPTED_LOG=str(tmp_path / "log")
    )
    assert done.returncode == 3, done.stderr
    assert "tools.it: the tool `it` of the MCP server `server` takes something else" in done.stderr
    assert not (tmp_path / "log").exists()
