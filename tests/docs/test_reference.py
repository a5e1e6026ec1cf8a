"""The references are what is generated, and what they say of defaults is what happens."""

from __future__ import annotations

import pytest
from msgspec import UNSET

from agentctl import units
from agentctl.check.explain import codes
from agentctl.check.reference import CHECKS_FILE, checks_text, first_sentence
from agentctl.check.reference import COMMAND as CHECKS_COMMAND
from agentctl.check.runs.limits import ATTEMPTS, MAX_TURNS, MODEL_TIMEOUT, TOOL_TIMEOUT, turn_limits
from agentctl.graph.limits import limit_plan
from agentctl.json import Json
from agentctl.models.settings import ModelSettings
from agentctl.spec.model import Limits
from agentctl.spec.reference import COMMAND, KEYS_FILE, entries, key_paths, keys_text
from agentctl.spec.schema import graph_schema

DESIGNED = {
    "agents.NAME.max_turns": 8,
    "tools.NAME.timeout": "30s",
    "models.NAME.timeout": "60s",
    "models.NAME.retry": '{"attempts": 3}',
    "tools.NAME.effect": "write",
    "limits.recursion": 25,
    "limits.depth": 5,
    "limits.time": "10m",
    "limits.step_time": "2m",
    "limits.tool_calls": 100,
    "limits.concurrency": 8,
    "limits.state_size": "1MB",
    "events.buffer": 256,
    "events.when_full": "wait",
}


def test_the_key_reference_is_that_of_the_types() -> None:
    assert KEYS_FILE.read_text(encoding="utf-8") == keys_text(), f"the types have changed; run `{COMMAND}`"


def test_the_list_of_codes_is_that_of_the_pages() -> None:
    same = CHECKS_FILE.read_text(encoding="utf-8") == checks_text()
    assert same, f"the pages of codes have changed; run `{CHECKS_COMMAND}`"


def test_every_key_of_the_schema_has_its_row() -> None:
    text = KEYS_FILE.read_text(encoding="utf-8")
    for name, schema in {"File": graph_schema(), **graph_schema()["$defs"]}.items():
        for key in schema.get("properties", {}):
            section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
            assert f"\n| `{key}` |" in section, f"{name}.{key}"


def test_every_code_has_its_row() -> None:
    text = CHECKS_FILE.read_text(encoding="utf-8")
    assert [code for code in codes() if f"\n| {code} |" not in text] == []


@pytest.mark.parametrize("path", DESIGNED)
def test_a_default_is_the_one_that_was_designed(path: str) -> None:
    [(at, key)] = entries(path)
    assert (at, key.need) == (path, str(DESIGNED[path]))


def test_the_defaults_that_are_told_are_those_that_hold() -> None:
    told = {at.removeprefix("limits."): key.need for at, key in map(_entry, _limits()) if key.need}
    plan = limit_plan(Limits())
    said: dict[str, Json] = {
        "recursion": plan.recursion,
        "time": plan.time,
        "step_time": plan.step_time,
        "tool_calls": plan.tool_calls,
        "concurrency": plan.concurrency,
        "state_size": plan.state_size,
    }
    assert {name: _in_units(name, told[name]) for name in said} == said
    assert (
        _in_units("timeout", _entry("models.NAME.timeout")[1].need)
        == ModelSettings.__dataclass_fields__["timeout"].default
    )
    assert Limits().recursion is UNSET


def test_the_checks_take_the_same_defaults_for_granted() -> None:
    granted = turn_limits({})
    said: dict[str, Json] = {
        "limits.recursion": granted.recursion,
        "limits.depth": granted.depth,
        "limits.time": granted.time,
        "limits.step_time": granted.step_time,
        "limits.tool_calls": granted.tool_calls,
        "limits.on_limit.reserve.time": granted.reserve_time,
        "limits.on_limit.reserve.tokens": granted.reserve_tokens,
        "limits.on_limit.reserve.cost": granted.reserve_cost,
        "agents.NAME.max_turns": MAX_TURNS,
        "models.NAME.timeout": MODEL_TIMEOUT,
        "tools.NAME.timeout": TOOL_TIMEOUT,
    }
    assert {path: _in_units(path, _entry(path)[1].need) for path in said} == said
    assert _entry("models.NAME.retry")[1].need == f'{{"attempts": {ATTEMPTS}}}'


def _limits() -> list[str]:
    return [path for path in key_paths() if path.startswith("limits.") and path.count(".") == 1]


def _entry(path: str) -> Json:
    [found] = entries(path)
    return found


def _in_units(name: str, text: str) -> float:
    if name == "state_size":
        return units.size(text)
    if text.startswith("$"):
        return units.dollars(text)
    return units.seconds(text) if "time" in name.rpartition(".")[2] else float(text)


def test_a_key_is_found_whatever_its_names_are() -> None:
    assert [at for at, _ in entries("nodes.sort.prompt")] == ["nodes.NAME.prompt"]
    assert [at for at, _ in entries("graphs.one.nodes.sort.map.do.agent")] == [
        "graphs.NAME.nodes.NAME.map.do.agent"
    ]
    assert entries("limits.recursoin") == ()


def test_a_first_sentence_ends_at_its_full_stop() -> None:
    assert first_sentence("A file over 1.5 MB\nis none. More.") == "A file over 1.5 MB is none."
