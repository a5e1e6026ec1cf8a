"""What a person means by what was typed."""

from __future__ import annotations

import pytest

from agentctl.cli.asking import choose


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("approve", "approve"),
        ("2", "reject"),
        ("app", "approve"),
        ("REJ", "reject"),
        ("re", None),
        ("3", "review"),
        ("0", None),
        ("4", None),
        ("", None),
        ("yes", None),
    ],
)
def test_a_choice_is_its_number_its_name_or_the_beginning_only_it_has(line: str, meant: str | None) -> None:
    assert choose(line, ("approve", "reject", "review")) == meant


def test_a_choice_that_looks_like_a_number_is_itself_first() -> None:
    assert choose("2", ("2", "1")) == "2"


def test_without_choices_any_text_is_an_answer_but_nothing_is_none() -> None:
    assert choose("whatever", ()) == "whatever"
    assert choose("", ()) is None
