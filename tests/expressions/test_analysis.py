"""What analysis says of an expression: problems at their word, references, comparisons, types, constants."""

from __future__ import annotations

import pytest

from agentctl.expressions import Analysis, Constant, Problem, analyse_bare, analyse_template
from agentctl.json import Json
from tests.expressions.scope import CLAIM, SCOPE, TEXT, closed

TOOL = {"args": closed(email=TEXT), "env": closed(CRM_URL=TEXT), "run": SCOPE["run"]}


def told(text: str, problems: tuple[Problem, ...]) -> list[tuple[str, str, str, str | None]]:
    return [(one.code, text[one.offset : one.offset + one.length], one.message, one.hint) for one in problems]


@pytest.mark.parametrize(
    ("text", "code", "word", "message", "hint"),
    [
        ("${{ state.sure > 1 }}", "E401", "${{", "`${{` in a bare expression", "write `state.sure > 1`"),
        ("{{ state.sure }}", "E401", "{{", "`{{` in a bare expression", "write `state.sure`"),
        ("state.sure > ${{ 1 }}", "E401", "${{", "`${{` in a bare expression", "write it without"),
        ("", "E402", "", "the expression is empty", None),
        ("state.sure >", "E402", ">", "the text ends too early", None),
        ("state.sure > > 1", "E402", ">", "unexpected `>`", None),
        ("state.done state.sure", "E402", "state", "expected the end of the expression", None),
        ("state.question == 'a", "E402", "'", "a quote that is not closed", None),
        ("(state.sure", "E402", "sure", "the text ends too early, expected `)`", None),
        ("state.sure)", "E402", ")", "unexpected `)`", None),
        ("state.sure & 1", "E402", "&", "`&` has no meaning here", None),
        ("state.sure = 1", "E402", "=", "`=` is no operator here", "write `==`"),
        ("state.done || state.done", "E402", "||", "`||` is no operator here", "write `or`"),
        ("state.sure == = 1", "E402", "=", "`=` is no operator here", "write `==`"),
        ("state.sure === 1", "E402", "===", "`===` is no operator here", "write `==`"),
        ("len(state.notes) > 1", "E403", "len(state.notes)", "`len(…)`", "write `state.notes | length`"),
        ("range(3)", "E403", "range(3)", "calls are not allowed: `range(…)`", "filters do the work"),
        ("state.count  %  2", "E403", "%", "`%` is not allowed", "join text with `~`"),
        ("1 / 0", "E403", "1 / 0", "it always fails: division by zero", None),
        ("state.notes | lenght", "E404", "lenght", "unknown filter `lenght`", "did you mean `length`?"),
        ("state.notes | list", "E404", "list", "unknown filter `list`", "leave it out"),
        ("state.maybe is not non", "E404", "non", "unknown test `non`", "did you mean `none`?"),
        ("state.maybe is null", "E404", "null", "unknown test `null`", "write `is none`"),
        ("state.notes | map('uper')", "E404", "'uper'", "unknown filter `uper`", "did you mean `upper`?"),
        ("state.notes | select('non')", "E404", "'non'", "unknown test `non`", "did you mean `none`?"),
        ("state.qestion", "E410", "qestion", "`state` has no field `qestion`", "did you mean `question`?"),
        ("1 + state . qestion", "E410", "qestion", "`state` has no field `qestion`", None),
        ("state['qestion']", "E410", "'qestion'", "`state` has no field `qestion`", None),
        (
            "state.customer.nmae",
            "E410",
            "nmae",
            "`state.customer` has no field `nmae`",
            "did you mean `name`?",
        ),
        (
            "state.claims[0].txt",
            "E410",
            "txt",
            "`state.claims[0]` has no field `txt`",
            "did you mean `text`?",
        ),
        ("state.question.x", "E410", "x", "`state.question` is a string and has no `x`", None),
        ("state.notes.x", "E410", "x", "`state.notes` is an array and has no `x`", None),
        ("(state.claims | first).txt", "E410", "txt", "has no field `txt`", "did you mean `text`?"),
        (
            "state.claims | map(attribute='txt')",
            "E410",
            "'txt'",
            "an item has no field `txt`",
            "did you mean `text`?",
        ),
        ("state.claims | sort(attribute='wait')", "E410", "'wait'", "an item has no field `wait`", None),
        ("state.typo is defined", "E410", "typo", "`state` has no field `typo`", None),
        ("question == 'x'", "E411", "question", "unknown name `question`", "did you mean `state.question`?"),
        ("stat.question", "E411", "stat", "unknown name `stat`", "did you mean `state`?"),
        ("qestion", "E411", "qestion", "unknown name `qestion`", "did you mean `state.question`?"),
        (
            "env.HOME",
            "X02",
            "env",
            "`env.HOME` would get into a prompt",
            "`env` may be read in models, tools",
        ),
        ("loop.index", "E411", "loop", "unknown name `loop`", "`loop` is there inside a `for` only"),
        ("zzz", "E411", "zzz", "unknown name `zzz`", "there are `state`, `run`"),
        ("run.thred", "E414", "thred", "`run` has no field `thred`", "did you mean `thread`?"),
        ("run.variants.tne", "E414", "tne", "`run.variants` has no field `tne`", "did you mean `tone`?"),
        (
            "state.sure == '1'",
            "E434",
            "state.sure == '1'",
            "`==` compares a number with a string",
            "leave out the quotes",
        ),
        (
            "state.question > 3",
            "E434",
            "state.question > 3",
            "`>` compares a string with a whole number",
            None,
        ),
        ("state.done == 'yes'", "E434", "state.done == 'yes'", "`==` compares a boolean with a string", None),
        (
            "state.question == none",
            "E434",
            "state.question == none",
            "`==` compares a string with null",
            "is defined",
        ),
        ("state.customer < state.customer", "E434", None, "`<` compares an object with an object", None),
        (
            "state.count in state.notes",
            "E434",
            None,
            "`in` looks for a whole number, and each item is a string",
            None,
        ),
        ("state.question in state.count", "E434", None, "`in` looks into an array", None),
        ("state.count in state.question", "E434", None, "`in` looks for a string in a string", None),
        (
            "state.question + 1",
            "E434",
            "state.question + 1",
            "`+` cannot add a string and a whole number",
            "`~` joins",
        ),
        ("state.question * state.sure * state.open", "E434", None, "`*` cannot multiply an object", None),
        ("-state.question", "E434", "-state.question", "`-` needs a number, and this is a string", None),
        (
            "state.sure | join",
            "E434",
            "state.sure | join",
            "`join` goes through an array, and this is a number",
            None,
        ),
        ("state.question | abs", "E434", None, "`abs` needs a number, and this is a string", None),
        ("state.sure[1:]", "E434", None, "only an array or a string has parts", None),
    ],
)
def test_a_problem_of_a_bare_expression_is_told_at_its_word(
    text: str, code: str, word: str | None, message: str, hint: str | None
) -> None:
    (found,) = told(text, analyse_bare(text, SCOPE).problems)
    assert found[0] == code
    assert word is None or found[1] == word
    assert message in found[2]
    assert hint is None or hint in (found[3] or "")


