"""`cache list`, `cache why`, `cache clear`: what they say of calls that were really made."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agentctl import load
from agentctl.store.codec import Codec, place_of
from tests.cli.shell import COMMAND, PATIENCE, environment, here

Captured = pytest.CaptureFixture[str]
Json = Any
GRAPH = """\
agentctl: 1
name: shop
env: {SHOP_TOKEN: {default: token-one}, SHOP_PASSWORD: {secret: true}}
tools:
  search: {python: "tools:search", effect: pure}
  look: {command: [echo, "${{ args.query }}"], parameters: {query: string}, effect: read, cache: 10m}
  mine: {python: "tools:mine", effect: pure}
  plain: {python: "tools:plain", effect: read}
  never: {python: "tools:plain", effect: pure, cache: false}
  fails: {python: "tools:fails", effect: pure, retry: {attempts: 1}}
input: [query]
state: {query: string, found: {type: string, default: ""}}
start: search
nodes:
  search: {tool: search, args: {query: "${{ state.query }}", top: 3}, save: found, then: look}
  look: {tool: look, args: {query: "${{ state.query }}"}, then: mine}
  mine: {tool: mine, args: {}, then: plain}
  plain: {tool: plain, args: {}, then: never}
  never: {tool: never, args: {}, then: fails}
  fails: {tool: fails, args: {}, then: quiet, on_error: {else: quiet}}
  quiet: {set: {found: "x"}, then: end}
"""
TOOLS = """\
import helpers

def search(query: str, top: int) -> str:
    return f"{query} {top}"

def mine(context) -> str:
    return "mine"

def plain() -> str:
    return "plain"

def fails() -> str:
    raise RuntimeError("no")
"""


def make_shop(folder: Path) -> None:
    (folder / "graph.yaml").write_text(GRAPH)
    (folder / "tools.py").write_text(TOOLS)
    (folder / "helpers.py").write_text("x = 1\n")


def turn(folder: Path, thread: str, query: str = "hat", *, env: Json = None, **settings: Json) -> None:
    known = env or {"SHOP_PASSWORD": "very-secret"}
    with load(folder / "graph.yaml", store=folder / ".agentctl", env=known) as graph:
        outcome = graph.run({"query": query}, thread=thread, **settings)
    assert outcome.status == "done", outcome.error


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop with one turn, of the thread `a`."""
    folder = tmp_path_factory.mktemp("shop")
    make_shop(folder)
    turn(folder, "a")
    return folder


@pytest.fixture
def shop(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "shop"))


def why(capsys: Captured, folder: Path, step: str) -> Json:
    """The one call of a step."""
    told = json.loads(here(capsys, "cache", "why", step, "--json", cwd=folder).stdout)
    [call] = told["calls"]
    return call


def reasons(call: Json) -> dict[str, list[str]]:
    return {reason["reason"]: reason["names"] for reason in call["reasons"]}


def test_the_first_calls_say_what_they_are(shop: Path, capsys: Captured) -> None:
    expected = {1: "first", 2: "first", 3: "first", 4: "read_without_cache", 5: "cache_false", 6: "failed"}
    for step, reason in expected.items():
        assert reasons(why(capsys, shop, f"a:{step}")) == {reason: []}
    shown = here(capsys, "cache", "why", "a:7", cwd=shop)
    assert (shown.returncode, shown.stdout) == (0, "")
    assert "called no tool" in shown.stderr


def test_a_hit_says_its_age_what_it_saved_and_whose_answer_it_was(shop: Path, capsys: Captured) -> None:
    turn(shop, "b")
    call = why(capsys, shop, "b:1.0.1")
    assert (call["outcome"], call["reasons"], call["nearest"]["thread"]) == ("hit", [], "a")
    assert call["age"] >= 0
    assert call["saved_seconds"] > 0
    shown = here(capsys, "cache", "why", "@last:1", cwd=shop).stdout
    assert "hit, " in shown
    assert "stored by thread a turn 1" in shown
    here(capsys, "cache", "clear", cwd=shop)
    assert reasons(why(capsys, shop, "b:1")) == {"gone_since": []}


def test_other_arguments_are_named_with_what_they_were(shop: Path, capsys: Captured) -> None:
    turn(shop, "b", "cap")
    [reason] = why(capsys, shop, "b:1")["reasons"]
    assert (reason["reason"], reason["names"]) == ("args", ["query"])
    assert reason["changes"] == {"query": {"before": "hat", "now": "cap"}}
    here(capsys, "cache", "clear", "--tool", "search", cwd=shop)
    # of what is gone, the tape still knows that it was another
    assert reasons(why(capsys, shop, "b:1")) == {"first": []}


