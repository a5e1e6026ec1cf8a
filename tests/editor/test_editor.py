"""What an editor shows: the real yaml-language-server on our files and our schema, with no network asked of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentctl.spec.schema import graph_schema
from tests.editor.language_server import LanguageServer

ROOT = Path(__file__).parent.parent.parent
_FOUND = shutil.which(os.environ.get("YAML_LANGUAGE_SERVER", "yaml-language-server"))
SERVER = None if _FOUND is None else os.path.abspath(_FOUND)
GRAPHS = sorted([*ROOT.glob("examples/*/*.yaml"), *ROOT.glob("graphs/*/*.yaml")])
CASES = sorted((ROOT / "tests" / "cases" / "ok").glob("*.yaml"))
MODELINE = "# yaml-language-server: $schema=../../schemas/graph.v1.json\n"
HEAD = f"{MODELINE}agentctl: 1\nname: t\nstart: a\n"

pytestmark = [
    pytest.mark.editor,
    pytest.mark.skipif(
        SERVER is None, reason="yaml-language-server is not on the PATH, nor named by YAML_LANGUAGE_SERVER"
    ),
]


@pytest.fixture(scope="module")
def server() -> Iterator[LanguageServer]:
    assert SERVER is not None
    with LanguageServer([SERVER, "--stdio"], ROOT) as running:
        yield running


def place(marked: str) -> tuple[str, int, int]:
    """The text without its `§`, and the line and column where that stood."""
    before, _, after = marked.partition("§")
    return before + after, before.count("\n"), len(before) - before.rfind("\n") - 1


def offered(server: LanguageServer, marked: str) -> set[str]:
    text, line, column = place(HEAD + marked)
    return set(server.completions(ROOT / "examples" / "hello" / "graph.yaml", text, line, column))


@pytest.mark.parametrize("file", GRAPHS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_good_graph_gives_no_diagnostic(server: LanguageServer, file: Path) -> None:
    assert server.diagnostics(file) == []


@pytest.mark.parametrize("file", CASES, ids=lambda file: file.stem)
def test_a_full_example_gives_no_diagnostic(server: LanguageServer, file: Path) -> None:
    body = "".join(line for line in file.read_text().splitlines(True) if "$schema=" not in line)
    assert server.diagnostics(ROOT / "examples" / "support" / file.name, MODELINE + body) == []


@pytest.mark.parametrize(
    ("word", "slip"),
    [
        ("instructions", "instrucions"),
        ("description", "desciption"),
        ("effect", "efect"),
        ("save", "sav"),
        ("recursion", "recursoin"),
    ],
)
def test_a_misspelt_key_is_told_at_its_own_line_by_its_name(
    server: LanguageServer, word: str, slip: str
) -> None:
    file = ROOT / "examples" / "support" / "graph.yaml"
    text = file.read_text().replace(f"{word}:", f"{slip}:", 1)
    line = text[: text.index(f"{slip}:")].count("\n")
    found = server.diagnostics(file, text)
    assert [(told["range"]["start"]["line"], told["message"]) for told in found] == [
        (line, f"Property {slip} is not allowed.")
    ]


def test_a_wrong_word_is_told_with_those_that_are_right(server: LanguageServer) -> None:
    file = ROOT / "examples" / "support" / "graph.yaml"
    found = server.diagnostics(file, file.read_text().replace("effect: read", "effect: reed", 1))
    assert [told["message"] for told in found] == [
        'Value is not accepted. Valid values: "pure", "read", "write".'
    ]


def test_a_node_without_a_verb_is_told_the_verbs(server: LanguageServer) -> None:
    found = server.diagnostics(GRAPHS[0], HEAD + "nodes:\n  a:\n    then: end\n")
    assert [told["message"] for told in found] == [
        "a node needs a verb: agent, tool, graph, map, parallel, ask or set"
    ]


def test_a_node_is_offered_its_verbs_and_then_the_keys_of_its_verb(server: LanguageServer) -> None:
    verbs = {"agent", "tool", "graph", "map", "parallel", "ask", "set"}
    at_first = offered(server, "nodes:\n  a:\n    §\n")
    assert verbs | {"save", "then"} <= at_first
    assert at_first.isdisjoint({"prompt", "args", "choices"})
    with_agent = offered(server, "nodes:\n  a:\n    agent: guide\n    §\n")
    assert {"prompt", "history", "say", "save", "then", "on_error"} <= with_agent
    assert with_agent.isdisjoint({"args", "choices", "input", *verbs})
    assert "args" in offered(server, "nodes:\n  a:\n    tool: find\n    §\n")


@pytest.mark.parametrize(
    ("marked", "words"),
    [
        ("tools:\n  a:\n    python: x:y\n    effect: §\n", {"pure", "read", "write"}),
        ("state:\n  a: §\n", {"string", "number?", "messages"}),
        ("state:\n  a:\n    type: array\n    §\n", {"items", "reduce", "keep", "first", "default"}),
        ("state:\n  a:\n    type: array\n    reduce: §\n", {"append", "union", "sum"}),
        ("nodes:\n  a:\n    agent: x\n    on_error:\n      §\n", {"timeout", "tool_failed", "else"}),
        ("routers:\n  r:\n    - §\n", {"when", "else"}),
        ("limits:\n  §\n", {"recursion", "cost", "on_limit"}),
        ("§\n", {"nodes", "agents", "limits", "tests"}),
    ],
)
def test_an_editor_offers(server: LanguageServer, marked: str, words: set[str]) -> None:
    assert words <= offered(server, marked)


def test_hovering_a_key_shows_what_it_is_for_and_its_default(server: LanguageServer) -> None:
    text, line, column = place(HEAD + "limits:\n  recur§sion: 7\n")
    shown = server.hover(GRAPHS[0], text, line, column)
    said = graph_schema()["$defs"]["Limits"]["properties"]["recursion"]
    assert shown.startswith("#### Limits")
    assert said["description"] in shown
    assert "Default: `25`" in shown


def test_the_schema_of_a_file_offers_its_names_and_tells_of_others(tmp_path: Path) -> None:
    graph = CASES[0].with_name("support.yaml")
    made = [sys.executable, "-m", "agentctl", "schema", str(graph), "--output", str(tmp_path / "s.json")]
    subprocess.run(made, check=True)
    body = "".join(line for line in graph.read_text().splitlines(True) if "$schema=" not in line)
    head = "# yaml-language-server: $schema=./s.json\n"
    assert SERVER is not None
    with LanguageServer([SERVER, "--stdio"], tmp_path) as server:
        assert server.diagnostics(tmp_path / "g.yaml", head + body) == []
        [told] = server.diagnostics(
            tmp_path / "g.yaml", head + body.replace("agent: sorter", "agent: sorted")
        )
        assert told["message"].startswith("Value is not accepted. Valid values:")
        text, line, column = place(f"{head}agentctl: 1\nname: t\nstart: a\nnodes:\n  a:\n    agent: §\n")
        assert "sorter" in server.completions(tmp_path / "g.yaml", text, line, column)


def test_a_project_of_init_names_a_schema_that_is_there(tmp_path: Path) -> None:
    made = [sys.executable, "-m", "agentctl", "init", str(tmp_path), "--from", "support", "--quiet"]
    subprocess.run(made, check=True)
    graph = tmp_path / "graph.yaml"
    assert SERVER is not None
    with LanguageServer([SERVER, "--stdio"], tmp_path) as server:
        assert server.diagnostics(graph) == []
        [told] = server.diagnostics(graph, graph.read_text().replace("instructions:", "instrucions:", 1))
        assert told["message"] == "Property instrucions is not allowed."
