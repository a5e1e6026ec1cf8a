"""The answer on stdout."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from agentctl.cli.answer import answer_text, as_yaml

AWKWARD = [
    "yes", "a: b", "x #y", "- a", "a\nb", "a\n", "\na", " a\nb\n\n", "|", "1e3", "2020-01-01", "0o7", "~", "a:",
    "[x]", "a ", "\t", "a\tb", "é", "'", '"q"', "a, b", "k\n  m\n", "\x7f", "\u2028",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text() | st.sampled_from(AWKWARD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def test_one_text_is_printed_as_it_is() -> None:
    assert answer_text({"greeting": "Good morning,\nAda: #1"}) == "Good morning,\nAda: #1\n"
    assert answer_text({"greeting": "with its own end\n"}) == "with its own end\n"


def test_one_value_that_is_no_text_is_yaml_without_its_name() -> None:
    assert answer_text({"n": 3}) == "3\n"
    assert answer_text({"names": ["Ada", "Bob"]}) == "- Ada\n- Bob\n"


def test_several_outputs_are_yaml_in_the_order_of_the_file() -> None:
    output = {"desk": "billing", "answer": "First.\nSecond.", "sure": 0.9, "tags": [], "who": {"name": "no"}}
    assert answer_text(output) == (
        'desk: billing\nanswer: |-\n  First.\n  Second.\nsure: 0.9\ntags: []\nwho:\n  name: "no"\n'
    )


@given(st.dictionaries(st.text(min_size=1, max_size=5), JSON, min_size=1, max_size=3))
def test_whatever_is_printed_reads_back_as_it_was(value: dict[str, Any]) -> None:
    assert YAML(typ="safe", pure=True).load(as_yaml(value)) == value