@pytest.mark.parametrize(
    ("text", "code", "word", "message", "hint"),
    [
        (
            "Dear ${{ args.emial }}",
            "E413",
            "emial",
            "the tool has no parameter `emial`",
            "did you mean `email`?",
        ),
        (
            "${{ env.CRM_ULR }}/x",
            "E412",
            "CRM_ULR",
            "`env.CRM_ULR` is not declared",
            "did you mean `CRM_URL`?",
        ),
        ("${{ env.OTHER }}/x", "E412", "OTHER", "`env.OTHER` is not declared", "add `OTHER` under `env:`"),
        ("${{ state.x }}", "E411", "state", "unknown name `state`", "`state` may not be read here"),
        (
            "${args.email}",
            "E405",
            "${args.email}",
            "`${args.email}` is plain text here",
            "write `${{ args.email }}`",
        ),
    ],
)
def test_a_problem_of_a_tool_is_told_at_its_word(
    text: str, code: str, word: str, message: str, hint: str
) -> None:
    (found,) = told(text, analyse_template(text, TOOL).problems)
    assert found[:2] == (code, word)
    assert message in found[2]
    assert hint in (found[3] or "")


@pytest.mark.parametrize(
    ("text", "code", "word", "message"),
    [
        ("a\r\nb\r\n  ${{ state.nope }}", "E410", "nope", "`state` has no field `nope`"),
        ("a\n  {%- if state.done %}\n  ${{ nope }}\n{% endif %}", "E411", "nope", "unknown name `nope`"),
        ("{# ${{ no }} #}{% raw %}${{ no }}{% endraw %}${{ nope }}", "E411", "nope", "unknown name `nope`"),
        ("{% for c in state.claims %}${{ c.txt }}{% endfor %}", "E410", "txt", "`c` has no field `txt`"),
        (
            "{% for c in state.claims %}${{ loop.idx }}{% endfor %}",
            "E411",
            "idx",
            "`loop` has no field `idx`",
        ),
        ("{% for c in state.claims %}{% endfor %}${{ c }}", "E411", "c", "unknown name `c`"),
        ("{% for c in state.sure %}{% endfor %}", "E434", "state.sure", "`for` goes through an array"),
        ("{% if state.sure == 'x' %}{% endif %}", "E434", "state.sure == 'x'", "`==` compares"),
        ("a ${{ state.sure", "E402", "sure", "the text ends too early, expected `}}`"),
        ("a ${{ state.sure }", "E402", "}", "unexpected `}`"),
        ("a ${{ }}", "E402", "}}", "got `}}`"),
        ("{% if state.done %}a", "E402", "if", "`{% if %}` is not closed"),
        ("{% for x state.claims %}{% endfor %}", "E402", "state", "expected token `in`, got `state`"),
        ("{% endif %}", "E402", "endif", "unknown tag `endif`"),
        ("{# a", "E402", "{#", "missing end of comment"),
        ("{% set x = 1 %}", "E403", "set", "`{% set %}` is not allowed"),
        ("Hello {{ state.question }}.", "E405", "{{ state.question }}", "is plain text here"),
        (
            "${{ state.done }} {{state.question|upper}}",
            "E405",
            "{{state.question|upper}}",
            "is plain text here",
        ),
        ("{{ question }}", "E405", "{{ question }}", "is plain text here"),
    ],
)
def test_a_problem_of_a_template_is_told_at_its_word(text: str, code: str, word: str, message: str) -> None:
    (found,) = told(text, analyse_template(text, SCOPE).problems)
    assert found[:2] == (code, word)
    assert message in found[2]


