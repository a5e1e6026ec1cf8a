"""The Python code of an expression: plain look-ups and comparisons, helpers where a value can grow or be missing.

Every Python node takes the number of its Jinja node as its line, so that a traceback says which part failed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import TypeVar

from jinja2 import nodes

from agentctl.expressions import filters, values
from agentctl.expressions.allowed import loop_fields, named_arguments
from agentctl.expressions.parse import Parsed
from agentctl.json import Json

_Made = TypeVar("_Made", ast.expr, ast.Call, ast.For)

_OPERATORS: Mapping[str, type[ast.cmpop]] = {
    "eq": ast.Eq,
    "ne": ast.NotEq,
    "lt": ast.Lt,
    "lteq": ast.LtE,
    "gt": ast.Gt,
    "gteq": ast.GtE,
    "in": ast.In,
    "notin": ast.NotIn,
}
_ARITHMETIC = {
    "Add": values.add,
    "Sub": values.sub,
    "Mul": values.mul,
    "Div": values.div,
    "FloorDiv": values.floordiv,
    "Pow": values.power,
}
_FREE = frozenset({"abs", "default", "first", "last", "int", "float", "length", "round"})
"""Filters that never spend, so that an expression with only these needs no budget."""
_LOOKED_UP = (nodes.Name, nodes.Getattr, nodes.Getitem)


class ExpressionCode:
    """Writes expressions; gathers the helpers they call, and the Jinja node of each line."""

    def __init__(self, parsed: Parsed) -> None:
        self.parsed = parsed
        self.nodes: list[nodes.Node] = []
        self.globals: dict[str, Json] = {"MISSING": values.MISSING}
        self.locals: dict[str, str] = {}
        self.words: dict[int, str] = {}
        self.loops: list[tuple[str, str]] = []
        self.depth = 0
        self._made = 0
        self.spends = False

    def hard(self, node: nodes.Node) -> ast.expr:
        """`node` where what is not there is an error."""
        made: ast.expr = getattr(self, f"_{type(node).__name__.lower()}")(node)
        return self.at(node, made)

    def soft(self, node: nodes.Node) -> ast.expr:
        """`node` where what is not there is MISSING."""
        made: ast.expr
        match node:
            case nodes.Name() if node.name not in self.locals:
                made = self.help(values.name, load("names"), ast.Constant(node.name))
            case nodes.Getattr() if not self._is_loop(node):
                made = self.help(values.item, self.soft(node.node), ast.Constant(node.attr))
            case nodes.Getitem() if not isinstance(node.arg, nodes.Slice):
                made = self.help(values.item, self.soft(node.node), self.hard(node.arg))
            case nodes.Filter(name="first" | "last" | "min" | "max"):
                assert node.node is not None
                made = self._call_filter(node, self.soft(node.node))
            case nodes.Filter(name="default"):
                made = self._default(node, self.soft)
            case nodes.CondExpr():
                assert node.expr2 is not None
                made = ast.IfExp(self.hard(node.test), self.soft(node.expr1), self.soft(node.expr2))
            case _:
                return self.hard(node)
        return self.at(node, made)

    def _name(self, node: nodes.Name) -> ast.expr:
        if node.name in self.locals:
            self.words[id(node)] = self.locals[node.name]
            return load(self.locals[node.name])
        return ast.Subscript(load("names"), ast.Constant(node.name), ast.Load())

    def _const(self, node: nodes.Const) -> ast.expr:
        return ast.Constant(node.value)

    def _getattr(self, node: nodes.Getattr) -> ast.expr:
        if self._is_loop(node):
            return self._loop_field(node.attr)
        return self._subscript(node.node, ast.Constant(node.attr))

    def _getitem(self, node: nodes.Getitem) -> ast.expr:
        return self._subscript(node.node, self.hard(node.arg))

    def _subscript(self, base: nodes.Node, key: ast.expr) -> ast.expr:
        return ast.Subscript(self._unfolded(base, self.hard(base)), key, ast.Load())

    def _unfolded(self, node: nodes.Node, made: ast.expr) -> ast.expr:
        """`made`, hidden from Python's compiler where it may be constant: it warns of `1[0]` and `'a' is None`."""
        return made if isinstance(node, _LOOKED_UP) else self.help(values.itself, made)

    def _slice(self, node: nodes.Slice) -> ast.expr:
        parts = [self.hard(part) if part else None for part in (node.start, node.stop, node.step)]
        return ast.Slice(*parts)

    def _tuple(self, node: nodes.Tuple) -> ast.expr:
        return ast.List([self.hard(part) for part in node.items], ast.Load())

    def _list(self, node: nodes.List) -> ast.expr:
        return ast.List([self.hard(part) for part in node.items], ast.Load())

    def _dict(self, node: nodes.Dict) -> ast.expr:
        keys = [self.hard(pair.key) for pair in node.items]
        parts = [self.hard(pair.value) for pair in node.items]
        if all(isinstance(pair.key, nodes.Const) for pair in node.items):
            return ast.Dict(list(keys), parts)
        pairs = zip(keys, parts, strict=True)
        return self.help(values.mapping, *(ast.Tuple([key, part], ast.Load()) for key, part in pairs))

    def _compare(self, node: nodes.Compare) -> ast.expr:
        operand = node.ops[0]
        if self.depth and len(node.ops) == 1 and operand.op in ("eq", "ne", "in", "notin"):
            helper = values.equal if operand.op in ("eq", "ne") else values.contains
            made = self.spend(helper, self.hard(node.expr), self.hard(operand.expr))
            return ast.UnaryOp(ast.Not(), made) if operand.op in ("ne", "notin") else made
        return ast.Compare(
            self.hard(node.expr),
            [_OPERATORS[operand.op]() for operand in node.ops],
            [self.hard(operand.expr) for operand in node.ops],
        )

    def _and(self, node: nodes.And) -> ast.expr:
        return ast.BoolOp(ast.And(), [self.hard(node.left), self.hard(node.right)])

    def _or(self, node: nodes.Or) -> ast.expr:
        return ast.BoolOp(ast.Or(), [self.hard(node.left), self.hard(node.right)])

    def _not(self, node: nodes.Not) -> ast.expr:
        return ast.UnaryOp(ast.Not(), self.hard(node.node))

    def _condexpr(self, node: nodes.CondExpr) -> ast.expr:
        assert node.expr2 is not None
        return ast.IfExp(self.hard(node.test), self.hard(node.expr1), self.hard(node.expr2))

    def _arithmetic(self, node: nodes.BinExpr) -> ast.expr:
        helper = _ARITHMETIC[type(node).__name__]
        return self._charged(self.help(helper, self.hard(node.left), self.hard(node.right)))

    _add = _sub = _mul = _div = _floordiv = _pow = _arithmetic

    def _concat(self, node: nodes.Concat) -> ast.expr:
        return self._charged(self.help(values.concat, *(self.hard(part) for part in node.nodes)))

    def _neg(self, node: nodes.Neg) -> ast.expr:
        return self.help(values.negative, self.hard(node.node))

    def _pos(self, node: nodes.Pos) -> ast.expr:
        return self.help(values.positive, self.hard(node.node))

    def _test(self, node: nodes.Test) -> ast.expr:
        if node.name in ("defined", "undefined"):
            sign = ast.IsNot() if node.name == "defined" else ast.Is()
            return ast.Compare(self._unfolded(node.node, self.soft(node.node)), [sign], [load("MISSING")])
        value = self.hard(node.node)
        if node.name == "none":
            return ast.Compare(self._unfolded(node.node, value), [ast.Is()], [ast.Constant(None)])
        if node.name == "in" and self.depth:
            return self.spend(values.contains, value, self.hard(node.args[0]))
        return self.help(filters.TESTS[node.name], value, *map(self.hard, node.args), word=f"is_{node.name}")

    def _filter(self, node: nodes.Filter) -> ast.expr:
        if node.name == "default":
            return self._default(node, self.hard)
        assert node.node is not None
        made = self._call_filter(node, self.hard(node.node))
        if node.name in ("first", "last", "min", "max"):
            made = self.help(values.present, made)
        return made

    def _call_filter(self, node: nodes.Filter, value: ast.expr) -> ast.expr:
        args = [value, *map(self.hard, node.args)]
        named = [ast.keyword(word, self.hard(part)) for word, part in named_arguments(node)]
        helper = filters.FILTERS[node.name]
        if node.name in _FREE:
            return self.help(helper, ast.Constant(None), *args, named=named)
        return self.spend(helper, *args, named=named)

    def _default(self, node: nodes.Filter, mode: Callable[[nodes.Node], ast.expr]) -> ast.expr:
        """The value if it is there, else the other, which is worked out only then."""
        given = dict(zip(("default_value", "boolean"), node.args, strict=False))
        given.update(named_arguments(node))
        assert node.node is not None
        other = mode(given["default_value"]) if "default_value" in given else ast.Constant("")
        word = self.new("found")
        found = ast.NamedExpr(store(word), self.soft(node.node))
        is_there: ast.expr = ast.Compare(found, [ast.IsNot()], [load("MISSING")])
        if "boolean" in given:
            unasked = ast.UnaryOp(ast.Not(), self.hard(given["boolean"]))
            is_there = ast.BoolOp(ast.And(), [is_there, ast.BoolOp(ast.Or(), [load(word), unasked])])
        return ast.IfExp(is_there, load(word), other)

    # `loop`

    def _is_loop(self, node: nodes.Getattr) -> bool:
        return (
            bool(self.loops)
            and isinstance(node.node, nodes.Name)
            and node.node.name == "loop"
            and "loop" not in self.locals
            and node.attr in loop_fields()
        )

    def _loop_field(self, field: str) -> ast.expr:
        items, index = self.loops[-1]
        count = ast.Call(load("len"), [load(items)], [])
        position = load(index)
        one = ast.Constant(1)
        match field:
            case "index0":
                return position
            case "index":
                return ast.BinOp(position, ast.Add(), one)
            case "length":
                return count
            case "first":
                return ast.Compare(position, [ast.Eq()], [ast.Constant(0)])
            case "revindex":
                return ast.BinOp(count, ast.Sub(), position)
        after = ast.BinOp(ast.BinOp(count, ast.Sub(), position), ast.Sub(), one)
        return after if field == "revindex0" else ast.Compare(after, [ast.Eq()], [ast.Constant(0)])

    # making

    def new(self, word: str) -> str:
        self._made += 1
        return f"{word}_{self._made}"

    def at(self, node: nodes.Node, made: _Made) -> _Made:
        self.nodes.append(node)
        made.lineno = made.end_lineno = len(self.nodes) + 1
        made.col_offset = made.end_col_offset = 0
        return made

    def help(
        self,
        function: Callable[..., Json],
        *args: ast.expr,
        named: list[ast.keyword] | None = None,
        word: str | None = None,
    ) -> ast.Call:
        word = word or f"{function.__module__.rpartition('.')[2]}_{function.__name__}"
        self.globals[word] = function
        return ast.Call(load(word), list(args), named or [])

    def spend(
        self, function: Callable[..., Json], *args: ast.expr, named: list[ast.keyword] | None = None
    ) -> ast.Call:
        self.spends = True
        return self.help(function, load("budget"), *args, named=named)

    def _charged(self, made: ast.expr) -> ast.expr:
        """In a loop, what grows is paid for."""
        return self.spend(values.Budget.charged, made) if self.depth else made


def load(word: str) -> ast.Name:
    return ast.Name(word, ast.Load())


def store(word: str) -> ast.Name:
    return ast.Name(word, ast.Store())
