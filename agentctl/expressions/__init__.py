"""Expressions: Jinja2 made safe. Parsed with Jinja's own parser, analysed against types, compiled to Python code.

Bare in `when by over choose success assign_by`; text with `${{ … }}`, `{% for %}` and `{% if %}` elsewhere.
A text without any of these is itself, and Jinja2 is loaded only for one that has them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from agentctl.expressions.braces import braces_in
from agentctl.expressions.problem import (
    Analysis,
    Comparison,
    Constant,
    ExpressionError,
    Problem,
    Reference,
)
from agentctl.json import Json

__all__ = [
    "Analysis",
    "Comparison",
    "Constant",
    "Expression",
    "ExpressionError",
    "Problem",
    "Reference",
    "analyse_bare",
    "analyse_template",
    "compile_bare",
    "compile_template",
    "compile_text",
    "compile_value",
    "is_template",
]


class Expression(Protocol):
    """A compiled expression. `names` are those of the scope: `state`, `run`, `args` …"""

    def __call__(self, names: Mapping[str, Json], /) -> Json:
        """The value; raises ExpressionError."""


def is_template(text: str) -> bool:
    """Whether anything in `text` is filled in."""
    return "${{" in text or "{%" in text or "{#" in text


def analyse_bare(text: str, scope: Mapping[str, Json]) -> Analysis:
    """What a bare expression reads and gives, and what is wrong with it; never raises on what is written.

    `scope` has a JSON Schema for each name. What a closed object lacks is E410 below `state`, E412 below `env`,
    E413 below `args`, E414 below `run` and E411 elsewhere; `env` where it is not in scope is X02.
    """
    from agentctl.expressions import analyse

    return analyse.bare(text, scope)


def analyse_template(text: str, scope: Mapping[str, Json]) -> Analysis:
    """As `analyse_bare`, of a text with `${{ … }}`, `{% for %}` and `{% if %}`, or of a plain one."""
    if not is_template(text):
        useless = tuple(braces_in(text, 0, scope)) if "{" in text else ()
        return Analysis(problems=useless, type={"const": text}, constant=Constant(text))
    from agentctl.expressions import analyse

    return analyse.template(text, scope)


def compile_bare(text: str) -> Expression:
    """A bare expression, `state.sure >= 0.6`. Raises ExpressionError when it cannot be read."""
    from agentctl.expressions import compile

    return compile.bare(text)


def compile_template(text: str) -> Expression:
    """A text with `${{ … }}`; one that stands alone keeps its type. Raises ExpressionError."""
    if not is_template(text):
        return _always(text)
    from agentctl.expressions import compile

    return compile.template(text)


def compile_text(
    text: str, escape: Callable[[str], str] = str, trusted: frozenset[str] = frozenset()
) -> Expression:
    """A text with `${{ … }}` that gives a text, whatever stands in it. Raises ExpressionError.

    Each value is put in by `escape`, but for those of expressions that read nothing but `trusted` names.
    """
    if not is_template(text):
        return _always(text)
    from agentctl.expressions import compile

    return compile.text(text, escape, trusted)


def compile_value(value: Json) -> Expression:
    """Any JSON value whose strings may be templates, as under `args`, `set` and `input`."""
    if isinstance(value, str):
        return compile_template(value)
    if not _has_template(value):
        return _always(value)
    if isinstance(value, list):
        parts = [compile_value(part) for part in value]
        return lambda names: [part(names) for part in parts]
    fields = {key: compile_value(part) for key, part in value.items()}
    return lambda names: {key: part(names) for key, part in fields.items()}


def _has_template(value: Json) -> bool:
    if isinstance(value, str):
        return is_template(value)
    if isinstance(value, dict):
        return any(map(_has_template, value.values()))
    return isinstance(value, list) and any(map(_has_template, value))


def _always(value: Json) -> Expression:
    return lambda names: value
