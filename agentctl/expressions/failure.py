"""From a Python exception inside a compiled expression to words about the expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import FrameType, TracebackType

from jinja2 import nodes as tree

from agentctl.expressions.extent import extent
from agentctl.expressions.parse import Parsed
from agentctl.expressions.problem import ExpressionError
from agentctl.expressions.values import MISSING, Refused, item
from agentctl.expressions.words import a_kind, in_our_words, list_of
from agentctl.json import Json
from agentctl.spec.nearest import nearest

FILE = "<expression>"
FAILURES = (Refused, LookupError, TypeError, ValueError, ArithmeticError, RecursionError)
"""What evaluation raises; anything else comes from what a name stands for, and passes through."""


@dataclass(frozen=True)
class Failure:
    """Explains what went wrong in one compiled expression."""

    parsed: Parsed
    nodes: tuple[tree.Node, ...]
    """The node of line n of the code stands at n - 2."""
    words: Mapping[int, str]
    """The Python variable of each name that is a loop's, by the node's id."""

    def __call__(self, error: Exception, names: Mapping[str, Json]) -> ExpressionError:
        node, frame = self._failed(error.__traceback__)
        if node is None:
            offset, length = 0, len(self.parsed.text)
        else:
            offset, length = extent(self.parsed, node)
        message, hint = self._said(error, node, _Values(names, self.words, frame))
        snippet = self.parsed.text[offset : offset + length]
        if f"`{snippet}`" not in message:
            message = f"{message}, in `{snippet}`"
        return ExpressionError(message, hint=hint, text=self.parsed.text, offset=offset, length=length)

    def _failed(self, trace: TracebackType | None) -> tuple[tree.Node | None, FrameType | None]:
        found: tuple[tree.Node | None, FrameType | None] = (None, None)
        while trace is not None:
            number = trace.tb_lineno - 2
            if trace.tb_frame.f_code.co_filename == FILE and 0 <= number < len(self.nodes):
                found = (self.nodes[number], trace.tb_frame)
            trace = trace.tb_next
        return found

    def _said(self, error: Exception, node: tree.Node | None, values: _Values) -> tuple[str, str | None]:
        if isinstance(error, Refused):
            return str(error), None
        if isinstance(node, tree.Name) and isinstance(error, KeyError):
            return _unknown_name(node.name, values)
        if isinstance(node, tree.Getattr | tree.Getitem) and isinstance(error, LookupError | TypeError):
            return self._not_there(node, error, values)
        if isinstance(error, ZeroDivisionError):
            return "division by zero", None
        if isinstance(error, OverflowError):
            return "the number is too large", None
        if isinstance(error, RecursionError):
            return "the data is nested too deeply", None
        return in_our_words(str(error)), None

    def _not_there(
        self, node: tree.Getattr | tree.Getitem, error: Exception, values: _Values
    ) -> tuple[str, str | None]:
        offset, length = extent(self.parsed, node.node)
        whole = self.parsed.text[offset : offset + length]
        base = values.of(node.node)
        if isinstance(node, tree.Getitem) and isinstance(node.arg, tree.Slice):
            return f"`{whole}` cannot be sliced: {in_our_words(str(error))}", None
        key = node.attr if isinstance(node, tree.Getattr) else values.of(node.arg)
        if isinstance(error, KeyError) and error.args:
            key = error.args[0]
        if isinstance(error, IndexError):
            what = "such item" if key is MISSING else f"item {key!r}"
            return f"`{whole}` has no {what}" + (f": it has {len(base)}" if _sized(base) else ""), None
        if isinstance(base, Mapping):
            return _no_field(whole, key, base)
        if isinstance(error, KeyError):
            return f"`{whole}` has no `{key}`", None
        said = a_kind(base) if base is not MISSING else "no object"
        return f"`{whole}` is {said} and has no " + ("such item" if key is MISSING else f"`{key}`"), None


@dataclass(frozen=True)
class _Values:
    """What names and look-ups stood for when the expression failed; nothing is worked out again."""

    names: Mapping[str, Json]
    words: Mapping[int, str]
    frame: FrameType | None

    def of(self, node: tree.Node) -> Json:
        match node:
            case tree.Const():
                return node.value
            case tree.Name():
                if word := self.words.get(id(node)):
                    return self.frame.f_locals.get(word, MISSING) if self.frame else MISSING
                return self.names.get(node.name, MISSING)
            case tree.Getattr():
                return self._inside(self.of(node.node), node.attr)
            case tree.Getitem():
                return self._inside(self.of(node.node), self.of(node.arg))
        return MISSING

    def _inside(self, base: Json, key: Json) -> Json:
        """Only plain data is looked into again: anything else may do work."""
        return item(base, key) if isinstance(base, dict | list) and isinstance(key, str | int) else MISSING


def _unknown_name(name: str, values: _Values) -> tuple[str, str | None]:
    near = nearest(name, values.names)
    known = list_of(values.names)
    hint = f"did you mean `{near}`?" if near else f"there is {known}" if known else None
    return f"there is no `{name}` here", hint


def _no_field(whole: str, key: Json, base: Mapping[str, Json]) -> tuple[str, str | None]:
    near = nearest(key, base) if isinstance(key, str) else None
    known = list_of(base)
    hint = f"did you mean `{near}`?" if near else f"it has {known}" if known else "it is empty"
    return f"`{whole}` has no `{key}`", hint


def _sized(value: Json) -> bool:
    return isinstance(value, Sequence)
