"""Memo keys and code digests: what must change them, and what must not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentctl.json import Json
from agentctl.tools.code_digest import code_digest
from agentctl.tools.memo_key import memo_key

BASE: Json = {
    "definition": {"python": "tools:search", "effect": "read"},
    "code": "c0de",
    "arguments": {"query": "hat", "top": 12},
    "tenant": "acme",
    "env": {"CRM_TOKEN": "s3cret"},
    "secret": b"key material",
    "sandbox": None,
}


@pytest.mark.parametrize(
    "changed",
    [
        {"definition": {"python": "tools:search", "effect": "pure"}},
        {"code": "other"},
        {"arguments": {"query": "hat", "top": 13}},
        {"arguments": {"query": "hat", "top": "12"}},
        {"arguments": {"query": "hat", "top": True}},
        {"tenant": ""},
        {"env": {"CRM_TOKEN": "other"}},
        {"env": {"CRM": "_TOKENs3cret"}},
        {"env": {}},
        {"secret": b"other"},
        {"sandbox": {"network": True}},
        {"server": {"name": "shop", "identity": ["shop", "1.0"]}},
        {"files": "f11e5"},
    ],
)
def test_whatever_could_change_the_answer_changes_the_key(changed: Json) -> None:
    assert memo_key(**BASE) != memo_key(**BASE | changed)


def test_the_order_of_keys_and_the_writing_of_numbers_change_nothing() -> None:
    other = {"top": 12.0, "query": "hat"}
    assert memo_key(**BASE) == memo_key(**BASE | {"arguments": other})


@given(number=st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_whole_float_is_its_integer(number: int) -> None:
    assert memo_key(**BASE | {"arguments": number}) == memo_key(**BASE | {"arguments": float(number)})


def test_env_values_without_a_secret_are_refused() -> None:
    with pytest.raises(ValueError, match="needs a secret"):
        memo_key(**BASE | {"secret": b""})
    assert memo_key(**BASE | {"secret": b"", "env": {}})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pkg").mkdir()
    for name, text in {
        "tools.py": "import json\nfrom helpers import clean\ndef search():\n    from pkg import deep\n",
        "helpers.py": "from pkg.deep import x\nimport requests\n",
        "pkg/__init__.py": "",
        "pkg/deep.py": "from . import sibling\n",
        "pkg/sibling.py": "import tools  # a circle\n",
        "unrelated.py": "",
        "notes.txt": "",
    }.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "name", ["tools.py", "helpers.py", "pkg/__init__.py", "pkg/deep.py", "pkg/sibling.py"]
)
def test_a_change_in_what_the_tool_imports_changes_the_digest(project: Path, name: str) -> None:
    before = code_digest(project / "tools.py", "search", project)
    with (project / name).open("a") as file:
        file.write("# changed\n")
    assert code_digest(project / "tools.py", "search", project) != before


@pytest.mark.parametrize("name", ["unrelated.py", "notes.txt"])
def test_a_change_elsewhere_does_not(project: Path, name: str) -> None:
    before = code_digest(project / "tools.py", "search", project)
    (project / name).write_text("x = 1\n")
    assert code_digest(project / "tools.py", "search", project) == before


def test_two_functions_of_a_module_differ_and_a_moved_project_does_not(project: Path, tmp_path: Path) -> None:
    before = code_digest(project / "tools.py", "search", project)
    assert code_digest(project / "tools.py", "other", project) != before
    moved = project.rename(tmp_path.with_name(f"{tmp_path.name}-moved"))
    assert code_digest(moved / "tools.py", "search", moved) == before


def test_a_dotted_module_counts_its_package_and_imports_from_the_graphs_folder(project: Path) -> None:
    def now() -> str:
        return code_digest(project / "pkg" / "deep.py", "f", project, project)

    before = now()
    (project / "pkg" / "__init__.py").write_text("x = 1")
    changed = now()
    assert changed != before
    (project / "helpers.py").write_text("x = 1")
    assert now() != changed


def test_code_outside_the_project_does_not_count(project: Path) -> None:
    inner = project / "inner"
    inner.mkdir()
    (inner / "tools.py").write_text("import helpers\n")
    before = code_digest(inner / "tools.py", "f", inner, project)
    (project / "helpers.py").write_text("x = 1")
    assert code_digest(inner / "tools.py", "f", inner, project) == before


def test_a_broken_import_still_counts_by_its_bytes(project: Path) -> None:
    (project / "helpers.py").write_text("def (")
    before = code_digest(project / "tools.py", "search", project)
    (project / "helpers.py").write_text("def ((")
    assert code_digest(project / "tools.py", "search", project) != before
