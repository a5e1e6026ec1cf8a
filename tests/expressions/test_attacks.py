"""What tries to leave the language, or to use up the machine, is refused, and quickly."""

from __future__ import annotations

import time

import pytest

from agentctl.expressions import (
    ExpressionError,
    analyse_bare,
    analyse_template,
    compile_bare,
    compile_template,
)
from agentctl.json import Json

STATE: dict[str, Json] = {
    "text": "a" * 1000,
    "number": 3,
    "items": list(range(1000)),
    "people": [{"name": "Ann"}],
    "big": "x" * 900_000,
    "wide": "ü" * 400_000,
}
NAMES = {"state": STATE, "run": {}}
ANYTHING = {"state": {}, "run": {}}

REACHING_OUT = [
    "state.__class__",
    "state['__class__']['__mro__']",
    "state.text.__class__.__mro__[1].__subclasses__",
    "''.__class__",
    "[].append",
    "{}.items",
    "state.keys",
    "state.text.format",
    "self",
    "self._TemplateReference__context",
    "cycler",
    "lipsum.__globals__",
    "namespace",
    "range",
    "dict",
    "joiner",
    "loop",
    "loop.__class__",
    "expression",
    "names",
    "budget",
    "__builtins__",
    "__import__",
    "state.people | map(attribute='__class__')",
    "state.people | map(attribute='name.__class__.__mro__')",
    "state.people | sort(attribute='__class__')",
    "state.people | sum(attribute='__len__')",
    "state.people | join(',', attribute='__class__')",
    "state.people | unique(attribute='__hash__')",
    "state.people | selectattr('__class__')",
]
NOT_ALLOWED = [
    ("state.text.format(state)", "E403"),
    ("''.join(state.items)", "E403"),
    ("range(10)", "E403"),
    ("lipsum()", "E403"),
    ("cycler('a', 'b').next()", "E403"),
    ("namespace(a=1)", "E403"),
    ("dict(a=1)", "E403"),
    ("(state.text | upper)()", "E403"),
    ("state.text | upper()()", "E403"),
    ("'%s' % state", "E403"),
    ("state.number % 2", "E403"),
    ("'{0.__class__}' | format(state)", "E404"),
    ("state | attr('__class__')", "E404"),
    ("state.people | map('attr', '__class__')", "E404"),
    ("state.people | map('__class__')", "E404"),
    ("state.people | map(state.text)", "E403"),
    ("state.people | map('map', 'attr', '__class__')", "E404"),
    ("state.people | select('callable')", "E404"),
    ("state.people | selectattr('name', 'sameas', 1)", "E404"),
    ("state.text | pprint", "E404"),
    ("state.text | safe", "E404"),
    ("state.text is callable", "E404"),
    ("state.text is filter", "E404"),
    ("state.text | replace(*state.items)", "E403"),
    ("state.text | default(**state)", "E403"),
    ("state.text | upper(1)", "E403"),
    ("state.text | replace('a')", "E403"),
    ("state.text | join(sep=',')", "E403"),
    ("state.people | map", "E403"),
    ("state.text is defined(1)", "E403"),
    ("state.items[1, 2]", "E403"),
    ("'a' if state.number", "E403"),
    ("{1: 2}", "E403"),
    ("lambda: 1", "E402"),
    ("state.number := 2", "E402"),
    ("state.number = 2", "E402"),
    ("state; run", "E402"),
    ("state.number & 1", "E402"),
    ("`state`", "E402"),
    ("state!", "E402"),
    ("'\\ud800'", "E402"),
    ("'\\x'", "E402"),
    ("1e999", "E402"),
    ("9" * 30, "E402"),
    ("9" * 10_000, "E402"),
]
TAGS = [
    "{% set x = 1 %}",
    "{% set x %}1{% endset %}",
    "{% include 'a' %}",
    "{% import 'a' as b %}",
    "{% from 'a' import b %}",
    "{% extends 'a' %}",
    "{% block a %}{% endblock %}",
    "{% macro m() %}{% endmacro %}",
    "{% call m() %}{% endcall %}",
    "{% filter upper %}a{% endfilter %}",
    "{% with a = 1 %}{% endwith %}",
    "{% autoescape true %}{% endautoescape %}",
    "{% print 1 %}",
    "{% do 1 %}",
    "{% debug %}",
    "{% trans %}{% endtrans %}",
    "{% for x in state.items recursive %}{% endfor %}",
    "{% for x.y in state.items %}{% endfor %}",
    "{% for x in state.items %}{% break %}{% endfor %}",
]
GREEDY = [
    "'a' * 10**9",
    "10**9 * 'a'",
    "[0] * 10**9",
    "[[0] * 1000] * 1000 * 1000",
    "9**9**9**9",
    "(10**18) * (10**18)",
    "2 ** 10**18",
    "1.5 ** 1000000000",
    "(-8) ** 0.5",
    "1e308 * 10",
    "-(-9223372036854775807 - 1) * 4",
    "state.big ~ state.big",
    "state.big + state.big",
    "state.wide + state.wide",
    "state.big | replace('x', 'xx')",
    "state.big | replace('', 'xx')",
    "[state.big, state.big]",
    "{'a': state.big, 'b': state.big}",
    "[state.big, state.big] | join",
    "state.items | join(state.text * 900)",
    "state.items | map('replace', '1', state.big)",
    "(state.people * 1000) | map(attribute='absent', default=state.big)",
    "([[[[[['a' * 1000] * 99] * 99] * 99] * 99] * 99] * 99) | tojson",
    "([[[[[['a' * 1000] * 99] * 99] * 99] * 99] * 99] * 99) | sha256",
    "[[[[[['a' * 1000] * 99] * 99] * 99] * 99] * 99] * 99",
    "([state.items] * 1000) | map('map', 'string')",
    "([state.items] * 1000) | sum(start=[])",
    "state.items | map('int') | map('string') | map('replace', '', state.text * 100) | join",
    "('ΐ' * 300000) | upper",
    "3 | round(10**9)",
    "3 | round(-10**9)",
    "[1] | tojson(10**9)",
    "state.text | truncate(-1)",
]
GREEDY_TEMPLATES = [
    "{% for a in state.items %}{% for b in state.items %}{% endfor %}{% endfor %}",
    "{% for a in state.items %}{% for b in state.items %}x{% endfor %}{% endfor %}",
    "{% for a in state.items %}${{ state.text * 2 }}{% endfor %}",
    "{% for a in state.items %}{% if state.big ~ a == '' %}{% endif %}{% endfor %}",
    "{% for a in state.items %}{% if state.big | upper == '' %}{% endif %}{% endfor %}",
    "{% for a in state.items %}{% if (state | tojson | length) == 1 %}{% endif %}{% endfor %}",
    "{% for a in state.items %}{% if a in state.items %}{% endif %}{% endfor %}",
    "{% for a in state.items %}{% if state == {} %}{% endif %}{% endfor %}",
    "{% for a in state.items if state.items | sort == [] %}{% endfor %}",
    "{% for a in [0] * 100000 %}{% for b in [1] %}{% endfor %}{% endfor %}",
    "${{ state.big }}${{ state.big }}",
    "x" * 600_000 + "${{ state.big }}",
]
BOUND = "longer than 1 MB|too long|too large|iterations|no finite|items|`round` to|indent|`truncate`"
TOO_BIG = {
    "terms": " + ".join(["1"] * 10_000),
    "201 terms": " + ".join(["1"] * 201),
    "or": " or ".join(["state.number > 1"] * 10_000),
    "nots": "not " * 10_000 + "true",
    "signs": "-" * 10_000 + "1",
    "round brackets": "(" * 10_000 + "1" + ")" * 10_000,
    "square brackets": "[" * 10_000 + "]" * 10_000,
    "curly brackets": "{'a':" * 10_000 + "1" + "}" * 10_000,
    "look-ups": "state" + ".a" * 10_000,
    "items": "state" + "[0]" * 10_000,
    "filters": "state" + " | upper" * 10_000,
    "ifs": "1 if 1 else " * 10_000 + "1",
    "tests": "state" + " is defined" * 10_000,
    "tildes": "~".join(["'a'"] * 10_000),
    "powers": "**".join(["1"] * 10_000),
    "comparisons": "<".join(["1"] * 10_000),
    "a string of strings": "'a' " * 10_000,
}


