"""The options of `validate`: formats, codes, mends, standard input and files for reports."""

from __future__ import annotations

import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.shell import agentctl, here

Captured = pytest.CaptureFixture[str]

SLIP = "agentctl: 1\nname: x\ninput: [who]\nstate: {who: string}\nstart: a\nnodes:\n  a: {ask: 'Are you ${{ who }}?', then: end}\n"
GOOD = SLIP.replace("${{ who", "${{ state.who")
IDLE = GOOD + "routers:\n  idle: [{else: end}]\n"
"""One warning, R311."""
FORMATS = ("text", "concise", "json", "jsonl", "github", "sarif", "junit")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good file, one with a slip that can be mended, and one that idles."""
    for name, text in {"good": GOOD, "slip": SLIP, "idle": IDLE}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "graph.yaml").write_text(text)
    return tmp_path


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_prints_the_finding_and_the_exit_code_is_the_same(
    format: str, folder: Path, capsys: Captured
) -> None:
    done = here(capsys, "validate", "--format", format, "slip", "good", cwd=folder)
    assert (done.returncode, done.stderr) == (1, "")
    assert "E411" in done.stdout
    assert "slip/graph.yaml" in done.stdout
    assert str(folder) not in done.stdout
    quiet = here(capsys, "validate", "--format", format, "good", cwd=folder)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    assert (quiet.stdout == "") == (format in ("text", "concise", "jsonl", "github"))


@pytest.mark.parametrize("format", ["json", "sarif", "junit"])
def test_a_document_is_whole_when_a_path_is_not_there(format: str, folder: Path, capsys: Captured) -> None:
    done = here(capsys, "validate", "--format", format, "nowhere", "empty", "slip", cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("error: there is no file") == 2
    assert "E411" in done.stdout
    assert "nowhere" in done.stdout
    assert ElementTree.fromstring(done.stdout) if format == "junit" else json.loads(done.stdout)


def test_no_format_is_chosen_by_where_it_runs(folder: Path) -> None:
    done = agentctl("validate", "slip", cwd=folder, GITHUB_ACTIONS="true", CI="true")
    assert done.stdout.startswith("slip/graph.yaml:7:")


@pytest.mark.parametrize(
    ("option", "codes", "said"),
    [
        ("--select", "E4100", "did you mean `E410`?"),
        ("--ignore", "g203,G999", "there is no finding `G999`"),
        ("--select", "Q", "a family is one letter"),
        ("--ignore", "E410,", "names no code"),
        ("--select", "", "names no code"),
    ],
)
def test_a_code_that_there_is_not_is_refused(
    option: str, codes: str, said: str, folder: Path, capsys: Captured
) -> None:
    done = here(capsys, "validate", "slip", option, codes, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_an_error_that_is_ignored_is_none(folder: Path, capsys: Captured) -> None:
    assert here(capsys, "validate", "slip", "--ignore", "E411", cwd=folder).returncode == 0
    assert here(capsys, "validate", "slip", "--ignore", "E41", "--strict", cwd=folder).returncode == 0
    assert here(capsys, "validate", "slip", "--ignore", "E410", cwd=folder).returncode == 1


def test_information_is_shown_when_it_is_asked_for_and_counts_for_nothing(
    folder: Path, capsys: Captured
) -> None:
    assert here(capsys, "validate", "good", "--strict", cwd=folder).stdout == ""
    assert here(capsys, "validate", "good", "--select", "L", cwd=folder).stdout == ""
    for asked in (["-v"], ["--select", "L712"]):
        done = here(capsys, "validate", "good", "--strict", *asked, cwd=folder)
        assert done.returncode == 0
        assert "information[L712]" in done.stdout


def test_mends_are_written_and_what_is_left_is_said(folder: Path, capsys: Captured) -> None:
    done = here(capsys, "validate", ".", "--fix", "--strict", cwd=folder)
    assert done.stderr == "mended 1 in 1 file\n"
    assert "R311" in done.stdout
    assert "E411" not in done.stdout
    assert done.returncode == 1
    assert (folder / "slip/graph.yaml").read_text() == GOOD
    assert (folder / "idle/graph.yaml").read_text() == IDLE
    again = here(capsys, "validate", "slip", "--fix", "--strict", cwd=folder)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_a_diff_shows_the_mends_and_writes_nothing(folder: Path, capsys: Captured) -> None:
    done = here(capsys, "validate", ".", "--fix", "--diff", cwd=folder)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "--- slip/graph.yaml",
        "+++ slip/graph.yaml",
        "@@ -4,4 +4,4 @@",
        " state: {who: string}",
        " start: a",
        " nodes:",
        "-  a: {ask: 'Are you ${{ who }}?', then: end}",
        "+  a: {ask: 'Are you ${{ state.who }}?', then: end}",
    ]
    assert done.stderr == "would mend 1 in 1 file\n"
    assert (folder / "slip/graph.yaml").read_text() == SLIP
    none = here(capsys, "validate", "good", "idle", "--diff", cwd=folder)
    assert (none.returncode, none.stdout, none.stderr) == (0, "", "")


def test_a_diff_keeps_secrets_to_itself(folder: Path, capsys: Captured) -> None:
    key = "sk-proj-abcdefghijklmnop1234"
    (folder / "slip/graph.yaml").write_text(SLIP.replace("nodes:", f"# {key}\nnodes:"))
    done = here(capsys, "validate", "slip", "--diff", cwd=folder)
    assert key not in done.stdout
    assert "sk-***" in done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write what nobody may")
def test_a_file_that_may_not_be_written_is_exit_2_and_the_others_are_mended(
    folder: Path, capsys: Captured
) -> None:
    (folder / "good/graph.yaml").write_text(SLIP)
    (folder / "good/graph.yaml").chmod(0o444)
    done = here(capsys, "validate", ".", "--fix", cwd=folder)
    assert done.returncode == 2
    assert "may not be written" in done.stderr
    assert (folder / "slip/graph.yaml").read_text() == GOOD


def test_standard_input_is_the_file_it_is_said_to_be(folder: Path) -> None:
    (folder / "slip/part.yaml").write_text("agentctl: 1\nagents: {one: {instructions: You greet.}}\n")
    text = GOOD.replace("name: x", "name: x\ninclude: [part.yaml]").replace(
        "{ask: 'Are you", "{agent: two, prompt: 'Are you"
    )
    done = agentctl(
        "validate", "-", "--stdin-name", "slip/graph.yaml", "--format", "text", cwd=folder, stdin=text
    )
    assert done.returncode == 1
    assert "slip/graph.yaml:8:" in done.stdout
    assert "T501" in done.stdout
    assert "{agent: two, prompt:" in done.stdout, "its frame is of the text, not of the file"
    quiet = agentctl("validate", "-", cwd=folder, stdin="\ufeff" + GOOD)
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    refused = agentctl("validate", "-", "--fix", cwd=folder, stdin=SLIP)
    assert (refused.returncode, refused.stdout) == (2, "")


def test_a_report_is_written_to_a_file_also_when_it_is_empty(folder: Path, capsys: Captured) -> None:
    args = ("validate", "--format", "sarif", "--output", "out.sarif")
    done = here(capsys, *args, "slip", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert json.loads((folder / "out.sarif").read_text())["runs"][0]["results"]
    assert here(capsys, *args, "good", cwd=folder).returncode == 0
    assert json.loads((folder / "out.sarif").read_text())["runs"][0]["results"] == []
    assert here(capsys, "validate", "good", "--output", "out.txt", cwd=folder).returncode == 0
    assert (folder / "out.txt").read_text() == ""
    lost = here(capsys, "validate", "good", "--output", "good", cwd=folder)
    assert (lost.returncode, lost.stderr) == (2, "error: `good` cannot be written: is a directory\n")
    assert sorted(path.name for path in folder.iterdir()) == ["good", "idle", "out.sarif", "out.txt", "slip"]
