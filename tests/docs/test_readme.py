"""README.md and docs/tools.md do what they say: every command in them is run, every graph checked, every program run."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agentctl.cli.verbs import VERBS
from agentctl.models import catalogue

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
TOOLS = (ROOT / "docs" / "tools.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README + TOOLS, re.MULTILINE | re.DOTALL)
"""Language and text of each fenced block, in order."""
ENV = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTCTL_", "OPENAI_"))}
PATIENCE = 300.0

SHOWN = {
    "agentctl run examples/hello/graph.yaml": r"\A\S.*\n\Z",
    "agentctl replay @last": r"\A[0-9a-f-]{36}: identical \(1 turn, .*; 0 made live\)\n\Z",
    "agentctl validate examples": r"\A\Z",
    "agentctl validate my-desk --strict": r"\A\Z",
    "agentctl validate my-desk --fix --diff": r"\A\Z",
    "agentctl validate my-desk -v": r"information\[L712\] at most ",
    "agentctl validate my-desk --surface": r"(?m)^TOOL .*\n(?s:.*)^surface of my-desk/graph.yaml: [0-9a-f]{32}$",
    "agentctl explain E410": r"\AE410 \(error\): ",
    "agentctl explain limits.recursion": r"\Alimits.recursion: ",
    "agentctl graph examples/support/graph.yaml": r"\Asupport\n├─ sort  agent sorter\n",
    "agentctl threads list": r"\ATHREAD .*\n[0-9a-f-]{36}  hello  done ",
    "agentctl threads show @last": r"(?s)\Athread .*\n    1  greet · .* → end\n       greeting: ",
    "agentctl cache list": r"(?m)\ATOOL .*\nsearch_help  1  ",
    "agentctl cache why @last:2": r"(?m)^  2\.0\.1  search_help: miss$",
    "agentctl init": r"\A\Z",
    "agentctl run my-desk/graph.yaml": r"\A\S",
    "agentctl doctor": r"(?s)\A· agentctl .*\nready\n\Z",
}
"""What a command, by how it begins, writes to stdout. A command that is not here only has to succeed."""

needs_model = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or catalogue.installed(catalogue.LOCAL) is None,
    reason="the embedded model is not here: install the extra `local` and run `agentctl models pull`",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a newcomer has after the first command: the examples, and agentctl installed in `.venv`."""
    for folder in ("examples", "schemas"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__", ".agentctl")
        )
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f"PATH={Path(sys.executable).parent}:$PATH\n")
    return tmp_path


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def commands(block: str) -> list[str]:
    return [line for line in block.splitlines() if line.strip()]


def ran(script: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        script, cwd=folder, env=ENV, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_every_block_is_of_a_language_that_is_tried_here() -> None:
    assert {language for language, _ in BLOCKS} <= {"sh", "yaml", "python", ""}
    assert len(BLOCKS) * 2 == len(re.findall(r"^```", README + TOOLS, re.MULTILINE))


@pytest.mark.parametrize(("page", "text"), [("README.md", README), ("docs/tools.md", TOOLS)])
def test_every_link_leads_somewhere(page: str, text: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, heading = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.is_file(), link
        headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
        assert not heading or heading in {each.lower().replace(" ", "-") for each in headings}, link


def test_the_first_two_commands_set_up() -> None:
    """They are what CI runs, from a bare clone."""
    first, second, *others = blocks("sh")
    assert all(block.startswith("python3 -m venv .venv\n") for block in (first, second))
    assert "examples/hello/graph.yaml" in first
    assert "pytest" in second
    assert all("venv .venv" not in block for block in others)


@needs_model
def test_every_other_command_works_in_its_order(checkout: Path) -> None:
    activated = "true"
    tried = set()
    for command in [line for block in blocks("sh")[2:] for line in commands(block)]:
        if command.startswith("source "):
            activated = command
            continue
        done = ran(["bash", "-euo", "pipefail", "-c", f"{activated}\n{command}"], checkout)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        for begin, shown in SHOWN.items():
            if command.startswith(begin):
                tried.add(begin)
                assert re.search(shown, done.stdout), f"{command}\n{done.stdout}\n{done.stderr}"
    assert tried == set(SHOWN)


@pytest.mark.parametrize("text", blocks("yaml"), ids=lambda text: text.splitlines()[0])
def test_every_graph_is_without_a_finding(text: str, checkout: Path) -> None:
    """A part of a file is tried as a part of the smallest graph."""
    whole, *_ = (block for block in blocks("yaml") if block.startswith("agentctl: 1"))
    (checkout / "graph.yaml").write_text(text if text.startswith("agentctl: 1") else whole + text)
    done = ran([sys.executable, "-m", "agentctl", "validate", "graph.yaml"], checkout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_smallest_graph_is_the_example(checkout: Path) -> None:
    smallest = blocks("yaml")[0]
    assert all(line in (ROOT / "examples/hello/graph.yaml").read_text() for line in smallest.splitlines())


@needs_model
@pytest.mark.parametrize("text", blocks("python"), ids=lambda text: text.splitlines()[0])
def test_every_program_runs(text: str, checkout: Path) -> None:
    done = ran([sys.executable, "-c", text], checkout)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"(?s)done \S.*\nTrue\n", done.stdout)


def test_the_table_has_every_verb_and_only_options_there_are() -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*) \|$", README, re.MULTILINE)
    named = {verb for verbs, _ in rows for verb in re.findall(r"[a-z]+", verbs)}
    assert set(VERBS) <= named
    for verbs, said in rows:
        verb = re.findall(r"[a-z]+", verbs)[0]
        shown = ran([sys.executable, "-m", "agentctl", verb, "--help"], ROOT).stdout
        for option in re.findall(r"(?<!\S)`?(--?[a-z][a-z-]*)", f"{verbs} {said}"):
            assert option in shown, f"`agentctl {verb} --help` does not know {option}"
