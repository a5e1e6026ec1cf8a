"""Which files are checked: those named, and the graph files of folders."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentctl.check.files import find_graph_files
from agentctl.errors import UsageError

GRAPH = "# a comment first\nagentctl: 1\nname: x\n"


def _write(folder: Path, *names: str, text: str = GRAPH) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_folder_gives_its_graph_files_in_order_and_leaves_other_yaml_alone(tmp_path: Path) -> None:
    _write(tmp_path, "b/graph.yml", "a.yaml", "b/deep/down/graph.yaml")
    _write(tmp_path, "compose.yaml", text="services:\n  agentctl: 1\n")
    _write(tmp_path, "notes.txt")
    found = [str(path.relative_to(tmp_path)) for path in find_graph_files([tmp_path])]
    assert found == ["a.yaml", "b/graph.yml", "b/deep/down/graph.yaml"]


def test_hidden_folders_environments_and_node_modules_are_left_out(tmp_path: Path) -> None:
    _write(
        tmp_path,
        "graph.yaml",
        ".git/graph.yaml",
        "node_modules/x/graph.yaml",
        ".venv/graph.yaml",
        "env/graph.yaml",
    )
    (tmp_path / "env" / "pyvenv.cfg").touch()
    assert find_graph_files([tmp_path]) == [tmp_path / "graph.yaml"]


def test_a_file_that_is_named_is_taken_as_it_is(tmp_path: Path) -> None:
    _write(tmp_path, "anything.txt", text="no graph\n")
    assert find_graph_files([tmp_path / "anything.txt"]) == [tmp_path / "anything.txt"]


def test_a_file_found_twice_is_checked_once(tmp_path: Path) -> None:
    _write(tmp_path, "graph.yaml")
    assert find_graph_files([tmp_path / "graph.yaml", tmp_path]) == [tmp_path / "graph.yaml"]


@pytest.mark.parametrize(
    "text", ['"agentctl": 1\n', "\ufeffagentctl: 1\n", "x-a: 1\r\nagentctl: 1\r\n", "agentctl:\n  2\n"]
)
def test_the_version_key_is_found_however_it_is_written(tmp_path: Path, text: str) -> None:
    (tmp_path / "graph.yaml").write_bytes(text.encode())
    assert find_graph_files([tmp_path]) == [tmp_path / "graph.yaml"]


def test_a_path_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no file"):
        find_graph_files([tmp_path / "nowhere.yaml"])


def test_a_folder_without_graph_files_is_wrong_usage(tmp_path: Path) -> None:
    _write(tmp_path, "compose.yaml", text="services: {}\n")
    with pytest.raises(UsageError, match="no graph file in"):
        find_graph_files([tmp_path])


def test_a_file_that_cannot_be_read_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    with pytest.raises(UsageError, match="cannot be read"):
        find_graph_files([tmp_path / "loop.yaml"])


def test_a_dangling_link_in_a_folder_is_passed_over(tmp_path: Path) -> None:
    _write(tmp_path, "graph.yaml")
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere.yaml")
    assert find_graph_files([tmp_path]) == [tmp_path / "graph.yaml"]


def test_a_pipe_is_refused_when_named_and_passed_over_in_a_folder(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(UsageError, match="cannot be read: a pipe"):
        find_graph_files([tmp_path / "pipe.yaml"])
    (tmp_path / "graph.yaml").write_text("agentctl: 1\n")
    assert find_graph_files([tmp_path]) == [tmp_path / "graph.yaml"]


def test_a_graph_file_whose_name_is_no_text_is_refused_by_name(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.yaml")).write_text(GRAPH)
    with pytest.raises(UsageError, match="is not UTF-8"):
        find_graph_files([tmp_path])


def test_a_graph_whose_version_is_forgotten_or_misspelt_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "slip.yaml").write_text("agentcl: 1\nstate: {a: string}\nstart: b\nnodes: {}\n")
    (tmp_path / "none.yml").write_text("state: {a: string}\nstart: b\nnodes: {}\n")
    (tmp_path / "other.yaml").write_text("nodes: {}\nstart: b\nedges: {state: open}\n")
    assert [path.name for path in find_graph_files([tmp_path])] == ["none.yml", "slip.yaml"]
