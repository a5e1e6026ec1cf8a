"""Did you mean."""

from __future__ import annotations

import time

import pytest

from agentctl.spec.nearest import nearest


@pytest.mark.parametrize(
    ("word", "words", "meant"),
    [
        ("instrucions", ["instructions", "description"], "instructions"),
        ("qestion", ["answer", "question"], "question"),
        ("then", ["when", "tool"], "when"),
        ("max-visits", ["max_visits", "max_turns"], "max_visits"),
        ("STATE", ["state", "run"], "state"),
        ("nmae", ["name", "names"], "name"),
        ("lenght", ["length"], "length"),
        ("b", ["billing", "a"], None),
        ("x", ["y"], None),
        ("sav", ["say", "save"], "save"),
        ("sory", ["sort", "story", "sorry"], "story"),
        ("customer", ["amount", "desk"], None),
        ("anything", [], None),
    ],
)
def test_the_word_that_was_meant_is_found_and_no_other(
    word: str, words: list[str], meant: str | None
) -> None:
    assert nearest(word, words) == meant


def test_of_two_equally_near_words_the_longer_is_meant_and_then_the_first() -> None:
    assert nearest("cat", ["cut", "cot"]) == "cut"
    assert nearest("cat", ["cut", "cats", "cast"]) == "cats"


def test_among_thousands_of_words_the_nearest_is_found_without_looking_at_each() -> None:
    words = [f"node_{number}" for number in range(5000)]
    began = time.process_time()
    found = [nearest(f"nod_{number}", words) for number in range(0, 5000, 5)]
    assert time.process_time() - began < 5
    assert found == [f"node_{number}" for number in range(0, 5000, 5)]
