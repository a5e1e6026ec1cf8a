"""Routers as the rules see them: their arms, the values they can meet, and keys that stand for none of these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import DecodeError, Struct
from msgspec.json import decode

from agentctl.check.flow import FileModel, Graph, mapping
from agentctl.check.shapes import closed_values, type_names, value_text
from agentctl.check.sites import Sites
from agentctl.json import Json, type_name
from agentctl.spec.finding import Keys
from agentctl.spec.nearest import nearest

_WORDS_OF_TRUTH = {
    **dict.fromkeys(("yes", "on", "y", "1", "t"), "true"),
    **dict.fromkeys(("no", "off", "n", "0", "f"), "false"),
}
_MANY = 500
"""Values without a place, from which on it is not asked which of them was meant: no router has that many slips."""


class Router(Struct, frozen=True):
    """A router and where it stands."""

    graph: Graph
    name: str
    keys: Keys
    data: Json

    @property
    def arms(self) -> list[Mapping[str, Json]]:
        """The arms of a router by condition; none for one by value."""
        return [mapping(arm) for arm in self.data] if isinstance(self.data, list) else []

    @property
    def table(self) -> Mapping[str, Json] | None:
        """The targets of a router by value; None for one by condition."""
        return mapping(self.data.get("to")) if isinstance(self.data, dict) else None

    @property
    def else_keys(self) -> Keys | None:
        """The keys of its `else`."""
        if isinstance(self.data, dict):
            return (*self.keys, "else") if "else" in self.data else None
        return next(
            ((*self.keys, place, "else") for place, arm in enumerate(self.arms) if "else" in arm), None
        )


def routers_of(file: FileModel) -> Iterator[Router]:
    """Every router of a file, by graph."""
    for graph in file.graphs:
        for name, data in graph.routers.items():
            yield Router(graph, name, (*graph.keys, "routers", name), data)


def values_of(router: Router, sites: Sites) -> tuple[Json, ...] | None:
    """The values that a router by value can meet; None when they cannot be listed."""
    type = type_of(router, sites)
    return None if type is None else closed_values(type)


def type_of(router: Router, sites: Sites) -> Json | None:
    """The type of what a router by value looks at; None when that cannot be read."""
    site = sites.by_keys.get((*router.keys, "by"))
    return None if site is None or site.analysis.problems else site.analysis.type


def impossible_keys(router: Router, sites: Sites) -> Mapping[str, str | None]:
    """The keys of its table that it never meets, each with the value that was meant, when one is near.

    A value is meant once at most, and only when it has no place of its own.
    """
    values, table = values_of(router, sites), router.table or {}
    if values is None:
        names = type_names(type_of(router, sites) or {})
        return {} if names is None else {key: None for key in table if not _may_be(key, names)}
    texts = frozenset(map(value_text, values))
    free = dict.fromkeys(text for text in map(value_text, values) if text not in table)
    has_truth = True in values or False in values
    found: dict[str, str | None] = {}
    for key in table:
        if key not in texts:
            word = _WORDS_OF_TRUTH.get(key.lower()) if has_truth else None
            found[key] = word if word in free else nearest(key, free) if len(free) < _MANY else None
            free.pop(found[key] or "", None)
    return found


def values_without_place(router: Router, sites: Sites) -> tuple[Json, ...]:
    """The values for which it does not say where to go, less those whose place an impossible key has taken."""
    values, table, impossible = values_of(router, sites), router.table or {}, impossible_keys(router, sites)
    meant = set(impossible.values())
    missing = tuple(
        value for value in values or () if (text := value_text(value)) not in table and text not in meant
    )
    strays = sum(one is None for one in impossible.values())
    return missing if len(missing) > strays else ()


def _may_be(key: str, names: frozenset[str]) -> bool:
    """Whether a key is the text of a value of one of these types."""
    if "string" in names:
        return True
    try:
        name = type_name(decode(key))
    except DecodeError:
        return False
    return name in names or (name == "integer" and "number" in names)
