"""What of Jinja the language has: everything else is named as a problem before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from jinja2 import nodes

from agentctl.expressions.extent import extent
from agentctl.expressions.other_languages import as_filter
from agentctl.expressions.parse import Parsed
from agentctl.expressions.problem import Mend, Problem
from agentctl.expressions.signatures import (
    CHOOSING,
    FILTER_HINTS,
    FILTERS,
    TEST_HINTS,
    TESTS,
    Signature,
)
from agentctl.expressions.words import list_of
from agentctl.spec.nearest import clearly_nearest, nearest

_PLAIN = (
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.Tuple,
    nodes.List,
    nodes.Pair,
    nodes.Getattr,
    nodes.Slice,
    nodes.Operand,
    nodes.Compare,
    nodes.Concat,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.Add,
    nodes.Sub,
    nodes.Mul,
    nodes.Div,
    nodes.FloorDiv,
    nodes.Pow,
    nodes.Neg,
    nodes.Pos,
    nodes.If,
    nodes.Keyword,
)
_LOOP = ("index", "index0", "revindex", "revindex0", "first", "last", "length")
_SHORT = 40
"""Characters of an expression that a hint repeats."""
_Call = nodes.Filter | nodes.Test


def not_allowed(parsed: Parsed) -> Iterator[Problem]:
    """E403 and E404, in the order of the tree."""
    pending = list(reversed(parsed.body))
    while pending:
        node = pending.pop()
        yield from _Check(parsed).of(node)
        if not isinstance(node, nodes.Call):
            pending.extend(reversed(list(node.iter_child_nodes())))


class _Check:
    """The check of one node, not of what is in it."""

    def __init__(self, parsed: Parsed) -> None:
        self._parsed = parsed

    def of(self, node: nodes.Node) -> Iterator[Problem]:
        match node:
            case nodes.Filter():
                yield from self._filter(node)
            case nodes.Test():
                yield from self._test(node)
            case nodes.CondExpr() if node.expr2 is None:
                yield self._problem(node, "an inline `if` needs an `else`", "add `else ''`")
            case nodes.Getitem() if isinstance(node.arg, nodes.Tuple):
                yield self._problem(node, "a lookup has one key", "write `a[b][c]`")
            case nodes.Dict():
                yield from self._keys(node)
            case nodes.For() if node.recursive:
                yield self._problem(node.iter, "`recursive` is not allowed", None)
            case nodes.Call():
                what, _ = extent(self._parsed, node.node), None
                name = self._parsed.text[what[0] : what[0] + what[1]]
                yield self._problem(node, f"calls are not allowed: `{name}(…)`", self._filter_meant(node))
            case nodes.Mod():
                yield self._modulo(node)
            case nodes.CondExpr() | nodes.Getitem() | nodes.For():
                pass
            case _ if not isinstance(node, _PLAIN):
                yield self._problem(node, f"`{type(node).__name__.lower()}` is not allowed", None)

    def _filter_meant(self, node: nodes.Call) -> str:
        """The filter that does the same as a call, on what it is called with or on."""
        called, on, left = node.node, list(node.args), "x"
        name = called.name if isinstance(called, nodes.Name) else None
        if isinstance(called, nodes.Getattr):
            name, on = called.attr, [*node.args, called.node] if called.attr == "join" else [called.node]
        filter = as_filter(name, (*FILTERS, *CHOOSING)) if name else None
        if filter is None or not on:
            return "filters do the work: `x | length`; tools do the rest"
        offset, length = extent(self._parsed, on[0])
        left = self._parsed.text[offset : offset + length] if length <= _SHORT else "x"
        return f"write `{left} | {filter}{'(…)' if FILTERS.get(filter, Signature()).needed or filter == 'join' else ''}`"

    def _modulo(self, node: nodes.Mod) -> Problem:
        offset, length = extent(self._parsed, node.left)
        number = next(
            n
            for n, token in enumerate(self._parsed.tokens)
            if token.offset >= offset + length and token.type == "mod"
        )
        token = self._parsed.tokens[number]
        return Problem("E403", "`%` is not allowed", "join text with `~`", token.offset, token.length)

    def _keys(self, node: nodes.Dict) -> Iterator[Problem]:
        for pair in node.items:
            if isinstance(pair.key, nodes.Const) and not isinstance(pair.key.value, str):
                yield self._problem(pair.key, "the key of a mapping is a string", "put it in quotes")

    def _filter(self, node: nodes.Filter) -> Iterator[Problem]:
        word = self._word(node)
        yield from self._spread(node)
        if node.name in CHOOSING:
            yield from self._chosen(node, word)
        elif node.name in FILTERS:
            yield from self._arguments(node.name, node, FILTERS[node.name], word)
        else:
            yield _unknown("filter", node.name, [*FILTERS, *CHOOSING], FILTER_HINTS, word)

    def _test(self, node: nodes.Test) -> Iterator[Problem]:
        word = self._word(node)
        yield from self._spread(node)
        if node.name not in TESTS:
            yield _unknown("test", node.name, TESTS, TEST_HINTS, word)
        else:
            yield from self._test_arguments(node.name, len(node.args), bool(node.kwargs), word)

    def _chosen(self, node: nodes.Filter, word: tuple[int, int]) -> Iterator[Problem]:
        """`map('lower')`, `select('in', …)`, `selectattr('a.b', 'defined')`: the name must be written out."""
        at = CHOOSING[node.name]
        named = {word for word, _ in named_arguments(node)}
        if len(node.args) < at:
            yield _refused(word, f"`{node.name}` needs the name of an attribute", None)
        elif node.name == "map" and not node.args:
            if "attribute" not in named or named - {"attribute", "default"}:
                yield _refused(word, "`map` needs `attribute=…` or the name of a filter", None)
        elif len(node.args) > at:
            yield from self._named_choice(node, node.args[at], node.args[at + 1 :])
        elif node.kwargs:
            yield _refused(word, f"`{node.name}` has no argument {list_of(sorted(named))}", None)

    def _named_choice(
        self, node: nodes.Filter, choice: nodes.Expr, rest: list[nodes.Expr]
    ) -> Iterator[Problem]:
        place = extent(self._parsed, choice)
        if not isinstance(choice, nodes.Const) or not isinstance(choice.value, str):
            yield _refused(place, f"what `{node.name}` applies must be written out, in quotes", None)
            return
        name = choice.value
        if node.name == "map":
            inner = nodes.Filter(None, name, rest, node.kwargs, None, None, lineno=choice.lineno)
            if name in CHOOSING:
                yield from self._chosen(inner, place)
            elif name in FILTERS:
                yield from self._arguments(name, inner, FILTERS[name], place)
            else:
                yield _unknown("filter", name, [*FILTERS, *CHOOSING], FILTER_HINTS, place)
        elif name not in TESTS:
            yield _unknown("test", name, TESTS, TEST_HINTS, place)
        else:
            yield from self._test_arguments(name, len(rest), bool(node.kwargs), place)

    def _arguments(
        self, name: str, call: _Call, signature: Signature, word: tuple[int, int]
    ) -> Iterator[Problem]:
        given = list(signature.names[: len(call.args)])
        if len(call.args) > len(signature.names):
            yield _refused(word, f"`{name}` takes {_count(len(signature.names))}, not {len(call.args)}", None)
        for word_given, _ in named_arguments(call):
            if word_given not in signature.names:
                yield _refused(word, f"`{name}` has no argument `{word_given}`", _known(signature.names))
            elif word_given in given:
                yield _refused(word, f"`{name}` is given `{word_given}` twice", None)
            given.append(word_given)
        if absent := [needed for needed in signature.names[: signature.needed] if needed not in given]:
            yield _refused(word, f"`{name}` needs {list_of(absent)}", None)

    def _test_arguments(self, name: str, given: int, named: bool, word: tuple[int, int]) -> Iterator[Problem]:
        if given != TESTS[name] or named:
            yield _refused(word, f"`is {name}` takes {_count(TESTS[name])}", None)

    def _spread(self, node: _Call) -> Iterator[Problem]:
        for spread in (node.dyn_args, node.dyn_kwargs):
            if spread is not None:
                yield self._problem(spread, "`*` and `**` arguments are not allowed", None)

    def _word(self, node: _Call) -> tuple[int, int]:
        """Where the name of a filter or test stands."""
        token = self._parsed.token_at(node.lineno)
        if isinstance(node, nodes.Test):
            token = self._parsed.token_after(node.lineno)
            if token.value == "not" and node.name != "not":
                token = self._parsed.token_after(node.lineno, 2)
        return token.offset, token.length

    def _problem(self, node: nodes.Node, message: str, hint: str | None) -> Problem:
        return Problem("E403", message, hint, *extent(self._parsed, node))


def named_arguments(call: _Call) -> list[tuple[str, nodes.Expr]]:
    """The arguments of a filter or test that are given by name."""
    # Jinja declares pairs of expressions here; its parser makes `Keyword(str, Expr)`.
    return [(keyword.key, keyword.value) for keyword in cast(list[nodes.Keyword], call.kwargs)]


def loop_fields() -> tuple[str, ...]:
    """What `loop.` has inside a `for`."""
    return _LOOP


def _refused(place: tuple[int, int], message: str, hint: str | None) -> Problem:
    return Problem("E403", message, hint, *place)


def _unknown(
    kind: str, name: str, known: Iterable[str], hints: Mapping[str, str], place: tuple[int, int]
) -> Problem:
    words = sorted(known)
    near = nearest(name, words)
    hint = hints.get(name) or (f"did you mean `{near}`?" if near else f"there are {list_of(words, 40)}")
    mend = None
    if near and name not in hints and place[1] == len(name) and clearly_nearest(name, words):
        mend = Mend(*place, near)
    return Problem("E404", f"unknown {kind} `{name}`", hint, *place, mend)


def _count(number: int) -> str:
    return "no argument" if number == 0 else "one argument" if number == 1 else f"at most {number} arguments"


def _known(names: tuple[str, ...]) -> str | None:
    return f"it has {list_of(names)}" if names else None
