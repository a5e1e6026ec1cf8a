"""L, limits: what a run may use at most, told when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from agentctl.check.facts import Facts
from agentctl.check.flow import mapping, read_flow
from agentctl.check.place import at_key, at_value
from agentctl.check.runs.bounds import RunBounds, run_bounds
from agentctl.check.runs.limits import MANY
from agentctl.check.runs.loops import Loops
from agentctl.check.sites import Sites
from agentctl.check.worlds import has_too_many_worlds, most_worlds
from agentctl.spec.finding import Finding

_SHOWN = 8


def worst_case_of_a_run(facts: Facts) -> Iterator[Finding]:
    """L712: the worst case of a run, of each tier and variant where it differs, its ways, and what bounds its loops."""
    base = run_bounds(facts, facts.steps)
    if base is None:
        return
    yield _overall(facts, base)
    yield from _of_tiers(facts, base)
    yield from _of_variants(facts, base)
    yield from _ways(facts)
    yield from _loops(facts)


def sentence(bounds: RunBounds) -> str:
    """The bounds in one sentence."""
    counted = (
        (bounds.steps, "step", "steps"),
        (bounds.model_calls, "model call", "model calls"),
        (bounds.tool_calls, "tool call", "tool calls"),
        (bounds.tokens, "token", "tokens"),
    )
    known = [_counted(count, one, many) for count, one, many in counted if count is not None]
    known += [] if bounds.cost is None else [_dollars(bounds.cost)]
    open_ = [many for count, _, many in counted if count is None] + ["dollars"] * (bounds.cost is None)
    rest = f"; no bound for {_listed(open_, 'or')}" if open_ else ""
    return f"at most {_listed(known, 'and')} in one run{rest}"


def _overall(facts: Facts, base: RunBounds) -> Finding:
    hints = []
    if (last := facts.file.root.last_node) is not None:
        hints.append(f"one of the steps is `{last.node}`, at a limit")
    if base.tokens or base.cost:
        hints.append("tokens and dollars are counted after each call: those under way may go over")
    if any(work.data.get("background") for graph in facts.file.graphs for work in graph.works):
        hints.append("background jobs are not in it: each has the limits of `limits.background`")
    hint = "; ".join(hints) or None
    if "limits" in facts.file.data:
        return at_key(facts.document, "L712", ("limits",), sentence(base), hint)
    return at_value(facts.document, "L712", ("start",), sentence(base), hint)


def _of_tiers(facts: Facts, base: RunBounds) -> Iterator[Finding]:
    """Each tier; of very many the first ones, for the whole file is looked at for each."""
    for name, tier in islice(facts.tooling.tiers.items(), most_worlds(facts.file.data)):
        bounds = run_bounds(facts, facts.steps, tier)
        if bounds is not None and bounds != base:
            keys = ("tiers", "levels", name)
            yield at_key(facts.document, "L712", keys, f"tier `{name}`: {sentence(bounds)}")


def _of_variants(facts: Facts, base: RunBounds) -> Iterator[Finding]:
    """Each variant by itself, the other experiments as the file is; none when there are too many (V807)."""
    if has_too_many_worlds(facts.file.data):
        return
    for experiment, spec in facts.file.entries("experiments"):
        for name, variant in mapping(spec.get("variants")).items():
            if not mapping(variant).get("override"):
                continue
            overlaid = facts.document.overlaid({experiment: name})
            if any(finding.severity == "error" for finding in overlaid.findings):
                continue  # V803 says so
            file = read_flow(overlaid)
            other = Facts(file, Sites(file))
            bounds = run_bounds(other, other.steps)
            if bounds is not None and bounds != base:
                keys = ("experiments", experiment, "variants", name)
                message = f"variant `{name}` of `{experiment}`: {sentence(bounds)}"
                yield at_key(facts.document, "L712", keys, message)


def _ways(facts: Facts) -> Iterator[Finding]:
    for graph in facts.steps.order:
        shortest, longest = facts.steps.shortest[graph.name], facts.steps.longest[graph.name]
        if shortest is None or longest is None:
            continue
        more = "" if longest.is_exact else " or more"
        message = (
            f"the shortest way to `end` begins {_counted(shortest.weight, 'node', 'nodes')}, "
            f"the longest one without a loop {_counted(longest.weight, '', '')}{more}"
        )
        hint = f"shortest: {_way(shortest.names)}; longest: {_way(longest.names)}"
        yield at_value(facts.document, "L712", (*graph.keys, "start"), message, hint)


def _loops(facts: Facts) -> Iterator[Finding]:
    """What bounds each loop; of one that nothing bounds L703 tells."""
    for loop in Loops(facts, facts.steps).all():
        if loop.bounds:
            what = (
                "this loop is"
                if len(loop.names) == len(loop.way)
                else "this loop, and those it shares nodes with, are"
            )
            message = f"{what} bounded by {_some(loop.bounds)}: {_way((*loop.way, loop.way[0]))}"
            yield at_key(facts.document, "L712", loop.graph.nodes[loop.names[0]].keys, message)


def _counted(count: int, one: str, many: str) -> str:
    if count == 0:
        return f"no {many}"
    over = "over " if count >= MANY else ""
    return f"{over}{min(count, MANY):,} {one if count == 1 else many}".strip()


def _dollars(cost: float) -> str:
    return f"${cost:,.2f}" if cost == 0 or cost >= 0.01 else f"${cost:.6f}".rstrip("0")


def _some(words: tuple[str, ...]) -> str:
    return _listed([*words[:_SHOWN], *(["…"] if len(words) > _SHOWN else [])], "and")


def _listed(words: list[str], last: str) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _way(names: tuple[str, ...]) -> str:
    shown = names if len(names) <= _SHOWN else (*names[: _SHOWN - 1], "…", names[-1])
    return " → ".join(shown)
