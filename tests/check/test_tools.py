"""What is said of tools is what a run does: its defaults, its arguments; mends; and however many there are."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from msgspec.structs import asdict

from agentctl.check.check import check, check_file
from agentctl.check.flow import GROUPS, VERBS, read_flow
from agentctl.check.runs.limits import ATTEMPTS, MAX_TURNS, MODEL_TIMEOUT, TOOL_TIMEOUT, turn_limits
from agentctl.check.tools.tooling import OWN_KINDS
from agentctl.check.tools.types import parameters_of
from agentctl.graph.compile import compile_graph
from agentctl.graph.plan import AgentNode, LimitPlan, ToolNode
from agentctl.spec.document import document_from_texts, read_document
from agentctl.spec.schema import named_choices

FUNCTIONS = '''
def read(path: str, pages: int = 1) -> list[str]:
    """Read some pages."""
    return [path] * pages
'''
FILE = """
agentctl: 1
name: notes
tools:
  said: {python: "tools:read", parameters: {path: string, pages: {type: integer, default: 1}}, effect: read}
  hinted: {python: "tools:read", effect: read}
  keyed: {python: "tools:read", effect: write, idempotency_key: "${{ args.path }}"}
  write: {python: "tools:read", effect: write}
  asked: {http: "GET https://example.org/${{ args.path }}", parameters: {path: string}, effect: read}
  posted: {http: "POST https://example.org/notes", parameters: {path: string}, effect: write}
  ran: {command: [cat, --, "${{ args.path }}"], parameters: {path: string}, effect: pure}
  touched: {command: [touch, "${{ args.path }}"], parameters: {path: string}, effect: write, idempotency_key: x}
agents:
  reader: {model: openai/gpt-5, instructions: You read.}
start: ask
nodes:
  ask: {agent: reader, prompt: Go on., then: said}
  said: {tool: said, args: {path: a}, then: hinted}
  hinted: {tool: hinted, args: {path: a}, then: keyed}
  keyed: {tool: keyed, args: {path: a}, then: write}
  write: {tool: write, args: {path: a}, then: asked}
  asked: {tool: asked, args: {path: a}, then: posted}
  posted: {tool: posted, args: {path: a}, then: ran}
  ran: {tool: ran, args: {path: a}, then: touched}
  touched: {tool: touched, args: {path: a}, then: end}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "tools.py").write_text(FUNCTIONS)
    (tmp_path / "graph.yaml").write_text(FILE)
    return tmp_path / "graph.yaml"


def test_the_defaults_that_are_spoken_of_are_those_of_a_run(file: Path) -> None:
    nodes = compile_graph(read_document(file)).nodes.values()
    (agent,) = [node.agent for node in nodes if isinstance(node, AgentNode)]
    model = agent.model
    tools = [node.tool for node in nodes if isinstance(node, ToolNode)]
    assert (model.timeout, model.attempts) == (MODEL_TIMEOUT, ATTEMPTS)
    assert {tool.timeout for tool in tools} == {TOOL_TIMEOUT}
    safe = ATTEMPTS
    assert {tool.name: tool.attempts for tool in tools} == {
        "said": safe,
        "hinted": safe,
        "keyed": safe,
        "write": 1,
        "asked": safe,
        "posted": 1,
        "ran": safe,
        "touched": safe,
    }
    assert [tool.name for tool in tools if tool.cache is not None] == ["ran"]
    assert agent.max_turns == MAX_TURNS
    granted = asdict(turn_limits({}))
    shared = granted.keys() & LimitPlan.__dataclass_fields__.keys()
    assert len(shared) >= 11
    assert {name: getattr(LimitPlan(), name) for name in shared} == {name: granted[name] for name in shared}


def test_the_verbs_and_kinds_that_rules_know_are_those_of_the_language() -> None:
    choices = named_choices()
    assert choices["Node"].keys == VERBS
    assert set(choices["Tool"].keys) == {*OWN_KINDS, "graph", "agent"}
    assert set(choices["Model"].keys) - {"choose"} == {"model", *GROUPS} - {"among"}


