"""R, routers: that every arm leads somewhere, and that the arms together say what happens, once."""

from __future__ import annotations

from collections.abc import Iterator

from agentctl.check.flow import FileModel
from agentctl.check.place import at_key, at_value
from agentctl.check.reach import circles, edges_of
from agentctl.check.routing import Router, routers_of, values_of, values_without_place
from agentctl.check.rules.graph import target_hint
from agentctl.check.rules.values import impossible_comparisons
from agentctl.check.shapes import described, type_names, value_text
from agentctl.check.sites import Site, Sites
from agentctl.expressions.words import list_of
from agentctl.json import Json
from agentctl.spec.finding import Finding, Keys

_SHOWN_VALUES = 20


def unknown_router_target(file: FileModel) -> Iterator[Finding]:
    """R301: an arm leads to something that is not there."""
    for graph in file.graphs:
        for target in graph.targets:
            if target.kind == "arm" and not graph.knows(target):
                message = f"router `{target.owner}` leads to `{target.name}`, and {graph.title} has no such node or router"
                hint = target_hint(graph, target.name)
                yield at_value(file.document, "R301", target.keys, message, hint)


def arm_after_else(file: FileModel) -> Iterator[Finding]:
    """R303: an arm that stands after `else` is never looked at."""
    for router in routers_of(file):
        found_else = False
        for place, arm in enumerate(router.arms):
            if found_else:
                key = "when" if "when" in arm else "else"
                message = "this arm stands after `else` and is never looked at"
                yield at_key(file.document, "R303", (*router.keys, place, key), message, "put `else` last")
            found_else = found_else or "else" in arm


def routers_in_circle(file: FileModel) -> Iterator[Finding]:
    """R305: routers that lead to each other without a node between them."""
    for graph in file.graphs:
        edges = edges_of(graph)
        among = {
            name: tuple(to for to in edges.get(name, ()) if to in graph.routers) for name in graph.routers
        }
        for circle in circles(among):
            way = " → ".join((*circle, circle[0]))
            message = f"router `{circle[0]}` leads back to itself with no node between: {way}"
            keys = (*graph.keys, "routers", circle[0])
            yield at_key(
                file.document,
                "R305",
                keys,
                message,
                "routers do no work, so nothing would change; put a node in between",
            )


def router_never_used(file: FileModel) -> Iterator[Finding]:
    """R311: a router that nothing leads to."""
    for graph in file.graphs:
        if graph.has_lost_targets:
            continue
        used = {target.name for target in graph.targets}
        for name in graph.routers:
            if name not in used:
                message = f"router `{name}` is never used"
                yield at_key(
                    file.document, "R311", (*graph.keys, "routers", name), message, "lead to it, or remove it"
                )


