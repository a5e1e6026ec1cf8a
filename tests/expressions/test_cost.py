"""What expressions cost: Jinja2 is loaded when something is to be parsed, and parsing is done once."""

from __future__ import annotations

import subprocess
import sys
import threading

from agentctl.expressions import ExpressionError, analyse_bare, compile_bare
from agentctl.expressions.parse import parse_bare

LAZY = """
import sys
from agentctl.expressions import analyse_template, compile_template, compile_value
assert compile_value({"a": ["b", "{c}"]})({}) == {"a": ["b", "{c}"]}
assert analyse_template("plain {{ state.x }}", {"state": {}}).problems[0].code == "E405"
assert "jinja2" not in sys.modules, "too early"
assert compile_template("${{ 1 }}")({}) == 1
assert "jinja2" in sys.modules
"""


def test_jinja_is_loaded_only_for_a_text_with_an_expression_in_it() -> None:
    done = subprocess.run([sys.executable, "-c", LAZY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_text_that_is_checked_and_then_compiled_is_parsed_once() -> None:
    text = "state.x == 'parsed once'"
    before = parse_bare.cache_info()
    analyse_bare(text, {"state": {}})
    compile_bare(text)
    after = parse_bare.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 1)


def test_a_compiled_condition_is_look_ups_and_comparisons_without_a_helper() -> None:
    compiled = compile_bare("state.sure >= 0.6 and state.desk == 'billing'")
    assert set(compiled.__code__.co_names) == {"FAILURES", "explain"}  # type: ignore[attr-defined]


def test_a_deep_stack_of_the_caller_ends_in_an_error_of_the_expression() -> None:
    text = "not " * 190 + "state.x"
    outcomes: list[object] = []

    def at_depth(depth: int) -> None:
        if depth:
            at_depth(depth - 1)
            return
        outcomes.append([problem.code for problem in analyse_bare(text, {"state": {}}).problems])
        try:
            outcomes.append(compile_bare(text)({"state": {"x": True}}))
        except ExpressionError:
            outcomes.append("refused")

    thread = threading.Thread(target=at_depth, args=(sys.getrecursionlimit() - 250,))
    thread.start()
    thread.join()
    assert outcomes == [["E403"], "refused"]
    assert analyse_bare(text, {"state": {}}).problems == ()
