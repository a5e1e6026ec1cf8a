"""Laws that hold for every expression: of the language, of Jinja, and of no language at all."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import wraps
from types import GeneratorType

import jsonschema_rs
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jinja2 import StrictUndefined, TemplateError, Undefined
from jinja2.sandbox import SandboxedEnvironment

from agentctl.expressions import (
    Expression,
    ExpressionError,
    analyse_bare,
    analyse_template,
    compile_bare,
    compile_template,
)
from agentctl.expressions.filters import FILTERS
from agentctl.expressions.values import Budget, text
from agentctl.json import Json, encode
from tests.expressions.scope import SCOPE

PATHS = [
    *(f"state.{field}" for field in SCOPE["state"]["properties"]),
    "state.customer.name",
    "state.claims[0].text",
    "state.claims[0].weight",
    "state.notes[0]",
    "state.open.x",
    "state.scores.a",
    "run.turn",
    "run.variants.tone",
]
WORDS = [
    "'a'",
    "'billing'",
    "''",
    "'A b'",
    "0",
    "1",
    "-2",
    "2.5",
    "true",
    "false",
    "none",
    "[]",
    "{}",
    "['b', 'a']",
]
SIGNS = ["+", "-", "*", "/", "//", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
APPLIED = [
    *(
        name
        for name in FILTERS
        if name not in ("map", "select", "reject", "selectattr", "rejectattr", "replace")
    ),
    "default('d')",
    "default(state.count, true)",
    "join('-')",
    "map('string')",
    "map(attribute='text')",
    "map(attribute='text', default=none)",
    "map('default', 1)",
    "select",
    "select('string')",
    "reject('in', ['a', 1])",
    "selectattr('weight')",
    "rejectattr('note', 'defined')",
    "replace('a', 'bc')",
    "round(1, 'floor')",
    "sort(true)",
    "sum(attribute='weight')",
    "truncate(5)",
    "tojson(2)",
    "int(3, 16)",
    "trim('a')",
    "unique(true)",
]
TESTS = [
    "defined",
    "undefined",
    "none",
    "string",
    "number",
    "integer",
    "mapping",
    "sequence",
    "boolean",
    "in ['a', 1]",
]

leaves = st.sampled_from(PATHS) | st.sampled_from(WORDS)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(SIGNS), inner).map(lambda part: f"({part[0]} {part[1]} {part[2]})"),
        st.tuples(inner, st.sampled_from(APPLIED)).map(lambda part: f"({part[0]} | {part[1]})"),
        st.tuples(inner, st.sampled_from(TESTS)).map(lambda part: f"({part[0]} is {part[1]})"),
        st.tuples(inner, inner, inner).map(lambda part: f"({part[0]} if {part[1]} else {part[2]})"),
        st.tuples(inner, inner).map(lambda part: f"[{part[0]}, {part[1]}]"),
        inner.map(lambda part: f"{{'text': {part}}}"),
        inner.map(lambda part: f"(not {part})"),
        inner.map(lambda part: f"(-{part})"),
        inner.map(lambda part: f"{part}[0]"),
        inner.map(lambda part: f"{part}[1:]"),
        inner.map(lambda part: f"{part}.text"),
    )


expressions = st.recursive(leaves, _larger, max_leaves=8)

texts = st.text(st.characters(codec="utf-8"), max_size=5) | st.sampled_from(["a", "billing", "12", "ß"])
numbers = st.integers(-5, 5) | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
claims = st.fixed_dictionaries({"text": texts, "weight": st.integers(-9, 9)}, optional={"note": texts})
plain = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
scopes = st.fixed_dictionaries(
    {
        "state": st.fixed_dictionaries(
            {
                "question": texts,
                "sure": numbers,
                "count": st.integers(-100, 100),
                "done": st.booleans(),
                "notes": st.lists(texts, max_size=3),
                "claims": st.lists(claims, max_size=3),
                "customer": st.fixed_dictionaries({"name": texts, "tags": st.lists(texts, max_size=2)}),
                "open": st.dictionaries(st.sampled_from("xyz"), plain, max_size=2),
                "anything": plain,
                "scores": st.dictionaries(st.sampled_from("ab"), numbers, max_size=2),
            },
            optional={"desk": st.sampled_from(["billing", "technical"]), "maybe": st.none() | texts},
        ),
        "run": st.fixed_dictionaries(
            {
                "thread": texts,
                "turn": st.integers(1, 9),
                "variants": st.fixed_dictionaries({"tone": st.sampled_from(["A", "B"])}),
            }
        ),
    }
)


def outcome(compiled: Callable[[str], Expression], source: str, names: Json) -> Json | ExpressionError:
    """The value, or the error with its place inside the source; anything else is raised."""
    try:
        return compiled(source)(names)
    except ExpressionError as error:
        if not 0 <= error.offset <= error.offset + error.length <= len(source):
            raise IndexError(f"{error.offset} + {error.length} of {len(source)}") from error
        return error


@settings(max_examples=250, deadline=None)
@given(expressions, scopes)
def test_an_accepted_expression_gives_data_of_its_type_or_an_expression_error(
    source: str, names: Json
) -> None:
    analysis = analyse_bare(source, SCOPE)
    if analysis.problems:
        return
    result = outcome(compile_bare, source, names)
    if isinstance(result, ExpressionError):
        return
    encode(result)
    assert jsonschema_rs.is_valid(analysis.type, result), (analysis.type, result)


@settings(max_examples=250, deadline=None)
@given(expressions, scopes)
def test_what_is_refused_never_raises_anything_else_either(source: str, names: Json) -> None:
    encode(str(outcome(compile_bare, source, names)))


@settings(max_examples=250, deadline=None)
@given(expressions, scopes)
def test_where_jinja_gives_a_value_it_is_the_same_value(source: str, names: Json) -> None:
    assume("~" not in source)  # joins as text, where JSON's words are ours: `true`, not `True`
    ours = outcome(compile_bare, source, names)
    if isinstance(ours, ExpressionError):
        return
    theirs = _jinja(source, names)
    if theirs is not _NOTHING:
        assert ours == theirs
        assert encode(ours) == encode(theirs)


settled = st.tuples(st.sampled_from(["true", "false", "1 > 0", "[] == [1]"]), expressions).map(" and ".join)
unsettled = st.tuples(st.sampled_from(["state.done", "state.count > 1"]), st.sampled_from(["true", "false"]))
constants = st.recursive(st.sampled_from(WORDS), _larger, max_leaves=4)


@settings(max_examples=120, deadline=None)
@given(constants | settled | unsettled.map(" or ".join), scopes)
def test_a_value_that_nothing_changes_is_the_value_it_has(source: str, names: Json) -> None:
    constant = analyse_bare(source, SCOPE).constant
    result = outcome(compile_bare, source, names)
    if constant is not None and not isinstance(result, ExpressionError):
        assert encode(result) == encode(constant.value)


marks = st.sampled_from(["{%", "{%-", "{%+"])
ends = st.sampled_from(["%}", "-%}", "%}\n", "%}\n  ", "+%}"])
words = st.sampled_from(["a", " ", "\n", "\n  ", "{", "$", "{{ x }}", "é", "\r\n"])
values = st.sampled_from(
    ["${{ x }}", "${{- x }}", "${{ state.count -}}", "${{ x | default('d') }}", "{# c #}\n"]
)


def _longer(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    conditions = st.sampled_from(["state.done", "x is defined", "state.notes", "state.count > 0"])
    sources = st.sampled_from(["state.notes", "[1, 2]", "'ab'", "state.customer", "state.notes if x != 'a'"])
    loop = st.sampled_from(["", "${{ loop.index }}", "${{ loop.last }}", "{% if loop.first %}f{% endif %}"])
    return st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.tuples(marks, sources, ends, loop, inner, marks, ends).map(
            lambda p: f"{p[0]} for x in {p[1]} {p[2]}{p[3]}{p[4]}{p[5]} endfor {p[6]}"
        ),
        st.tuples(marks, conditions, ends, inner, marks, inner, ends).map(
            lambda p: f"{p[0]} if {p[1]} {p[2]}{p[3]}{p[4]} else %}}{p[5]}{p[4]} endif {p[6]}"
        ),
    )


templates = st.recursive(words | values, _longer, max_leaves=10)


@settings(max_examples=250, deadline=None)
@given(templates, scopes, st.booleans())
def test_a_template_reads_as_jinja_reads_it(source: str, names: Json, x_is_there: bool) -> None:
    environment = SandboxedEnvironment(
        variable_start_string="${{",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
        finalize=lambda value: text(_as_data(value)),
    )
    names = {**names, "x": "X"} if x_is_there else names
    ours = outcome(compile_template, "{# #}." + source, names)
    try:
        theirs = environment.from_string("{# #}." + source).render(**names)
    except (TemplateError, TypeError):
        assert isinstance(ours, ExpressionError)
    else:
        assert ours == theirs


spaces = st.sampled_from(["", " ", "\n", "\r\n", " \t "])


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.sampled_from(PATHS), min_size=1, max_size=4),
    spaces,
    st.sampled_from(["", "ü\r\n", "{# \r #}"]),
)
def test_each_reference_points_at_its_very_words(paths: list[str], space: str, before: str) -> None:
    spaced = [path.replace(".", f"{space}.{space}").replace("[", f"{space}[") for path in paths]
    source = before + "".join(f"a${{{{{space}{path}{space}}}}}\n" for path in spaced) + "."
    found = analyse_template(source, SCOPE)
    assert found.problems == ()
    assert [source[one.offset : one.offset + one.length] for one in found.references] == spaced
    for one in found.references:
        words = [source[offset : offset + length] for offset, length in one.words]
        assert words == [one.root, *map(str, one.path)]


FRAGMENTS = [
    *(
        "${{",
        "}}",
        "{{",
        "{%",
        "%}",
        "{#",
        "#}",
        "-",
        "+",
        "${",
        "}",
        "{",
        "(",
        ")",
        "[",
        "]",
        "'",
        '"',
        "\\",
        "$",
    ),
    *(
        "for",
        "endfor",
        "if",
        "elif",
        "else",
        "endif",
        "raw",
        "endraw",
        "in",
        "is",
        "not",
        "and",
        "set",
        "loop",
    ),
    *(
        " ",
        "\n",
        "\r\n",
        "\r",
        ".",
        ",",
        ":",
        "|",
        "~",
        "*",
        "**",
        "%",
        "=",
        "==",
        "<",
        "state",
        "question",
        "notes",
    ),
    *(
        "x",
        "map",
        "select",
        "default",
        "attribute",
        "1",
        "1.5",
        "1e999",
        "0x",
        "é",
        "\u2028",
        "\x00",
        "#",
        "recursive",
    ),
]
rubbish = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join) | st.text(max_size=20)


@settings(max_examples=600, deadline=None)
@given(rubbish)
def test_no_text_makes_analysis_or_compilation_raise_anything_else(source: str) -> None:
    for analyse, compiled in ((analyse_bare, compile_bare), (analyse_template, compile_template)):
        found = analyse(source, SCOPE)
        for problem in found.problems:
            assert 0 <= problem.offset <= problem.offset + problem.length <= len(source)
        for reference in found.references:
            assert source[reference.offset :].startswith(reference.root)
        result = outcome(compiled, source, {"state": {"question": "q", "notes": ["n"]}, "x": {}})
        if not isinstance(result, ExpressionError):
            assert "E402" not in [problem.code for problem in found.problems]
            encode(result)


_NOTHING = object()


def _jinja(source: str, names: Json) -> Json:
    """The value stock Jinja gives in its sandbox, or nothing where it gives none that JSON can say."""
    environment = SandboxedEnvironment(undefined=StrictUndefined)
    environment.filters.update(
        {name: _ours(name) for name in ("string", "lower", "upper", "join", "replace", "trim")}
    )
    environment.filters.update({name: _ours(name) for name in ("tojson", "sha256", "truncate")})
    for name in ("map", "reject", "rejectattr", "select", "selectattr", "unique"):
        environment.filters[name] = _as_list(environment.filters[name])
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return _as_data(environment.compile_expression(source, undefined_to_none=False)(**names))
    except (
        TemplateError,
        TypeError,
        ValueError,
        LookupError,
        ArithmeticError,
        AttributeError,
        AssertionError,
    ):
        return _NOTHING


def _ours(name: str) -> object:
    """Filters whose text is ours: how a boolean prints is no part of this law."""
    return lambda value, *args, **named: FILTERS[name](Budget(), _as_data(value), *args, **named)


def _as_list(stock: Callable[..., Json]) -> Callable[..., Json]:
    """Lists for generators, which are never empty to Jinja."""

    @wraps(stock)
    def listed(*args: Json, **named: Json) -> list[Json]:
        return list(stock(*args, **named))

    return listed


def _as_data(value: Json) -> Json:
    if isinstance(value, Undefined):
        raise TypeError("undefined")
    if isinstance(value, GeneratorType | Iterator):
        return [_as_data(part) for part in value]
    if isinstance(value, list):
        return [_as_data(part) for part in value]
    if isinstance(value, Mapping):
        return {key: _as_data(part) for key, part in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("no JSON")
    if value is not None and not isinstance(value, str | int | float):
        raise TypeError(f"{value!r} is no data")
    return value


def test_the_law_of_jinja_has_teeth() -> None:
    assert _jinja("[1, 2] | map('string') | join", {}) == "12"
    assert _jinja("missing", {}) is _NOTHING
    assert text(True) != str(True)


def test_every_filter_is_tried() -> None:
    tried = {word.partition("(")[0] for word in APPLIED}
    assert tried == set(FILTERS)


@pytest.mark.parametrize("source", ["state.question ~ 1", "state.count | string"])
def test_the_laws_accept_what_they_should(source: str) -> None:
    assert analyse_bare(source, SCOPE).problems == ()
