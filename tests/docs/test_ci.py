"""`.pre-commit-hooks.yaml` and `action.yml`: their shape, and what they call does what it should."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from agentctl.json import Json
from agentctl.spec.source import read_source

ROOT = Path(__file__).parent.parent.parent
SLIP = "agentctl: 1\nname: x\ninput: [who]\nstate: {who: string}\nstart: a\nnodes:\n  a: {ask: 'Are you ${{ who }}?', then: end}\n"
GOOD = SLIP.replace("${{ who", "${{ state.who")
IDLE = GOOD + "routers:\n  idle: [{else: end}]\n"
ENV = {name: value for name, value in os.environ.items() if not name.startswith(("AGENTCTL_", "INPUT_"))}


def read(name: str) -> Json:
    source, findings = read_source(ROOT / name, (ROOT / name).read_text())
    assert findings == []
    return source.data


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a good graph and one with a slip."""
    for name, text in {"good": GOOD, "slip": SLIP, "idle": IDLE}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "graph.yaml").write_text(text)
    return tmp_path


@pytest.fixture
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the action's first step leaves: a folder with `bin/agentctl`."""
    home = tmp_path_factory.mktemp("home of agentctl")
    (home / "bin").mkdir()
    command = home / "bin" / "agentctl"
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {shlex.quote(sys.executable)} -m agentctl "$@"\n'
    )
    command.chmod(0o755)
    return home


# README.md


def test_readme_sets_up_what_there_is() -> None:
    readme = (ROOT / "README.md").read_text()
    section = readme[readme.index("## In CI") : readme.index("## From Python")]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    sources = [read_source(Path("ci.yaml"), block) for language, block in blocks if not language]
    assert [findings for _, findings in sources] == [[], [], []]
    github, gitlab, hooks = (source.data for source, _ in sources)
    used = github["jobs"]["graphs"]["steps"][1]["with"]
    assert set(used) <= set(read("action.yml")["inputs"])
    assert gitlab["graphs"]["artifacts"]["reports"]["junit"] in gitlab["graphs"]["script"][-1]
    assert hooks["repos"][0]["hooks"][0]["id"] == read(".pre-commit-hooks.yaml")[0]["id"]


# pre-commit


def test_the_hook_has_what_pre_commit_asks_for() -> None:
    (hook,) = read(".pre-commit-hooks.yaml")
    assert set(hook) >= {"id", "name", "entry", "language"}
    assert set(hook) <= {
        *(
            "id",
            "name",
            "description",
            "entry",
            "args",
            "language",
            "types",
            "pass_filenames",
            "require_serial",
        )
    }
    assert hook["language"] == "python"
    assert hook["pass_filenames"] is False, "a file that is no graph would be checked as one"


def test_the_hook_as_pre_commit_runs_it(checkout: Path) -> None:
    (hook,) = read(".pre-commit-hooks.yaml")
    name, *entry = [*shlex.split(hook["entry"]), *hook["args"]]
    assert name == "agentctl"
    command = [sys.executable, "-m", "agentctl", *entry]
    env = {**ENV, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "slip/graph.yaml:7:" in done.stdout
    (checkout / "slip/graph.yaml").write_text(GOOD)
    done = subprocess.run(command, cwd=checkout, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# the action


def validate(checkout: Path, installed: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """The action's last step as the runner runs it, with these inputs."""
    action = read("action.yml")
    step = action["runs"]["steps"][-1]
    given = {name: str(spec.get("default", "")) for name, spec in action["inputs"].items()} | inputs
    env = {**ENV, "GITHUB_ACTIONS": "true"}
    for name, value in step["env"].items():
        found = re.fullmatch(r"\$\{\{ (inputs|runner)\.(\w+) \}\}(.*)", value)
        assert found is not None
        env[name] = given[found[2]] if found[1] == "inputs" else str(installed)
    script = checkout.parent / f"{checkout.name}.sh"
    script.write_text(step["run"])
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
        cwd=checkout,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_action_has_what_github_asks_for_and_no_input_is_part_of_a_script() -> None:
    action = read("action.yml")
    assert set(action) >= {"name", "description", "runs", "inputs"}
    assert action["runs"]["using"] == "composite"
    for step in action["runs"]["steps"]:
        assert step["shell"] == "bash"
        assert "${{" not in step["run"]
    used = re.findall(r"inputs\.(\w+)", (ROOT / "action.yml").read_text())
    assert set(used) == set(action["inputs"])
    assert all("description" in spec and "default" in spec for spec in action["inputs"].values())


def test_the_action_installs_what_it_came_with(tmp_path: Path) -> None:
    step = read("action.yml")["runs"]["steps"][0]
    python = tmp_path / "python"
    python.write_text(
        '#!/bin/sh\nmkdir -p "$3/bin" && ln -s "$0" "$3/bin/pip"; printf "%s\\n" "$@" >> "$LOG"\n'
    )
    python.chmod(0o755)
    env = {"PATH": os.environ["PATH"], "LOG": str(tmp_path / "log"), "AGENTCTL_SOURCE": str(ROOT)}
    env |= {"AGENTCTL_HOME": str(tmp_path / "a home"), "AGENTCTL_PYTHON": str(python)}
    subprocess.run(["bash", "-eo", "pipefail", "-c", step["run"]], env=env, check=True, capture_output=True)
    said = (tmp_path / "log").read_text().splitlines()
    assert said[:3] == ["-m", "venv", str(tmp_path / "a home")]
    assert said[-3:] == ["--constraint", str(ROOT / "constraints.txt"), str(ROOT)]


def test_the_action_shows_findings_at_their_lines(checkout: Path, installed: Path) -> None:
    done = validate(checkout, installed)
    assert done.returncode == 1
    assert done.stdout.startswith("::warning file=idle/graph.yaml,line=9,")
    assert "::error file=slip/graph.yaml,line=7,col=" in done.stdout
    assert validate(checkout, installed, paths="good\n\nidle\n").returncode == 0
    assert validate(checkout, installed, paths="good\nidle", strict="true", select="R").returncode == 1
    assert validate(checkout, installed, paths="slip", ignore="E411").returncode == 0


def test_the_action_writes_sarif_where_it_is_told_to(checkout: Path, installed: Path) -> None:
    assert validate(checkout, installed, sarif="found here.sarif").returncode == 1
    log = json.loads((checkout / "found here.sarif").read_text())
    assert [result["ruleId"] for result in log["runs"][0]["results"]] == ["R311", "E411"]


@pytest.mark.parametrize(
    "attack", ["$(touch owned)", "`touch owned`", "'; touch owned #", '"; touch owned #', "--fix"]
)
def test_no_input_of_the_action_is_run_or_taken_for_an_option(
    attack: str, checkout: Path, installed: Path
) -> None:
    inputs = dict.fromkeys(("strict", "select", "ignore", "sarif"), attack)
    assert validate(checkout, installed, paths=f"{attack}\nslip", **inputs).returncode == 2
    assert validate(checkout, installed, paths=f"{attack}\nslip").returncode == 2
    assert not (checkout / "owned").exists()
    assert (checkout / "slip/graph.yaml").read_text() == SLIP
