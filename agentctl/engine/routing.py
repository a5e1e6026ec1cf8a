"""From a target to the node it leads to, through routers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from agentctl.errors import NodeError
from agentctl.graph.plan import ConditionRouter, Graph, ValueRouter
from agentctl.json import Json, encode


class Routed(NamedTuple):
    """A node or `end`, and the routers on the way, each with what it chose."""

    node: str
    via: tuple[tuple[str, str], ...]


def route(graph: Graph, target: str, names: Mapping[str, Json]) -> Routed:
    """Follow routers to a node or `end`. Raises NodeError for a value without a target, ExpressionError."""
    router = graph.routers.get(target)
    if router is None:
        return Routed(target, ())
    via = []
    while router is not None:
        chosen = _by_value(router, names) if isinstance(router, ValueRouter) else _by_arm(router, names)
        via.append((target, chosen))
        target = chosen
        router = graph.routers.get(target)
    return Routed(target, tuple(via))


def _by_value(router: ValueRouter, names: Mapping[str, Json]) -> str:
    value = router.by(names)
    text = value if isinstance(value, str) else encode(value).decode()
    target = router.targets.get(text, router.otherwise)
    if target is None:
        known = ", ".join(router.targets)
        raise NodeError("expression", f"router `{router.name}` has no target for `{text}`; it has {known}")
    return target


def _by_arm(router: ConditionRouter, names: Mapping[str, Json]) -> str:
    for condition, target in router.arms:
        if condition is None:
            return target
        holds = condition(names)
        if holds is True:
            return target
        if holds is not False:
            raise NodeError("expression", f"a condition of router `{router.name}` gave no true or false")
    raise NodeError("expression", f"no condition of router `{router.name}` holds, and it has no `else`")
