"""What is said of a wrong shape: what would be right, and a mend that makes it right where that is certain."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentctl.spec.document import read_document
from agentctl.spec.finding import Finding

GRAPH = """agentctl: 1
name: desk
input: [question]
output: [answer]
state: {question: string, answer: {type: string, default: ""}}
tools:
  search: {command: [grep, x], description: Search., parameters: {query: string}, effect: read, timeout: 5s}
agents:
  guide: {instructions: You help., tools: [search], max_turns: 3}
start: help
nodes:
  help: {agent: guide, prompt: "${{ state.question }}", save: answer, then: done}
routers:
  done: [{when: "state.answer != ''", to: end}, {else: help}]
limits: {cost: $1, time: 5m, recursion: 9}
"""

PARAMETERS = "parameters: {query: string}"
TIMEOUT = "timeout: 5s"
LIMITS = "limits: {cost: $1, time: 5m, recursion: 9}"
ARMS = """done: [{when: "state.answer != ''", to: end}, {else: help}]"""
NODE = """help: {agent: guide, prompt: "${{ state.question }}", save: answer, then: done}"""

CERTAIN = [
    ("tools: [search]", "tools: search", "tools: [search]"),
    ("input: [question]", "input: question", "input: [question]"),
    ("instructions:", "instructons:", "instructions:"),
    ("agent:", "agnet:", "agent:"),
    ("nodes:", "noodes:", "nodes:"),
    ("max_turns: 3", "max_turns: '3'", "max_turns: 3"),
    (TIMEOUT, "timeout: 5 seconds", "timeout: 5s"),
    (TIMEOUT, "timeout: 5min", "timeout: 5m"),
    ("cost: $1", "cost: 5 dollars", "cost: $5"),
    ("recursion: 9", "recursion: 9k", "recursion: 9000"),
    ("effect: read", "effect: reed", "effect: read"),
    ("effect: read", "effect: [read]", "effect: read"),
    ("start: help", "start: [help]", "start: help"),
    ("then: done", "then: [done]", "then: done"),
    ("command: [grep, x]", "command: grep x", "command: [grep, x]"),
    (PARAMETERS, "parameters: {query: text}", "parameters: {query: string}"),
    (PARAMETERS, "parameters: {query: 'string[]'}", "{query: {type: array, items: string}}"),
    (PARAMETERS, "parameters: {query: {enum: 'a, b'}}", "{query: {enum: [a, b]}}"),
    (PARAMETERS, "parameters: {query: {tipe: string, enum: [a]}}", "{query: {type: string, enum: [a]}}"),
    (LIMITS, "limits: [{cost: 1}, {time: 5m}]", "limits: {cost: 1, time: 5m}"),
    ("{agent", "{retry: 2, agent", "{retry: {attempts: 2}, agent"),
    ("{agent", "{on_error: {timout: skip}, agent", "{on_error: {timeout: skip}, agent"),
    ("limits:", "env: {TOKEN: secret}\nlimits:", "env: {TOKEN: {secret: true}}"),
    ("limits:", "env: [TOKEN]\nlimits:", "env: {TOKEN: {}}"),
    ("limits:", "models: {a: openai/gpt-5-mini}\nlimits:", "models: {a: {model: openai/gpt-5-mini}}"),
    ("limits:", "stores: {shelf: ./shelf.db}\nlimits:", "stores: {shelf: {path: ./shelf.db}}"),
    ("limits:", "mcp: {s: uvx mcp-search}\nlimits:", "mcp: {s: {command: [uvx, mcp-search]}}"),
]
"""What is put in place of what, and what its mend makes of it."""

TOLD = [
    ("tools: [search]", "tools: {search: 1}", "as in `tools: [search_help]`"),
    ("then: done", "then: [done, end]", "a router decides between several"),
    ("save: answer", "save: 3", "name the field of `state`"),
    (TIMEOUT, "timeout: 30", "30s"),
    ("max_turns: 3", "output: [answer]", "give each a type: `{answer: string}`"),
    ("limits:", "env: {TOKEN: abc123}\nlimits:", "its value comes from the environment"),
    (ARMS, "done: end", "goes straight there with `then: end`"),
    (ARMS, "done: {when: 'state.answer != 1', to: end}", "write `[{when: …, to: …}, {else: …}]`"),
    (ARMS, "done: [{if: 'state.answer != 1', to: end}, {else: help}]", "did you mean `when`?"),
    (ARMS, "done: [{when: 'state.answer != 1'}, {else: help}]", "as in `to: by_desk`"),
    (f"nodes:\n  {NODE}", "nodes: [{name: help, agent: guide}]", "a mapping by name: `help:`"),
    (NODE, "help: {prompt: hi, then: done}", "`agent: NAME` asks a model"),
    (NODE, "help: {agent: guide, model: fast, then: done}", "a model belongs to an agent"),
    (NODE, "help: {agent: guide, then: }", "name a node, a router, or `end`"),
    ("limits:", "edges: [a]\nlimits:", "each node says where it goes with `then:`"),
    ("name: desk", "name: my desk", "`my_desk`"),
]
"""What is put in place of what, and what is said of it."""


def changed(folder: Path, old: str, bad: str) -> Path:
    file = folder / "graph.yaml"
    assert old in GRAPH
    file.write_text(GRAPH.replace(old, bad, 1))
    return file


def mended(file: Path, findings: tuple[Finding, ...]) -> str:
    """The file with the mends of its findings put in, the last first; each stands on one line."""
    lines = file.read_text().split("\n")
    for finding in sorted(findings, key=lambda finding: finding.span, reverse=True):
        assert finding.fix is not None, finding
        span = finding.fix.span
        line = lines[span.line - 1]
        lines[span.line - 1] = line[: span.column - 1] + finding.fix.text + line[span.end_column - 1 :]
    return "\n".join(lines)


@pytest.mark.parametrize(("old", "bad", "good"), CERTAIN)
def test_a_certain_mend_makes_it_right(old: str, bad: str, good: str, tmp_path: Path) -> None:
    file = changed(tmp_path, old, bad)
    findings = read_document(file).findings
    assert len(findings) == 1
    after = mended(file, findings)
    assert good in after
    file.write_text(after)
    assert read_document(file).findings == ()


@pytest.mark.parametrize(("old", "bad", "said"), TOLD)
def test_a_wrong_shape_is_told_with_what_would_be_right(
    old: str, bad: str, said: str, tmp_path: Path
) -> None:
    findings = read_document(changed(tmp_path, old, bad)).findings
    assert said in " ".join(finding.hint or "" for finding in findings), findings


def test_a_key_that_is_there_already_is_no_mend(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text(GRAPH.replace("agent: guide", "agent: guide, agnet: guide"))
    [finding] = read_document(file).findings
    assert (finding.hint, finding.fix) == ("did you mean `agent`?", None)


def test_a_word_that_could_be_another_is_no_mend(tmp_path: Path) -> None:
    file = tmp_path / "graph.yaml"
    file.write_text(GRAPH.replace("max_turns: 3", "tols: [search]"))
    [finding] = read_document(file).findings
    assert finding.hint == "did you mean `tools`?"
    file.write_text(GRAPH.replace("recursion: 9", "tie: 9s"))
    [finding] = read_document(file).findings
    assert finding.fix is None
