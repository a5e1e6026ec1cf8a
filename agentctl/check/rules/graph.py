"""G, the graph: names, where each node goes, what can be reached, and what branches write."""

from __future__ import annotations

from collections.abc import Iterator

from agentctl.check.flow import END, SKIP, FileModel, Graph, Work, mapping, text
from agentctl.check.groups import OWN_MODELS
from agentctl.check.place import at_key, at_value, did_you_mean
from agentctl.check.reach import edges_of, entries_of, reachable, traps
from agentctl.spec.finding import Finding, Keys

_RESERVED = frozenset((END, SKIP))
_WORDS_FOR_END = frozenset(("done", "finish", "finished", "stop", "exit", "quit", "return", "null", "none"))
_GO_ON = frozenset(("continue", "ignore", "pass", "next", "resume", "none", "null"))
_TRY_AGAIN = frozenset(("retry", "repeat", "again", "restart"))
_FAIL = frozenset(("fail", "raise", "throw", "abort", "error", "stop"))
_NAMES_OF_EXPRESSIONS = frozenset(("state", "run", "args", "env", "index", "loop"))


def unknown_start(file: FileModel) -> Iterator[Finding]:
    """G201: a turn begins at a node or a router that is not there."""
    for graph in file.graphs:
        for target in graph.by_owner.get("", ()):
            if target.kind == "start" and not graph.knows(target):
                message = f"`start` names `{target.name}`, and {graph.title} has no such node or router"
                yield at_value(
                    file.document, "G201", target.keys, message, target_hint(graph, target.name, target.kind)
                )


def reserved_names(file: FileModel) -> Iterator[Finding]:
    """G202: a name that means something else already."""
    for graph in file.graphs:
        for section in ("nodes", "routers"):
            for name in getattr(graph, section):
                if name in _RESERVED:
                    yield _reserved(file, (*graph.keys, section, name))
        for name in graph.routers:
            if name in graph.nodes:
                message = f"`{name}` is a node and a router; `then: {name}` could mean either"
                yield at_key(
                    file.document, "G202", (*graph.keys, "routers", name), message, "rename one of them"
                )
    for graph in file.graphs:
        for work in graph.works:
            name = text(mapping(work.data.get("map")).get("as"))
            if name in _NAMES_OF_EXPRESSIONS:
                message = f"`{name}` is a reserved name: it means something else in every expression"
                keys = (*work.keys, "map", "as")
                yield at_value(file.document, "G202", keys, message, "choose another name")
    for name in file.section("models"):
        if name in OWN_MODELS:
            yield _reserved(file, ("models", name))


def unknown_targets(file: FileModel) -> Iterator[Finding]:
    """G203: a node goes to something that is not there."""
    for graph in file.graphs:
        for target in graph.targets:
            if target.kind in ("start", "on_limit", "arm") or graph.knows(target):
                continue
            why = (
                "only `on_error` can skip"
                if target.name == SKIP
                else f"{graph.title} has no such node or router"
            )
            message = f"`{target.kind}: {target.name}` leads nowhere: {why}"
            yield at_value(
                file.document, "G203", target.keys, message, target_hint(graph, target.name, target.kind)
            )


def no_then(file: FileModel) -> Iterator[Finding]:
    """G205: a node that does not say where to go next."""
    for graph in file.graphs:
        for node in graph.nodes.values():
            if "then" not in node.data:
                message = f"node `{node.node}` does not say where to go next"
                yield at_key(
                    file.document, "G205", node.keys, message, "add `then:` with a node, a router or `end`"
                )


def then_in_branch(file: FileModel) -> Iterator[Finding]:
    """G206: a branch or a map's work that would go somewhere by itself."""
    for graph in file.graphs:
        for work in graph.works:
            if not work.within:
                continue
            if "then" in work.data:
                message = f"a branch has no `then`; node `{work.node}` goes on when all its branches are done"
                yield at_key(file.document, "G206", (*work.keys, "then"), message, f"put it on `{work.node}`")
            yield from _jumps(file, work)


