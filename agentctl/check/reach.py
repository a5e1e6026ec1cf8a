"""Ways through a graph: what can be reached, what can end, and what is written by then."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping

from agentctl.check.flow import END, SKIP, Graph, Work

Edges = Mapping[str, tuple[str, ...]]


def edges_of(graph: Graph) -> Edges:
    """Where each node and router may go: names of nodes, routers, or `end`. A skipped error goes on to `then`."""
    return {
        owner: tuple(dict.fromkeys(target.name for target in targets if target.name != SKIP))
        for owner, targets in graph.by_owner.items()
        if owner
    }


def entries_of(graph: Graph) -> tuple[str, ...]:
    """Where a turn may come in: `start`, and the node of `on_limit`."""
    return tuple(target.name for target in graph.by_owner.get("", ()))


def reachable(edges: Edges, entries: Iterable[str]) -> set[str]:
    """Everything that can be reached from the entries, these included."""
    seen = set(entries)
    waiting = deque(seen)
    while waiting:
        for name in edges.get(waiting.popleft(), ()):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return seen


def turned(edges: Edges) -> Edges:
    """The edges the other way round."""
    found: dict[str, list[str]] = {}
    for owner, names in edges.items():
        for name in names:
            found.setdefault(name, []).append(owner)
    return {name: tuple(owners) for name, owners in found.items()}


def traps(edges: Edges, names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Circles from which `end` cannot be reached, one for each knot, the first name in the given order first."""
    back = turned(edges)
    can_end = reachable(back, (END,))
    order = {name: place for place, name in enumerate(names)}
    stuck = {name: None for name in order if name not in can_end}
    while stuck:
        circle = _last_circle(next(iter(stuck)), edges, back)
        for name in reachable(back, circle):
            stuck.pop(name, None)
        first = min(range(len(circle)), key=lambda place: order.get(circle[place], len(order)))
        yield circle[first:] + circle[:first]


def _last_circle(name: str, edges: Edges, back: Edges) -> tuple[str, ...]:
    """A circle that no way leads out of, on the ways from `name`."""
    while True:
        circle = _circle_after(name, edges)
        beyond = reachable(edges, circle) - reachable(back, circle)
        if not beyond:
            return circle
        name = min(beyond)


def _circle_after(name: str, edges: Edges) -> tuple[str, ...]:
    """The circle one runs into when always taking the first way; a lone name when the way stops."""
    path: dict[str, int] = {}
    while name not in path:
        path[name] = len(path)
        following = edges.get(name, ())
        if not following:
            return (name,)
        name = following[0]
    return tuple(list(path)[path[name] :])


def circles(edges: Edges) -> Iterator[tuple[str, ...]]:
    """Circles among the edges, each name in one at most, by a depth-first walk."""
    done: set[str] = set()
    for start in edges:
        path: dict[str, Iterator[str]] = {}
        if start not in done:
            path[start] = iter(edges[start])
        while path:
            name = next(reversed(path))
            following = next(path[name], None)
            if following is None:
                path.popitem()
                done.add(name)
            elif following in path:
                order = list(path)
                circle = tuple(order[order.index(following) :])
                if done.isdisjoint(circle):
                    done.update(circle)
                    yield circle
            elif following not in done:
                path[following] = iter(edges.get(following, ()))


def written_before(
    graph: Graph, *, entries: Iterable[str] | None = None, unknown: frozenset[str] = frozenset()
) -> Mapping[str, frozenset[str]]:
    """For each node and router that can be reached, and for `end`, the fields that have a value on every way to it.

    A forward must-analysis: at the entries it knows the inputs and the fields that start filled, less those
    that are `unknown`; where ways meet, only what all of them wrote is left. Fields are bits of one number.
    """
    bit = {name: 1 << place for place, name in enumerate(graph.fields)}
    known = sum(bit[name] for name in _known_at_start(graph) - unknown)
    before = dict.fromkeys(entries_of(graph) if entries is None else entries, known)
    waiting = deque(before)
    while waiting:
        name = waiting.popleft()
        for following, has in _after(graph, name, before[name], bit):
            old = before.get(following)
            new = has if old is None else old & has
            if new != old:
                before[following] = new
                waiting.append(following)
    return {
        name: frozenset(field for field, mask in bit.items() if has & mask) for name, has in before.items()
    }


def _known_at_start(graph: Graph) -> set[str]:
    filled = {field.name for field in graph.fields.values() if field.starts_filled}
    return filled | {name for name in graph.inputs if name in graph.fields}


def _after(graph: Graph, name: str, has: int, bit: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    """Where `name` may go, with the fields that are written by then."""
    node = graph.nodes.get(name)
    saved = has
    if node is not None and not node.skips_errors:
        for field in certain_saves(node):
            saved |= bit.get(field, 0)
    for target in graph.by_owner.get(name, ()):
        if target.name != SKIP:
            yield target.name, saved if target.kind in ("then", "arm") else has


def certain_saves(work: Work) -> Iterator[str]:
    """The fields a piece of work has written whenever it went well; a job without a placeholder is T521's business."""
    yield from (save.field for save in work.saves)
    if work.verb == "parallel":
        for branch in work.parts:
            if not branch.skips_errors:
                yield from certain_saves(branch)
