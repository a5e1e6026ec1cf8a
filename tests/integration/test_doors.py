"""What JSON cannot keep is refused at whichever door it comes in, and the thread stays whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import agentctl
from agentctl.errors import UsageError
from agentctl.json import MAX_DEPTH, too_deep

GRAPH = """\
agentctl: 1
name: deep
input: [given]
output: [held]
state:
  given: {type: array, default: []}
  held: {type: array, default: []}
  n: {type: integer, default: 0}
models: {default: {model: scripted/script.json}}
tools: {dig: {python: "tools:dig", parameters: {n: integer}, effect: read, in_process: true}}
agents:
  teller: {output: {held: {type: array}}}
  caller: {tools: [dig]}
start: START
nodes:
  keep: {set: {held: "${{ state.given }}"}, then: end}
  wrap: {set: {held: "${{ [state.held] }}", n: "${{ state.n + 1 }}"}, then: again}
  dig: {tool: dig, args: {n: 1}, save: held, then: end}
  tell: {agent: teller, prompt: go, save: [held], then: end}
  call: {agent: caller, prompt: go, save: {}, then: end}
routers: {again: [{when: state.n < 300, to: wrap}, {else: end}]}
limits: {recursion: 400}
"""


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def begin(folder: Path, start: str, script: str = "[]") -> agentctl.LoadedGraph:
    (folder / "graph.yaml").write_text(
        "\n".join(
            line
            for line in GRAPH.replace("START", start).replace(", save: {}", "").split("\n")
            if not line.startswith(("  keep:", "  wrap:", "  dig:", "  tell:", "  call:", "routers:"))
            or line.startswith(f"  {start}:")
            or (start == "wrap" and line.startswith("routers:"))
        )
    )
    (folder / "tools.py").write_text(f"def dig(n):\n    return {deep(150)}\n")
    (folder / "script.json").write_text(script)
    return agentctl.load(folder / "graph.yaml", store=folder / "store")


@pytest.mark.parametrize(
    ("start", "script"),
    [
        ("wrap", "[]"),
        ("dig", "[]"),
        ("tell", json.dumps([{"else": True, "say": f'{{"held": {deep(150)}}}'}])),
        ("tell", json.dumps([{"else": True, "say": f'{{"held": {deep(900)}}}'}])),
    ],
)
def test_a_node_that_answers_too_deeply_has_failed(tmp_path: Path, start: str, script: str) -> None:
    with begin(tmp_path, start, script) as graph:
        outcome = graph.run({}, thread="t")
    assert outcome.status == "failed"
    assert "nested deeper than 100 levels" in outcome.error["message"]
    assert agentctl.replay("t", store=tmp_path / "store").identical


def test_an_input_that_is_too_deep_is_refused_and_one_at_the_limit_is_kept(tmp_path: Path) -> None:
    with begin(tmp_path, "keep") as graph:
        with pytest.raises(UsageError, match="nested deeper than 100 levels"):
            graph.run({"given": json.loads(deep(MAX_DEPTH + 1))}, thread="t")
        held = json.loads(deep(MAX_DEPTH))
        assert graph.run({"given": held}, thread="t").output == {"held": held}
    assert agentctl.replay("t", store=tmp_path / "store").identical


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", object(), 2**70, {1: 2}])
def test_an_input_that_json_cannot_say_is_refused_and_never_changed(tmp_path: Path, value: object) -> None:
    with begin(tmp_path, "keep") as graph, pytest.raises(UsageError, match="input `given` cannot hold this"):
        graph.run({"given": [value]}, thread="t")


def test_depth_counts_lists_and_objects() -> None:
    assert not too_deep(json.loads('{"a":' * 50 + deep(50) + "}" * 50))
    assert too_deep(json.loads('{"a":' * 51 + deep(50) + "}" * 51))
    assert not too_deep([list(range(1000)), "text"])
