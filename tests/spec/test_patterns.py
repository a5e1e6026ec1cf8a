"""Patterns: which can backtrack without end, and which can be used at all."""

from __future__ import annotations

import re
import time

import pytest

from agentctl.spec.patterns import backtracks_without_end, needs_backtracking, why_unreadable

ENDLESS = [
    r"(a+)+$",
    r"(\w+\s?)*x",
    r"([a-z]+)*",
    r"(.*,)*",
    r"(a+b?)+",
    r"(?:a{1,20}){1,20}",
    r"(\W+)+",
    r"(a+|b)*",
    r"(([a-z])+.)+",
    r"^(a|a)*$",
    r"(a|aa)+$",
    r"(\d\d?)+",
    r"^(\d{1,3})+$",
    r"(\w|\w\w)*x",
]
PLAIN = [
    r"^[a-z]+$",
    r"(\w+\s)*",
    r"(ab+c)*",
    r"(\d+,)*",
    r"([^,]*,)*",
    r"(a|b)*",
    r"\d{4}-\d{2}",
    r"(é,)+",
    r"(\d{1,3},)*",
    r"(ab|ac)*",
    r"(a|bc)+",
    r"(\d\d)+",
    r"^\d{1,3}(,\d{3})*$",
]


@pytest.mark.parametrize("pattern", ENDLESS)
def test_a_repeat_that_can_be_taken_apart_in_many_ways_is_found(pattern: str) -> None:
    assert backtracks_without_end(pattern)


@pytest.mark.parametrize("pattern", PLAIN)
def test_a_pattern_with_one_way_through_each_text_is_not(pattern: str) -> None:
    assert not backtracks_without_end(pattern)


@pytest.mark.parametrize("pattern", PLAIN)
def test_the_plain_ones_are_quick_in_an_engine_that_backtracks(pattern: str) -> None:
    began = time.process_time()
    for text in ("a" * 30 + "!", "1," * 15 + "!", "ab c" * 10 + "!"):
        re.fullmatch(pattern, text)
    assert time.process_time() - began < 1


def test_looking_around_and_referring_back_need_backtracking() -> None:
    assert all(map(needs_backtracking, [r"(?=a)", r"(?<!a)b", r"(a)\1"]))
    assert not needs_backtracking(r"(a)(?:b)")


def test_what_is_no_regular_expression_is_said_and_is_nothing_else() -> None:
    assert why_unreadable("(a") == "missing ), unterminated subpattern at position 0"
    assert why_unreadable("a") is None
    assert not backtracks_without_end("(a+")
    assert not needs_backtracking("(?=a")
