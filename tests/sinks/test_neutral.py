"""Text from elsewhere cannot steer a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agentctl.sinks.neutral import neutral, one_line
from agentctl.sinks.wording import count, duration, money


def test_escapes_are_shown_as_pictures() -> None:
    assert neutral("\x1b[2J\x07 \x9b31m \u202egpj") == "␛[2J␇ �31m �gpj"
    assert neutral("kept:\ttabs\nand lines\r\nof both kinds") == "kept:\ttabs\nand lines\nof both kinds"
    assert neutral("over\rwritten") == "over␍written"


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    assert not [char for char in neutral(text) if char < " " and char not in "\n\t"]
    assert not [char for char in neutral(text) if "\x7f" <= char <= "\x9f"]
    assert neutral(neutral(text)) == neutral(text)


@given(st.text(), st.integers(1, 50))
def test_one_line_is_one_line_of_that_length(text: str, longest: int) -> None:
    line = one_line(text, longest)
    assert len(line) <= longest
    assert "\n" not in line


def test_amounts_read_well() -> None:
    times = [0.0004, 0.012, 1.24, 185, 7800]
    assert [duration(t) for t in times] == ["0.4ms", "12ms", "1.2s", "3m05s", "2h10m"]
    assert [money(m) for m in (None, 0.0, 0.0123, 2.5)] == ["—", "$0.00", "$0.0123", "$2.50"]
    assert [count(n, "step") for n in (0, 1, 1204)] == ["0 steps", "1 step", "1,204 steps"]
