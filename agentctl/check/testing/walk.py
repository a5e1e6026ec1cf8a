"""Where a test's turn goes from each node: what its stubs and inputs make of the routers, as far as that is certain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Literal

from msgspec import Struct

from agentctl.check.flow import END, SKIP, Graph, Target, Work, mapping, text, texts_in
from agentctl.check.runs.limits import turn_limits
from agentctl.check.shapes import value_text
from agentctl.check.testing.trial import Named, Testing, Trial
from agentctl.expressions import ExpressionError, is_template
from agentctl.json import Json
from agentctl.spec.finding import Keys
from agentctl.spec.testing_shape import is_fault
from agentctl.spec.wording import listed

Known = Mapping[str, Json]
"""The fields whose values are certain; every other one may hold anything."""
_UNKNOWN = object()


class Step(Struct, frozen=True):
    """One way from a node: to a node or `end`, by the words that lead there, and what is known then."""

    to: str
    by: tuple[Target, ...]
    known: Known


class Trouble(Struct, frozen=True):
    """That a node may fail in a test; `certain` is the class when it surely does."""

    certain: str | None = None


class Misstep(Struct, frozen=True):
    """Where a route leaves the graph; `place` is None for the route as a whole."""

    place: int | None
    message: str
    hint: str | None = None


class Walk(Struct, frozen=True, eq=False, dict=True):
    """The ways of one test through one graph: the tested one, or one that it comes to."""

    testing: Testing
    trial: Trial
    graph: Graph

    @property
    def is_tested(self) -> bool:
        """Whether the test's inputs are this graph's."""
        return self.graph is self.trial.graph

    def begin(self) -> Iterator[Step]:
        """The ways from `start`."""
        for target in self.graph.by_owner.get("", ()):
            if target.kind == "start":
                yield from self._resolve((target,), self.known_at_start)

    @cached_property
    def known_at_start(self) -> Known:
        given = self.trial.part("input") if self.is_tested else {}
        is_first = self.trial.after is None
        known: dict[str, Json] = {}
        for name in self.testing.followed(self.graph):
            field = self.graph.fields[name]
            if name in given:
                known[name] = given[name]
            elif is_first and field.starts_filled and (self.is_tested or name not in self.graph.inputs):
                known[name] = field.type.default
        return known

    def from_node(self, name: str, known: Known, *, failing: bool = False) -> Iterator[Step]:
        """The ways from a node. Those of errors are among them when something makes it fail, or all when `failing`."""
        node, trouble = self.graph.nodes[name], self.trouble(name)
        certain = None if trouble is None else trouble.certain
        ways = self.graph.by_owner.get(name, ())
        forward = next((target for target in ways if target.kind == "then"), None)
        if forward is not None and certain is None:
            yield from self._resolve((forward,), self._after(node, known))
        unsaved = _without(known, node)
        for target in ways:
            if target.kind == "then" or not (failing or trouble) or not _takes(node, target, certain):
                continue
            if target.name != SKIP:
                yield from self._resolve((target,), known)
            elif forward is not None:
                yield from self._resolve((target, forward), unsaved)

    def trouble(self, name: str) -> Trouble | None:
        """Whether a node fails: a stub that is an error surely makes it; other faults, and any inside it, may."""
        node = self.graph.nodes[name]
        things = [Named("node", name)]
        if node.verb in ("tool", "agent") and (thing := node.name_of(node.verb)) is not None:
            things.append(Named("tool" if node.verb == "tool" else "agent", thing))
        stub: Json = next((self._stubs[thing] for thing in things if thing in self._stubs), _UNKNOWN)
        if is_fault(stub):
            is_certain = node.verb in ("tool", "agent") and set(stub) == {"$error"}
            return Trouble(text(stub["$error"]) if is_certain else None)
        if not self._faulty.isdisjoint(things):
            return Trouble()
        holds_others = stub is _UNKNOWN and node.verb in ("graph", "map", "parallel", "tool", "agent")
        return Trouble() if holds_others and self.has_faults else None

    @cached_property
    def has_faults(self) -> bool:
        stubs = self.trial.part("stub").values()
        return bool(self.trial.part("faults")) or any(map(is_fault, stubs))

    def stubbed(self, kind: Literal["node", "tool", "agent"], name: str | None) -> Json:
        """What stands in for a thing; a marker of its own when nothing does."""
        return _UNKNOWN if name is None else self._stubs.get(Named(kind, name), _UNKNOWN)

    def is_stubbed(self, kind: Literal["node", "tool", "agent"], name: str | None) -> bool:
        return self.stubbed(kind, name) is not _UNKNOWN

    @cached_property
    def _stubs(self) -> Mapping[Named, Json]:
        return dict(self._named(self.trial.part("stub")))

    @cached_property
    def _faulty(self) -> frozenset[Named]:
        return frozenset(named for named, _ in self._named(self.trial.part("faults")))

    def _named(self, words: Mapping[str, Json]) -> Iterator[tuple[Named, Json]]:
        reach = self.testing.reach(self.trial.graph)
        for word, value in words.items():
            for named in reach.meanings(word)[:1]:
                yield named, value

    def _answer(self, node: Work) -> Json:
        """What a node surely answers; a marker when that is not known."""
        answer = self.stubbed("node", node.node)
        if answer is _UNKNOWN and node.verb in ("tool", "agent"):
            answer = self.stubbed("tool" if node.verb == "tool" else "agent", node.name_of(node.verb))
        return _UNKNOWN if is_fault(answer) else answer

    def _after(self, node: Work, known: Known) -> Known:
        """What is known once a node has gone well."""
        after = dict(_without(known, node))
        answer = self._answer(node)
        for save in node.saves:
            value = answer
            if node.verb == "set":
                value = mapping(node.data.get("set")).get(save.field)
                value = _UNKNOWN if any(map(is_template, texts_in(value))) else value
            elif save.key is not None:
                value = answer.get(save.key, _UNKNOWN) if isinstance(answer, dict) else _UNKNOWN
            if value is not _UNKNOWN and save.field in self.testing.followed(self.graph):
                after[save.field] = value
        return after

    def _resolve(self, by: tuple[Target, ...], known: Known) -> Iterator[Step]:
        """From a word, through routers, to nodes and `end`. A router met again is told as a step that ends there."""
        waiting, seen = [by], set[str]()
        while waiting:
            by = waiting.pop()
            name = by[-1].name
            if name in self.graph.routers and name not in seen:
                seen.add(name)
                waiting += [(*by, arm) for arm in reversed([*self._arms(name, known)])]
            elif name in self.graph.nodes or name in self.graph.routers or name == END:
                yield Step(name, by, known)

    def _arms(self, name: str, known: Known) -> Iterator[Target]:
        """The arms of a router that may be taken."""
        keys: Keys = (*self.graph.keys, "routers", name)
        arms = {target.keys: target for target in self.graph.by_owner.get(name, ())}
        router = self.graph.routers[name]
        if isinstance(router, dict):
            value = self._value((*keys, "by"), router.get("by"), known)
            chosen = () if value is _UNKNOWN else ((*keys, "to", value_text(value)), (*keys, "else"))
            taken = next((arms[place] for place in chosen if place in arms), None)
            yield from arms.values() if taken is None else (taken,)
            return
        for index, arm in enumerate(router if isinstance(router, list) else ()):
            condition = mapping(arm).get("when", True)
            holds = self._value((*keys, index, "when"), condition, known)
            target = arms.get((*keys, index, "to")) or arms.get((*keys, index, "else"))
            if target is not None and holds is not False:
                yield target
            if holds is True:
                return

    def _value(self, keys: Keys, expression: Json, known: Known) -> Json:
        """The value of a bare expression when all that it reads is known."""
        if not isinstance(expression, str):
            return expression
        site = self.testing.facts.sites.by_keys.get(keys)
        if site is None or site.analysis.problems:
            return _UNKNOWN
        for reference in site.analysis.references:
            if reference.root != "state" or not reference.path or reference.path[0] not in known:
                return _UNKNOWN
        try:
            return self.testing.compiled(expression)({"state": known})
        except ExpressionError:
            return _UNKNOWN


def misstep(walk: Walk, route: tuple[str, ...]) -> Misstep | None:
    """The first place at which a route leaves the graph; its names are nodes of it."""
    ways, visits = [*walk.begin()], Counter[str]()
    for place, name in enumerate(route):
        visits[name] += 1
        known = common([step.known for step in ways if step.to == name])
        if known is None and not _is_last_resort(walk, name, place):
            return Misstep(place, _instead(walk, route, place, ways), _forced(walk, route, place))
        if (over := _over_limit(walk, name, place, visits[name])) is not None:
            return over
        ways = [*walk.from_node(name, known or {}, failing=True)]
    if walk.trial.status in (None, "done") and not _may_stop(walk, route, ways):
        begin = f"after `{route[-1]}` the turn goes on" if route else "a turn begins at"
        begin = f"{begin} to" if route else begin
        last = len(route) - 1 if route else None
        return Misstep(last, f"{begin} {_places(walk, ways)}, and the route ends here")
    return None


def _instead(walk: Walk, route: tuple[str, ...], place: int, ways: list[Step]) -> str:
    where = _places(walk, ways)
    if not ways:
        return f"`{route[place - 1]}` fails in this test, and has no `on_error` that takes it"
    if place == 0:
        return f"a turn begins at {where}, not at `{route[0]}`"
    goes = "ends" if where == "`end`" else f"goes to {where}"
    return f"after `{route[place - 1]}` the turn {goes}, not to `{route[place]}`"


def _forced(walk: Walk, route: tuple[str, ...], place: int) -> str | None:
    """Why a way that the graph has is not open to this test."""
    if place == 0:
        free = Walk(walk.testing, Trial(walk.trial.name, {"after": ""}, walk.graph), walk.graph)
        is_there = any(step.to == route[0] for step in free.begin())
    else:
        bare = Walk(walk.testing, Trial(walk.trial.name, {}, walk.graph), walk.graph)
        steps = bare.from_node(route[place - 1], {}, failing=True)
        is_there = any(step.to == route[place] for step in steps)
    return (
        "the graph has that way, but the inputs and stubs of this test lead elsewhere" if is_there else None
    )


def _over_limit(walk: Walk, name: str, place: int, visits: int) -> Misstep | None:
    most = walk.graph.nodes[name].data.get("max_visits")
    if isinstance(most, int) and visits > most and not _is_last_resort(walk, name, place):
        times = {1: "once", 2: "twice"}.get(most, f"{most} times")
        return Misstep(place, f"`{name}` runs {times} in a turn, at most: its `max_visits`")
    recursion = turn_limits(walk.testing.file.data).recursion
    if place >= recursion and not _is_last_resort(walk, name, place):
        return Misstep(place, f"a turn has {recursion} steps at most: `limits.recursion`")
    return None


def _is_last_resort(walk: Walk, name: str, place: int) -> bool:
    """Whether a limit may lead to a node: to that of `on_limit`, after something else."""
    last = walk.graph.last_node
    return place > 0 and walk.trial.status != "done" and last is not None and name == last.node


def _may_stop(walk: Walk, route: tuple[str, ...], ways: list[Step]) -> bool:
    """Whether a turn may stop after the route: at `end`, by a failure, or to ask."""
    if any(step.to == END for step in ways):
        return True
    if not route or walk.trial.status == "done":
        return False
    trouble = walk.trouble(route[-1])
    if trouble is not None:
        return trouble.certain is None or not ways
    last = walk.graph.nodes[route[-1]]
    is_asked = last.verb == "ask" and not walk.is_stubbed("node", route[-1])
    return is_asked or last.verb in ("graph", "map", "parallel")


def _places(walk: Walk, ways: list[Step]) -> str:
    ends = dict.fromkeys(step.to for step in ways if step.to not in walk.graph.routers)
    names = [f"`{name}`" for name in ends]
    return listed(names[:6], "or") if len(names) <= 6 else f"{', '.join(names[:6])}, …"


def common(all_known: list[Known]) -> Known | None:
    """What is known on every one of some ways; None when there is none."""
    if not all_known:
        return None
    first, *others = all_known
    return {
        field: value
        for field, value in first.items()
        if all(field in other and other[field] == value for other in others)
    }


def _without(known: Known, node: Work) -> Known:
    """What is left of what is known when a node may have written its fields."""
    written = {save.field for work in node.walk() for save in work.saves}
    return {field: value for field, value in known.items() if field not in written}


def _takes(node: Work, target: Target, error: str | None) -> bool:
    """Whether a failure of a class goes where an arm leads; any failure may when the class is not certain."""
    if error is None:
        return True
    if target.kind == "on_timeout":
        return error == "timeout"
    classes = node.data.get("on_error")
    if not isinstance(classes, dict):
        return True
    return target.keys[-1] == (error if error in classes else "else")