@pytest.mark.parametrize(
    "text",
    [
        "a shell says ${HOME} and ${PATH:-x}",
        'JSON says {"a": {"b": 1}}',
        "handlebars say {{> part}} and {{ other }}",
        "{% raw %}{{ state.question }}{% endraw %}",
        "${{ '{{ state.question }}' }} costs $5",
    ],
)
def test_braces_around_what_is_no_name_here_are_text(text: str) -> None:
    assert analyse_template(text, SCOPE).problems == ()


def test_all_problems_are_told_in_the_order_of_the_text() -> None:
    text = "${{ state.b }} {{ state.a }} ${{ zzz }} ${{ state.count == 'x' }}"
    assert [problem.code for problem in analyse_template(text, SCOPE).problems] == [
        "E410",
        "E405",
        "E411",
        "E434",
    ]


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("state.customer.name", [("state", ("customer", "name"), "state.customer.name")]),
        ("state . customer\n.name", [("state", ("customer", "name"), "state . customer\n.name")]),
        ("state['customer']['name'] ", [("state", ("customer", "name"), "state['customer']['name']")]),
        ("state.claims[0].text", [("state", ("claims", 0, "text"), "state.claims[0].text")]),
        ("state.notes.0", [("state", ("notes", 0), "state.notes.0")]),
        ("state", [("state", (), "state")]),
        (
            "state.scores[state.question] + 1",
            [("state", ("question",), "state.question"), ("state", ("scores",), "state.scores")],
        ),
        (
            "state.notes[1:state.count]",
            [("state", ("notes",), "state.notes"), ("state", ("count",), "state.count")],
        ),
        ("(state.claims|first).text", [("state", ("claims",), "state.claims")]),
        ("run.thread ~ run.turn", [("run", ("thread",), "run.thread"), ("run", ("turn",), "run.turn")]),
    ],
)
def test_a_reference_has_its_whole_path_and_place(
    text: str, paths: list[tuple[str, tuple[str | int, ...], str]]
) -> None:
    found = analyse_bare(text, SCOPE).references
    assert [(one.root, one.path, text[one.offset : one.offset + one.length]) for one in found] == paths


