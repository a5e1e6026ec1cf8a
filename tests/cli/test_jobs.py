"""`agentctl run` with background nodes, and `agentctl jobs`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.shell import here

GRAPH = """\
agentctl: 1
name: shelf
tools:
  read: {python: "tools:read", parameters: {topic: string}, effect: read, returns: string, timeout: 20s}
input: [topic]
output: [answer]
state:
  topic: string
  reading: {type: string, default: ""}
  answer: string
start: read_on
nodes:
  read_on:
    background: true
    tool: read
    args: {topic: "${{ state.topic }}"}
    placeholder: still reading
    save: reading
    then: reply
  reply: {set: {answer: "${{ state.reading }}"}, then: end}
"""
TOOLS = """\
def read(topic: str) -> str:
    if topic == "broken":
        raise ValueError("no such page")
    return f"a page on {topic}"
"""


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    (tmp_path / "graph.yaml").write_text(GRAPH)
    (tmp_path / "tools.py").write_text(TOOLS)
    return tmp_path


def jobs(capsys: pytest.CaptureFixture[str], shelf: Path) -> list[dict[str, str]]:
    found = json.loads(here(capsys, "jobs", "list", "--json", cwd=shelf).stdout)
    assert found["v"] == 1
    return list(found["jobs"])


def test_a_run_answers_then_works_on_its_jobs(capsys: pytest.CaptureFixture[str], shelf: Path) -> None:
    run = ("run", "graph.yaml", "-i", "topic=leaf", "--thread", "t")
    first = here(capsys, *run, cwd=shelf)
    assert (first.returncode, first.stdout) == (0, "still reading\n")
    assert [job["status"] for job in jobs(capsys, shelf)] == ["done"]
    assert here(capsys, *run, cwd=shelf).stdout == "a page on leaf\n"
    assert here(capsys, "replay", "t", cwd=shelf).returncode == 0


def test_what_no_wait_leaves_jobs_run_does(capsys: pytest.CaptureFixture[str], shelf: Path) -> None:
    here(capsys, "run", "graph.yaml", "-i", "topic=leaf", "--thread", "t", "--no-wait", cwd=shelf)
    [job] = jobs(capsys, shelf)
    assert (job["status"], job["thread"], job["node"]) == ("queued", "t", "nodes.read_on")
    assert job["job"][:12] in here(capsys, "jobs", "list", cwd=shelf).stdout
    worked = here(capsys, "jobs", "run", "--json", cwd=shelf)
    assert worked.returncode == 0
    assert [job["status"] for job in json.loads(worked.stdout)["jobs"]] == ["done"]


def test_a_failed_job_is_said_and_changes_no_answer(capsys: pytest.CaptureFixture[str], shelf: Path) -> None:
    first = here(capsys, "run", "graph.yaml", "-i", "topic=broken", "--thread", "t", cwd=shelf)
    assert (first.returncode, first.stdout) == (0, "still reading\n")
    assert "no such page" in first.stderr
    assert here(capsys, "jobs", "run", cwd=shelf).returncode == 0
    assert [job["status"] for job in jobs(capsys, shelf)] == ["failed"]


def test_a_cancelled_job_is_not_done(capsys: pytest.CaptureFixture[str], shelf: Path) -> None:
    here(capsys, "run", "graph.yaml", "-i", "topic=leaf", "--no-wait", cwd=shelf)
    [job] = jobs(capsys, shelf)
    assert here(capsys, "jobs", "cancel", job["job"][:8], cwd=shelf).returncode == 0
    assert [job["status"] for job in jobs(capsys, shelf)] == ["cancelled"]
    assert here(capsys, "jobs", "cancel", "zzz", cwd=shelf).returncode == 2


def test_a_changed_file_leaves_its_jobs_until_that_is_accepted(
    capsys: pytest.CaptureFixture[str], shelf: Path
) -> None:
    here(capsys, "run", "graph.yaml", "-i", "topic=leaf", "--thread", "t", "--no-wait", cwd=shelf)
    (shelf / "graph.yaml").write_text(GRAPH.replace('"${{ state.topic }}"', '"more ${{ state.topic }}"'))
    here(capsys, "jobs", "run", cwd=shelf)
    assert [job["status"] for job in jobs(capsys, shelf)] == ["queued"]
    assert here(capsys, "jobs", "run", "--accept-changes", cwd=shelf).returncode == 0
    assert [job["status"] for job in jobs(capsys, shelf)] == ["done"]
