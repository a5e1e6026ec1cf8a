"""A file's tests as the rules see them: the graph each is about, what it can come to, and what its names mean."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Literal, assert_never

from msgspec import Struct

from agentctl.check.answers import answer_of, answer_of_tool
from agentctl.check.facts import Facts
from agentctl.check.flow import FileModel, Graph, Work, mapping, summary_of, text, texts_in
from agentctl.check.sites import answer_schema
from agentctl.check.tools.calls import Thing, agent_thing
from agentctl.expressions import Expression, compile_bare
from agentctl.json import Json
from agentctl.spec.document import Document
from agentctl.spec.finding import Keys
from agentctl.spec.overlay import all_overrides

Kind = Literal["node", "tool", "agent"]
KINDS: tuple[Kind, ...] = ("node", "tool", "agent")
"""What a plain name is taken for, the first that there is."""
SECTIONS: Mapping[str, Kind] = {"nodes": "node", "tools": "tool", "agents": "agent"}
"""The words before a dot that say what a name is."""


class Named(Struct, frozen=True):
    """What a name in a test stands for."""

    kind: Kind
    name: str


class Trial(Struct, frozen=True, eq=False, dict=True):
    """One entry of `tests:`, and the graph it is about."""

    name: str
    data: Mapping[str, Json]
    graph: Graph

    @property
    def keys(self) -> Keys:
        return ("tests", self.name)

    def part(self, key: str) -> Mapping[str, Json]:
        """`input`, `stub`, `faults`, `variant` or `expect`; empty when it is not there."""
        return mapping(self.data.get(key))

    @property
    def after(self) -> str | None:
        return text(self.data.get("after"))

    @property
    def status(self) -> str | None:
        return text(self.part("expect").get("status"))

    @property
    def route(self) -> tuple[str, ...] | None:
        """The nodes it is to take; None when it does not say."""
        said = self.part("expect").get("route")
        return tuple(map(str, said)) if isinstance(said, list) else None


class Reach(Struct, frozen=True):
    """What runs of a graph can come to, in it and in what it calls."""

    nodes: Mapping[str, tuple[tuple[Graph, Work], ...]]
    tools: frozenset[str]
    agents: frozenset[str]

    def has(self, named: Named) -> bool:
        return named.name in self.of(named.kind)

    def of(self, kind: Kind) -> Collection[str]:
        """The names of one kind."""
        match kind:
            case "node":
                return self.nodes
            case "tool":
                return self.tools
            case "agent":
                return self.agents
            case _:
                assert_never(kind)

    def meanings(self, word: str) -> tuple[Named, ...]:
        """What a name may stand for, the first meaning first; one that says its kind has one meaning at most."""
        section, dot, name = word.partition(".")
        if dot:
            named = Named(SECTIONS[section], name) if section in SECTIONS else None
            return (named,) if named is not None and self.has(named) else ()
        return tuple(Named(kind, word) for kind in KINDS if word in self.of(kind))


class Testing:
    """The tests of a file."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.file: FileModel = facts.file
        self._reaches: dict[str, Reach] = {}
        self._followed: dict[str, frozenset[str]] = {}
        self._given: dict[str, frozenset[str] | None] = {}
        self._compiled: dict[str, Expression] = {}

    @property
    def document(self) -> Document:
        return self.file.document

    @cached_property
    def trials(self) -> tuple[Trial, ...]:
        """Those that are mappings, about a graph that is there."""
        found = []
        for name, data in self.file.entries("tests"):
            nested = text(data.get("graph"))
            graph = self.file.root if nested is None else self.file.nested.get(nested)
            if graph is not None:
                found.append(Trial(name, data, graph))
        return tuple(found)

    @cached_property
    def by_name(self) -> Mapping[str, Trial]:
        return {trial.name: trial for trial in self.trials}

    def reach(self, graph: Graph) -> Reach:
        """What runs of a graph can come to."""
        if graph.name not in self._reaches:
            self._reaches[graph.name] = self._reach(graph)
        return self._reaches[graph.name]

    @cached_property
    def everything(self) -> Reach:
        """All that has a name in the file."""
        return Reach(
            _nodes_of(self.file.graphs),
            frozenset(self.file.section("tools")),
            frozenset(self.file.section("agents")),
        )

    def given(self, trial: Trial) -> frozenset[str] | None:
        """The inputs given by a test and by those before it; None when one of those is not there, or they go round."""
        chain: dict[str, Trial] = {}
        at: Trial | None = trial
        while at is not None and at.name not in chain and at.name not in self._given:
            chain[at.name] = at
            at = None if at.after is None else self.by_name.get(at.after)
        for turn in reversed(chain.values()):
            before = frozenset[str]() if turn.after is None else self._given.get(turn.after)
            self._given[turn.name] = None if before is None else before.union(turn.part("input"))
        return self._given[trial.name]

    def answers(self, named: Named, trial: Trial) -> tuple[Json, ...]:
        """The types of what a thing answers, one for each node of the name; {} where that is not known."""
        if named.kind == "tool":
            return (answer_of_tool(self.file, named.name),)
        if named.kind == "agent":
            agent = self.file.agent_named(named.name)
            return ({} if agent is None else answer_schema(agent.get("output")),)
        works = self.reach(trial.graph).nodes.get(named.name, ())
        return tuple(answer_of(self.file, work, self.facts.sites) for _, work in works)

    def compiled(self, text: str) -> Expression:
        """A bare expression, compiled once. Raises ExpressionError."""
        if text not in self._compiled:
            self._compiled[text] = compile_bare(text)
        return self._compiled[text]

    def followed(self, graph: Graph) -> frozenset[str]:
        """The fields of a graph that hold just what was last written: no reducer, no bound, no other writer."""
        if graph.name not in self._followed:
            self._followed[graph.name] = frozenset(_followed(self.file, graph))
        return self._followed[graph.name]

    def is_overlaid(self, *steps: str) -> bool:
        """Whether a variant replaces something at or below a path, or the whole that it stands in."""
        path = ".".join(steps)
        return any(
            f"{other}.".startswith(f"{path}.") or f"{path}.".startswith(f"{other}.")
            for other in self._overlaid
        )

    @cached_property
    def words_of_variants(self) -> frozenset[str]:
        """Every text that an override holds: a test may stub what only a variant comes to."""
        overrides = all_overrides(self.file.data)
        return frozenset(word for override in overrides for word in texts_in(override.value))

    @cached_property
    def _overlaid(self) -> frozenset[str]:
        return frozenset(override.path.partition("[")[0] for override in all_overrides(self.file.data))

    def _reach(self, graph: Graph) -> Reach:
        things = self._things_from(("graph", graph.name))
        graphs = [self._graph(name) for kind, name in things if kind == "graph"]
        return Reach(
            _nodes_of([found for found in graphs if found is not None]),
            frozenset(name for kind, name in things if kind == "tool"),
            frozenset(name for kind, name in things if kind == "agent"),
        )

    def _graph(self, name: str) -> Graph | None:
        return self.file.nested.get(name) if name else self.file.root

    def _things_from(self, start: Thing) -> dict[Thing, None]:
        seen: dict[Thing, None] = {start: None}
        waiting = [start]
        while waiting:
            thing = waiting.pop()
            called = [call.callee for call in self.facts.tooling.calls.get(thing, ())]
            if (condenser := self._condensers.get(thing)) is not None:
                called.append(("agent", condenser))
            for callee in called:
                if callee not in seen:
                    seen[callee] = None
                    waiting.append(callee)
        return seen

    @cached_property
    def _condensers(self) -> Mapping[Thing, str]:
        """The agents that shorten what other agents remember."""
        found: dict[Thing, str] = {}
        for keys, agent in self.file.agents_in_place:
            if (name := text(summary_of(agent).get("agent"))) is not None:
                found[agent_thing(keys)] = name
        return found


def _nodes_of(
    graphs: Iterator[Graph] | list[Graph] | tuple[Graph, ...],
) -> Mapping[str, tuple[tuple[Graph, Work], ...]]:
    found: dict[str, list[tuple[Graph, Work]]] = {}
    for graph in graphs:
        for name, node in graph.nodes.items():
            found.setdefault(name, []).append((graph, node))
    return {name: tuple(nodes) for name, nodes in found.items()}


def _followed(file: FileModel, graph: Graph) -> Iterator[str]:
    others: set[str | None] = set()
    for work in graph.works:
        others.add(text(work.data.get("history")))
        agent = file.agent_of(work) if work.verb == "agent" else None
        others.add(text(summary_of(mapping(agent)).get("into")))
        if work.data.get("background"):
            others.update(save.field for save in work.saves)
    for name, field in graph.fields.items():
        is_bound = field.type.keep is not None or field.type.first is not None
        if field.reducer == "last" and not is_bound and name not in others:
            yield name
