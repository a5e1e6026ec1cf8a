"""Tools of stores, in runs: what they take and answer, whose documents they see, and what a crash leaves."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import agentctl
from agentctl.errors import CannotRun, UsageError

pytest.importorskip("apsw", reason="stores need `pip install .[stores]`")
pytest.importorskip("sqlite_vec", reason="stores need `pip install .[stores]`")

Json = Any
ROOT = Path(__file__).parent.parent.parent


def graph(
    folder: Path,
    operation: str,
    args: Mapping[str, Json],
    store: str = "{}",
    tool: str = "",
    node: str = "",
    file: str = "",
) -> Path:
    """A file with one tool of one store, called once."""
    path = folder / f"{operation}.yaml"
    path.write_text(
        f"agentctl: 1\nname: shelf\nstores:\n  shelf: {store}\n{file}"
        f"tools:\n  it: {{store: shelf, operation: {operation}, {tool}}}\n"
        "state: {answer: {type: [object, array, 'null'], default: null}}\noutput: [answer]\n"
        f"start: go\nnodes:\n  go:\n    tool: it\n    args: {dict(args)!r}\n    save: answer\n    {node}\n    then: end\n"
    )
    return path


def run(path: Path, tenant: str = "", thread: str | None = None) -> Json:
    outcome = agentctl.load(path, store=path.parent / ".agentctl").run(tenant=tenant, thread=thread)
    assert outcome.status == "done", outcome.error
    return outcome.output["answer"]


def failure(path: Path) -> Json:
    outcome = agentctl.load(path, store=path.parent / ".agentctl").run()
    assert outcome.status == "failed"
    return outcome.error


def test_what_one_run_adds_another_finds_gets_and_deletes(tmp_path: Path) -> None:
    added = run(
        graph(tmp_path, "add", {"text": "A leaf is a plate", "title": "leaf", "metadata": {"page": 1}})
    )
    document = {"id": added["id"], "title": "leaf", "text": "A leaf is a plate", "metadata": {"page": 1}}
    [found] = run(graph(tmp_path, "search", {"query": "what is a leaf", "top": 3}))
    assert found.pop("score") > 0
    assert found == document
    assert run(graph(tmp_path, "get", {"id": added["id"]})) == document
    assert run(graph(tmp_path, "delete", {"id": added["id"]})) == added
    assert run(graph(tmp_path, "get", {"id": added["id"]})) is None
    assert run(graph(tmp_path, "search", {"query": "leaf"})) == []


def test_a_store_stands_in_the_project_or_beside_the_file(tmp_path: Path) -> None:
    run(graph(tmp_path, "add", {"text": "a"}))
    assert (tmp_path / ".agentctl" / "stores" / "shelf" / "documents.db").exists()
    run(graph(tmp_path, "add", {"text": "a"}, store="{path: ./memory}"))
    assert (tmp_path / "memory" / "documents.db").exists()


def test_a_tenant_sees_its_own_documents(tmp_path: Path) -> None:
    run(graph(tmp_path, "add", {"text": "the plan"}), tenant="acme")
    search = graph(tmp_path, "search", {"query": "plan"})
    assert run(search) == []
    assert len(run(search, tenant="acme")) == 1


def test_the_embedded_model_finds_by_meaning(tmp_path: Path) -> None:
    pytest.importorskip("static_model", reason="tokenlearn-static-model has no wheel for this machine")
    store = "{embed: true}"
    for text in ("The kitten slept on the sofa", "Shares fell on Monday", "The recipe needs two eggs"):
        run(graph(tmp_path, "add", {"text": text}, store))
    for question, text in [("cat", "kitten"), ("cooking", "eggs")]:
        found = run(graph(tmp_path, "search", {"query": question, "by": "meaning", "top": 1}, store))
        assert text in found[0]["text"], question


def test_a_search_is_a_read_and_an_add_is_a_write_with_a_key_of_its_own(tmp_path: Path) -> None:
    tools = {
        operation: agentctl.load(graph(tmp_path, operation, args)).graph.tools["it"]
        for operation, args in (
            *(("search", {"query": "x"}), ("get", {"id": "x"})),
            *(("add", {"text": "x"}), ("delete", {"id": "x"})),
        )
    }
    assert {name: tool.effect for name, tool in tools.items()} == {
        "search": "read",
        "get": "read",
        "add": "write",
        "delete": "write",
    }
    key = tools["add"].idempotency_key
    assert key is not None
    assert key({"args": {"text": "x", "n": 1}}) == key({"args": {"n": 1, "text": "x"}})
    assert key({"args": {"text": "x"}}) != key({"args": {"text": "y"}})
    assert all(tool.description for tool in tools.values())


CRASH = """
import os, signal, sys
import agentctl
from agentctl.store.documents.documents import Documents
real = Documents.add
async def add(self, *given, **named):
    if {before}:
        os.kill(os.getpid(), signal.SIGKILL)
    await real(self, *given, **named)
    os.kill(os.getpid(), signal.SIGKILL)
