"""What each filter takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from jinja2 import nodes

from agentctl.expressions.allowed import named_arguments
from agentctl.expressions.lookups import no_field
from agentctl.expressions.types import (
    ANYTHING,
    INTEGER,
    NUMBER,
    STRING,
    array_of,
    described,
    field_of,
    item_of,
    kinds,
    surely,
    surely_not,
    union,
)
from agentctl.json import Json

_TEXT = frozenset(("join", "lower", "replace", "sha256", "string", "tojson", "trim", "truncate", "upper"))
_SAME_ITEMS = frozenset(("reject", "rejectattr", "select", "selectattr", "sort", "unique"))
_OF_ITEMS = _SAME_ITEMS | {"first", "join", "last", "length", "map", "max", "min", "sum"}
_OF_NUMBERS = frozenset(("abs", "round"))
_ATTRIBUTE_AT = {
    "join": 1,
    "max": 1,
    "min": 1,
    "sort": 2,
    "sum": 0,
    "unique": 1,
    "selectattr": 0,
    "rejectattr": 0,
}
"""Which argument is an attribute, where it is given by place."""


class Walk(Protocol):
    """The walk over the tree that a filter stands in."""

    def type_of(self, node: nodes.Node) -> Json: ...
    def soft_type_of(self, node: nodes.Node) -> Json: ...
    def code_of(self, node: nodes.Node | None) -> str: ...
    def wrong_type(self, node: nodes.Node, message: str, hint: str | None = None) -> None: ...
    def lacks(self, node: nodes.Node, code: str, message: str, hint: str | None) -> None: ...


class FilterTypes:
    """The types of filters within one walk."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk

    def type_of(self, node: nodes.Filter, *, soft: bool) -> Json:
        """`soft` where an empty list's first item, or what it is read from, need not be there."""
        assert node.node is not None
        may_miss = node.name == "default" or (soft and node.name in ("first", "last", "max", "min"))
        value = (self._walk.soft_type_of if may_miss else self._walk.type_of)(node.node)
        given = [self._walk.type_of(part) for part in node.args]
        named = {word: self._walk.type_of(part) for word, part in named_arguments(node)}
        self._takes(node, node.name, value)
        if node.name == "map":
            return self._mapped(node, value, given, named)
        self._has_attribute(node, value)
        return _given(node.name, value, given, named)

    def _takes(self, node: nodes.Filter, name: str, value: Json) -> None:
        if name in _OF_ITEMS and surely_not(value, "array", "string", "object"):
            self._walk.wrong_type(node, f"`{name}` goes through an array, and this is {described(value)}")
        if name in _OF_NUMBERS and surely_not(value, "number", "boolean"):
            self._walk.wrong_type(node, f"`{name}` needs a number, and this is {described(value)}")

    def _mapped(self, node: nodes.Filter, value: Json, given: list[Json], named: Mapping[str, Json]) -> Json:
        item = item_of(value)
        if not given:
            field = self._field(node, item, dict(named_arguments(node))["attribute"], soft="default" in named)
            return array_of(union((field, named["default"])) if "default" in named else field)
        name = given[0]["const"]
        self._takes(node, name, item)
        return array_of(_given(name, item, given[1:], named))

    def _has_attribute(self, node: nodes.Filter, value: Json) -> None:
        """The field that a filter looks up in each item is there."""
        at = _ATTRIBUTE_AT.get(node.name)
        if at is None:
            return
        attribute = dict(named_arguments(node)).get(
            "attribute", node.args[at] if len(node.args) > at else None
        )
        if attribute is not None:
            self._field(node, item_of(value), attribute, soft=_asks_whether_there(node))

    def _field(self, node: nodes.Filter, item: Json, attribute: nodes.Expr, *, soft: bool) -> Json:
        """The type of an attribute, `a.b`, of an item."""
        if not isinstance(attribute, nodes.Const) or not isinstance(attribute.value, str | int):
            return ANYTHING
        found = [
            self._one_field(node, item, attribute, one, soft=soft) for one in str(attribute.value).split(",")
        ]
        return found[0]

    def _one_field(
        self, node: nodes.Filter, item: Json, attribute: nodes.Const, path: str, *, soft: bool
    ) -> Json:
        type = item
        for step in path.split("."):
            found = field_of(type, int(step) if step.isdecimal() else step)
            if found is None:
                if not soft:
                    code = self._walk.code_of(node)
                    self._walk.lacks(attribute, code, *no_field("", step, type, code))
                return ANYTHING
            type = found
        return type


def _asks_whether_there(node: nodes.Filter) -> bool:
    test = node.args[1] if len(node.args) > 1 else None
    return isinstance(test, nodes.Const) and test.value in ("defined", "undefined")


def _given(name: str, value: Json, given: list[Json], named: Mapping[str, Json]) -> Json:
    """The type of what filter `name` makes of a value."""
    if name in _TEXT:
        return STRING
    if name in _SAME_ITEMS:
        return array_of(item_of(value)) if kinds(value) else {"type": "array"}
    match name:
        case "default":
            return union((value, given[0] if given else named.get("default_value", {"const": ""})))
        case "first" | "last" | "max" | "min":
            return item_of(value)
        case "length":
            return INTEGER
        case "int" | "float":
            other = given[0] if given else named.get("default", INTEGER)
            return union((INTEGER if name == "int" else NUMBER, other))
        case "round":
            common = len(given) < 2 and "method" not in named
            return INTEGER if common and surely(value, "integer", "boolean") else NUMBER
        case "abs":
            return INTEGER if surely(value, "integer", "boolean") else NUMBER
        case "sum":
            return _sum(value, given, named)
    return ANYTHING


def _sum(value: Json, given: list[Json], named: Mapping[str, Json]) -> Json:
    start = given[1] if len(given) > 1 else named.get("start", INTEGER)
    if not surely(start, "number", "integer"):
        return ANYTHING
    whole = not given and "attribute" not in named and surely(item_of(value), "integer")
    return INTEGER if whole and surely(start, "integer") else NUMBER