@pytest.fixture(autouse=True)
def _quickly() -> object:
    begun = time.process_time()
    yield
    assert time.process_time() - begun < 3


@pytest.mark.parametrize("text", REACHING_OUT)
def test_nothing_but_data_can_be_reached(text: str) -> None:
    with pytest.raises(ExpressionError):
        compile_bare(text)(NAMES)


@pytest.mark.parametrize(("text", "code"), NOT_ALLOWED)
def test_a_construct_outside_the_language_is_refused_before_it_runs(text: str, code: str) -> None:
    assert analyse_bare(text, ANYTHING).problems[0].code == code
    with pytest.raises(ExpressionError):
        compile_bare(text)
    assert code in [problem.code for problem in analyse_template(f"a ${{{{ {text} }}}}", ANYTHING).problems]


@pytest.mark.parametrize("text", TAGS)
def test_only_for_and_if_are_tags(text: str) -> None:
    problems = analyse_template(text, ANYTHING).problems
    assert problems
    assert {problem.code for problem in problems} <= {"E402", "E403"}
    with pytest.raises(ExpressionError):
        compile_template(text)


@pytest.mark.parametrize("text", GREEDY)
def test_no_value_grows_beyond_its_bound(text: str) -> None:
    compiled = compile_bare(text)
    with pytest.raises(ExpressionError, match=BOUND):
        compiled(NAMES)