def unreachable(file: FileModel) -> Iterator[Finding]:
    """G207: a node that no way from `start` leads to."""
    for graph in file.graphs:
        if has_gaps(graph):
            continue
        seen = reachable(edges_of(graph), entries_of(graph))
        for node in graph.nodes.values():
            if node.node not in seen:
                message = f"node `{node.node}` can never be reached from `start: {graph.data.get('start')}`"
                yield at_key(
                    file.document, "G207", node.keys, message, "lead to it with a `then`, or remove it"
                )


def no_way_to_end(file: FileModel) -> Iterator[Finding]:
    """G208: a circle of nodes that nothing leads out of."""
    for graph in file.graphs:
        if has_gaps(graph):
            continue
        edges = edges_of(graph)
        seen = reachable(edges, entries_of(graph))
        for circle in traps(edges, [name for name in graph.nodes if name in seen]):
            way = " → ".join((*circle, circle[0]))
            message = f"from node `{circle[0]}` there is no way to `end`"
            hint = f"it goes round: {way}; let a router or `then: end` lead out"
            if circle[0] in graph.nodes:
                yield at_key(file.document, "G208", graph.nodes[circle[0]].keys, message, hint)


def branches_save_one_field(file: FileModel) -> Iterator[Finding]:
    """G210: two branches write one field, and nothing says how to merge."""
    for graph in file.graphs:
        for work in graph.works:
            if work.verb == "parallel":
                yield from _clashes(file, graph, work)


def has_gaps(graph: Graph) -> bool:
    """Whether the edges are not all known: what follows from them would be guesswork."""
    return (
        graph.has_lost_targets
        or not entries_of(graph)
        or any("then" not in node.data for node in graph.nodes.values())
    )


def _clashes(file: FileModel, graph: Graph, parallel: Work) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for branch in parallel.parts:
        name = str(branch.keys[-1])
        for field, keys, is_key in _writes(branch):
            if field not in graph.fields or graph.fields[field].reducer != "last":
                continue
            other = first.setdefault(field, name)
            if other != name:
                at = at_key if is_key else at_value
                message = f"branches `{other}` and `{name}` both save `{field}`, which has no reducer"
                hint = f"say how to merge: `{field}: {{…, reduce: append}}`, or save to two fields"
                yield at(file.document, "G210", keys, message, hint)


def _writes(branch: Work) -> Iterator[tuple[str, Keys, bool]]:
    for work in branch.walk():
        for save in work.saves:
            yield save.field, save.field_keys, save.field_is_key


def _jumps(file: FileModel, work: Work) -> Iterator[Finding]:
    errors = work.data.get("on_error")
    ways = errors if isinstance(errors, dict) else {None: errors}
    for error_class, name in ways.items():
        if isinstance(name, str) and name != SKIP:
            keys = (*work.keys, "on_error") if error_class is None else (*work.keys, "on_error", error_class)
            message = f"a branch cannot go to `{name}`; its `on_error` is `skip` or nothing"
            yield at_value(file.document, "G206", keys, message, f"put `on_error: {name}` on `{work.node}`")


def _reserved(file: FileModel, keys: Keys) -> Finding:
    message = f"`{keys[-1]}` is a reserved name"
    return at_key(file.document, "G202", keys, message, "choose another name")


def target_hint(graph: Graph, name: str, kind: str = "") -> str | None:
    """What a word that leads nowhere may have been meant for."""
    near = did_you_mean(name, [*graph.nodes, *graph.routers, END])
    if near is not None:
        return near
    word = name.strip("_").lower()
    if kind == "on_error" and word in _GO_ON:
        return "to go on as if nothing had been, write `skip`"
    if kind == "on_error" and word in _TRY_AGAIN:
        return "to try again, give the node a `retry: {attempts: 3}`"
    if kind == "on_error" and word in _FAIL:
        return "without `on_error` the turn fails: leave it out"
    return "to end the turn, write `end`" if word in _WORDS_FOR_END else None
