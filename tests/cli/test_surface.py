"""`validate --surface`: what it prints, and how a digest is signed off and found to be out of date."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from agentctl.cli.main import run
from tests.cli.desk import GRAPH, make_desk
from tests.cli.shell import agentctl, here

Captured = pytest.CaptureFixture[str]


def signed(folder: Path, capsys: Captured, graph: str = GRAPH) -> str:
    """A graph with its digest signed off, as the command says to do it."""
    make_desk(folder, graph=graph)
    out = here(capsys, "validate", "--surface", "graph.yaml", cwd=folder).stdout
    line = out.splitlines()[-1].strip()
    assert re.fullmatch(r'events: \{surface: "[0-9a-f]{32}"\}', line)
    return f"{graph}{line}\n"


def test_the_surface_is_a_table_with_a_digest_and_the_line_that_signs_it(
    tmp_path: Path, capsys: Captured
) -> None:
    make_desk(tmp_path)
    done = here(capsys, "validate", "--surface", "graph.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"look_up +read +Python tools:look_up +agent guide\n", done.stdout)
    assert re.search(r"graph\.yaml:6 +takes word +node find\n", done.stdout)
    assert "surface of graph.yaml: " in done.stdout


def test_a_digest_that_was_signed_off_is_said_to_be(tmp_path: Path, capsys: Captured) -> None:
    file = make_desk(tmp_path, graph=signed(tmp_path, capsys))
    assert run(["validate", "--surface", str(file)]) == 0
    assert "It is signed off." in capsys.readouterr().out
    assert run(["validate", "--strict", str(file)]) == 0


def test_another_surface_than_the_signed_one_is_an_answer_of_no_with_what_to_do(
    tmp_path: Path, capsys: Captured
) -> None:
    graph = signed(tmp_path, capsys)
    make_desk(tmp_path, graph=graph.replace("    effect: read\n    cache: 10m\n", "    effect: write\n"))
    done = here(capsys, "validate", "--surface", "graph.yaml", cwd=tmp_path)
    digest = re.search(r"surface of graph.yaml: (\w+)", done.stdout)
    assert done.returncode == 1
    assert digest is not None
    assert "graph.yaml:36: another surface was signed off here" in done.stderr
    assert f'write `surface: "{digest[1]}"` in its place' in done.stderr
    plain = here(capsys, "validate", "graph.yaml", cwd=tmp_path)
    assert plain.returncode == 1
    assert "error[X09]" in plain.stdout
    make_desk(
        tmp_path,
        graph=re.sub(r'surface: "\w+"', f'surface: "{digest[1]}"', graph).replace(
            "read\n    cache: 10m", "write"
        ),
    )
    assert here(capsys, "validate", "--surface", "graph.yaml", cwd=tmp_path).returncode == 0


def test_a_file_that_has_events_is_told_where_the_line_goes(tmp_path: Path, capsys: Captured) -> None:
    make_desk(tmp_path, graph=f"{GRAPH}events: {{sinks: [jsonl]}}\n")
    done = here(capsys, "validate", "--surface", "graph.yaml", cwd=tmp_path)
    assert "Add under `events:` of graph.yaml:\n  surface: " in done.stdout


def test_json_has_the_surface_its_digest_and_the_places(tmp_path: Path, capsys: Captured) -> None:
    make_desk(tmp_path, graph=signed(tmp_path, capsys))
    done = here(capsys, "validate", "--surface", "--format", "json", "graph.yaml", cwd=tmp_path)
    (shown,) = json.loads(done.stdout)["files"]
    assert set(shown) == {"file", "digest", "signed", "surface", "places"}
    assert shown["digest"] == shown["signed"]
    assert shown["file"] == "graph.yaml"
    assert shown["places"] == {"look_up": {"file": "graph.yaml", "line": 6}}
    assert shown["surface"]["tools"]["look_up"]["nodes"] == ["find"]


def test_a_file_with_errors_has_no_surface_to_sign_and_does_not_hide_another(
    tmp_path: Path, capsys: Captured
) -> None:
    make_desk(tmp_path / "good")
    make_desk(tmp_path / "bad", graph=GRAPH.replace("tools: [look_up]", "tools: [lookup]"))
    done = here(capsys, "validate", "--surface", ".", cwd=tmp_path)
    assert done.returncode == 1
    assert "error[T502]" in done.stderr
    assert "no surface to sign off until it has no errors" in done.stderr
    assert "surface of good/graph.yaml" in done.stdout
    assert "bad" not in done.stdout


def test_what_has_no_surface_is_refused(tmp_path: Path, capsys: Captured) -> None:
    file = make_desk(tmp_path)
    (tmp_path / "part.yaml").write_text("agentctl: 1\nagents: {a: {instructions: You are.}}\n")
    assert run(["validate", "--surface", "--format", "sarif", str(file)]) == 2
    assert "has no format `sarif`" in capsys.readouterr().err
    assert run(["validate", "--surface", "--fix", str(file)]) == 2
    assert "none of --fix, --diff, --output" in capsys.readouterr().err
    assert run(["validate", "--surface", str(tmp_path / "part.yaml")]) == 2
    assert "nothing but parts" in capsys.readouterr().err
    assert run(["validate", "--surface", str(file), str(tmp_path / "none.yaml")]) == 2
    captured = capsys.readouterr()
    assert "surface of" in captured.out
    assert "none.yaml" in captured.err


def test_what_an_editor_holds_has_a_surface_too(tmp_path: Path) -> None:
    make_desk(tmp_path)
    held = GRAPH.replace("effect: read", "effect: write").replace("    cache: 10m\n", "")
    done = agentctl("validate", "--surface", "-", "--stdin-name", "graph.yaml", cwd=tmp_path, stdin=held)
    assert (done.returncode, done.stderr) == (0, "")
    assert "look_up       write" in done.stdout


def test_the_table_fits_the_terminal(tmp_path: Path) -> None:
    make_desk(tmp_path)
    lines = agentctl("validate", "--surface", "graph.yaml", cwd=tmp_path, COLUMNS="62").stdout.splitlines()
    assert lines[0].startswith("TOOL")
    assert max(map(len, lines)) <= 62
