"""agentctl's own folder, with its threads and keys: in no sandbox, though the folder around it is granted."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from agentctl import load
from agentctl.tools.granted_files import GrantedFiles
from agentctl.tools.sandbox import proof

if sys.platform != "linux":
    pytest.skip("sandboxes are Linux's", allow_module_level=True)
for _profile in ("restricted", "isolated"):
    if not (_proof := asyncio.run(proof.prove(_profile))).holds:
        pytest.skip(
            f"this machine has no sandbox: {_proof.why or dict(_proof.broken)}", allow_module_level=True
        )

TRY = """
import os

def look(folder: str) -> list:
    store, found = folder + "/.agentctl", []
    for name, act in (
        ("listed", lambda: os.listdir(store)),
        ("read", lambda: open(store + "/memo.key", "rb").read().hex()),
        ("written", lambda: open(store + "/planted", "w").write("x")),
        ("removed", lambda: os.rmdir(store)),
        ("moved", lambda: os.rename(store, folder + "/moved")),
    ):
        try:
            found.append([name, act()])
        except OSError as error:
            found.append([name, type(error).__name__])
    return found
"""
GRAPH = """
agentctl: 1
name: curious
output: [found, said]
state: {found: {type: array, default: []}, said: {type: string, default: ""}}
tools:
  look: {python: "tools:look", effect: read, timeout: 20s, sandbox: {files: {GRANTS}}}
  list: {command: [sh, look.sh], parameters: {}, effect: read, timeout: 20s, sandbox: {files: {GRANTS}}}
start: one
nodes:
  one: {tool: look, args: {folder: "FOLDER"}, save: found, then: two}
  two: {tool: list, args: {}, save: said, then: end}
"""
SCRIPT = """
for store in .agentctl here/.agentctl; do
  ls -A $store; cat $store/memo.key; touch $store/planted && echo planted
  rmdir $store && echo removed; mv $store moved && echo moved
done 2>/dev/null
echo done
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "tools.py").write_text(TRY)
    (tmp_path / "look.sh").write_text(SCRIPT)
    (tmp_path / "here").symlink_to(".")
    return tmp_path


def run(project: Path, grants: str, store: Path) -> list[object]:
    text = GRAPH.replace("GRANTS", grants).replace("FOLDER", str(project))
    (project / "graph.yaml").write_text(text)
    outcome = load(project / "graph.yaml", store=store).run()
    return [outcome.status, outcome.output or str(outcome.error)]


@pytest.mark.parametrize("grants", ["read: [., here]", "read: [.], write: [., here]"])
def test_the_store_is_empty_and_closed_in_a_folder_that_is_granted(project: Path, grants: str) -> None:
    status, output = run(project, grants, project / ".agentctl")
    assert status == "done", output
    assert isinstance(output, dict)
    found = dict(output["found"])
    assert found.pop("listed") == []
    assert all(isinstance(each, str) and each.endswith("Error") for each in found.values()), found
    assert output["said"] == "done"
    assert len((project / ".agentctl" / "memo.key").read_bytes()) == 32
    assert not (project / ".agentctl" / "planted").exists()


def test_the_store_itself_is_not_granted(project: Path) -> None:
    status, error = run(project, "read: [.agentctl]", project / ".agentctl")
    assert status == "failed"
    assert "agentctl's own store" in str(error)


def test_a_tool_can_stand_in_the_folder_that_is_the_store(project: Path) -> None:
    text = (
        GRAPH.replace("files: {GRANTS}", "time: 9s")
        .replace("FOLDER", str(project))
        .replace("then: two", "then: end")
    )
    (project / "graph.yaml").write_text(text.partition("  two:")[0])
    assert load(project / "graph.yaml", store=project).run().status == "done"


def test_what_the_store_holds_changes_no_digest(project: Path) -> None:
    store = project / ".agentctl"
    store.mkdir()
    files = GrantedFiles(store)
    before = asyncio.run(files.digest([project, project / "here"]))
    (store / "memo.key").write_text("new")
    assert asyncio.run(files.digest([project, project / "here"])) == before
    (project / "look.sh").write_text("new")
    assert asyncio.run(files.digest([project, project / "here"])) != before
