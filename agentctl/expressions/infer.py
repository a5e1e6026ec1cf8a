"""The types of an expression's parts, over its tree: what is read, compared, and cannot be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from jinja2 import nodes

from agentctl.expressions.extent import extent
from agentctl.expressions.facts import Place, facts
from agentctl.expressions.filter_types import FilterTypes
from agentctl.expressions.lookups import LOOP_TYPES, Step, field_meant, no_field, unknown_name
from agentctl.expressions.operations import arithmetic, comparison_problem
from agentctl.expressions.parse import Parsed
from agentctl.expressions.problem import Comparison, Mend, Problem, Reference
from agentctl.expressions.types import (
    ANYTHING,
    BOOLEAN,
    NUMBER,
    STRING,
    any_field_of,
    array_of,
    described,
    field_of,
    item_of,
    surely,
    surely_not,
    union,
)
from agentctl.json import Json

_SIGNS = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "lteq": "<=",
    "gt": ">",
    "gteq": ">=",
    "in": "in",
    "notin": "not in",
}
_CODES = {"state": "E410", "env": "E412", "args": "E413", "run": "E414"}


@dataclass(frozen=True, slots=True)
class _Local:
    """A loop's name: its type, and the code that a field it lacks is reported by."""

    type: Json
    code: str


class Inference:
    """Walks a tree once. What it finds gathers in `references`, `problems` and `comparisons`."""

    def __init__(self, parsed: Parsed, scope: Mapping[str, Json]) -> None:
        self.references: list[Reference] = []
        self.problems: list[Problem] = []
        self.comparisons: list[Comparison] = []
        self._parsed = parsed
        self._scope = scope
        self._locals: dict[str, _Local] = {}
        self._guards: frozenset[Place] = frozenset()
        self._soft = False
        self._filters = FilterTypes(self)

    # statements

    def read(self, body: Iterable[nodes.Node]) -> None:
        """Walk the statements of a template."""
        for node in body:
            match node:
                case nodes.Output():
                    for part in node.nodes:
                        self.type_of(part)
                case nodes.If():
                    self._if([node, *node.elif_], node.else_)
                case nodes.For():
                    self._for(node)

    def _if(self, arms: list[nodes.If], otherwise: list[nodes.Node]) -> None:
        known = self._guards
        for arm in arms:
            self.type_of(arm.test)
            with self._knowing(facts(arm.test, True)):
                self.read(arm.body)
            self._guards |= facts(arm.test, False)
        self.read(otherwise)
        self._guards = known

    def _for(self, node: nodes.For) -> None:
        through = self.type_of(node.iter)
        if surely_not(through, "array", "string", "object"):
            self.wrong_type(node.iter, f"`for` goes through an array, and this is {described(through)}")
        item = item_of(through)
        code = self.code_of(node.iter)
        outer = dict(self._locals)
        if isinstance(node.target, nodes.Name):
            self._locals[node.target.name] = _Local(item, code)
        else:
            self._locals.update(
                {name.name: _Local(ANYTHING, code) for name in node.target.find_all(nodes.Name)}
            )
        if node.test is not None:
            self.type_of(node.test)
        loop = {"type": "object", "properties": LOOP_TYPES, "additionalProperties": False}
        self._locals.setdefault("loop", _Local(loop, "E411"))
        with self._knowing(facts(node.test, True) if node.test else frozenset()):
            self.read(node.body)
        self._locals = outer
        self.read(node.else_)

    # expressions

    def type_of(self, node: nodes.Node) -> Json:
        """The type of `node`; everything in it is looked at once."""
        return self._visit(node, soft=False)

    def soft_type_of(self, node: nodes.Node) -> Json:
        """As `type_of`, where what is read need not be there."""
        return self._visit(node, soft=True)

    def _visit(self, node: nodes.Node, *, soft: bool) -> Json:
        visit: Callable[[nodes.Node], Json] = getattr(self, f"_{type(node).__name__.lower()}")
        outer, self._soft = self._soft, soft
        result = visit(node)
        self._soft = outer
        return result

    def _templatedata(self, node: nodes.TemplateData) -> Json:
        return STRING

    def _const(self, node: nodes.Const) -> Json:
        return {"const": node.value}

    def _name(self, node: nodes.Name) -> Json:
        return self._path(node)

    def _getattr(self, node: nodes.Getattr) -> Json:
        return self._path(node)

    def _getitem(self, node: nodes.Getitem) -> Json:
        if isinstance(node.arg, nodes.Slice):
            return self._sliced(node, node.arg)
        return self._path(node)

    def _sliced(self, node: nodes.Getitem, by: nodes.Slice) -> Json:
        base = self.type_of(node.node)
        for part in (by.start, by.stop, by.step):
            if part is not None:
                self.type_of(part)
        if surely_not(base, "array", "string"):
            self.wrong_type(node, f"only an array or a string has parts, and this is {described(base)}")
        if surely(base, "string"):
            return STRING
        return array_of(item_of(base)) if surely(base, "array") else ANYTHING

    def _tuple(self, node: nodes.Tuple | nodes.List) -> Json:
        items = [self.type_of(part) for part in node.items]
        return array_of(union(items)) if items else {"type": "array", "maxItems": 0}

    _list = _tuple

    def _dict(self, node: nodes.Dict) -> Json:
        fields: dict[str, Json] = {}
        for pair in node.items:
            value = self.type_of(pair.value)
            if isinstance(pair.key, nodes.Const):
                fields[pair.key.value] = value
            else:
                self.type_of(pair.key)
        if len(fields) < len(node.items):
            return {"type": "object"}
        closed = {"type": "object", "properties": fields, "additionalProperties": False}
        return {**closed, "required": [*fields]}

    def _compare(self, node: nodes.Compare) -> Json:
        left_node, left = node.expr, self.type_of(node.expr)
        for operand in node.ops:
            right = self.type_of(operand.expr)
            self._compared(_SIGNS[operand.op], left_node, left, operand.expr, right)
            left_node, left = operand.expr, right
        return BOOLEAN

    def _compared(
        self, sign: str, left_node: nodes.Expr, left: Json, right_node: nodes.Expr, right: Json
    ) -> None:
        left_span, right_span = extent(self._parsed, left_node), extent(self._parsed, right_node)
        if sign in ("in", "not in") and isinstance(right_node, nodes.List | nodes.Tuple):
            for part in right_node.items:
                with self._unheard():
                    one = self.type_of(part)
                same = "==" if sign == "in" else "!="
                self.comparisons.append(Comparison(same, left, one, left_span, extent(self._parsed, part)))
        else:
            self.comparisons.append(Comparison(sign, left, right, left_span, right_span))
        if problem := comparison_problem(sign, left, right):
            start = min(left_span[0], right_span[0])
            end = max(sum(left_span), sum(right_span))
            self.problems.append(Problem("E434", *problem, start, end - start))

    def _and(self, node: nodes.And) -> Json:
        left = self.type_of(node.left)
        with self._knowing(facts(node.left, True)):
            return union((left, self.type_of(node.right)))

    def _or(self, node: nodes.Or) -> Json:
        left = self.type_of(node.left)
        with self._knowing(facts(node.left, False)):
            return union((left, self.type_of(node.right)))

    def _not(self, node: nodes.Not) -> Json:
        self.type_of(node.node)
        return BOOLEAN

    def _condexpr(self, node: nodes.CondExpr) -> Json:
        self.type_of(node.test)
        with self._knowing(facts(node.test, True)):
            then = self._visit(node.expr1, soft=self._soft)
        with self._knowing(facts(node.test, False)):
            return union((then, self._visit(node.expr2, soft=self._soft) if node.expr2 else ANYTHING))

    def _arithmetic(self, node: nodes.BinExpr) -> Json:
        left, right = self.type_of(node.left), self.type_of(node.right)
        result, problem = arithmetic(node.operator, left, right)
        if problem:
            self.wrong_type(node, *problem)
        return result

    _add = _sub = _mul = _div = _floordiv = _pow = _arithmetic

    def _concat(self, node: nodes.Concat) -> Json:
        for part in node.nodes:
            self.type_of(part)
        return STRING

    def _neg(self, node: nodes.UnaryExpr) -> Json:
        value = self.type_of(node.node)
        if surely_not(value, "number", "boolean"):
            self.wrong_type(node, f"`{node.operator}` needs a number, and this is {described(value)}")
        return {"type": "integer"} if surely(value, "integer", "boolean") else NUMBER

    _pos = _neg

    def _test(self, node: nodes.Test) -> Json:
        if node.name in ("defined", "undefined"):
            self.soft_type_of(node.node)
            return BOOLEAN
        left = self.type_of(node.node)
        for part in node.args:
            right = self.type_of(part)
            if node.name == "in":
                self._compared("in", node.node, left, part, right)
        return BOOLEAN

    def _filter(self, node: nodes.Filter) -> Json:
        return self._filters.type_of(node, soft=self._soft)

    # look-ups

    def _path(self, node: nodes.Node) -> Json:
        """A name, or look-ups one after the other."""
        chain: list[nodes.Getattr | nodes.Getitem] = []
        while isinstance(node, nodes.Getattr) or (
            isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Slice)
        ):
            chain.append(node)
            node = node.node
        steps = [self._step(link) for link in reversed(chain)]
        if not isinstance(node, nodes.Name):
            return self._walk(self._visit(node, soft=self._soft), steps, node, self.code_of(node))
        if (local := self._locals.get(node.name)) is not None:
            return self._walk(local.type, steps, node, local.code)
        return self._reference(node, steps)

    def _reference(self, name: nodes.Name, steps: list[Step]) -> Json:
        word = (name.lineno, len(name.name))
        if name.name not in self._scope:
            hidden = [*self._locals]
            code = "X02" if name.name == "env" else "E411"
            sought = steps[0].key if steps and isinstance(steps[0].key, str) else None
            said = unknown_name(name.name, self._scope, hidden, sought)
            mend = Mend(*word, f"state.{name.name}") if said[1] == field_meant(name.name) else None
            self.problems.append(Problem(code, *said, *word, mend))
            return ANYTHING
        path: list[str | int] = []
        words = [word]
        for step in steps:
            if step.key is None:
                break
            path.append(step.key)
            words.append((step.offset, step.length))
        place = (name.name, tuple(path))
        end = max([sum(word), *(step.end for step in steps[: len(path)])])
        self.references.append(
            Reference(*place, word[0], end - word[0], tuple(words), self._is_guarded(place))
        )
        code = _CODES.get(name.name, "E411")
        return self._walk(self._scope[name.name], steps, name, code, guarded=self._is_guarded(place))

    def _walk(
        self, type: Json, steps: list[Step], base: nodes.Node, code: str, *, guarded: bool = False
    ) -> Json:
        start, length = extent(self._parsed, base)
        end = start + length
        for number, step in enumerate(steps):
            found = any_field_of(type) if step.key is None else field_of(type, step.key)
            if found is None:
                # What a closed root lacks is never there; deeper down, asking may be meant.
                if number == 0 or not (guarded or self._soft):
                    said = no_field(self._parsed.text[start:end], step.key, type, code)
                    self.problems.append(Problem(code, *said, step.offset, step.length))
                return ANYTHING
            type, end = found, step.end
        return type

    def _step(self, node: nodes.Getattr | nodes.Getitem) -> Step:
        start, length = extent(self._parsed, node)
        if isinstance(node, nodes.Getattr):
            word = self._parsed.token_after(node.lineno)
            return Step(node.attr, word.offset, word.length, start + length)
        offset, size = extent(self._parsed, node.arg)
        if isinstance(node.arg, nodes.Const) and type(node.arg.value) in (str, int):
            return Step(node.arg.value, offset, size, start + length)
        self.type_of(node.arg)
        return Step(None, offset, size, start + length)

    def code_of(self, node: nodes.Node | None) -> str:
        """The code by which a field is reported that what `node` gives does not have."""
        while not isinstance(node, nodes.Name):
            if not isinstance(node, nodes.Getattr | nodes.Getitem | nodes.Filter):
                return "E411"
            node = node.node
        local = self._locals.get(node.name)
        return local.code if local else _CODES.get(node.name, "E411")

    # what is known

    def _is_guarded(self, place: Place) -> bool:
        root, path = place
        return self._soft or any(
            root == other and (path[: len(known)] == known or known[: len(path)] == path)
            for other, known in self._guards
        )

    @contextmanager
    def _knowing(self, places: frozenset[Place]) -> Iterator[None]:
        known = self._guards
        self._guards = known | places
        yield
        self._guards = known

    @contextmanager
    def _unheard(self) -> Iterator[None]:
        """A part that is looked at a second time."""
        kept = len(self.references), len(self.problems), len(self.comparisons)
        yield
        del self.references[kept[0] :], self.problems[kept[1] :], self.comparisons[kept[2] :]

    def wrong_type(self, node: nodes.Node, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem("E434", message, hint, *extent(self._parsed, node)))

    def lacks(self, node: nodes.Node, code: str, message: str, hint: str | None) -> None:
        self.problems.append(Problem(code, message, hint, *extent(self._parsed, node)))