def test_a_changed_module_is_named_also_one_that_is_imported(shop: Path, capsys: Captured) -> None:
    (shop / "helpers.py").write_text("x = 2\n")
    turn(shop, "b")
    assert reasons(why(capsys, shop, "b:1")) == {"code": ["helpers.py"]}
    (shop / "tools.py").write_text(TOOLS.replace("{query} {top}", "{query}! {top}"))
    turn(shop, "c")
    assert reasons(why(capsys, shop, "c:1")) == {"code": ["tools.py"]}
    assert "tools.py" in here(capsys, "cache", "why", "c:1", cwd=shop).stdout


def test_a_changed_tool_says_which_keys_of_it(shop: Path, capsys: Captured) -> None:
    (shop / "graph.yaml").write_text(GRAPH.replace("cache: 10m", "cache: 20m"))
    turn(shop, "b")
    assert reasons(why(capsys, shop, "b:2")) == {"definition": ["cache"]}


def test_another_env_value_is_named_and_never_shown(shop: Path, capsys: Captured) -> None:
    turn(shop, "b", env={"SHOP_TOKEN": "token-two", "SHOP_PASSWORD": "other-secret"})
    assert reasons(why(capsys, shop, "b:2")) == {"env": ["SHOP_TOKEN", "SHOP_PASSWORD"]}
    shown = here(capsys, "cache", "why", "b:2", cwd=shop).stdout
    assert "another value of SHOP_TOKEN, SHOP_PASSWORD" in shown
    assert "token-" not in shown
    assert "secret" not in shown


def test_another_tenant_never_shares(shop: Path, capsys: Captured) -> None:
    turn(shop, "b", tenant="acme")
    assert reasons(why(capsys, shop, "b:1")) == {"tenant": []}


def test_calls_inside_of_a_tool_that_is_a_graph_have_their_own_stories(
    tmp_path: Path, capsys: Captured
) -> None:
    make_shop(tmp_path)
    (tmp_path / "outer.yaml").write_text(
        "agentctl: 1\nname: outer\ninput: [query]\nstate: {query: string}\ntools:\n"
        "  plain: {graph: ./graph.yaml}\nstart: go\nnodes:\n"
        "  go: {tool: plain, args: {query: '${{ state.query }}'}, then: end}\n"
    )
    known = {"SHOP_PASSWORD": "very-secret"}
    with load(tmp_path / "outer.yaml", store=tmp_path / ".agentctl", env=known) as graph:
        assert graph.run({"query": "hat"}, thread="a").status == "done"

    def stories(step: str) -> dict[str, list[str]]:
        calls = json.loads(here(capsys, "cache", "why", step, "--json", cwd=tmp_path).stdout)["calls"]
        return {call["call"]: list(reasons(call)) for call in calls}

    inside = {
        "1.0.1/search.0.1": ["first"],
        "1.0.1/look.0.1": ["first"],
        "1.0.1/mine.0.1": ["first"],
        "1.0.1/plain.0.1": ["read_without_cache"],
        "1.0.1/never.0.1": ["cache_false"],
        "1.0.1/fails.0.1": ["failed"],
    }
    assert stories("a:1") == stories("a:1.0.1") == {**inside, "1.0.1": ["nested"]}
    assert stories("a:1.0.1/look") == stories("a:1.0.1/look.0.1") == {"1.0.1/look.0.1": ["first"]}


def test_a_tool_that_knows_its_thread_and_a_run_without_memo_say_so(shop: Path, capsys: Captured) -> None:
    turn(shop, "b")
    assert reasons(why(capsys, shop, "b:3")) == {"known": []}
    turn(shop, "c", cache=False)
    assert reasons(why(capsys, shop, "c:1")) == {"no_memo": []}
    assert reasons(why(capsys, shop, "c:4")) == {"read_without_cache": []}


def test_an_expired_answer_says_since_when(shop: Path, capsys: Captured) -> None:
    _age(shop, "look", 660.0)
    turn(shop, "b")
    call = why(capsys, shop, "b:2")
    assert reasons(call) == {"expired": []}
    assert call["reasons"][0]["number"] >= 60.0
    assert re.search(r"had expired \d+m\d+s before", call["reasons"][0]["message"])


def test_an_answer_that_was_evicted_is_told_from_one_that_never_was(shop: Path, capsys: Captured) -> None:
    connection = sqlite3.connect(shop / ".agentctl" / "memo" / "cache.db")
    connection.execute("DELETE FROM Cache WHERE key NOT LIKE '%.%'")
    connection.commit()
    connection.close()
    turn(shop, "b")
    assert reasons(why(capsys, shop, "b:1")) == {"evicted": []}
    here(capsys, "cache", "clear", cwd=shop)
    turn(shop, "b")
    assert reasons(why(capsys, shop, "b:8")) == {"gone": []}


@pytest.mark.parametrize("step", ["a", "a:", "a:x", "a:99", "a:1.2.3", "nobody:1"])
def test_what_is_not_there_is_exit_2_with_a_hint(shop: Path, capsys: Captured, step: str) -> None:
    shown = here(capsys, "cache", "why", step, cwd=shop)
    assert shown.returncode == 2
    assert "hint: " in shown.stderr


