"""A graph of another file as a tool: its own tools and models, recorded with the file, refused where it cannot be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import agentctl
from agentctl.errors import UsageError

MAIN = """
agentctl: 1
name: main
input: [topic]
output: [report]
state: {topic: string, report: {type: string, default: ""}}
models: {default: {model: scripted/lead.yaml}}
agents: {lead: {instructions: You lead., tools: [sums], max_turns: 3}}
tools:
  sums: {graph: other/sums.yaml}
  count: {python: "tools:count", effect: read, timeout: 5s}
start: write
nodes:
  write: {agent: lead, prompt: "${{ state.topic }}", save: report, then: end}
"""
SUMS = """
agentctl: 1
name: sums
description: Counts words.
input: [words]
output: [total]
env: {FACTOR: {default: "10"}}
state: {words: string, total: {type: integer, default: 0}}
tools: {count: {python: "tools:count", effect: pure, timeout: 5s}}
start: count
nodes:
  count: {tool: count, args: {words: "${{ state.words }}"}, save: total, then: end}
"""
SCRIPT = """
- {when: tea, call: {tool: sums, args: {words: a b c}}}
- {when: '"total":3', say: three}
- {else: true, say: "Heard: {last}"}
"""
COUNT = '''
def count(words: str) -> int:
    """Count words."""
    return len(words.split())
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "other").mkdir()
    (tmp_path / "main.yaml").write_text(MAIN)
    (tmp_path / "lead.yaml").write_text(SCRIPT)
    (tmp_path / "tools.py").write_text(COUNT.replace("len(words.split())", "99"))
    (tmp_path / "other" / "sums.yaml").write_text(SUMS)
    (tmp_path / "other" / "tools.py").write_text(COUNT)
    return tmp_path


def test_it_runs_with_its_own_tools_and_replays_without_the_file(project: Path) -> None:
    with agentctl.load(project / "main.yaml", store=project / "store") as graph:
        [offered] = graph.graph.nodes["write"].agent.tools  # type: ignore[union-attr]
        assert offered.description == "Counts words."
        assert offered.parameters["required"] == ["words"]
        assert offered.effect == "write"
        outcome = graph.run({"topic": "tea"})
    assert outcome.output == {"report": "three"}
    (project / "other" / "sums.yaml").unlink()
    (project / "other" / "tools.py").unlink()
    (project / "main.yaml").unlink()
    report = agentctl.replay(outcome.thread, store=project / "store")
    assert (report.identical, report.tool_calls) == (True, 2)


def test_a_change_of_it_is_another_graph(project: Path) -> None:
    before = agentctl.load(project / "main.yaml", store=project / "store").graph
    (project / "other" / "sums.yaml").write_text(SUMS.replace("name: sums", "name: others"))
    after = agentctl.load(project / "main.yaml", store=project / "store").graph
    assert before.digest != after.digest


def test_its_variables_are_read_too(project: Path) -> None:
    assert agentctl.load(project / "main.yaml", store=project / "s").environment.values == {"FACTOR": "10"}


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("save: total", "save: totl", r"main.yaml:10:17: `other/sums.yaml` has errors: sums.yaml:12"),
        (
            "then: end",
            "then: sure}\n  sure: {ask: Sure?, save: total, then: end",
            "its node `sure` asks a person",
        ),
        (
            '{python: "tools:count", effect: pure',
            "{graph: ../main.yaml, effect: pure",
            "leaves the project",
        ),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(project: Path, before: str, after: str, said: str) -> None:
    (project / "other" / "sums.yaml").write_text(SUMS.replace(before, after))
    with pytest.raises(UsageError, match=said):
        agentctl.load(project / "main.yaml", store=project / "store")


def test_files_that_run_each_other_are_refused(project: Path) -> None:
    (project / "main.yaml").write_text(MAIN.replace("other/sums.yaml", "sums.yaml"))
    circle = SUMS.replace('{python: "tools:count", effect: pure', "{graph: main.yaml, effect: read")
    (project / "sums.yaml").write_text(circle)
    with pytest.raises(UsageError, match=r"in a circle: main\.yaml → sums\.yaml → main\.yaml"):
        agentctl.load(project / "main.yaml", store=project / "store")


def test_two_runs_at_once_share_it(project: Path) -> None:
    async def both() -> list[str]:
        async with agentctl.load(project / "main.yaml", store=project / "store") as graph:
            outcomes = await asyncio.gather(*(graph.arun({"topic": "tea"}) for _ in range(2)))
        return [outcome.output["report"] for outcome in outcomes]

    assert asyncio.run(both()) == ["three", "three"]
