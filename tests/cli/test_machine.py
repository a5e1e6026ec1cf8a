"""`init`, `models` and `doctor`: what is on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from agentctl.cli.main import run
from agentctl.models import catalogue
from tests.cli.desk import GRAPH, make_desk
from tests.cli.shell import Terminal, here

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("template", ["hello", "support"])
def test_a_template_is_valid_and_nothing_is_overwritten(
    template: str, tmp_path: Path, capsys: Captured
) -> None:
    folder = tmp_path / "mine"
    assert run(["init", str(folder), "--from", template]) == 0
    assert "try: agentctl run" in capsys.readouterr().err
    assert run(["validate", str(folder), "--strict"]) == 0
    assert capsys.readouterr() == ("", "")

    (folder / "graph.yaml").write_text("mine\n")
    assert run(["init", str(folder), "--from", template]) == 2
    assert "is there already; nothing was written" in capsys.readouterr().err
    assert (folder / "graph.yaml").read_text() == "mine\n"


def test_an_unknown_template_is_refused_with_the_known_ones(tmp_path: Path, capsys: Captured) -> None:
    assert run(["init", str(tmp_path), "--from", "helo"]) == 2
    assert "the templates are: approval, ensemble, hello, " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_first_graph_of_a_user_runs(tmp_path: Path, capsys: Captured) -> None:
    here(capsys, "init", cwd=tmp_path)
    done = here(capsys, "run", "graph.yaml", "-i", "who=Ada", "--model", "default=scripted", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Please greet Ada.\n"


def test_models_are_listed_and_removed(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path))
    assert run(["models", "list"]) == 0
    assert "not here: agentctl models pull" in capsys.readouterr().out
    path = catalogue.place(catalogue.LOCAL)
    path.touch()
    os.truncate(path, catalogue.LOCAL.size)
    assert run(["models", "pull"]) == 0
    assert "is here already" in capsys.readouterr().err
    assert run(["models", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["installed"] is True
    assert run(["models", "rm"]) == 0
    assert not path.exists()
    assert run(["models", "pull", "gpt"]) == 2


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine without models: for commands in this process, and what another is given."""
    given = {catalogue.FOLDER_VARIABLE: str(tmp_path / "models")}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


def test_a_run_whose_model_is_not_here_says_which_command_fetches_it(
    tmp_path: Path, offline: dict[str, str], capsys: Captured
) -> None:
    make_desk(tmp_path, graph=GRAPH.replace("scripted/replies.yaml", "local"))
    done = here(capsys, "run", "graph.yaml", "-i", "question=keys", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert "hint: `agentctl models pull` fetches it" in done.stderr
    asked = Terminal("run", "graph.yaml", "-i", "question=keys", cwd=tmp_path, env=offline)
    asked.wait_for("Fetch it now? [Y/n] ")
    asked.type("n\n")
    assert asked.exit_code() == 3


@pytest.mark.usefixtures("offline")
def test_the_doctor_says_what_there_is_and_never_a_key(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-not-to-be-seen-anywhere"
    monkeypatch.setenv("OPENAI_API_KEY", key)
    fit = here(capsys, "doctor", cwd=tmp_path)
    assert fit.returncode == 0
    assert "OPENAI_API_KEY is set" in fit.stdout
    assert key not in fit.stdout + fit.stderr
    assert "agentctl models pull" in fit.stdout
    monkeypatch.delenv("OPENAI_API_KEY")
    unfit = here(capsys, "doctor", "--json", cwd=tmp_path)
    assert unfit.returncode == 3
    shown = json.loads(unfit.stdout)
    assert shown["ok"] is False
    assert {check["name"]: check["ok"] for check in shown["checks"]}["weights"] is False
    assert not (tmp_path / ".agentctl").exists()