def test_what_a_tool_takes_is_what_a_run_takes(file: Path) -> None:
    document = read_document(file)
    signatures = compile_graph(document).signatures
    for name, (parameters, _) in signatures.items():
        assert parameters_of(read_flow(document), name) == parameters


def test_nothing_is_said_of_functions_where_there_is_no_folder_to_look_in() -> None:
    assert {finding.code for finding in check(document_from_texts("graph.yaml", {"graph.yaml": FILE}))} == {
        "T511"
    }


MENDS = [
    ("args: {pth: a}", "T503", "path"),
    ("args: {path: 12}", "T504", '"12"'),
    ('args: {path: a, pages: "12"}', "T504", "12"),
    ('args: {path: a, pages: "a dozen"}', "T504", None),
    ("args: {path: [a]}", "T504", None),
    ("args: {path: a, colour: red}", "T503", None),
]


@pytest.mark.parametrize(("args", "code", "mend"), MENDS)
def test_an_argument_is_mended_where_that_is_certain(
    tmp_path: Path, args: str, code: str, mend: str | None
) -> None:
    (tmp_path / "tools.py").write_text(FUNCTIONS)
    path = tmp_path / "graph.yaml"
    text = (
        'agentctl: 1\nname: notes\ntools:\n  read: {python: "tools:read", effect: read, timeout: 5s}\n'
        f"start: read\nnodes:\n  read: {{tool: read, {args}, then: end}}\n"
    )
    path.write_text(text)
    (finding,) = check_file(path)
    assert (finding.code, finding.fix and finding.fix.text) == (code, mend)
    if finding.fix is not None:
        span, lines = finding.fix.span, text.split("\n")
        line = lines[span.line - 1]
        lines[span.line - 1] = line[: span.column - 1] + finding.fix.text + line[span.end_column - 1 :]
        path.write_text("\n".join(lines))
        assert check_file(path) == []


def test_a_thousand_tools_of_one_module_and_their_calls_are_checked_quickly(tmp_path: Path) -> None:
    count = range(1000)
    (tmp_path / "tools.py").write_text(
        "".join(f"def f{i}(a: str, b: int = 1) -> list[str]: ...\n" for i in count)
    )
    tools = "".join(f'  t{i}: {{python: "tools:f{i}", effect: read, timeout: 5s}}\n' for i in count)
    nodes = "".join(f"  n{i}: {{tool: t{i}, args: {{a: x}}, then: n{i + 1}}}\n" for i in count)
    (tmp_path / "graph.yaml").write_text(
        f"agentctl: 1\nname: many\ntools:\n{tools}start: n0\nnodes:\n{nodes}  n1000: {{set: {{}}, then: end}}\n"
        "limits: {recursion: 2000}\n"
    )
    began = time.process_time()
    assert check_file(tmp_path / "graph.yaml") == []
    assert time.process_time() - began < 3


def test_a_chain_of_a_thousand_tools_that_are_agents_is_followed_to_its_write(tmp_path: Path) -> None:
    count = range(1000)
    tools = "".join(f"  t{i}: {{agent: a{i}, description: Ask., retry: {{attempts: 2}}}}\n" for i in count)
    agents = "".join(f"  a{i}: {{instructions: Ask., max_turns: 3, tools: [t{i + 1}]}}\n" for i in count)
    (tmp_path / "graph.yaml").write_text(
        f"agentctl: 1\nname: many\ntools:\n{tools}"
        "  t1000: {command: [ls], description: Write., effect: write, timeout: 5s}\n"
        f"agents:\n{agents}start: go\nnodes:\n  go: {{tool: t0, args: {{prompt: Go.}}, then: end}}\n"
    )
    began = time.process_time()
    found = [finding for finding in check_file(tmp_path / "graph.yaml") if finding.code == "T509"]
    assert time.process_time() - began < 3
    assert len(found) == 1000
    assert {finding.message.partition(" can call ")[2].split()[0] for finding in found} == {"`t1000`,"}
