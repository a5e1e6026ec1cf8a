"""L, limits: that they leave room for the work and bound all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentctl.check.facts import Facts
from agentctl.check.flow import END, SKIP, Graph, Work, mapping
from agentctl.check.place import at_key, at_value
from agentctl.check.reach import edges_of, entries_of, reachable
from agentctl.check.rules.last_node import reserve_too_small
from agentctl.check.runs.knots import is_loop, knots
from agentctl.check.runs.limits import MANY, MAX_TURNS, as_duration, turn_limits
from agentctl.check.runs.loops import Loops
from agentctl.check.runs.spending import Spending
from agentctl.spec.finding import Finding, Keys

_GROWS = ("append", "extend", "union")
_SHOWN = 8


def recursion_too_small(facts: Facts) -> Iterator[Finding]:
    """L701, L702, L711: `recursion` below the shortest way, the longest one without a loop, or what `max_visits` lets be.

    The first of them is told: what is below one is below the next ones too.
    """
    recursion, steps = turn_limits(facts.file.data).recursion, facts.steps
    shortest = steps.shortest.get("")
    if shortest is not None and shortest.weight > recursion:
        message = f"{_recursion(facts)}, and the shortest way to `end` begins {_nodes(shortest.weight)}"
        hint = f"it is {_way(shortest.names)}; allow {_nodes(shortest.weight)} or more"
        yield _at_limit(facts, "L701", message, hint)
        return
    longest = steps.longest.get("") if steps.everything > recursion else None
    if longest is not None and longest.weight > recursion:
        more = "" if longest.is_exact else " or more"
        begins = f"begins {_nodes(longest.weight)}{more}"
        message = f"{_recursion(facts)}, and the longest way without a loop {begins}"
        hint = f"it is {_way(longest.names)}; allow {_nodes(longest.weight)} or more"
        yield _at_limit(facts, "L702", message, hint)
        return
    yield from _visits_over_recursion(facts, recursion)


def loop_without_bound(facts: Facts) -> Iterator[Finding]:
    """L703: a loop that nothing but `recursion` ends."""
    for loop in Loops(facts, facts.steps).all():
        if not loop.bounds:
            name = next(name for name in loop.way if name in loop.graph.nodes)
            place = loop.way.index(name)
            way = _way((*loop.way[place:], *loop.way[:place], name))
            message = f"nothing but `recursion` ends this loop: {way}"
            hint = f"say how often it may go round: `max_visits: 5` on `{name}`"
            yield at_key(facts.document, "L703", loop.graph.nodes[name].keys, message, hint)


def last_node_goes_on(facts: Facts) -> Iterator[Finding]:
    """L705: the node of `on_limit` leads elsewhere than to `end`."""
    root, last = facts.file.root, facts.file.root.last_node
    for target in () if last is None else root.by_owner.get(last.node, ()):
        if target.name not in (END, SKIP) and root.knows(target):
            message = (
                f"`{target.owner}` runs at a limit and must go straight to `end`, not to `{target.name}`"
            )
            hint = f"write `{target.kind}: end`, or let `on_limit` name a node of its own"
            yield at_value(facts.document, "L705", target.keys, message, hint)


def array_that_grows(facts: Facts) -> Iterator[Finding]:
    """L706: an array that each round of a loop makes longer, and nothing shortens."""
    for graph in facts.file.graphs:
        fields = {
            field.name: field
            for field in graph.fields.values()
            if field.reducer in _GROWS and field.type.keep is None and "maxItems" not in mapping(field.schema)
        }
        told: set[str] = set()
        for node in _looping(graph) if fields else ():
            for save in (save for work in node.walk() if not _is_elsewhere(work) for save in work.saves):
                if save.field in fields and save.field not in told:
                    told.add(save.field)
                    message = (
                        f"`{save.field}` grows each time the loop comes to `{node.node}`, and has no `keep`"
                    )
                    hint = f"say how many to keep: `{save.field}: {{…, reduce: {fields[save.field].reducer}, keep: 40}}`"
                    yield at_key(facts.document, "L706", fields[save.field].keys, message, hint)


def tools_without_max_turns(facts: Facts) -> Iterator[Finding]:
    """L707: an agent that may go on calling tools, and does not say how often."""
    for keys, agent in facts.file.agents_in_place:
        if agent.get("tools") and "max_turns" not in agent:
            who = f"agent `{keys[1]}`" if len(keys) == 2 else "this agent"
            message = f"{who} has tools and no `max_turns`; it may go {MAX_TURNS} rounds of model and tools"
            yield at_key(facts.document, "L707", (*keys, "tools"), message, "add `max_turns:`")


def nested_too_deep(facts: Facts) -> Iterator[Finding]:
    """L708: graphs that run graphs, deeper than `depth`; the file's own graph is not counted.

    A job is a run of its own: the graph that it runs is the first.
    """
    limits, chain = turn_limits(facts.file.data), _deepest(facts)
    if len(chain) > limits.depth:
        way = " → ".join(f"`{name}`" for name, _ in chain[:_SHOWN]) + (" → …" if len(chain) > _SHOWN else "")
        message = f"graphs run inside each other {len(chain)} deep, and `depth` allows {limits.depth}: {way}"
        is_said = "depth" in limits.said
        keys: Keys = ("limits", "depth") if is_said else chain[limits.depth][1]
        yield at_value(facts.document, "L708", keys, message, f"write `depth: {len(chain)}`, or nest less")


def step_time_over_time(facts: Facts) -> Iterator[Finding]:
    """L709: a step may take longer than the turn it is part of."""
    limits = turn_limits(facts.file.data)
    if "step_time" in limits.said and limits.step_time > limits.time:
        said = mapping(facts.file.data["limits"])
        turn = (
            f"`time: {said['time']}`"
            if "time" in limits.said
            else f"the `time` of {as_duration(limits.time)}"
        )
        message = f"`step_time: {said['step_time']}` can never be used up: the turn ends at {turn}"
        hint = "make it shorter, or raise `time`"
        yield at_value(facts.document, "L709", ("limits", "step_time"), message, hint)


def cost_without_prices(facts: Facts) -> Iterator[Finding]:
    """L710: dollars are limited, and nobody has said what a model costs."""
    if "cost" not in facts.file.section("limits"):
        return
    for model, keys in Spending(facts).models_used:
        if model.dearest is None:
            message = f"model `{model.name}` has no `price`, so `limits.cost` cannot be kept"
            hint = "add `price: {input: 0.25, output: 2.00}`: US dollars per million tokens"
            if not model.keys or keys != model.keys:
                hint = f"name it under `models:`, with a `price`: `{{model: {model.name}, price: …}}`"
            at = at_key if keys == model.keys else at_value
            yield at(facts.document, "L710", keys, message, hint)


def background_without_bounds(facts: Facts) -> Iterator[Finding]:
    """L713: a turn is bounded, and the jobs that it starts are not."""
    limits = facts.file.section("limits")
    jobs = [
        work for graph in facts.file.graphs for work in graph.works if work.data.get("background") is True
    ]
    for key in ("tokens", "cost"):
        if jobs and key in limits and key not in mapping(limits.get("background")):
            message = f"`{key}` is limited for a turn, and not for the jobs it starts (node `{jobs[0].node}`)"
            keys: Keys = ("limits", "background") if "background" in limits else ("limits", key)
            hint = f"say it for each job: `background: {{{key}: {limits[key]}}}`"
            yield at_key(facts.document, "L713", keys, message, hint)


def worst_case(facts: Facts) -> Iterator[Finding]:
    """L712: the worst case of a run."""
    from agentctl.check.rules.run import worst_case_of_a_run  # needed only when information is asked for

    yield from worst_case_of_a_run(facts)


def _visits_over_recursion(facts: Facts, recursion: int) -> Iterator[Finding]:
    """L711, of the graph that goes furthest."""
    most = facts.steps.most
    if facts.steps.order and (most.get("") is None or (most[""] or 0) > recursion):
        reached = Spending(facts).reached
        graphs = [graph for graph in facts.file.graphs if ("graph", graph.name) in reached]
        found = [(walk[0], graph) for graph in graphs if (walk := facts.steps.walk(graph)) is not None]
        furthest, graph = max(found, key=lambda one: one[0], default=(0, facts.file.root))
        if furthest > recursion:
            message = f"{_recursion(facts)}, and `max_visits` lets {graph.title} begin {furthest:,}"
            hint = "lower `max_visits`, or let `recursion` allow as many: the smaller one ends the turn"
            yield _at_limit(facts, "L711", message, hint)


def _looping(graph: Graph) -> Iterator[Work]:
    """The nodes that stand on a loop a run can come to, in the order of the file."""
    edges = edges_of(graph)
    names = reachable(edges, entries_of(graph))
    parts = knots(edges, (name for name in graph.nodes.keys() | graph.routers.keys() if name in names))
    looping = {name for part in parts if is_loop(edges, part) for name in part}
    return (node for name, node in graph.nodes.items() if name in looping)


def _is_elsewhere(work: Work) -> bool:
    """Whether what it saves does not come with its visit: a job's result, or an item's."""
    return bool(work.data.get("background")) or work.within[-1:] == ("map",)


def _deepest(facts: Facts) -> list[tuple[str, Keys]]:
    """The longest chain of graphs that run each other: their names, and where each is run.

    Through `graph` nodes, and through the tools of agents. Empty when graphs run themselves.
    """
    if not facts.steps.order:
        return []
    jobs = {
        (*work.keys, "graph")
        for graph in facts.file.graphs
        for work in graph.works
        if work.data.get("background")
    }
    edges: dict[str, list[tuple[str, Keys]]] = {}
    for caller, calls in facts.tooling.calls.items():
        edges[" ".join(caller)] = [(" ".join(call.callee), call.keys) for call in calls]
    order = knots({name: tuple(to for to, _ in calls) for name, calls in edges.items()}, edges)
    below: dict[str, tuple[int, str, Keys]] = {}
    best: tuple[int, str, Keys] = (0, "", ())
    for (name,) in reversed(order):
        within: tuple[int, str, Keys] = (0, "", ())
        for to, keys in edges[name]:
            deep = below.get(to, (0, "", ()))[0] + (to.startswith("graph ") and to[6:] in facts.file.nested)
            best = max(best, (deep, to, keys))
            if keys not in jobs:
                within = max(within, (deep, to, keys))
        below[name] = within
    return _chain(best, below)


def _chain(link: tuple[int, str, Keys], below: dict[str, tuple[int, str, Keys]]) -> list[tuple[str, Keys]]:
    chain = []
    while link[0]:
        if link[1].startswith("graph "):
            chain.append((link[1][6:], link[2]))
        link = below.get(link[1], (0, "", ()))
    return chain


def _at_limit(facts: Facts, code: str, message: str, hint: str) -> Finding:
    """At `recursion` where the file says it, else where the graph starts."""
    is_said = "recursion" in facts.file.section("limits")
    keys: Keys = ("limits", "recursion") if is_said else ("start",)
    return at_value(facts.document, code, keys, message, hint)


def _recursion(facts: Facts) -> str:
    allowed = turn_limits(facts.file.data).recursion
    default = "" if "recursion" in facts.file.section("limits") else " by default"
    return f"`recursion` allows {_nodes(allowed)}{default}"


def _nodes(count: int) -> str:
    over = "over " if count > MANY else ""
    return f"{over}{min(count, MANY):,} {'node' if count == 1 else 'nodes'}"


def _way(names: tuple[str, ...]) -> str:
    shown = names if len(names) <= _SHOWN else (*names[: _SHOWN - 1], "…", names[-1])
    return " → ".join(shown)


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    recursion_too_small,
    loop_without_bound,
    last_node_goes_on,
    array_that_grows,
    tools_without_max_turns,
    nested_too_deep,
    step_time_over_time,
    cost_without_prices,
    background_without_bounds,
    reserve_too_small,
)
INFORMATION: tuple[Callable[[Facts], Iterator[Finding]], ...] = (worst_case,)