@pytest.mark.parametrize("text", GREEDY_TEMPLATES)
def test_no_template_goes_on_beyond_its_bound(text: str) -> None:
    compiled = compile_template(text)
    with pytest.raises(ExpressionError, match=BOUND):
        compiled(NAMES)


@pytest.mark.parametrize("text", TOO_BIG.values(), ids=TOO_BIG)
def test_an_expression_too_large_is_a_problem_and_overflows_nothing(text: str) -> None:
    codes = [problem.code for problem in analyse_bare(text, ANYTHING).problems]
    assert codes in (["E403"], ["E402"])
    with pytest.raises(ExpressionError):
        compile_bare(text)


@pytest.mark.parametrize(
    "text",
    [
        " + ".join(["1"] * 200),
        "not " * 199 + "true",
        "-" * 199 + "1",
        "state" + ".a" * 199,
        "state.number" + " | string" * 198,
        "(" * 20 + "1" + ")" * 20,
        "1 if 1 else " * 66 + "1",
        " or ".join(["state.number > 1"] * 66),
    ],
)
def test_an_expression_within_its_bounds_is_read_and_compiled(text: str) -> None:
    assert analyse_bare(text, ANYTHING).problems == ()
    compile_bare(text)


def test_blocks_inside_each_other_are_bounded() -> None:
    def nested(depth: int) -> str:
        return "{% for a in [1] %}{% if a %}" * depth + "x" + "{% endif %}{% endfor %}" * depth

    assert compile_template(nested(5))({}) == "x"
    for text in (nested(6), nested(1000), "{% if 1 %}" + "{% elif 1 %}" * 1000 + "{% endif %}"):
        with pytest.raises(ExpressionError, match="more than"):
            compile_template(text)
        assert [problem.code for problem in analyse_template(text, ANYTHING).problems] == ["E403"]


def test_a_text_of_very_many_expressions_is_refused() -> None:
    assert "terms" in analyse_template("${{ 1 }}" * 6000, ANYTHING).problems[0].message


def test_a_loop_may_take_a_hundred_thousand_iterations_and_not_one_more() -> None:
    text = "{% for a in state.items %}{% if loop.last %}${{ loop.index }}{% endif %}{% endfor %}"
    compiled = compile_template(text)
    assert compiled({"state": {"items": [0] * 100_000}}) == "100000"
    with pytest.raises(ExpressionError, match="more than 100,000 iterations"):
        compiled({"state": {"items": [0] * 100_001}})


def test_a_result_may_have_a_megabyte_and_not_one_byte_more() -> None:
    compiled = compile_template("${{ state.a }}${{ state.b }}")
    half = "ü" * (256 * 1024)
    assert len(compiled({"state": {"a": half, "b": half}})) == 512 * 1024
    with pytest.raises(ExpressionError, match="1 MB"):
        compiled({"state": {"a": half, "b": half + "x"}})


def test_data_nested_too_deeply_for_json_is_an_error_of_the_expression() -> None:
    deep: Json = []
    for _ in range(100_000):
        deep = [deep]
    for text in ("state.deep | tojson", "state.deep | sha256", "state.deep == state.other"):
        other: Json = []
        for _ in range(100_000):
            other = [other]
        with pytest.raises(ExpressionError):
            compile_bare(text)({"state": {"deep": deep, "other": other}})
