"""Agents that ask several models as one: real runs of scripted models, and the same again from the tape."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agentctl.assembly.loading import load
from agentctl.assembly.replaying import areplay
from agentctl.engine.outcome import Outcome
from agentctl.errors import CannotRun
from tests.engine.desk import Seen

Json = Any
GRAPH = """
agentctl: 1
name: several
env: {{A_KEY: {{secret: true}}}}
models:
  a: {{model: scripted/a.yaml, price: {{input: 1, output: 1}}, retry: {{attempts: 1}}{more}}}
  b: {{model: scripted/b.yaml, price: {{input: 1, output: 1}}, retry: {{attempts: 1}}}}
  c: {{model: scripted/c.yaml, price: {{input: 1, output: 1}}, retry: {{attempts: 1}}}}
  default: {group}
agents: {{guide: {{output: {{word: {{enum: [aye, nay]}}}}}}}}
input: [plan]
output: [word]
state:
  plan: {{type: string, default: free}}
  word: {{type: string, default: ""}}
start: ask
nodes:
  ask: {{agent: guide, prompt: go, save: [word], on_error: {{bad_answer: unsure}}, then: end}}
  unsure: {{set: {{word: unsure}}, then: end}}
"""


def says(word: str, delay: float = 0.0) -> str:
    return f"- {{else: true, json: {{word: {word}}}, delay: {delay}}}\n"


DOWN = "- {else: true, error: server}\n"


class Project:
    """A folder with a graph and three scripted models."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.seen = Seen()

    def run(self, group: str, *scripts: str, inputs: Json = None, more: str = "") -> Outcome:
        for name, script in zip("abc", scripts, strict=False):
            (self.folder / f"{name}.yaml").write_text(script)
        (self.folder / "graph.yaml").write_text(GRAPH.format(group=group, more=more))
        graph = load(self.folder / "graph.yaml", store=self.folder / "store")
        return graph.run(inputs or {}, sinks=[self.seen])

    def ended(self) -> Json:
        return next(event.data for event in self.seen.events if event.type == "model.ended")

    def replayed(self, outcome: Outcome) -> bool:
        return asyncio.run(areplay(outcome.thread, store=self.folder / "store")).identical


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_next_model_answers_for_one_that_is_down_and_the_tape_knows_which(project: Project) -> None:
    outcome = project.run("{fallback: [a, b]}", DOWN, says("aye"))
    assert (outcome.status, outcome.output) == ("done", {"word": "aye"})
    passed = [event.data for event in project.seen.events if event.type == "model.passed_over"]
    assert [each["model"] for each in passed] == ["scripted/a.yaml"]
    assert project.ended()["model"] == "scripted/b.yaml"
    assert [each["outcome"] for each in project.ended()["asked"]] == ["failed", "answered"]
    for script in "abc":
        (project.folder / f"{script}.yaml").unlink(missing_ok=True)
    assert project.replayed(outcome)


def test_when_all_are_down_the_last_failure_is_the_nodes(project: Project) -> None:
    outcome = project.run("{fallback: [a, b]}", DOWN, DOWN)
    assert (outcome.status, outcome.exit_code) == ("failed", 3)


def test_a_member_without_its_key_is_passed_over_and_a_group_of_such_is_refused(project: Project) -> None:
    more = ', api_key: "${{ env.A_KEY }}"'
    assert project.run("{fallback: [a, b]}", says("nay"), says("aye"), more=more).output == {"word": "aye"}
    with pytest.raises(CannotRun, match="A_KEY"):
        project.run("{fallback: [a]}", says("nay"), more=more)


def test_a_race_shows_only_the_winner_and_pays_for_all(project: Project) -> None:
    outcome = project.run("{race: [a, b]}", says("nay", delay=20), says("aye"))
    assert outcome.output == {"word": "aye"}
    shown = "".join(event.data["text"] for event in project.seen.events if event.type == "model.delta")
    assert json.loads(shown) == {"word": "aye"}
    lost, won = project.ended()["asked"]
    assert (lost["outcome"], won["outcome"]) == ("cancelled", "answered")
    assert outcome.usage.input == 2 * won["usage"]["input"]
    assert project.replayed(outcome)


def test_an_answer_of_the_wrong_shape_wins_no_race(project: Project) -> None:
    outcome = project.run("{race: [a, b]}", "- {else: true, say: perhaps}\n", says("aye", delay=0.2))
    assert (outcome.output, outcome.model_calls) == ({"word": "aye"}, 1)


def test_equal_answers_win_a_vote_and_too_few_are_a_bad_answer(project: Project) -> None:
    group = "{vote: [a, b, c], agree: 2}"
    assert project.run(group, says("nay"), says("aye"), says("nay")).output == {"word": "nay"}
    outcome = project.run(group, says("nay"), says("aye"), DOWN)
    assert outcome.output == {"word": "unsure"}
    assert project.replayed(outcome)


def test_an_expression_chooses_among_models_also_inside_a_group(project: Project) -> None:
    choose = "{choose: \"'a' if state.plan == 'pro' else 'b'\", among: [a, b]}"
    assert project.run(choose, says("aye"), says("nay"), inputs={"plan": "pro"}).output == {"word": "aye"}
    outcome = project.run(choose, says("aye"), says("nay"))
    assert outcome.output == {"word": "nay"}
    assert project.replayed(outcome)


def test_a_changed_member_is_found_by_a_replay(project: Project) -> None:
    outcome = project.run("{fallback: [a, b]}", DOWN, says("aye"))
    text = (project.folder / "graph.yaml").read_text()
    (project.folder / "graph.yaml").write_text(text.replace("fallback: [a, b]", "fallback: [a, c]"))
    changed = project.folder / "graph.yaml"
    report = asyncio.run(areplay(outcome.thread, store=project.folder / "store", graph=changed))
    assert not report.identical


def test_a_rate_lets_so_many_requests_through(project: Project) -> None:
    outcome = project.run("{fallback: [a]}", says("aye"), more=", rate: {requests: 1000, tokens: 100000}")
    assert outcome.output == {"word": "aye"}
