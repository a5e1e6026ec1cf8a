"""From Jinja's tree to a Python code object: no runtime of Jinja's, plain look-ups, helpers where a value can grow.

Every Python node takes the number of its Jinja node as its line, so that a traceback says which part failed.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from types import CodeType
from typing import TypeVar

from jinja2 import nodes

from agentctl.expressions import filters, values
from agentctl.expressions.allowed import loop_fields, named_arguments, not_allowed
from agentctl.expressions.failure import FAILURES, FILE, Failure
from agentctl.expressions.parse import Parsed, parse_bare, parse_template
from agentctl.expressions.problem import ExpressionError
from agentctl.json import Json

Compiled = Callable[[Mapping[str, Json]], Json]
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
_FEW = 8
"""Up to so many values, a text is put together at once."""


def bare(text: str) -> Compiled:
    """Raises ExpressionError for what is unreadable or not allowed."""
    parsed = _checked(parse_bare(text))
    return _Compiler(parsed).compile_value(parsed.body[0])


def template(text: str) -> Compiled:
    """Raises ExpressionError for what is unreadable or not allowed."""
    parsed = _checked(parse_template(text))
    alone = lone(parsed)
    if alone is not None:
        return _Compiler(parsed).compile_value(alone)
    return _Compiler(parsed).compile_text(parsed.body)


def lone(parsed: Parsed) -> nodes.Expr | None:
    """The expression of a text that is one `${{ … }}` and white space."""
    if len(parsed.body) != 1 or not isinstance(parsed.body[0], nodes.Output):
        return None
    parts = [
        part
        for part in parsed.body[0].nodes
        if not (isinstance(part, nodes.TemplateData) and not part.data.strip())
    ]
    return parts[0] if len(parts) == 1 and not isinstance(parts[0], nodes.TemplateData) else None


def _checked(parsed: Parsed) -> Parsed:
    for problem in parsed.problems or not_allowed(parsed):
        raise ExpressionError(
            problem.message,
            hint=problem.hint,
            text=parsed.text,
            offset=problem.offset,
            length=problem.length,
        )
    return parsed


class _Compiler:
    """Builds one function: what it needs is gathered while its expression is written."""

    def __init__(self, parsed: Parsed) -> None:
        self._parsed = parsed
        self._nodes: list[nodes.Node] = []
        self._globals: dict[str, Json] = {"MISSING": values.MISSING, "FAILURES": FAILURES}
        self._locals: dict[str, str] = {}
        self._words: dict[int, str] = {}
        self._loops: list[tuple[str, str]] = []
        self._depth = 0
        self._made = 0
        self._spends = False

    def compile_value(self, node: nodes.Node) -> Compiled:
        result = self.hard(node)
        if _builds(node):
            result = self._help(values.bounded, result)
        return self._function([ast.Return(result)])

    def compile_text(self, body: tuple[nodes.Node, ...]) -> Compiled:
        if len(body) == 1 and isinstance(body[0], nodes.Output):
            parts = body[0].nodes
            if sum(not isinstance(part, nodes.TemplateData) for part in parts) <= _FEW:
                whole = ast.Tuple([self._printed(part) for part in parts], ast.Load())
                return self._function([ast.Return(self._help(values.joined, whole))])
        out = ast.Assign([_store("out")], self._help(values.Output))
        write = ast.Assign([_store("write")], ast.Attribute(_load("out"), "write", ast.Load()))
        text = ast.Return(ast.Call(ast.Attribute(_load("out"), "text", ast.Load()), [], []))
        return self._function([out, write, *self._statements(body), text])

    def _function(self, body: list[ast.stmt]) -> Compiled:
        if self._spends:
            body = [ast.Assign([_store("budget")], self._help(values.Budget)), *body]
        self._globals["explain"] = Failure(self._parsed, tuple(self._nodes), self._words)
        explain = ast.Call(_load("explain"), [_load("error"), _load("names")], [])
        handler = ast.ExceptHandler(_load("FAILURES"), "error", [ast.Raise(explain, _load("error"))])
        function = ast.FunctionDef(
            name="expression",
            args=ast.arguments([], [ast.arg("names")], None, [], [], None, []),
            body=[ast.Try(body, [handler], [], [])],
            decorator_list=[],
            lineno=1,
            col_offset=0,
        )
        module = ast.fix_missing_locations(ast.Module([function], []))
        code: CodeType = compile(module, FILE, "exec")
        exec(code, self._globals)
        compiled: Compiled = self._globals["expression"]
        return compiled

    # statements

    def _statements(self, body: tuple[nodes.Node, ...] | list[nodes.Node]) -> list[ast.stmt]:
        made: list[ast.stmt] = []
        for node in body:
            match node:
                case nodes.Output():
                    made.extend(self._write(part) for part in node.nodes)
                case nodes.For():
                    made.extend(self._for(node))
                case nodes.If():
                    made.append(self._if(node))
                case _:
                    raise AssertionError(f"{type(node).__name__} was let through")
        return made or [ast.Pass()]

    def _write(self, part: nodes.Expr) -> ast.stmt:
        return ast.Expr(ast.Call(_load("write"), [self._printed(part)], []))

    def _printed(self, part: nodes.Expr) -> ast.expr:
        if isinstance(part, nodes.TemplateData):
            return ast.Constant(part.data)
        return self._at(part, self._help(values.text, self.hard(part)))

    def _if(self, node: nodes.If) -> ast.stmt:
        otherwise = self._statements(node.else_) if node.else_ else []
        for branch in reversed(node.elif_):
            otherwise = [ast.If(self.hard(branch.test), self._statements(branch.body), otherwise)]
        return ast.If(self.hard(node.test), self._statements(node.body), otherwise)

    def _for(self, node: nodes.For) -> list[ast.stmt]:
        items, index = self._new("items"), self._new("index")
        source = self._at(node.iter, self._spend(values.items, self.hard(node.iter)))
        made: list[ast.stmt] = [ast.Assign([_store(items)], source)]
        outer = dict(self._locals)
        target = self._target(node.target)
        self._depth += 1
        if node.test is not None:
            chosen = ast.comprehension(target, _load(items), [self.hard(node.test)], 0)
            made.append(ast.Assign([_store(items)], ast.ListComp(_load_target(target), [chosen])))
        self._loops.append((items, index))
        pair = ast.Tuple([_store(index), target], ast.Store())
        through = ast.Call(_load("enumerate"), [_load(items)], [])
        made.append(self._at(node.iter, ast.For(pair, through, self._statements(node.body), [])))
        self._loops.pop()
        self._depth -= 1
        self._locals = outer
        if node.else_:
            empty = ast.UnaryOp(ast.Not(), _load(items))
            made.append(ast.If(empty, self._statements(node.else_), []))
        return made

    def _target(self, node: nodes.Node) -> ast.expr:
        if isinstance(node, nodes.Tuple):
            return ast.Tuple([self._target(part) for part in node.items], ast.Store())
        assert isinstance(node, nodes.Name)
        self._locals[node.name] = self._new("v")
        return _store(self._locals[node.name])

    # expressions

    def hard(self, node: nodes.Node) -> ast.expr:
        """`node` where what is not there is an error."""
        made: ast.expr = getattr(self, f"_{type(node).__name__.lower()}")(node)
        return self._at(node, made)

    def soft(self, node: nodes.Node) -> ast.expr:
        """`node` where what is not there is MISSING."""
        made: ast.expr
        match node:
            case nodes.Name() if node.name not in self._locals:
                made = self._help(values.name, _load("names"), ast.Constant(node.name))
            case nodes.Getattr() if not self._is_loop(node):
                made = self._help(values.item, self.soft(node.node), ast.Constant(node.attr))
            case nodes.Getitem() if not isinstance(node.arg, nodes.Slice):
                made = self._help(values.item, self.soft(node.node), self.hard(node.arg))
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
        return self._at(node, made)

    def _name(self, node: nodes.Name) -> ast.expr:
        if node.name in self._locals:
            self._words[id(node)] = self._locals[node.name]
            return _load(self._locals[node.name])
        return ast.Subscript(_load("names"), ast.Constant(node.name), ast.Load())

    def _const(self, node: nodes.Const) -> ast.expr:
        return ast.Constant(node.value)

    def _getattr(self, node: nodes.Getattr) -> ast.expr:
        if self._is_loop(node):
            return self._loop_field(node.attr)
        return ast.Subscript(self.hard(node.node), ast.Constant(node.attr), ast.Load())

    def _getitem(self, node: nodes.Getitem) -> ast.expr:
        return ast.Subscript(self.hard(node.node), self.hard(node.arg), ast.Load())

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
        return self._help(values.mapping, *(ast.Tuple([key, part], ast.Load()) for key, part in pairs))

    def _compare(self, node: nodes.Compare) -> ast.expr:
        operand = node.ops[0]
        if self._depth and len(node.ops) == 1 and operand.op in ("eq", "ne", "in", "notin"):
            helper = values.equal if operand.op in ("eq", "ne") else values.contains
            made = self._spend(helper, self.hard(node.expr), self.hard(operand.expr))
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
        return self._charged(self._help(helper, self.hard(node.left), self.hard(node.right)))

    _add = _sub = _mul = _div = _floordiv = _pow = _arithmetic

    def _concat(self, node: nodes.Concat) -> ast.expr:
        return self._charged(self._help(values.concat, *(self.hard(part) for part in node.nodes)))

    def _neg(self, node: nodes.Neg) -> ast.expr:
        return self._help(values.negative, self.hard(node.node))

    def _pos(self, node: nodes.Pos) -> ast.expr:
        return self._help(values.positive, self.hard(node.node))

    def _test(self, node: nodes.Test) -> ast.expr:
        if node.name in ("defined", "undefined"):
            sign = ast.IsNot() if node.name == "defined" else ast.Is()
            return ast.Compare(self.soft(node.node), [sign], [_load("MISSING")])
        value = self.hard(node.node)
        if node.name == "none":
            return ast.Compare(value, [ast.Is()], [ast.Constant(None)])
        if node.name == "in" and self._depth:
            return self._spend(values.contains, value, self.hard(node.args[0]))
        return self._help(filters.TESTS[node.name], value, *map(self.hard, node.args), word=f"is_{node.name}")

    def _filter(self, node: nodes.Filter) -> ast.expr:
        if node.name == "default":
            return self._default(node, self.hard)
        assert node.node is not None
        made = self._call_filter(node, self.hard(node.node))
        if node.name in ("first", "last", "min", "max"):
            made = self._help(values.present, made)
        return made

    def _call_filter(self, node: nodes.Filter, value: ast.expr) -> ast.expr:
        args = [value, *map(self.hard, node.args)]
        named = [ast.keyword(word, self.hard(part)) for word, part in named_arguments(node)]
        helper = filters.FILTERS[node.name]
        if node.name in _FREE:
            return self._help(helper, ast.Constant(None), *args, named=named)
        return self._spend(helper, *args, named=named)

    def _default(self, node: nodes.Filter, mode: Callable[[nodes.Node], ast.expr]) -> ast.expr:
        """The value if it is there, else the other, which is worked out only then."""
        given = dict(zip(("default_value", "boolean"), node.args, strict=False))
        given.update(named_arguments(node))
        assert node.node is not None
        other = mode(given["default_value"]) if "default_value" in given else ast.Constant("")
        word = self._new("found")
        found = ast.NamedExpr(_store(word), self.soft(node.node))
        is_there: ast.expr = ast.Compare(found, [ast.IsNot()], [_load("MISSING")])
        if "boolean" in given:
            unasked = ast.UnaryOp(ast.Not(), self.hard(given["boolean"]))
            is_there = ast.BoolOp(ast.And(), [is_there, ast.BoolOp(ast.Or(), [_load(word), unasked])])
        return ast.IfExp(is_there, _load(word), other)

    # `loop`

    def _is_loop(self, node: nodes.Getattr) -> bool:
        return (
            bool(self._loops)
            and isinstance(node.node, nodes.Name)
            and node.node.name == "loop"
            and "loop" not in self._locals
            and node.attr in loop_fields()
        )

    def _loop_field(self, field: str) -> ast.expr:
        items, index = self._loops[-1]
        count = ast.Call(_load("len"), [_load(items)], [])
        position = _load(index)
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

    def _new(self, word: str) -> str:
        self._made += 1
        return f"{word}_{self._made}"

    def _at(self, node: nodes.Node, made: _Made) -> _Made:
        self._nodes.append(node)
        made.lineno = made.end_lineno = len(self._nodes) + 1
        made.col_offset = made.end_col_offset = 0
        return made

    def _help(
        self,
        function: Callable[..., Json],
        *args: ast.expr,
        named: list[ast.keyword] | None = None,
        word: str | None = None,
    ) -> ast.Call:
        word = word or f"{function.__module__.rpartition('.')[2]}_{function.__name__}"
        self._globals[word] = function
        return ast.Call(_load(word), list(args), named or [])

    def _spend(
        self, function: Callable[..., Json], *args: ast.expr, named: list[ast.keyword] | None = None
    ) -> ast.Call:
        self._spends = True
        return self._help(function, _load("budget"), *args, named=named)

    def _charged(self, made: ast.expr) -> ast.expr:
        """In a loop, what grows is paid for."""
        return self._spend(values.Budget.charged, made) if self._depth else made


def _builds(node: nodes.Node) -> bool:
    """Whether the value of `node` may be larger than what it reads."""
    growing = (nodes.Tuple, nodes.List, nodes.Dict, nodes.Add, nodes.Mul)
    if isinstance(node, nodes.Compare | nodes.Not | nodes.Test | nodes.Concat):
        return False
    if isinstance(node, growing):
        return True
    if any(True for _ in node.find_all(growing)):
        return True
    found = [part.name for part in node.find_all(nodes.Filter)]
    return any(name in ("map", "sum", "default") for name in [*found, getattr(node, "name", "")])


def _load(word: str) -> ast.Name:
    return ast.Name(word, ast.Load())


def _store(word: str) -> ast.Name:
    return ast.Name(word, ast.Store())


def _load_target(target: ast.expr) -> ast.expr:
    if isinstance(target, ast.Tuple):
        return ast.Tuple([_load_target(part) for part in target.elts], ast.Load())
    assert isinstance(target, ast.Name)
    return _load(target.id)
