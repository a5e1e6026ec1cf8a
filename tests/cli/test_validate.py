"""`validate`, `explain`, `schema` and `graph`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agentctl.cli.main import run
from tests.cli.desk import GRAPH, make_desk
from tests.cli.shell import environment

Captured = pytest.CaptureFixture[str]


def test_a_good_file_is_silent_and_a_bad_one_is_shown_with_its_line(tmp_path: Path, capsys: Captured) -> None:
    good = make_desk(tmp_path / "good")
    assert run(["validate", str(good), str(good.parent)]) == 0
    assert capsys.readouterr() == ("", "")
    bad = make_desk(tmp_path / "bad", graph=GRAPH.replace("then: by_desk", "then: by_dsk"))
    assert run(["validate", str(good), str(bad)]) == 1
    shown = capsys.readouterr().out
    assert "G203" in shown
    assert f"{bad}:28:" in shown
    assert "did you mean" in shown
    assert "\x1b" not in shown


def test_json_has_the_shape_that_is_promised(tmp_path: Path, capsys: Captured) -> None:
    bad = make_desk(tmp_path, graph=GRAPH.replace("then: by_desk", "then: by_dsk"))
    assert run(["validate", str(bad), "--format", "json"]) == 1
    shown = json.loads(capsys.readouterr().out)
    assert (shown["v"], shown["valid"], shown["errors"]) == (1, False, len(shown["findings"]))
    finding = next(finding for finding in shown["findings"] if finding["code"] == "G203")
    assert set(finding) == {"code", "severity", "message", "hint", "file", "start", "end", "path", "fix"}
    assert finding["start"]["line"] == 28
    good = make_desk(tmp_path / "good")
    assert run(["validate", str(good), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["findings"] == []


def test_warnings_count_only_when_strict(tmp_path: Path, capsys: Captured) -> None:
    file = make_desk(tmp_path, graph=GRAPH.replace("  signed:", "  idle: [{else: end}]\n  signed:"))
    assert run(["validate", str(file), "--select", "R311"]) == 0
    assert "warning[R311]" in capsys.readouterr().out
    assert run(["validate", str(file), "--select", "R311", "--strict"]) == 1


def test_codes_are_selected_and_ignored_by_their_beginning(tmp_path: Path, capsys: Captured) -> None:
    file = str(make_desk(tmp_path, graph=GRAPH.replace("then: by_desk", "then: by_dsk")))
    assert run(["validate", file, "--ignore", "G203,E,R,G,T"]) == 0
    assert run(["validate", file, "--select", "G203"]) == 1
    assert "G203" in capsys.readouterr().out
    assert run(["validate", file, "--select", "y"]) == 0


@pytest.mark.parametrize("what", ["nowhere.yaml", "empty"])
def test_a_path_without_a_graph_is_never_all_right(tmp_path: Path, what: str, capsys: Captured) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "other.yaml").write_text("services: {}\n")
    assert run(["validate", str(tmp_path / what)]) == 2
    assert "error:" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_does_not_hide_the_findings_of_another(
    tmp_path: Path, capsys: Captured
) -> None:
    bad = make_desk(tmp_path / "bad", graph=GRAPH.replace("then: by_desk", "then: by_dsk"))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00agentctl")
    code = run(["validate", str(binary), str(bad)])
    assert code in (1, 2)
    assert "G203" in capsys.readouterr().out


def test_validate_imports_nothing_heavy_and_runs_nothing_of_the_file(tmp_path: Path) -> None:
    file = make_desk(tmp_path)
    (tmp_path / "tools.py").write_text('raise SystemExit("run!")\n\ndef look_up(word: str) -> str: ...\n')
    script = f"""
import sys
from agentctl.cli.main import run
code = run(["validate", {str(file)!r}])
heavy = {{"openai", "xllamacpp", "pydantic", "jsonschema", "rich", "agentctl.engine.executor"}}
print(sorted(heavy & set(sys.modules)), code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout == "[] 0\n", done.stderr


def test_a_code_is_explained_with_a_bad_and_a_good_example(capsys: Captured) -> None:
    assert run(["explain", "g203"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("G203")
    assert "\nBad:\n" in shown
    assert "\nGood:\n" in shown
    assert run(["explain", "G999"]) == 2
    assert "there is no finding `G999`" in capsys.readouterr().err


def test_the_schema_is_the_schema(capsys: Captured) -> None:
    from agentctl.spec.schema import graph_schema

    assert run(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == graph_schema()


def test_a_graph_is_drawn_as_a_tree(tmp_path: Path, capsys: Captured) -> None:
    assert run(["graph", str(make_desk(tmp_path))]) == 0
    assert capsys.readouterr().out == (
        "desk\n"
        "└─ sort  agent sorter\n"
        "   └─ by_desk?\n"
        "      ├─ help → find  tool look_up\n"
        "      │  └─ reply  agent guide\n"
        "      │     └─ end\n"
        "      └─ person → sign  ask approve | reject\n"
        "         └─ signed?\n"
        '            ├─ when state.verdict == "approve" → thanks  set answer\n'
        "            │  └─ end\n"
        "            └─ else → end\n"
    )


def test_a_graph_is_drawn_as_mermaid_with_nothing_in_it_taken_for_markup(
    tmp_path: Path, capsys: Captured
) -> None:
    assert run(["graph", str(make_desk(tmp_path)), "--format", "mermaid"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("flowchart TD\n")
    assert '    n2[["find<br/>tool look#95;up"]]\n' in shown
    assert '    n7 -->|"when state.verdict == #34;approve#34;"| n5\n' in shown
    assert "    n0 --> n1\n" in shown


def test_a_graph_that_cannot_be_drawn_says_why(tmp_path: Path, capsys: Captured) -> None:
    assert run(["graph", str(make_desk(tmp_path, graph=GRAPH.replace("nodes:", "noodles:")))]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "noodles" in shown.err
