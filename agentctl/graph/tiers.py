"""Tiers with all that they extend, and who has been approved beforehand."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from agentctl.errors import UsageError
from agentctl.expressions import compile_bare
from agentctl.graph.plan import Graph, Tier, Tiers
from agentctl.spec.model import TierLevel
from agentctl.spec.model import Tiers as TiersSpec


def tier_plan(spec: TiersSpec) -> Tiers:
    """The tiers of a checked file. `deny` goes before `approve`, and `approve` before `tools`."""
    return Tiers(compile_bare(spec.by), {name: _tier(name, spec.levels) for name in spec.levels})


def with_approvals(graph: Graph, tools: Collection[str]) -> Graph:
    """The graph with some tools approved beforehand; what a tier denies stays denied. Raises UsageError."""
    if not tools:
        return graph
    asked = (
        frozenset[str]().union(*(tier.approve for tier in graph.tiers.levels.values()))
        if graph.tiers
        else frozenset()
    )
    for name in tools:
        if name not in asked:
            known = ", ".join(f"`{tool}`" for tool in sorted(asked)) or "none"
            raise UsageError(f"no tier has `{name}` approved by a person", hint=f"tools that are: {known}")
    assert graph.tiers is not None
    levels = {
        name: replace(tier, approve=tier.approve.difference(tools))
        for name, tier in graph.tiers.levels.items()
    }
    return replace(graph, tiers=replace(graph.tiers, levels=levels))


def _tier(name: str, levels: Mapping[str, TierLevel]) -> Tier:
    tools: set[str] = set()
    approve: set[str] = set()
    deny: set[str] = set()
    max_calls: int | None = None
    at: str | None = name
    while at:
        level = levels[at]
        tools.update(level.tools or ())
        approve.update(level.approve or ())
        deny.update(level.deny or ())
        max_calls = max_calls or level.max_calls or None
        at = level.extends or None
    return Tier(name, frozenset(tools - deny), frozenset(approve), max_calls)
