"""Fields that may be null, and where they surely are not: something saved them before, or a router has asked."""

from __future__ import annotations

from collections.abc import Mapping

from agentctl.check.flow import Graph
from agentctl.check.reach import written_before
from agentctl.check.shapes import alternatives, described, type_names
from agentctl.check.sites import Site, Sites
from agentctl.json import Json

NULL = described({"type": "null"})
LOOK_FIRST = "let a router ask first, or say what to take instead: `… or …`"


class Nulls:
    """What is known of null in the fields of each graph, worked out when first asked for."""

    def __init__(self, sites: Sites) -> None:
        self._sites = sites
        self._saved: dict[str, Mapping[str, frozenset[str]]] = {}
        self._asked: dict[str, frozenset[str]] = {}

    def type_of(self, site: Site) -> Json:
        """The type of an expression, without the null that it cannot be where it stands, or that it looks after itself."""
        type = site.analysis.type
        if "null" not in (type_names(type) or ()) or self._may_be_null(site):
            return type
        some = [one for one in alternatives(type) if one.get("type") != "null"]
        return {"anyOf": some} if some else type

    def _may_be_null(self, site: Site) -> bool:
        """Whether it is a lone field that no router asks about, and that nothing has surely saved before."""
        reference = next(iter(site.analysis.references), None)
        field = reference.path[0] if reference is not None and reference.path else None
        if reference is None or reference.root != "state" or not isinstance(field, str):
            return True
        word = site.text[reference.offset : reference.offset + reference.length]
        if site.text.replace(" ", "") != f"${{{{{word}}}}}".replace(" ", ""):
            return False
        return not self._is_asked(site, field) and not (
            len(reference.path) == 1 and self._is_saved(site, field)
        )

    def _is_asked(self, site: Site, field: str) -> bool:
        name = site.graph.name
        if name not in self._asked:
            routers = (one for one in self._sites.of(site.graph) if "routers" in one.keys[:3])
            self._asked[name] = frozenset(asked for one in routers for asked, _ in one.fields_read())
        return field in self._asked[name]

    def _is_saved(self, site: Site, field: str) -> bool:
        name = site.graph.name
        if name not in self._saved:
            self._saved[name] = written_before(site.graph, unknown=self._nullable(site.graph))
        return field in self._saved[name].get(site.owner, ())

    def _nullable(self, graph: Graph) -> frozenset[str]:
        """The fields that are null until something is saved to them."""
        return frozenset(
            field.name
            for field in graph.fields.values()
            if field.type.default is None and "null" in (type_names(field.schema) or ())
        )