def test_a_reference_has_the_place_of_each_of_its_words() -> None:
    text = "  state . customer['name'] == ''"
    (found,) = analyse_bare(text, SCOPE).references
    assert [text[offset : offset + length] for offset, length in found.words] == [
        "state",
        "customer",
        "'name'",
    ]


def test_a_loop_reads_what_it_goes_through_and_its_name_is_no_reference() -> None:
    text = "{% for state in state.claims if state.weight %}${{ state.text }}{% endfor %}${{ state.done }}!"
    found = analyse_template(text, SCOPE)
    assert found.problems == ()
    assert [one.path for one in found.references] == [("claims",), ("done",)]


@pytest.mark.parametrize(
    ("text", "guarded"),
    [
        ("state.maybe", [False]),
        ("state.maybe is defined", [True]),
        ("state.maybe is not defined", [True]),
        ("state.maybe | default('x')", [True]),
        ("state.notes | first | default('x')", [True]),
        ("(state.maybe ~ 'a') | default('x')", [False]),
        ("state.open[state.maybe] | default('x')", [False, True]),
        ("state.maybe is defined and state.maybe == 'a'", [True, True]),
        ("state.maybe is undefined or state.maybe == 'a'", [True, True]),
        ("state.maybe is undefined and state.maybe == 'a'", [True, False]),
        ("state.maybe == 'a' and state.maybe is defined", [False, True]),
        ("not (state.maybe is defined) or state.maybe == 'a'", [True, True]),
        ("state.maybe if state.maybe is defined else state.question", [True, True, False]),
        ("'' if state.maybe is not defined else state.maybe", [True, True]),
        ("state.open.a.b if state.open.a is defined else 0", [True, True]),
        ("state.open.c if state.open.a is defined else 0", [True, False]),
    ],
)
def test_a_reference_is_guarded_where_its_absence_is_allowed_for(text: str, guarded: list[bool]) -> None:
    assert [one.guarded for one in analyse_bare(text, SCOPE).references] == guarded


def test_a_block_guards_what_its_condition_asked_for() -> None:
    text = (
        "{% if state.maybe is not defined %}${{ state.maybe }}"
        "{% elif state.done %}${{ state.maybe }}{% else %}${{ state.maybe }}{% endif %}${{ state.maybe }}"
    )
    found = [one.guarded for one in analyse_template(text, SCOPE).references if one.path == ("maybe",)]
    assert found == [True, False, True, True, False]


def test_asking_for_a_field_that_a_part_of_the_state_does_not_list_is_no_problem() -> None:
    assert analyse_bare("state.customer.vip is defined", SCOPE).problems == ()
    assert analyse_bare("state.customer.vip | default(false)", SCOPE).problems == ()
    assert analyse_bare("state.customer.vip", SCOPE).problems != ()