def not_exhaustive(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """R302: a value, or a case, for which a router does not say where to go."""
    for router in routers_of(file):
        if router.else_keys is not None:
            continue
        if router.table is None:
            yield from _no_else(file, router, sites)
            continue
        values, missing = values_of(router, sites), values_without_place(router, sites)
        if values is None and _is_readable(router, sites):
            message = (
                f"router `{router.name}` has no `else`, and `{router.data.get('by')}` may have any value"
            )
            yield at_key(file.document, "R302", (*router.keys, "to"), message, "add `else:`")
        elif missing:
            listed = list_of(map(value_text, missing), _SHOWN_VALUES)
            message = f"router `{router.name}` does not say where to go for {listed}"
            yield at_key(
                file.document,
                "R302",
                (*router.keys, "to"),
                message,
                "give each value a target, or add `else:`",
            )


def else_never_reached(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """R307: every case is taken before `else`."""
    for router in routers_of(file):
        if router.else_keys is None:
            continue
        if router.table is not None:
            values = values_of(router, sites)
            reached = values is None or any(value_text(value) not in router.table for value in values)
        else:
            reached = _has_fixed_arm(router, sites) or not _covers_all(router, sites)
        if not reached:
            message = f"`else` of router `{router.name}` is never reached: the other arms take every case"
            yield at_key(file.document, "R307", router.else_keys, message, "remove it")


def condition_that_never_changes(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """R304: a condition that is always true, or always false."""
    for router in routers_of(file):
        for place, arm in enumerate(router.arms):
            keys = (*router.keys, place, "when")
            site = sites.by_keys.get(keys)
            always = _always(arm.get("when"), site, sites)
            if always is not None and not (site and any(impossible_comparisons(file, site))):
                message = f"this condition is always {'true' if always else 'false'}"
                hint = (
                    "write `else:` for the last arm"
                    if always
                    else "remove the arm, or compare with something that can be"
                )
                yield at_value(file.document, "R304", keys, message, hint)


def condition_is_no_boolean(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """R310: a condition that is neither true nor false."""
    for router in routers_of(file):
        for keys, site in _conditions(router, sites).items():
            names = type_names(site.analysis.type)
            if names is not None and "boolean" not in names and not site.analysis.problems:
                message = f"a condition is true or false, and this is {described(site.analysis.type)}"
                yield at_value(
                    file.document, "R310", keys, message, f"compare it: {_comparison(site, names)}"
                )


def arms_alike(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """R308: two arms with one condition; the second is never taken."""
    for router in routers_of(file):
        first: dict[str, int] = {}
        for keys, site in _conditions(router, sites).items():
            place = _arm_of(keys)
            earlier = first.setdefault(" ".join(site.text.split()), place)
            if earlier != place:
                message = (
                    f"this condition is the same as that of arm {earlier + 1}, so the arm is never taken"
                )
                yield at_value(file.document, "R308", keys, message, "remove one of the two")


def overlapping_arms(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """R309: two arms on one closed field that are both true for some value; the first wins."""
    for router in routers_of(file):
        seen: list[tuple[int, str, frozenset[str]]] = []
        for keys, site in _conditions(router, sites).items():
            table = sites.table_of(site)
            if table is None or len(table.paths) != 1:
                continue
            field, place = table.paths[0], _arm_of(keys)
            true = table.true
            for other, other_field, other_true in seen:
                both = sorted(true & other_true)
                if other_field == field and both and not _same_text(router, other, place):
                    yield _overlap(file, keys, other, field, true, other_true)
                    break
            seen.append((place, field, true))


def _overlap(
    file: FileModel, keys: Keys, other: int, field: str, true: frozenset[str], other_true: frozenset[str]
) -> Finding:
    both = list_of(sorted(true & other_true), _SHOWN_VALUES)
    if true <= other_true:
        message = f"arm {other + 1} already takes every `state.{field}` that this one does ({both})"
    else:
        message = f"for `state.{field}` {both} arm {other + 1} is true too, and comes first"
    return at_value(file.document, "R309", keys, message, "let each value belong to one arm")


def _conditions(router: Router, sites: Sites) -> dict[Keys, Site]:
    """The conditions of a router that are texts, in order."""
    places = ((*router.keys, place, "when") for place in range(len(router.arms)))
    return {keys: sites.by_keys[keys] for keys in places if keys in sites.by_keys}


def _arm_of(keys: Keys) -> int:
    place = keys[-2]
    return place if isinstance(place, int) else 0


def _same_text(router: Router, one: int, other: int) -> bool:
    texts = [" ".join(str(router.arms[place].get("when")).split()) for place in (one, other)]
    return texts[0] == texts[1]


def _is_readable(router: Router, sites: Sites) -> bool:
    site = sites.by_keys.get((*router.keys, "by"))
    return site is not None and not site.analysis.problems


def _no_else(file: FileModel, router: Router, sites: Sites) -> Iterator[Finding]:
    conditions = _conditions(router, sites)
    if any(site.analysis.problems for site in conditions.values()) or _covers_all(router, sites):
        return
    message = f"router `{router.name}` has no `else`, and its conditions do not take every case"
    yield at_key(file.document, "R302", router.keys, message, "end it with `- else: …`")


def _covers_all(router: Router, sites: Sites) -> bool:
    """Whether the conditions take every case: one is always true, or together they list a closed field's values."""
    taken: dict[tuple[str, ...], set[str]] = {}
    cases: dict[tuple[str, ...], set[str]] = {}
    for place, arm in enumerate(router.arms):
        site = sites.by_keys.get((*router.keys, place, "when"))
        if _always(arm.get("when"), site, sites):
            return True
        if site is None:
            continue
        table = sites.table_of(site)
        if table is not None:
            cases.setdefault(table.paths, set()).update(table.cases)
            taken.setdefault(table.paths, set()).update(table.true)
    return any(taken[paths] == cases[paths] for paths in cases)


def _has_fixed_arm(router: Router, sites: Sites) -> bool:
    """Whether some condition never changes, which is R304's business."""
    return any(
        _always(arm.get("when"), sites.by_keys.get((*router.keys, place, "when")), sites) is not None
        for place, arm in enumerate(router.arms)
    )


def _always(when: Json, site: Site | None, sites: Sites) -> bool | None:
    """The one answer a condition can give; None when it can give both, or that is not known."""
    if isinstance(when, bool):
        return when
    if site is None or site.analysis.problems:
        return None
    constant = site.analysis.constant
    if constant is not None:
        return constant.value if isinstance(constant.value, bool) else None
    table = sites.table_of(site)
    if table is None or 0 < len(table.true) < len(table.cases):
        return None
    return bool(table.true)


def _comparison(site: Site, names: frozenset[str]) -> str:
    if names == frozenset(("string",)):
        return f'`{site.text} != ""`'
    if names <= frozenset(("number", "integer")):
        return f"`{site.text} > 0`"
    if names <= frozenset(("array", "object")):
        return f"`{site.text} | length > 0`"
    return f"`{site.text} == …`"
