"""How the embedded model is asked, and what it writes read back; without the model."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentctl.messages import ChatRequest, Message, ToolCall, ToolOffer
from agentctl.models.local_prompt import Dialogue

USER = (Message("user", "Is it raining in Oslo?"),)
OUTPUT = {"type": "object", "properties": {"wet": {"type": "boolean"}}, "required": ["wet"]}


def request(**parts: object) -> Dialogue:
    return Dialogue(ChatRequest(**{"model": "", "messages": USER, **parts}))  # type: ignore[arg-type]


def wrote(tool: str, **arguments: object) -> str:
    return json.dumps({"tool": tool, "arguments": arguments})


def test_plain_talk_goes_through_as_it_is() -> None:
    body = request().body()
    assert body["messages"] == [{"role": "user", "content": "Is it raining in Oslo?"}]
    assert body["temperature"] == 0
    assert "response_format" not in body
    assert request().read("No.") == ("No.", ())


def test_tools_are_offered_as_one_choice(weather: ToolOffer) -> None:
    body = request(tools=(weather,)).body()
    choices = body["response_format"]["json_schema"]["schema"]["anyOf"]
    assert [choice["properties"]["tool"]["const"] for choice in choices] == ["get_weather", "final_answer"]
    assert choices[0]["properties"]["arguments"] == weather.parameters
    assert weather.description in body["messages"][0]["content"]


def test_a_choice_is_read_back_as_a_call(weather: ToolOffer) -> None:
    dialogue = request(tools=(weather,))
    assert dialogue.read(wrote("get_weather", city="Oslo")) == (
        "",
        (ToolCall("call_0", "get_weather", {"city": "Oslo"}),),
    )
    assert dialogue.read(wrote("final_answer", text="It rains.")) == ("It rains.", ())


def test_a_tool_named_final_answer_is_no_answer(weather: ToolOffer) -> None:
    taken = ToolOffer("final_answer", "Taken.", weather.parameters)
    dialogue = request(tools=(taken,))
    assert dialogue.read(wrote("final_answer", city="Oslo"))[1][0].name == "final_answer"
    assert dialogue.read(wrote("final_answer_", text="done")) == ("done", ())


def test_with_an_output_the_final_answer_has_its_shape(weather: ToolOffer) -> None:
    dialogue = request(tools=(weather,), output=OUTPUT)
    schema = dialogue.body()["response_format"]["json_schema"]["schema"]
    assert schema["anyOf"][-1]["properties"]["arguments"] == OUTPUT
    assert dialogue.read(wrote("final_answer", wet=True)) == ('{"wet":true}', ())


def test_references_inside_parameters_still_hold() -> None:
    parameters = {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/X"}},
        "$defs": {"X": {"type": "string"}},
    }
    schema = request(tools=(ToolOffer("t", "", parameters),)).body()["response_format"]["json_schema"][
        "schema"
    ]
    reference = schema["anyOf"][0]["properties"]["arguments"]["properties"]["x"]["$ref"]
    found = schema
    for step in reference.removeprefix("#/").split("/"):
        found = found[int(step)] if isinstance(found, list) else found[step]
    assert found == {"type": "string"}


def test_a_tool_result_is_told_under_its_tools_name(weather: ToolOffer) -> None:
    talk = (
        Message("system", "Be brief."),
        *USER,
        Message("assistant", calls=(ToolCall("c", "get_weather", {"city": "Oslo"}),)),
        Message("tool", '{"sky":"rain"}', call_id="c"),
    )
    sent = request(messages=talk, tools=(weather,)).body()["messages"]
    assert [message["role"] for message in sent] == ["system", "user", "assistant", "user"]
    assert sent[0]["content"].startswith("Be brief.")
    assert json.loads(sent[2]["content"]) == {"tool": "get_weather", "arguments": {"city": "Oslo"}}
    assert sent[3]["content"].startswith('Result of get_weather: {"sky":"rain"}')


@pytest.mark.parametrize("written", ["", "{", '{"tool": "get_weather"}', "[]", "7"])
def test_half_a_choice_is_no_choice(weather: ToolOffer, written: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        request(tools=(weather,)).read(written)


@given(
    text=st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    ascii_only=st.booleans(),
    spaces=st.sampled_from([None, 2]),
    cut=st.integers(1, 7),
)
def test_a_final_answer_streams_as_the_text_it_is(
    text: str, ascii_only: bool, spaces: int | None, cut: int
) -> None:
    tool = ToolOffer("t", "", {"type": "object", "properties": {}})
    written = json.dumps(
        {"tool": "final_answer", "arguments": {"text": text}}, ensure_ascii=ascii_only, indent=spaces
    )
    stream = request(tools=(tool,)).stream()
    pieces = [stream.add(written[at : at + cut]) for at in range(0, len(written), cut)]
    assert "".join(pieces) == text
    for piece in pieces:
        piece.encode()  # no half character is handed on


def test_a_call_streams_nothing(weather: ToolOffer) -> None:
    stream = request(tools=(weather,)).stream()
    assert [stream.add(char) for char in wrote("get_weather", text="x")] == [""] * len(
        wrote("get_weather", text="x")
    )
