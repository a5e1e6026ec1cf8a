"""Limits given from outside (`--limit tokens=500`), in place of the file's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import msgspec

from agentctl.errors import UsageError
from agentctl.graph.limits import limit_plan
from agentctl.graph.plan import Graph
from agentctl.json import Json
from agentctl.spec.explain_shape import shape_faults
from agentctl.spec.model import Limits


def with_limits(graph: Graph, given: Mapping[str, Json]) -> Graph:
    """The graph under other limits. Raises UsageError for a limit that does not exist or a bad value."""
    if not given:
        return graph
    _check(given)
    said = {**graph.data.get("limits", {}), **given}
    plan = limit_plan(msgspec.convert(said, Limits))
    if plan.on_limit and plan.on_limit not in graph.nodes:
        raise UsageError(
            f"limits: `on_limit` names `{plan.on_limit}`, and there is no such node",
            hint=f"the nodes are: {', '.join(graph.nodes)}",
        )
    return replace(graph, limits=plan)


def _check(given: Mapping[str, Json]) -> None:
    """Hold the limits to what `validate` holds the file's to, in the same words."""
    for fault in shape_faults({"limits": dict(given)}):
        if fault.keys[:1] == ("limits",):
            names = ", ".join(Limits.__struct_fields__)
            raise UsageError(f"limits: {fault.message}", hint=fault.hint or f"the limits are: {names}")
