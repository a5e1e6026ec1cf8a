"""What is taken out of texts: a secret as it is, and as it is spelled where it is quoted."""

import base64
import json
from urllib.parse import quote, quote_plus

import pytest

from agentctl.engine.masking import Mask, MaskedStream
from tests.engine.desk import bench, calls, said

SECRET = 'p"ss/wörd+& 1'

TOLD = """
    agentctl: 1
    name: told
    output: [c]
    state: {c: {type: string, default: none}}
    agents: {one: {tools: [look]}}
    tools: {look: {python: "tools:look", parameters: {w: string}, effect: read}}
    start: a
    nodes:
      a: {agent: one, prompt: go, save: c, then: end}
"""


@pytest.mark.parametrize(
    "spelled",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        *(base64.b64encode(b"user:x"[:n] + SECRET.encode() + b"\n").decode() for n in range(6)),
        *(base64.urlsafe_b64encode(b"xyz"[:n] + SECRET.encode()).decode() for n in range(3)),
    ],
)
def test_a_secret_is_known_however_it_is_quoted(spelled: str) -> None:
    masked = Mask([SECRET])(f"before {spelled} after")
    assert "***" in masked
    assert spelled.strip('"') not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


def test_the_lines_of_a_secret_are_secret_one_by_one() -> None:
    assert Mask(["first line\nsecond line\nx"])(["first line", "x second line"]) == ["***", "x ***"]


def test_a_secret_that_is_no_unicode_can_be_masked() -> None:
    assert Mask(["pass\udcffword"])("a pass\udcffword") == "a ***"


def test_data_is_masked_in_whatever_holds_it() -> None:
    assert Mask(["hunter-two"])(({"hunter-two": ("hunter-two", 1)},)) == [{"***": ["***", 1]}]


def test_a_secret_in_a_call_that_a_model_asks_for_is_in_no_record_or_event() -> None:
    secret = "hunter-two-hunter"
    replies = [calls(("look", {"w": f"x {secret}"}), ("look", {secret: 1}), (secret, {})), said("done")]
    given: list[str] = []

    def look(w: str) -> str:
        given.append(w)
        return "seen"

    at = bench(TOLD, *replies, tools={"look": look})
    at.secrets = [secret]
    assert at.run().output == {"c": "done"}
    assert given == ["x ***"]
    assert secret not in str([at.records(), [event.data for event in at.seen.events]])


@pytest.mark.parametrize("size", [1, 2, 3, 7, 40])
def test_a_secret_that_comes_in_pieces_is_told_in_none(size: int) -> None:
    told: list[str] = []
    stream = MaskedStream(Mask(["alpha bravo charlie", "alpine hut 7"]), told.append)
    text = "go: alpha bravo charlie, alphabet, alpine hut 7. al"
    for at in range(0, len(text), size):
        stream.add(text[at : at + size])
        assert "bravo" not in "".join(told)
    stream.end()
    assert "".join(told) == "go: ***, alphabet, ***. al"


def test_what_may_begin_a_secret_and_is_void_is_not_told() -> None:
    told: list[str] = []
    stream = MaskedStream(Mask(["alpha bravo"]), told.append)
    stream.add("well, alpha b")
    stream.drop()
    stream.add("ye")
    stream.end()
    assert told == ["well, ", "ye"]