Documents.add = add
agentctl.load({path!r}, store={store!r}).run(thread="t")
"""


@pytest.mark.parametrize("before", [True, False])
def test_an_add_under_way_in_a_crash_is_made_again_unasked_and_kept_once(
    tmp_path: Path, before: bool
) -> None:
    path, store = graph(tmp_path, "add", {"text": "once"}), tmp_path / ".agentctl"
    code = CRASH.format(path=str(path), store=str(store), before=before)
    killed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False)
    assert killed.returncode == -9
    outcome = agentctl.load(path, store=store).resume("t")
    assert outcome.status == "done", outcome.error
    [found] = run(graph(tmp_path, "search", {"query": "once"}))
    assert outcome.output["answer"]["id"] == found["id"]
    assert agentctl.replay("t", store=store).identical


def test_results_over_max_result_are_cut_to_the_passage_that_fits(tmp_path: Path) -> None:
    pytest.importorskip("static_model", reason="tokenlearn-static-model has no wheel for this machine")
    store = "{embed: true}"
    text = "nothing of note happens. " * 8000 + "the kitten slept. " * 40 + "nothing of note happens. " * 8000
    added = run(graph(tmp_path, "add", {"text": text}, store))
    args = {"query": "kitten", "by": "meaning"}
    [found] = run(graph(tmp_path, "search", args, store, tool="max_result: 8KB"))
    assert found["cut"] is True
    assert "kitten" in found["text"]
    assert len(found["text"]) < 8000
    assert "over its max_result" in failure(graph(tmp_path, "get", added, store))["message"]


def test_a_search_that_a_store_cannot_make_is_a_tools_failure(tmp_path: Path) -> None:
    run(graph(tmp_path, "add", {"text": "x"}))
    error = failure(graph(tmp_path, "search", {"query": "x", "by": "meaning"}))
    assert "no embeddings to search by meaning" in error["message"]


def test_a_damaged_store_takes_the_error_arm(tmp_path: Path) -> None:
    run(graph(tmp_path, "add", {"text": "x"}))
    os.truncate(tmp_path / ".agentctl" / "stores" / "shelf" / "documents.db", 5000)
    search = graph(tmp_path, "search", {"query": "x"})
    assert "is damaged" in failure(search)["message"]
    assert run(graph(tmp_path, "search", {"query": "x"}, node="on_error: {tool_failed: skip}")) is None


def test_a_shared_store_is_refused_at_its_line(tmp_path: Path) -> None:
    path = graph(tmp_path, "search", {"query": "x"}, store='{url: "https://example.org"}')
    with pytest.raises(UsageError, match=r"search.yaml:4:11: shared stores \(`url`\) cannot be run"):
        agentctl.load(path)


@pytest.mark.parametrize(
    ("store", "tool", "said"),
    [
        ("{embed: local}", "", "names no single model that embeds"),
        ("{}", "parameters: {query: string, limit: {type: integer, default: 3}}", "`limit` is none of them"),
        ("{}", "parameters: {top: integer}", "`query` is missing of them"),
    ],
)
def test_what_a_store_could_never_do_is_refused_at_its_line(
    tmp_path: Path, store: str, tool: str, said: str
) -> None:
    path = graph(tmp_path, "search", {"top": 1} if "missing" in said else {"query": "x"}, store, tool)
    with pytest.raises(UsageError, match=said):
        agentctl.load(path)


def test_a_package_that_is_not_installed_is_said_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentctl.assembly.stores.find_spec", lambda name: None)
    path = graph(tmp_path, "search", {"query": "x"}, store="{embed: true}")
    with pytest.raises(CannotRun, match="needs apsw and sqlite_vec and static_model") as refused:
        agentctl.load(path, store=tmp_path / ".agentctl").run()
    assert "pip install 'agentctl[stores]'" in str(refused.value.hint)


def test_a_providers_model_embeds_and_its_tokens_are_counted(tmp_path: Path, llmock: Any) -> None:
    models = (
        "models:\n  vectors: {model: openai/text-embedding-3-small, "
        f'base_url: "{llmock.base_url()}", api_key: none, price: {{input: 2.0, output: 0}}}}\n'
    )
    path = graph(tmp_path, "add", {"text": "a note about leaves"}, "{embed: vectors}", file=models)
    loaded = agentctl.load(path, store=tmp_path / ".agentctl")
    outcome = loaded.run()
    assert outcome.status == "done", outcome.error
    assert outcome.usage.input > 0
    assert outcome.cost == pytest.approx(outcome.usage.input * 2.0 / 1_000_000)
    search = graph(tmp_path, "search", {"query": "leaves"}, "{embed: vectors}", file=models)
    assert [found["text"] for found in run(search)] == ["a note about leaves"]
