"""The model that answers by a script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agentctl.errors import UsageError
from agentctl.messages import Message, ToolCall, ToolOffer, Usage
from agentctl.models.scripted import ScriptedProvider
from agentctl.models.settings import ModelSettings
from tests.models.talk import Asking


@pytest.fixture
def provider() -> ScriptedProvider:
    return ScriptedProvider(ModelSettings.named("scripted"))


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.yaml"
    path.write_text(
        """\
- {when: weather, call: {tool: get_weather, args: {city: Oslo}}}
- {when: [rain, cold], say: Take a coat and an umbrella.}
- {when: judge, system: strict, json: {grade: 2}}
- {when: judge, json: {grade: 9}}
- {when: flaky, times: 2, error: rate_limited, retry_after: 1}
- {when: flaky, say: in the end}
- {when: broken, drop_after: 2, say: one two three four}
- {when: long, finish: length, say: cut}
- {else: true, say: "Heard: {last}"}
- {say: first}
- {say: second, times: 2}
"""
    )
    return path


def test_alone_it_says_the_last_message_again(provider: ScriptedProvider, ask: Asking) -> None:
    heard = ask(provider, "Hello to you\nall", model="")
    assert heard.answer.text == "Hello to you\nall"
    assert heard.deltas == ["Hello", " to", " you", "\nall"]
    assert heard.answer.usage == Usage(input=4, output=4)


def test_replies_come_in_order_and_rules_whenever_they_fit(
    provider: ScriptedProvider, ask: Asking, script: Path
) -> None:
    def say(prompt: str) -> str:
        return ask(provider, prompt, model=str(script)).answer.text

    assert say("a") == "first"
    assert say("so much rain and so cold") == "Take a coat and an umbrella."
    assert [say("b"), say("c"), say("d"), say("e")] == ["second", "second", "Heard: d", "Heard: e"]
    assert say("cold rain") == "Take a coat and an umbrella."


def test_a_rule_may_ask_for_the_agent_by_its_instructions(
    provider: ScriptedProvider, ask: Asking, script: Path
) -> None:
    strict = (Message("system", "You are strict."), Message("user", "judge this"))
    assert ask(provider, strict, model=str(script)).answer.text == '{"grade":2}'
    assert ask(provider, "judge this", model=str(script)).answer.text == '{"grade":9}'


def test_call_ids_are_new_in_a_conversation_and_the_same_every_time(
    provider: ScriptedProvider, ask: Asking, script: Path, weather: ToolOffer
) -> None:
    first = ask(provider, "weather?", model=str(script), tools=(weather,)).answer
    assert first.calls == (ToolCall("call_0", "get_weather", {"city": "Oslo"}),)
    assert first.finish == "tool_calls"
    talk = (
        Message("user", "weather?"),
        Message("assistant", calls=first.calls),
        Message("tool", "bad weather", call_id="call_0"),
    )
    assert ask(provider, talk, model=str(script)).answer.calls[0].id == "call_1"


def test_faults_happen_as_written(provider: ScriptedProvider, ask: Asking, script: Path) -> None:
    flaky = ask(provider, "flaky", model=str(script), attempts=3)
    assert flaky.answer.text == "in the end"
    assert [kind for kind, _ in flaky.retries] == ["rate_limited", "rate_limited"]
    assert all(wait >= 1 for _, wait in flaky.retries)
    broken = ask(provider, "broken", model=str(script))
    assert broken.deltas == ["one", " two"]
    assert broken.error is not None
    assert broken.error.error_class == "server"
    assert ask(provider, "long", model=str(script)).answer.finish == "length"


def test_a_delay_can_be_timed_out(provider: ScriptedProvider, ask: Asking, tmp_path: Path) -> None:
    path = tmp_path / "slow.json"
    path.write_text('[{"say": "late", "delay": 30}]')
    heard = ask(provider, model=str(path), timeout=0.05)
    assert heard.error is not None
    assert heard.error.error_class == "timeout"


def test_a_script_that_has_run_out_says_so(provider: ScriptedProvider, ask: Asking, tmp_path: Path) -> None:
    path = tmp_path / "short.json"
    path.write_text('[{"say": "only"}]')
    assert ask(provider, model=str(path)).answer.text == "only"
    heard = ask(provider, "more", model=str(path))
    assert heard.error is not None
    assert heard.error.error_class == "refused"
    assert "short.json has no reply left for 'more'" in heard.error.message


@pytest.mark.parametrize(
    "text", ["[{sya: x}]", "{say: x}", "[{say: x}", "[{times: 0}]", "- {error: nonsense}"]
)
def test_a_wrong_script_is_refused(
    provider: ScriptedProvider, ask: Asking, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match="is no script"):
        ask(provider, model=str(path))


def test_a_missing_script_is_named(provider: ScriptedProvider, ask: Asking, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.yaml cannot be read"):
        ask(provider, model=str(tmp_path / "nowhere.yaml"))


def test_every_call_leaves_a_line(
    provider: ScriptedProvider, ask: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTCTL_SCRIPTED_LOG", str(tmp_path / "log"))
    for word in ("one", "two"):
        ask(provider, word, model="")
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert [line["last"] for line in lines] == ["one", "two"]
