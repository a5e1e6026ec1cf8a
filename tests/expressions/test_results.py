"""What expressions and templates give, example by example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from agentctl.expressions import (
    ExpressionError,
    compile_bare,
    compile_template,
    compile_value,
    is_template,
)
from agentctl.json import Json

NAMES: Mapping[str, Json] = {
    "state": {
        "who": "Ada",
        "sure": 0.7,
        "n": 3,
        "yes": True,
        "nothing": None,
        "notes": ["b", "A", "b"],
        "empty": [],
        "claims": [{"text": "sky", "ok": True, "n": 2}, {"text": "sea", "ok": False, "n": 1}],
        "customer": {"name": "Zoë", "tags": ["x"], "e-mail": "z@example.org"},
    },
    "run": {"thread": "t1"},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("state.sure >= 0.6", True),
        ("0.5 < state.sure < 0.6", False),
        ("state.who == 'Ada' and not state.empty", True),
        ("state.nothing or state.who", "Ada"),
        ("'strong' if state.n == 3 else 'fast'", "strong"),
        ("state.customer.name", "Zoë"),
        ("state.customer['e-mail']", "z@example.org"),
        ("state['notes'][-1]", "b"),
        ("state.notes.0", "b"),
        ("state.notes[1:]", ["A", "b"]),
        ("state.who[::-1]", "adA"),
        ("state.claims[0].text", "sky"),
        ("state.n + 2 * 3 - 1", 8),
        ("7 // 2", 3),
        ("7 / 2", 3.5),
        ("2 ** 10", 1024),
        ("2 ** -1", 0.5),
        ("-state.n", -3),
        ("state.notes + ['c']", ["b", "A", "b", "c"]),
        ("'ab' * 2", "abab"),
        ("state.who ~ ' ' ~ state.n ~ ' ' ~ state.yes ~ ' ' ~ state.nothing", "Ada 3 true null"),
        ("'A' in state.notes", True),
        ("'x' not in state.notes", True),
        ("'da' in state.who", True),
        ("'name' in state.customer", True),
        ("[1, 'a', none, true]", [1, "a", None, True]),
        ("(1, 2)", [1, 2]),
        ("{'a': state.n, 'b': {}}", {"a": 3, "b": {}}),
        ("{state.who: 1}", {"Ada": 1}),
        ("state.weak == []", ExpressionError),
        ("state.empty == []", True),
        ("state.missing is defined", False),
        ("state.missing.deeper is undefined", True),
        ("missing is defined", False),
        ("state.who is defined and state.who is string", True),
        ("state.nothing is none", True),
        ("state.n is integer and state.sure is float and state.n is number", True),
        ("state.customer is mapping and state.notes is sequence and state.yes is boolean", True),
        ("state.who is in ['Ada', 'Bob']", True),
        ("state.who is not in ['Bob']", True),
        ("state.missing | default('none yet')", "none yet"),
        ("state.missing.deeper[0] | default(state.who)", "Ada"),
        ("state.nothing | default('x')", None),
        ("state.nothing | default('x', true)", "x"),
        ("state.empty | first | default('no one')", "no one"),
        ("state.missing | default(state.other) | default(1)", 1),
        ("state.who | default(state.missing)", "Ada"),
        ("-3 | abs", 3),
        ("state.notes | first", "b"),
        ("state.notes | last", "b"),
        ("'42' | int + 1", 43),
        ("'4.9' | int", 4),
        ("'x' | int(7)", 7),
        ("'ff' | int(0, 16)", 255),
        ("'1.5' | float", 1.5),
        ("'inf' | float", 0.0),
        ("state.notes | join('; ')", "b; A; b"),
        ("[1, none, [2]] | join", "1null[2]"),
        ("state.claims | join(', ', attribute='text')", "sky, sea"),
        ("state.notes | length", 3),
        ("'ÄB' | lower", "äb"),
        ("'äß' | upper", "ÄSS"),
        ("state.claims | map(attribute='text')", ["sky", "sea"]),
        ("state.claims | map(attribute='no', default=0)", [0, 0]),
        ("state.notes | map('upper')", ["B", "A", "B"]),
        ("state.notes | map('replace', 'b', 'c')", ["c", "A", "c"]),
        ("[[1, 2], [3]] | map('sum')", [3, 3]),
        ("[3, 1, 2] | max", 3),
        ("['b', 'C', 'a'] | min", "a"),
        ("state.claims | max(attribute='n')", {"text": "sky", "ok": True, "n": 2}),
        ("[0, 1, '', 'a'] | select", [1, "a"]),
        ("[0, 1, '', 'a'] | reject", [0, ""]),
        ("[1, 'a', none] | select('string')", ["a"]),
        ("state.claims | selectattr('ok') | map(attribute='text')", ["sky"]),
        ("state.claims | rejectattr('ok') | map(attribute='text')", ["sea"]),
        ("state.claims | selectattr('text', 'in', ['sea']) | length", 1),
        ("state.claims | selectattr('absent', 'defined')", []),
        ("'a-b-c' | replace('-', '+', 1)", "a+b-c"),
        ("42.55 | round", 43.0),
        ("42.55 | round(1, 'floor')", 42.5),
        ("'abc' | sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("{'b': 1, 'a': 2.0} | sha256 == {'a': 2, 'b': 1} | sha256", True),
        ("state.notes | sort", ["A", "b", "b"]),
        ("['b', 'A'] | sort(true)", ["b", "A"]),
        ("state.claims | sort(attribute='n') | map(attribute='text')", ["sea", "sky"]),
        ("state.claims | sort(attribute='ok,n') | map(attribute='n')", [1, 2]),
        ("state.customer | string", '{"name":"Zoë","tags":["x"],"e-mail":"z@example.org"}'),
        ("[1, 2.5] | sum", 3.5),
        ("state.claims | sum(attribute='n')", 3),
        ("[[1], [2, 3]] | sum(start=[])", [1, 2, 3]),
        ("{'a': '<&\"ü'} | tojson", '{"a":"<&\\"ü"}'),
        ("[1] | tojson(2)", "[\n  1\n]"),
        ("'  a ' | trim", "a"),
        ("'xax' | trim('x')", "a"),
        ("'foo bar baz qux' | truncate(9)", "foo..."),
        ("'foo bar baz qux' | truncate(9, true)", "foo ba..."),
        ("'foo bar baz qux' | truncate(11)", "foo bar baz qux"),
        ("['a', 'A', 'b'] | unique", ["a", "b"]),
        ("[{'a': 1}, {'a': 1}] | unique", [{"a": 1}]),
        ("state.claims | unique(attribute='n') | length", 2),
    ],
)
def test_an_expression_gives(text: str, value: Json) -> None:
    if value is ExpressionError:
        with pytest.raises(ExpressionError):
            compile_bare(text)(NAMES)
    else:
        result = compile_bare(text)(NAMES)
        assert (result, type(result)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no braces, {one} or $two", "no braces, {one} or $two"),
        ("Please greet ${{ state.who }}.\n", "Please greet Ada.\n"),
        ("${{ state.notes }}", ["b", "A", "b"]),
        ("  ${{ state.n }}\n", 3),
        ("${{ state.n }}${{ state.n }}", "33"),
        ("Notes: ${{ state.notes }}, ${{ state.customer.tags }}", 'Notes: ["b","A","b"], ["x"]'),
        ("${{ state.yes }} ${{ state.nothing }} ${{ 1.0 }} ${{ 1e16 }}", "true null 1.0 1e+16"),
        ("{{ this }} and ${that} stay", "{{ this }} and ${that} stay"),
        ("${{ '${{' }} is written so", "${{ is written so"),
        ("{% raw %}${{ state.who }}{% endraw %}", "${{ state.who }}"),
        ("a{# a remark #}b", "ab"),
        ("${{ {'a': {'b': state.n}}.a }}", {"b": 3}),
        ("  a\n  ${{- state.who -}}  \n b", "  aAdab"),
        ("a\r\n${{ state.who }}\r\n", "a\nAda\n"),
        (
            "Notes:\n{% for note in state.notes %}\n- ${{ note }}\n{% endfor %}\nEnd.\n",
            "Notes:\n- b\n- A\n- b\nEnd.\n",
        ),
        ("  {% if state.yes %}\n  yes\n  {% endif %}\nend", "  yes\nend"),
        ("{% for x in state.empty %}${{ x }}{% else %}none{% endfor %}", "none"),
        ("{% for c in state.claims if c.ok %}${{ c.text }}/${{ loop.length }}{% endfor %}", "sky/1"),
        (
            "{% for x in [5, 6] %}${{ loop.index }}${{ loop.index0 }}${{ loop.revindex }}${{ loop.revindex0 }}"
            "${{ loop.first }}${{ loop.last }};{% endfor %}",
            "1021truefalse;2110falsetrue;",
        ),
        (
            "{% for a in [1, 2] %}{% for b in 'xy' %}${{ a }}${{ b }}${{ loop.index }} {% endfor %}"
            "${{ loop.index }};{% endfor %}",
            "1x1 1y2 1;2x1 2y2 2;",
        ),
        ("{% for key in state.customer %}${{ key }},{% endfor %}", "name,tags,e-mail,"),
        ("{% for a, b in [[1, 2], [3, 4]] %}${{ a + b }} {% endfor %}", "3 7 "),
        ("{% for state in [{'who': 'x'}] %}${{ state.who }}{% endfor %}${{ state.who }}", "xAda"),
        ("{% if state.n > 5 %}A{% elif state.n > 2 %}B{% else %}C{% endif %}", "B"),
        ("{% if state.missing is defined %}${{ state.missing }}{% endif %}-", "-"),
        ("{% for x in (state.missing | default([1])) if x in [1] %}${{ x }}{% endfor %}", "1"),
    ],
)
def test_a_template_gives(text: str, value: Json) -> None:
    result = compile_template(text)(NAMES)
    assert (result, type(result)) == (value, type(value))


def test_a_text_of_many_values_is_put_together_in_order() -> None:
    text = " ".join(f"${{{{ {number} }}}}" for number in range(30))
    assert compile_template(text)({}) == " ".join(map(str, range(30)))


def test_templates_are_found_anywhere_in_a_value_and_the_rest_stays_itself() -> None:
    value = {"a": ["${{ state.n }}", {"b": "<${{ state.who }}>"}], "c": "plain", "d": [1, None]}
    result = compile_value(value)(NAMES)
    assert result == {"a": [3, {"b": "<Ada>"}], "c": "plain", "d": [1, None]}
    assert result["d"] is value["d"]


def test_only_texts_with_marks_of_the_language_are_templates() -> None:
    assert [
        is_template(text) for text in ("${{ x }}", "{% if x %}", "{# x #}", "{{ x }}", "${x}", "{x}")
    ] == ([True, True, True, False, False, False])


@pytest.mark.parametrize(
    ("text", "message", "hint", "part"),
    [
        ("state.nots", "`state` has no `nots`", "did you mean `notes`?", "state.nots"),
        (
            "1 + state.customer.nme",
            "`state.customer` has no `nme`",
            "did you mean `name`?",
            "state.customer.nme",
        ),
        ("stat.who", "there is no `stat` here", "did you mean `state`?", "stat"),
        ("state.who.first", "`state.who` is a string and has no `first`", None, "state.who.first"),
        ("state.notes[9]", "`state.notes` has no item 9: it has 3", None, "state.notes[9]"),
        ("state.notes[-9]", "`state.notes` has no such item: it has 3", None, "state.notes[-9]"),
        ("state.notes | map('upper') | first < 1", "`<` cannot compare a string and a number", None, None),
        ("state.who - 1", "`-` needs two numbers, not a string and a number", None, "state.who - 1"),
        ("state.who + 1", "`+` cannot add a string and a number", None, "state.who + 1"),
        ("state.n / (state.n - 3)", "division by zero", None, "state.n / (state.n - 3"),
        ("state.empty | first", "the list is empty", None, "state.empty | first"),
        (
            "state.claims | map(attribute='txt')",
            "an item has no `txt`",
            None,
            "state.claims | map(attribute='txt')",
        ),
        ("state.n | join", "a number has no items", None, "state.n | join"),
        ("{state.n: 1}", "the key of a mapping is a string, not a number", None, "{state.n: 1}"),
    ],
)
def test_what_fails_says_what_and_where(text: str, message: str, hint: str | None, part: str | None) -> None:
    with pytest.raises(ExpressionError) as failed:
        compile_bare(text)(NAMES)
    assert message in failed.value.message
    assert failed.value.hint == hint
    found = text[failed.value.offset : failed.value.offset + failed.value.length]
    assert part is None or found == part
    assert failed.value.text == text
    assert failed.value.exit_code == 4


def test_what_fails_in_a_loop_is_explained_by_the_item() -> None:
    text = "{% for claim in state.claims %}${{ claim.txt }}{% endfor %}"
    with pytest.raises(ExpressionError) as failed:
        compile_template(text)(NAMES)
    assert failed.value.message == "`claim` has no `txt`, in `claim.txt`"
    assert failed.value.hint == "did you mean `text`?"


def test_what_a_name_raises_of_its_own_passes_through() -> None:
    class Refusing(dict[str, Json]):
        def __getitem__(self, key: str) -> Json:
            raise ConnectionError(key)

    with pytest.raises(ConnectionError, match="uuid"):
        compile_bare("run.uuid")({"run": Refusing()})


class _View(Mapping[str, Json]):
    """A mapping that is no dict, as a scope may hold."""

    def __init__(self, data: Mapping[str, Json]) -> None:
        self._data = data

    def __getitem__(self, key: str) -> Json:
        return self._data[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)


def test_any_mapping_can_stand_for_a_name() -> None:
    names = {"state": _View({"a": _View({"b": 1})})}
    assert compile_bare("state.a.b + 1")(names) == 2
    assert compile_bare("state.x | default(0)")(names) == 0
    assert compile_template("${{ state }}!")(names) == '{"a":{"b":1}}!'
