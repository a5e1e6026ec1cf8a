"""`agentctl graph`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.desk import GRAPH, make_desk
from tests.cli.shell import ROOT, environment, here

STARTS = {
    "tree": "desk\n",
    "mermaid": "flowchart TD\n",
    "dot": 'digraph "desk" {\n',
    "svg": "<?xml version",
    "html": "<!DOCTYPE html>\n",
    "json": '{"v":1,',
}


@pytest.mark.parametrize("format", STARTS)
def test_each_format_is_printed_or_written_the_same(
    format: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_desk(tmp_path)
    name = json.loads(here(capsys, "graph", file, "--format", "json", cwd=tmp_path).stdout)["name"]
    printed = here(capsys, "graph", file, "--format", format, cwd=tmp_path)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout.startswith(STARTS[format].replace("desk", name))
    written = here(capsys, "graph", file, "--format", format, "--output", "out.txt", cwd=tmp_path)
    assert (written.returncode, written.stdout, written.stderr) == (0, "", "")
    assert (tmp_path / "out.txt").read_text() == printed.stdout


def test_what_cannot_be_written_or_read_is_said_with_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = make_desk(tmp_path)
    lost = here(capsys, "graph", file, "--output", "no/such/out.svg", cwd=tmp_path)
    assert (lost.returncode, lost.stdout) == (2, "")
    assert "`no/such/out.svg` cannot be written: no such file" in lost.stderr
    assert here(capsys, "graph", "none.yaml", cwd=tmp_path).returncode == 2
    assert here(capsys, "graph", file, "--format", "png", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("verb", ["graph", "run"])
def test_a_part_is_refused_by_what_needs_nodes(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "part.yaml").write_text("agentctl: 1\nenv: {KEY: {secret: true}}\n")
    done = here(capsys, verb, "part.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "`part.yaml` has no nodes: it is a part" in done.stderr


def test_a_way_to_nowhere_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = make_desk(tmp_path, graph=GRAPH.replace("then: by_desk", "then: by_dsk"))
    done = here(capsys, "graph", file, cwd=tmp_path)
    assert done.returncode == 0
    assert "by_dsk (unknown)" in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["validate", "examples/hello/graph.yaml"]], ids=" ".join)
def test_no_other_verb_loads_the_picture(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom agentctl.cli.main import run\n"
        f"assert run({arguments!r}) == 0\n"
        "assert not [name for name in sys.modules if name.startswith('agentctl.graph.picture')]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
