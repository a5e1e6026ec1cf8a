"""How each filter and test is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Signature:
    """Parameter names in order, as in Jinja; the first `needed` have no default."""

    names: tuple[str, ...] = ()
    needed: int = 0


FILTERS: Mapping[str, Signature] = {
    "abs": Signature(),
    "default": Signature(("default_value", "boolean")),
    "first": Signature(),
    "int": Signature(("default", "base")),
    "float": Signature(("default",)),
    "join": Signature(("d", "attribute")),
    "last": Signature(),
    "length": Signature(),
    "lower": Signature(),
    "max": Signature(("case_sensitive", "attribute")),
    "min": Signature(("case_sensitive", "attribute")),
    "replace": Signature(("old", "new", "count"), 2),
    "round": Signature(("precision", "method")),
    "sha256": Signature(),
    "sort": Signature(("reverse", "case_sensitive", "attribute")),
    "string": Signature(),
    "sum": Signature(("attribute", "start")),
    "tojson": Signature(("indent",)),
    "trim": Signature(("chars",)),
    "truncate": Signature(("length", "killwords", "end", "leeway")),
    "unique": Signature(("case_sensitive", "attribute")),
    "upper": Signature(),
}
"""The filters whose arguments are values."""

CHOOSING: Mapping[str, int] = {"map": 0, "select": 0, "reject": 0, "selectattr": 1, "rejectattr": 1}
"""The filters that name a filter or a test, and at which argument."""

TESTS: Mapping[str, int] = {
    "defined": 0,
    "undefined": 0,
    "none": 0,
    "in": 1,
    "true": 0,
    "false": 0,
    "boolean": 0,
    "string": 0,
    "number": 0,
    "integer": 0,
    "float": 0,
    "mapping": 0,
    "sequence": 0,
    "iterable": 0,
}
"""The tests, and how many arguments each takes."""

FILTER_HINTS: Mapping[str, str] = {
    "d": "write `default`",
    **dict.fromkeys(("count", "len", "size"), "write `length`"),
    **dict.fromkeys(("json", "to_json", "dumps"), "write `tojson`"),
    "strip": "write `trim`",
    "list": "leave it out: what filters give is a list already",
    "attr": "write `.name` or `[name]`",
    "safe": "leave it out: nothing is escaped",
    "e": "leave it out: nothing is escaped",
    "escape": "leave it out: nothing is escaped",
    "format": "join values with `~`",
    "items": "go through the keys: `{% for key in x %}${{ x[key] }}{% endfor %}`",
    "reverse": "write `[::-1]`",
}
TEST_HINTS: Mapping[str, str] = {
    "null": "write `is none`",
    "eq": "write `==`; in `selectattr`, `in` with a list of one",
    "equalto": "write `==`; in `selectattr`, `in` with a list of one",
    "ne": "write `!=`",
    "odd": "work it out in a tool",
    "even": "work it out in a tool",
}
