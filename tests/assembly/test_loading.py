"""The Python API: load, run, resume, replay; many runs at once; nothing left open."""

from __future__ import annotations

import asyncio
import os
import textwrap
import time
from pathlib import Path

import pytest

import agentctl
from agentctl.assembly import InvalidGraph
from agentctl.errors import CannotRun, ThreadBusy, UsageError

GRAPH = """
agentctl: 1
name: echo
input: [word]
output: [answer]
env: {NEEDED: {default: there}}
state: {word: string, answer: string, seen: {type: string, default: ""}}
models: {default: {model: scripted}}
agents: {one: {}}
tools:
  slow_look: {python: "tools:slow_look", parameters: {word: string}, effect: read, cache: 1h}
start: look
nodes:
  look: {tool: slow_look, args: {word: "same"}, save: seen, then: say}
  say: {agent: one, prompt: "${{ state.word }} ${{ state.seen }}", save: answer, then: end}
"""

TOOLS = """
import os, time

def slow_look(word: str) -> str:
    with open(os.environ["COUNTED"], "a") as log:
        log.write(word + "\\n")
    time.sleep(0.2)
    return word.upper()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "graph.yaml").write_text(GRAPH)
    (tmp_path / "tools.py").write_text(TOOLS)
    monkeypatch.setenv("COUNTED", str(tmp_path / "counted"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_graph_runs_and_replays(project: Path) -> None:
    with agentctl.load("graph.yaml") as graph:
        outcome = graph.run({"word": "hello"})
    assert (outcome.status, outcome.output) == ("done", {"answer": "hello SAME"})
    assert agentctl.replay(outcome.thread).identical
    assert (project / ".agentctl").stat().st_mode & 0o777 == 0o700


def test_many_runs_at_once_share_one_store_and_one_execution_of_an_identical_call(project: Path) -> None:
    async def all_at_once() -> list[agentctl.Outcome]:
        async with agentctl.load("graph.yaml") as graph:
            return await asyncio.gather(*(graph.arun({"word": str(n)}) for n in range(40)))

    outcomes = asyncio.run(all_at_once())
    assert [o.output["answer"] for o in outcomes] == [f"{n} SAME" for n in range(40)]
    assert len({o.thread for o in outcomes}) == 40
    assert (project / "counted").read_text() == "same\n"
    assert sum(o.memo_hits for o in outcomes) == 39
    assert all(agentctl.replay(o.thread).identical for o in outcomes[:5])


def test_paths_of_an_included_part_begin_beside_it(project: Path) -> None:
    part = project / "desk"
    part.mkdir()
    (project / "tools.py").rename(part / "tools.py")
    (part / "script.yaml").write_text('[{else: true, say: "from the part"}]')
    head, tools, rest = GRAPH.partition("tools:\n  slow_look")
    (part / "part.yaml").write_text(
        "agentctl: 1\nmodels: {near: {model: scripted/script.yaml}}\n" + tools + rest.partition("start:")[0]
    )
    text = head.replace("agents: {one: {}}", "agents: {one: {model: near}}").replace(
        "models: {default: {model: scripted}}\n", ""
    )
    text = text.replace("name: echo", "name: echo\ninclude: [desk/part.yaml]")
    (project / "graph.yaml").write_text(text + "start:" + rest.partition("start:")[2])
    outcome = agentctl.load("graph.yaml").run({"word": "a"})
    assert (outcome.status, outcome.output) == ("done", {"answer": "from the part"})
    assert agentctl.replay(outcome.thread).identical


def test_without_the_memo_every_call_is_made(project: Path) -> None:
    graph = agentctl.load("graph.yaml")
    for _ in range(2):
        assert graph.run({"word": "x"}, cache=False).tool_calls == 1
    assert (project / "counted").read_text() == "same\nsame\n"


def test_a_changed_function_body_is_called_again(project: Path) -> None:
    agentctl.load("graph.yaml").run({"word": "x"})
    (project / "tools.py").write_text(TOOLS.replace("upper", "title"))
    assert agentctl.load("graph.yaml").run({"word": "x"}).output == {"answer": "x Same"}


def test_a_second_writer_of_a_thread_is_refused(project: Path) -> None:
    async def twice() -> None:
        graph = agentctl.load("graph.yaml")
        first = asyncio.ensure_future(graph.arun({"word": "a"}, thread="t"))
        await asyncio.sleep(0.1)
        with pytest.raises(ThreadBusy):
            await graph.arun({"word": "b"}, thread="t")
        assert (await first).status == "done"

    asyncio.run(twice())


def test_errors_of_the_file_are_findings(project: Path) -> None:
    (project / "graph.yaml").write_text(GRAPH.replace("then: say", "then: sya"))
    with pytest.raises(InvalidGraph) as invalid:
        agentctl.load("graph.yaml")
    [finding] = invalid.value.findings
    assert (finding.code, finding.span.line) == ("G203", 14)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [({}, "`word` is missing"), ({"word": "x", "more": 1}, "`more` is no input"), ({"word": 3}, "word")],
)
def test_inputs_that_do_not_fit_are_refused(project: Path, inputs: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        agentctl.load("graph.yaml").run(inputs)


def test_what_cannot_be_run_yet_is_said_at_its_line(project: Path) -> None:
    text = GRAPH + textwrap.dedent("""
        stores: {shelf: {url: "https://example.org"}}
    """)
    (project / "graph.yaml").write_text(text)
    with pytest.raises(UsageError, match=r"shared stores \(`url`\) cannot be run"):
        agentctl.load("graph.yaml")


def test_a_required_variable_that_is_not_set_is_named(project: Path) -> None:
    (project / "graph.yaml").write_text(GRAPH.replace("{default: there}", "{required: true}"))
    with pytest.raises(CannotRun, match="NEEDED"):
        agentctl.load("graph.yaml", env={})


def test_no_worker_is_left_behind(project: Path) -> None:
    agentctl.load("graph.yaml").run({"word": "x"})
    deadline = time.monotonic() + 5
    while children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children() == []


def children() -> list[str]:
    mine = str(os.getpid())
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if fields[1] == mine and fields[0] != "Z":
            found.append(stat.parent.name)
    return found
