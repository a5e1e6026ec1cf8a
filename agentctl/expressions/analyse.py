"""What an expression reads, what type it gives and what is wrong with it, without running it on anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from jinja2 import nodes

from agentctl.expressions import compile
from agentctl.expressions.allowed import not_allowed
from agentctl.expressions.braces import braces_that_do_nothing, wrapped
from agentctl.expressions.infer import Inference
from agentctl.expressions.parse import Parsed, parse_bare, parse_template
from agentctl.expressions.problem import Analysis, Constant, ExpressionError, Problem
from agentctl.expressions.types import BOOLEAN, STRING, surely
from agentctl.json import Json

Scope = Mapping[str, Json]


def bare(text: str, scope: Scope) -> Analysis:
    try:
        return _bare(text, scope)
    except RecursionError:
        return _too_deep(text)


def template(text: str, scope: Scope) -> Analysis:
    try:
        return _template(text, scope)
    except RecursionError:
        return _too_deep(text)


def _bare(text: str, scope: Scope) -> Analysis:
    parsed = parse_bare(text)
    if parsed.problems:
        return _unreadable(parsed, scope)
    if problems := tuple(not_allowed(parsed)):
        return Analysis(problems=problems)
    return _of_expression(parsed, parsed.body[0], scope)


def _template(text: str, scope: Scope) -> Analysis:
    parsed = parse_template(text)
    useless = tuple(braces_that_do_nothing(parsed, scope))
    if problems := parsed.problems or tuple(not_allowed(parsed)):
        # of what type it would be is not known: a text that is one expression has the type of that
        return Analysis(problems=_in_order((*problems, *useless)))
    alone = compile.lone(parsed)
    if alone is not None:
        return _of_expression(parsed, alone, scope)
    inference = Inference(parsed, scope)
    inference.read(parsed.body)
    return _analysis(inference, STRING, useless)


def _of_expression(parsed: Parsed, node: nodes.Node, scope: Scope) -> Analysis:
    inference = Inference(parsed, scope)
    type = inference.type_of(node)
    found = _analysis(inference, type)
    if found.problems:
        return found
    try:
        constant = _settled(parsed, node, scope)
    except ExpressionError as error:
        always = Problem("E403", f"it always fails: {error.message}", error.hint, error.offset, error.length)
        return replace(found, problems=(always,))
    return found if constant is None else replace(found, type={"const": constant.value}, constant=constant)


def _analysis(inference: Inference, type: Json, more: Iterable[Problem] = ()) -> Analysis:
    return Analysis(
        tuple(inference.references),
        _in_order((*inference.problems, *more)),
        type,
        tuple(inference.comparisons),
    )


def _settled(parsed: Parsed, node: nodes.Node, scope: Scope) -> Constant | None:
    """The value that `node` has whatever it reads. Raises ExpressionError when it always fails."""
    if not _reads(node):
        return Constant(compile.value_of(parsed, node))
    if isinstance(node, nodes.Not):
        inner = _settled(parsed, node.node, scope)
        return Constant(not inner.value) if inner else None
    if isinstance(node, nodes.And | nodes.Or):
        return _settled_pair(parsed, node, scope)
    return None


def _settled_pair(parsed: Parsed, node: nodes.And | nodes.Or, scope: Scope) -> Constant | None:
    """`false and x` is false, `true or x` true; the other way round too, where x is a boolean."""
    deciding = isinstance(node, nodes.Or)
    left = _settled(parsed, node.left, scope)
    if left is not None:
        return left if bool(left.value) is deciding else _settled(parsed, node.right, scope)
    right = _settled(parsed, node.right, scope)
    if right is not None and right.value is deciding:
        return right if surely(Inference(parsed, scope).type_of(node.left), *BOOLEAN.values()) else None
    return None


def _reads(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) or any(True for _ in node.find_all(nodes.Name))


def _unreadable(parsed: Parsed, scope: Scope) -> Analysis:
    """What is wrong with a bare text that has no tree; within `${{ }}` it is read all the same."""
    brackets = wrapped(parsed)
    if brackets is None:
        return Analysis(problems=parsed.problems)
    inner = _bare(brackets.inner, scope) if brackets.inner.strip() else Analysis()
    by = brackets.offset
    return Analysis(
        tuple(
            replace(one, offset=one.offset + by, words=tuple((at + by, size) for at, size in one.words))
            for one in inner.references
        ),
        (brackets.problem, *(replace(one, offset=one.offset + by) for one in inner.problems)),
        inner.type,
    )


def _too_deep(text: str) -> Analysis:
    return Analysis(
        problems=(Problem("E403", "the expression is nested too deeply", "split it", 0, len(text)),)
    )


def _in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(dict.fromkeys(sorted(problems, key=lambda one: (one.offset, one.code, one.message))))