def test_the_list_counts_by_tool_and_shows_the_calls_of_one(shop: Path, capsys: Captured) -> None:
    turn(shop, "b", "very-secret hat")
    listed = json.loads(here(capsys, "cache", "list", "--json", cwd=shop).stdout)
    assert {tool["tool"]: tool["calls"] for tool in listed["tools"]} == {"look": 2, "mine": 2, "search": 2}
    assert listed["size"] > 0
    assert listed["size_limit"] == 256 * 1024**2
    table = here(capsys, "cache", "list", cwd=shop).stdout.splitlines()
    assert table[0].split() == ["TOOL", "CALLS", "SIZE", "OLDEST", "NEWEST"]
    assert table[-1].endswith("of 256 MB")
    calls = here(capsys, "cache", "list", "--tool", "search", cwd=shop).stdout
    assert '{"query":"hat","top":3}' in calls
    assert '{"query":"*** hat","top":3}' in calls
    assert "very-secret" not in calls


def test_clear_takes_what_it_is_told_and_says_how_much(shop: Path, capsys: Captured) -> None:
    _age(shop, "look", 8 * 86_400.0)
    assert "forgot 1 call," in here(capsys, "cache", "clear", "--older", "7d", cwd=shop).stderr
    assert "forgot 1 call," in here(capsys, "cache", "clear", "--tool", "mine", "--yes", cwd=shop).stderr
    freed = json.loads(here(capsys, "cache", "clear", "--json", cwd=shop).stdout)
    assert freed["entries"] == 1
    assert "nothing to forget" in here(capsys, "cache", "clear", cwd=shop).stderr
    turn(shop, "b")
    assert why(capsys, shop, "b:1")["outcome"] == "miss"
    assert here(capsys, "cache", "clear", "--older", "soon", cwd=shop).returncode == 2


@pytest.mark.parametrize("verb", [["list"], ["list", "--tool", "x"], ["clear"], ["list", "--json"]])
def test_where_there_is_no_memo_it_is_said_kindly(tmp_path: Path, capsys: Captured, verb: list[str]) -> None:
    for _ in range(2):
        shown = here(capsys, "cache", *verb, cwd=tmp_path)
        assert shown.returncode == 0
        assert "error" not in shown.stderr
        (tmp_path / ".agentctl").mkdir(exist_ok=True)


@pytest.mark.parametrize("verb", ["list", "clear"])
def test_a_named_store_that_is_not_there_is_no_empty_one(tmp_path: Path, capsys: Captured, verb: str) -> None:
    shown = here(capsys, "cache", verb, "--store", "gone", cwd=tmp_path)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert "there is no store gone" in shown.stderr


def test_two_runs_at_once_make_one_call_and_the_other_is_told_a_hit(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(
        "import pathlib, time\n\n\ndef slow(n: int) -> int:\n"
        "    with (pathlib.Path(__file__).parent / 'executions').open('a') as file:\n"
        "        file.write('x')\n"
        "    time.sleep(1)\n    return n\n"
    )
    (tmp_path / "graph.yaml").write_text(
        "agentctl: 1\nname: slow\ntools: {slow: {python: 'tools:slow', effect: pure}}\n"
        "start: go\nnodes: {go: {tool: slow, args: {n: 1}, then: end}}\n"
    )
    runs = [
        subprocess.Popen(
            [*COMMAND, "run", "graph.yaml", "-q", "--events", f"{number}.jsonl"],
            cwd=tmp_path,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    said = [run.communicate(timeout=PATIENCE)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    assert (tmp_path / "executions").read_text() == "x"
    events = [json.loads(line) for path in tmp_path.glob("*.jsonl") for line in path.read_text().splitlines()]
    [hit] = [event for event in events if event["type"] == "memo.hit"]
    assert hit["data"]["saved_seconds"] >= 1


def _age(shop: Path, tool: str, seconds: float) -> None:
    """Make the answer of a tool older, as if the machine had been started since."""
    codec, path = Codec(), shop / ".agentctl" / "memo" / "cache.db"
    connection = sqlite3.connect(path)
    rows = dict(connection.execute("SELECT key, value FROM Cache").fetchall())
    abouts = {key: codec.unseal(blob, place_of(key)) for key, blob in rows.items() if "about." in key}
    [name] = [key for key, said in abouts.items() if said["tool"] == tool]
    said, key = abouts[name], name.removeprefix("about.")
    answer = codec.unseal(rows[key], place_of(key))
    stored = said["stored"] - seconds
    said |= {"stored": stored, "first": stored, "boot": "another"}
    answer[1], answer[4] = stored, "another"
    for place, value in ((name, said), (key, answer)):
        blob = codec.seal(value, place_of(place))
        connection.execute("UPDATE Cache SET value = ? WHERE key = ?", (blob, place))
    connection.commit()
    connection.close()
