"""From Jinja's tree to a Python function: one code object, and nothing of Jinja's runtime."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import CodeType

from jinja2 import nodes

from agentctl.expressions import values
from agentctl.expressions.allowed import not_allowed
from agentctl.expressions.code import ExpressionCode, load, store
from agentctl.expressions.failure import FAILURES, FILE, Failure
from agentctl.expressions.parse import Parsed, parse_bare, parse_template
from agentctl.expressions.problem import ExpressionError
from agentctl.json import Json

Compiled = Callable[[Mapping[str, Json]], Json]

_FEW = 8
"""Up to so many values, a text is put together at once."""


def bare(text: str) -> Compiled:
    """Raises ExpressionError for what is unreadable or not allowed."""
    with _bounded_by_the_stack(text):
        parsed = _checked(parse_bare(text))
        return _Compiler(parsed).compile_value(parsed.body[0])


def template(text: str) -> Compiled:
    """Raises ExpressionError for what is unreadable or not allowed."""
    with _bounded_by_the_stack(text):
        parsed = _checked(parse_template(text))
        alone = lone(parsed)
        if alone is not None:
            return _Compiler(parsed).compile_value(alone)
        return _Compiler(parsed).compile_text(parsed.body)


@contextmanager
def _bounded_by_the_stack(text: str) -> Iterator[None]:
    """A caller that stands deep in the stack leaves less of it than any expression needs."""
    try:
        yield
    except RecursionError:
        raise ExpressionError("the expression is nested too deeply", text=text, length=len(text)) from None


def text(source: str, escape: Callable[[str], str], trusted: frozenset[str]) -> Compiled:
    """A template whose values are escaped, but for those that read nothing but `trusted` names.

    Raises ExpressionError for what is unreadable or not allowed.
    """
    with _bounded_by_the_stack(source):
        parsed = _checked(parse_template(source))
        compiler = _Compiler(parsed)
        compiler.escape, compiler.trusted = escape, trusted
        return compiler.compile_text(parsed.body)


def value_of(parsed: Parsed, node: nodes.Node) -> Json:
    """The value of a part that reads nothing. Raises ExpressionError."""
    return _Compiler(parsed).compile_value(node)({})


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


class _Compiler(ExpressionCode):
    """Builds one function: what it needs is gathered while its expression is written."""

    escape: Callable[[str], str] | None = None
    trusted: frozenset[str] = frozenset()

    def compile_value(self, node: nodes.Node) -> Compiled:
        result = self.hard(node)
        if _builds(node):
            result = self.help(values.bounded, result)
        return self._function([ast.Return(result)])

    def compile_text(self, body: tuple[nodes.Node, ...]) -> Compiled:
        if len(body) == 1 and isinstance(body[0], nodes.Output):
            parts = body[0].nodes
            if sum(not isinstance(part, nodes.TemplateData) for part in parts) <= _FEW:
                whole = ast.Tuple([self._printed(part) for part in parts], ast.Load())
                return self._function([ast.Return(self.help(values.joined, whole))])
        out = ast.Assign([store("out")], self.help(values.Output))
        write = ast.Assign([store("write")], ast.Attribute(load("out"), "write", ast.Load()))
        text = ast.Return(ast.Call(ast.Attribute(load("out"), "text", ast.Load()), [], []))
        return self._function([out, write, *self._statements(body), text])

    def _function(self, body: list[ast.stmt]) -> Compiled:
        if self.spends:
            body = [ast.Assign([store("budget")], self.help(values.Budget)), *body]
        self.globals["FAILURES"] = FAILURES
        self.globals["explain"] = Failure(self.parsed, tuple(self.nodes), self.words)
        explain = ast.Call(load("explain"), [load("error"), load("names")], [])
        handler = ast.ExceptHandler(load("FAILURES"), "error", [ast.Raise(explain, load("error"))])
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
        exec(code, self.globals)
        compiled: Compiled = self.globals["expression"]
        return compiled

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
        return ast.Expr(ast.Call(load("write"), [self._printed(part)], []))

    def _printed(self, part: nodes.Expr) -> ast.expr:
        if isinstance(part, nodes.TemplateData):
            return ast.Constant(part.data)
        printed = self.help(values.text, self.hard(part))
        if self.escape is not None and not self.trusted.issuperset(_names(part)):
            printed = self.help(self.escape, printed, word="escape")
        return self.at(part, printed)

    def _if(self, node: nodes.If) -> ast.stmt:
        otherwise = self._statements(node.else_) if node.else_ else []
        for branch in reversed(node.elif_):
            otherwise = [ast.If(self.hard(branch.test), self._statements(branch.body), otherwise)]
        return ast.If(self.hard(node.test), self._statements(node.body), otherwise)

    def _for(self, node: nodes.For) -> list[ast.stmt]:
        items, index = self.new("items"), self.new("index")
        source = self.at(node.iter, self.spend(values.items, self.hard(node.iter)))
        made: list[ast.stmt] = [ast.Assign([store(items)], source)]
        outer = dict(self.locals)
        target = self._target(node.target)
        self.depth += 1
        if node.test is not None:
            chosen = ast.comprehension(target, load(items), [self.hard(node.test)], 0)
            made.append(ast.Assign([store(items)], ast.ListComp(_load_target(target), [chosen])))
        self.loops.append((items, index))
        pair = ast.Tuple([store(index), target], ast.Store())
        through = ast.Call(load("enumerate"), [load(items)], [])
        made.append(self.at(node.iter, ast.For(pair, through, self._statements(node.body), [])))
        self.loops.pop()
        self.depth -= 1
        self.locals = outer
        if node.else_:
            empty = ast.UnaryOp(ast.Not(), load(items))
            made.append(ast.If(empty, self._statements(node.else_), []))
        return made

    def _target(self, node: nodes.Node) -> ast.expr:
        if isinstance(node, nodes.Tuple):
            return ast.Tuple([self._target(part) for part in node.items], ast.Store())
        assert isinstance(node, nodes.Name)
        self.locals[node.name] = self.new("v")
        return store(self.locals[node.name])


def _names(part: nodes.Expr) -> Iterator[str]:
    """Those it reads, also of a loop around it."""
    if isinstance(part, nodes.Name):
        yield part.name
    for name in part.find_all(nodes.Name):
        yield name.name


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


def _load_target(target: ast.expr) -> ast.expr:
    if isinstance(target, ast.Tuple):
        return ast.Tuple([_load_target(part) for part in target.elts], ast.Load())
    assert isinstance(target, ast.Name)
    return load(target.id)
