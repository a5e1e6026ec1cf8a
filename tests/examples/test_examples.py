"""Every example and every ready graph runs as it stands: on the embedded model, without a key or a network."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentctl.models.catalogue import LOCAL, installed
from agentctl.tools.sandbox.proof import prove_all

ROOT = Path(__file__).parent.parent.parent
pytestmark = pytest.mark.skipif(
    not installed(LOCAL), reason="the embedded model is not here: agentctl models pull"
)
CUT = ["unshare", "--net"] if os.geteuid() == 0 and shutil.which("unshare") else []
"""Runs a command with no network, where that may be done."""
HOLDS = all(proof.holds for proof in asyncio.run(prove_all()))
"""Whether this machine enforces sandboxes: what was found is kept, so that it is looked at once a boot."""


class Desk:
    """A copy of the examples, and the command line in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, *words: str, code: int = 0) -> str:
        env = {key: value for key, value in os.environ.items() if key != "OPENAI_API_KEY"}
        command = [*CUT, sys.executable, "-m", "agentctl", *words]
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def outcome(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("project")
    for name in ("examples", "graphs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("*.db", "board.txt"))
    return Desk(folder)


def test_everything_validates_in_silence(desk: Desk) -> None:
    assert desk("validate", "--strict", "examples", "graphs") == ""


def test_hello_greets_and_replays(desk: Desk) -> None:
    assert "Ada" in desk("run", "examples/hello/graph.yaml", "-i", "who=Ada")
    assert "identical" in desk("replay", "@last")


def test_support_routes_reads_a_database_and_says_what_came_from_the_memo(desk: Desk) -> None:
    words = [
        "run",
        "examples/support/graph.yaml",
        "-i",
        "question=The app crashes at start",
        "-i",
        "email=cy@example.org",
    ]
    first, second = desk.outcome(*words), desk.outcome(*words)
    assert (first["output"]["desk"], first["tool_calls"], first["memo_hits"]) == ("technical", 1, 0)
    assert (second["output"], second["tool_calls"], second["memo_hits"]) == (first["output"], 0, 1)
    assert "identical" in desk("replay", "@last")


def test_support_asks_a_person_before_money_moves(desk: Desk) -> None:
    words = [
        "run",
        "examples/support/graph.yaml",
        "-i",
        "question=You charged me twice",
        "-i",
        "email=ann@example.org",
    ]
    asked = desk.outcome(*words, code=6)
    assert asked["question"]["id"] == "sign_off"
    paid = desk.outcome("resume", asked["thread"], "--answer", "sign_off=approve")
    assert (paid["status"], paid["output"]["desk"]) == ("done", "billing")
    assert "identical" in desk("replay", asked["thread"])
    again = desk.outcome(*words, "--no-cache")
    assert again["status"] == "done", "what was paid back is owed no longer"


@pytest.mark.skipif(not HOLDS, reason="this machine cannot enforce a sandbox: agentctl doctor")
def test_support_runs_a_customers_code_for_those_who_pay_and_lets_it_see_nothing(desk: Desk) -> None:
    assert _scripted(desk, "a sum", "pro")["output"]["answer"] == "I looked: 45"
    assert "may read only the files that it grants" in _scripted(desk, "my passwd", "pro")["output"]["answer"]
    assert "there is no tool `run_snippet`" in _scripted(desk, "a sum", "free")["output"]["answer"]


def test_support_asks_a_person_before_a_model_looks_a_customer_up(desk: Desk) -> None:
    asked = _scripted(desk, "my address", "staff", "--sandbox", "process", code=6)
    answer = f"{asked['question']['id']}=approve"
    assert "Ann" in desk.outcome("resume", asked["thread"], "--answer", answer)["output"]["answer"]
    assert "identical" in desk("replay", asked["thread"])


def _scripted(desk: Desk, question: str, plan: str, *words: str, code: int = 0) -> Any:
    given = ["-i", f"question={question}", "-i", "email=cy@example.org", "-i", f"plan={plan}"]
    script = ["--model", "default=scripted/script.yaml"]
    return desk.outcome("run", "examples/support/graph.yaml", *script, *given, *words, code=code)


def test_talk_remembers_over_three_turns(desk: Desk) -> None:
    said = [
        desk("run", "examples/talk/graph.yaml", "--thread", "conversation", "-i", f"say={say}")
        for say in ("My name is Ada.", "I live in Oslo.", "What is my name?")
    ]
    assert "Ada" in said[2]
    assert "3 turns" in desk("replay", "conversation")


def test_router_workers_sorts_and_answers(desk: Desk) -> None:
    outcome = desk.outcome("run", "graphs/router-workers/graph.yaml", "-i", "question=What is 7 times 8?")
    assert (outcome["status"], outcome["output"]["subject"]) == ("done", "numbers")
    assert "identical" in desk("replay", "@last")


def test_approval_publishes_only_what_was_approved(desk: Desk) -> None:
    board = desk.folder / "graphs/approval/board.txt"
    asked = desk.outcome("run", "graphs/approval/graph.yaml", "-i", "subject=A lost cat", code=6)
    changed = desk.outcome("resume", asked["thread"], "--answer", "review=shorter", code=6)
    assert changed["question"]["id"] == "review#2"
    assert not board.exists()
    done = desk.outcome("resume", asked["thread"], "--answer", "review#2=yes")
    assert done["output"]["published"] is True
    assert len(board.read_text().splitlines()) == 1
    assert "identical" in desk("replay", asked["thread"])