@pytest.mark.parametrize(
    ("text", "type"),
    [
        ("state.desk", {"enum": ["billing", "technical"]}),
        ("state.sure >= 0.6", {"type": "boolean"}),
        ("state.count + 1", {"type": "integer"}),
        ("state.count / 2", {"type": "number"}),
        ("state.count ** 2", {"type": "number"}),
        ("state.sure * 2", {"type": "number"}),
        ("state.question + 'x'", {"type": "string"}),
        ("state.question ~ 1", {"type": "string"}),
        ("state.notes + state.notes", {"type": "array", "items": TEXT}),
        ("state.notes[0]", TEXT),
        ("state.notes[:2]", {"type": "array", "items": TEXT}),
        ("state.question[:2]", TEXT),
        ("state.scores.any", {"type": "number"}),
        ("state.scores[state.question]", {"type": "number"}),
        ("state.open.any", {}),
        ("state.anything.any.thing", {}),
        ("state.maybe or state.count", {"anyOf": [TEXT, {"type": "null"}, {"type": "integer"}]}),
        ("state.question and state.question", TEXT),
        ("'a' if state.done else 'b'", {"enum": ["a", "b"]}),
        ("'a' if state.done else state.count", {"anyOf": [{"const": "a"}, {"type": "integer"}]}),
        ("state.question | default(1)", {"anyOf": [TEXT, {"const": 1}]}),
        ("[state.count, state.question]", {"type": "array", "items": {"anyOf": [{"type": "integer"}, TEXT]}}),
        ("[state.count][:0]", {"type": "array", "items": {"type": "integer"}}),
        ("{'a': state.count}", closed(a={"type": "integer"})),
        ("{state.question: 1}", {"type": "object"}),
        ("state.claims | map(attribute='text')", {"type": "array", "items": TEXT}),
        (
            "state.claims | map(attribute='note', default=none)",
            {"type": "array", "items": {"anyOf": [TEXT, {"const": None}]}},
        ),
        ("state.claims | map('length')", {"type": "array", "items": {"type": "integer"}}),
        ("state.claims | selectattr('weight') | first", CLAIM),
        ("state.claims | sum(attribute='weight')", {"type": "number"}),
        ("state.notes | join", TEXT),
        ("state.notes | length", {"type": "integer"}),
        ("state.notes | sort | last", TEXT),
        ("state.question | int", {"type": "integer"}),
        ("state.question | float(none)", {"anyOf": [{"type": "number"}, {"const": None}]}),
        ("state.sure | round", {"type": "number"}),
        ("state.count | abs", {"type": "integer"}),
        ("state.claims | tojson", TEXT),
        ("not state.sure", {"type": "boolean"}),
        ("state.anything + 1", {}),
        ("'a'", {"const": "a"}),
        ("2 + 2", {"const": 4}),
    ],
)
def test_the_type_of_a_result_is_known(text: str, type: Json) -> None:
    found = analyse_bare(text, SCOPE)
    assert found.problems == ()
    assert found.type == type
    alone = analyse_template(f"${{{{ {text} }}}}\n", SCOPE)
    assert alone.type == type
    assert analyse_template(f"a ${{{{ {text} }}}}", SCOPE).type == TEXT


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        ("true", Constant(True)),
        ("1 == 1 and 'a' in ['a']", Constant(True)),
        ("'fast'", Constant("fast")),
        ("false and state.done", Constant(False)),
        ("state.done and false", Constant(False)),
        ("state.done or true", Constant(True)),
        ("not (true or state.done)", Constant(False)),
        ("state.question and false", None),
        ("state.done or false", None),
        ("state.done", None),
    ],
)
def test_what_nothing_can_change_is_told(text: str, constant: Constant | None) -> None:
    assert analyse_bare(text, SCOPE).constant == constant


def _compared(text: str, found: Analysis) -> list[tuple[str, str, str]]:
    return [
        (
            text[one.left_span[0] : sum(one.left_span)],
            one.operator,
            text[one.right_span[0] : sum(one.right_span)],
        )
        for one in found.comparisons
    ]


@pytest.mark.parametrize(
    ("text", "compared"),
    [
        ("state.desk == 'x'", [("state.desk", "==", "'x'")]),
        ("(state.desk) != ('x')", [("state.desk", "!=", "'x'")]),
        ("0 < state.sure <= 1", [("0", "<", "state.sure"), ("state.sure", "<=", "1")]),
        ("state.desk in ['a', \"b\"]", [("state.desk", "==", "'a'"), ("state.desk", "==", '"b"')]),
        ("state.desk not in ('a',)", [("state.desk", "!=", "'a'")]),
        ("state.desk is in ['a']", [("state.desk", "==", "'a'")]),
        ("state.question in state.notes", [("state.question", "in", "state.notes")]),
        ("state.notes[0] | upper == 'A' ~ 'B'", [("state.notes[0] | upper", "==", "'A' ~ 'B'")]),
        ("state.notes | join(', ') == ''", [("state.notes | join(', ')", "==", "''")]),
    ],
)
def test_each_comparison_is_told_with_both_its_sides(text: str, compared: list[tuple[str, str, str]]) -> None:
    assert _compared(text, analyse_bare(text, SCOPE)) == compared


def test_a_comparison_has_the_types_of_its_sides() -> None:
    (found,) = analyse_bare("state.desk == 'biling'", SCOPE).comparisons
    assert (found.left, found.right) == ({"enum": ["billing", "technical"]}, {"const": "biling"})


def test_within_the_wrong_braces_an_expression_is_read_all_the_same() -> None:
    text = "${{ state.sure >= state.typo }}"
    found = analyse_bare(text, SCOPE)
    assert [one.code for one in found.problems] == ["E401", "E410"]
    assert told(text, found.problems)[1][1] == "typo"
    assert [text[one.offset : one.offset + one.length] for one in found.references] == [
        "state.sure",
        "state.typo",
    ]
