"""The ready graphs and the summaries: each runs offline as its page says, replays, is drawn, and starts a project."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agentctl.cli.main import run
from agentctl.models.catalogue import LOCAL, installed
from agentctl.spec.document import read_document
from tests.cli.shell import here

ROOT = Path(__file__).parent.parent.parent
READY = sorted(path.parent.name for path in ROOT.glob("graphs/*/graph.yaml"))
FOLDERS = [*(f"graphs/{name}" for name in READY), "examples/summaries"]
LEFT_BEHIND = shutil.ignore_patterns(".agentctl", "__pycache__", "board.txt", "refunds.txt")
Captured = pytest.CaptureFixture[str]
needs_model = pytest.mark.skipif(
    not installed(LOCAL), reason="the embedded model is not here: agentctl models pull"
)


def copy(name: str, folder: Path) -> Path:
    if name == "graphs/long-memory":
        pytest.importorskip("apsw", reason="stores are an extra: pip install '.[stores]'")
        pytest.importorskip("static_model", reason="the small embedder has no wheel for this machine")
    return shutil.copytree(ROOT / name, folder / Path(name).name, ignore=LEFT_BEHIND)


def commands(page: str) -> Iterator[tuple[list[str], str]]:
    """The words of each command of a page after `agentctl`, and what it prints by the page."""
    for block in re.findall(r"^```console\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        for shown in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = shown.partition("\n")
            program, *words = shlex.split(command.removesuffix(" < /dev/null"))
            assert program == "agentctl", command
            yield words, output


def events(folder: Path, capsys: Captured, *words: str) -> list[dict[str, Any]]:
    """The events of one run."""
    done = here(capsys, "run", "graph.yaml", "--events", "run.jsonl", *words, cwd=folder)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in (folder / "run.jsonl").read_text().splitlines()]


def data(told: list[dict[str, Any]], type: str) -> list[Any]:
    return [event["data"] for event in told if event["type"] == type]


@pytest.mark.parametrize("name", FOLDERS)
def test_its_page_says_what_its_commands_print(name: str, tmp_path: Path, capsys: Captured) -> None:
    folder, verbs = copy(name, tmp_path), set()
    for words, output in commands((folder / "README.md").read_text()):
        done = here(capsys, *words, cwd=folder)
        verbs.add(words[0])
        allowed = (0, 6) if "waiting: " in done.stderr else (0,)
        assert done.returncode in allowed, f"{words}\n{done.stdout}{done.stderr}"
        pattern = ".*".join(map(re.escape, output.strip().split("…")))
        assert re.fullmatch(pattern, done.stdout.strip(), re.DOTALL), f"{words}\n{done.stdout}{done.stderr}"
    assert verbs >= {"run", "replay"}


@pytest.mark.parametrize("name", FOLDERS)
def test_it_is_without_a_finding_and_has_tests(name: str, capsys: Captured) -> None:
    assert run(["validate", str(ROOT / name), "--strict"]) == 0
    assert capsys.readouterr() == ("", "")
    if name not in ("graphs/router-workers", "graphs/approval"):
        assert read_document(ROOT / name / "graph.yaml").data["tests"]


@pytest.mark.parametrize("name", FOLDERS)
def test_it_is_drawn(name: str, capsys: Captured) -> None:
    assert run(["graph", str(ROOT / name / "graph.yaml"), "--format", "mermaid"]) == 0
    assert capsys.readouterr().out.startswith("flowchart TD\n")


@pytest.mark.parametrize("name", READY)
def test_a_project_starts_from_it_with_all_that_it_needs(name: str, tmp_path: Path, capsys: Captured) -> None:
    assert run(["init", str(tmp_path), "--from", name]) == 0
    assert "try: agentctl run" in capsys.readouterr().err
    first, *rest = (tmp_path / "graph.yaml").read_text().splitlines()
    assert (tmp_path / first.partition("$schema=")[2]).is_file()
    assert rest == (ROOT / "graphs" / name / "graph.yaml").read_text().splitlines()[1:]
    assert run(["validate", str(tmp_path), "--strict"]) == 0
    assert capsys.readouterr() == ("", "")
    there = {path.name for path in (ROOT / "graphs" / name).iterdir()}
    made = {path.name for path in tmp_path.iterdir()} - {"schemas"}
    assert there - made <= {".agentctl", "__pycache__", "board.txt", "refunds.txt"}
    assert made <= there


def test_what_runs_leave_behind_starts_no_project(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agentctl.cli import verb_init

    graph = copy("graphs/tiers", tmp_path)
    (graph / "refunds.txt").write_text("8\n")
    (graph / ".agentctl").mkdir()
    monkeypatch.setattr(verb_init, "_places", lambda: [tmp_path])
    assert "tools.py" in verb_init.template_files("tiers")
    assert "refunds.txt" not in verb_init.template_files("tiers")


def test_the_help_of_init_names_every_template(capsys: Captured) -> None:
    from agentctl.cli import verb_init

    known = [path.name for place in verb_init._places() for path in place.iterdir() if path.is_dir()]
    assert sorted(known) == sorted(
        re.findall(r"[a-z]+(?:-[a-z]+)*", verb_init._NAMES.replace("or a ready graph", ""))
    )


def test_the_supervisor_calls_an_agent_and_a_graph_side_by_side(tmp_path: Path, capsys: Captured) -> None:
    folder = copy("graphs/supervisor", tmp_path)
    question = "question=How hot is Venus, and how many times as wide as the Earth is Jupiter?"
    told = events(folder, capsys, "-i", question)
    assert [call["tool"] for call in data(told, "tool.started")][:2] == ["astronomer", "compare_sizes"]
    assert sorted(call["tool"] for call in data(told, "tool.ended") if call["ok"]) == [
        "astronomer",
        "compare_sizes",
        "planet",
        "planet",
        "planet",
    ]


def test_too_many_letters_that_cannot_be_read_fail_the_map(tmp_path: Path, capsys: Captured) -> None:
    folder = copy("graphs/map-reduce", tmp_path)
    (folder / "letters" / "4-dan.txt").write_text("")
    done = here(capsys, "run", "graph.yaml", cwd=folder)
    assert done.returncode == 4
    assert "is empty" in done.stderr


def test_the_ensemble_passes_over_who_is_down_and_outvotes_who_is_wrong(
    tmp_path: Path, capsys: Captured
) -> None:
    folder = copy("graphs/ensemble", tmp_path)
    told = events(folder, capsys, "-i", "message=My bicycle is a week late. Where is it?")
    [down] = data(told, "model.passed_over")
    assert down["model"] == "scripted/models/down.yaml"
    judged, titled, written = data(told, "model.ended")
    assert [each["outcome"] for each in judged["asked"]].count("answered") >= 2
    assert [each["outcome"] for each in titled["asked"]] == ["cancelled", "answered"]
    assert [each["outcome"] for each in written["asked"]] == ["failed", "answered"]


def test_the_ensemble_leaves_to_a_person_what_no_two_agree_on(tmp_path: Path, capsys: Captured) -> None:
    folder = copy("graphs/ensemble", tmp_path)
    (folder / "models" / "bea.yaml").write_text("- {else: true, error: refused}\n")
    done = here(capsys, "run", "graph.yaml", "-i", "message=Hello", "--json", cwd=folder)
    assert json.loads(done.stdout)["output"]["title"] == "For a person to read"


def test_a_tool_that_a_tier_hides_is_not_shown_and_refused(tmp_path: Path, capsys: Captured) -> None:
    folder = copy("graphs/tiers", tmp_path)
    told = events(folder, capsys, "-i", "question=Pay order 8 back", "-i", "plan=pro")
    assert [(refused["tool"], bool(refused["reason"])) for refused in data(told, "tool.refused")] == [
        ("refund", True)
    ]
    assert data(told, "tool.started") == []
    assert not (folder / "refunds.txt").exists()


def test_what_is_approved_is_paid_once_and_what_is_rejected_never(tmp_path: Path, capsys: Captured) -> None:
    folder = copy("graphs/tiers", tmp_path)
    for answer in ("reject", "approve", "approve"):
        words = ["run", "graph.yaml", "-i", "question=Pay order 8 back", "-i", "plan=staff"]
        assert here(capsys, *words, cwd=folder).returncode == 6
        assert not (folder / "refunds.txt").exists() or answer == "approve"
        assert (
            here(capsys, "resume", "@last", "--answer", f"refund@1.1.1={answer}", cwd=folder).returncode == 0
        )
    assert (folder / "refunds.txt").read_text() == "8\n"


def test_a_memory_is_its_tenants_and_is_kept_once(tmp_path: Path, capsys: Captured) -> None:
    folder = copy("graphs/long-memory", tmp_path)
    for tenant in ("ann", "ann", "bob"):
        told = events(folder, capsys, "-i", "say=My cat is called Miso.", "--tenant", tenant)
        found = [call["result"] for call in data(told, "tool.ended") if call["tool"] == "recall"]
        (folder / "run.jsonl").unlink()
    assert found == [[]], "what ann said is not bob's to know"
    told = events(folder, capsys, "-i", "say=What is my cat called?", "--tenant", "ann")
    [found] = [call["result"] for call in data(told, "tool.ended") if call["tool"] == "recall"]
    assert [memory["text"] for memory in found] == ["The cat of the person is called Miso."]


def test_a_document_that_cannot_be_read_is_left_out_of_the_page(tmp_path: Path, capsys: Captured) -> None:
    folder = copy("examples/summaries", tmp_path)
    (folder / "documents" / "tides.md").write_bytes(b"\xff\xfe")
    done = here(capsys, "run", "graph.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "printing.md: Movable" in done.stdout
    assert "tides" not in done.stdout


@pytest.mark.soak
@needs_model
def test_the_embedded_model_summarises_the_folder(tmp_path: Path, capsys: Captured) -> None:
    folder = copy("examples/summaries", tmp_path)
    for name in ("bread", "honeybees", "lighthouses", "printing"):
        (folder / "documents" / f"{name}.md").unlink()
    (folder / "documents" / "rain.md").write_text(
        "Rain falls when the drops of a cloud are too heavy to float.\n"
    )
    done = here(capsys, "run", "graph.yaml", "--model", "default=local", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert re.search(r"rain.md: .*\b([Rr]ain|[Dd]rops|clouds?)\b", done.stdout)
    assert re.search(r"tides.md: .*\bMoon\b", done.stdout)
    assert "identical" in here(capsys, "replay", "@last", cwd=folder).stdout
