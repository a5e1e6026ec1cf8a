"""Limits given from outside (`--limit tokens=500`), in place of the file's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from agentctl.errors import UsageError
from agentctl.graph.limits import limit_plan
from agentctl.graph.plan import Graph
from agentctl.json import Json
from agentctl.spec.model import Limits


def with_limits(graph: Graph, given: Mapping[str, Json]) -> Graph:
    """The graph under other limits. Raises UsageError for a limit that does not exist or a bad value."""
    if not given:
        return graph
    said = {**graph.data.get("limits", {}), **given}
    try:
        return replace(graph, limits=limit_plan(msgspec.convert(said, Limits)))
    except (msgspec.ValidationError, ValueError) as error:
        names = ", ".join(name for name in Limits.__struct_fields__)
        raise UsageError(f"limits: {error}", hint=f"the limits are: {names}") from error
