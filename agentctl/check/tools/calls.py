"""Who runs whom across graphs, agents and tools, and what can wait for a person."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from agentctl.check.flow import FileModel, Work, mapping, names_in, placed_names, text
from agentctl.json import Json
from agentctl.spec.finding import Keys

Thing = tuple[str, str]
"""("graph" | "agent" | "tool", name)."""


class Call(Struct, frozen=True):
    """One thing that names another, and where."""

    caller: Thing
    callee: Thing
    keys: Keys


def calls_of(file: FileModel) -> Iterator[Call]:
    """Every call of a file: graphs that run graphs, agents and tools; agents that have tools; tools that are either."""
    for graph in file.graphs:
        for work in graph.works:
            yield from _calls_of_work(("graph", graph.name), work)
    for keys, agent in file.agents_in_place:
        for name, place in placed_names(agent.get("tools"), (*keys, "tools")):
            yield Call(agent_thing(keys), ("tool", name), place)
    for name, tool in file.entries("tools"):
        for kind in ("graph", "agent"):
            if (called := text(tool.get(kind))) is not None:
                yield Call(("tool", name), (kind, called), ("tools", name, kind))


def thing_of(work: Work) -> Thing | None:
    """What a piece of work runs; its parts are not looked at."""
    if work.verb not in ("graph", "agent", "tool"):
        return None
    name = work.name_of(work.verb)
    if name is not None:
        return work.verb, name
    return agent_thing((*work.keys, "agent")) if work.verb == "agent" else None


def agent_thing(keys: Keys) -> Thing:
    """The agent that stands at some keys: a declared one goes by its name, one written in place by its keys."""
    return ("agent", str(keys[1]) if len(keys) == 2 else ".".join(map(str, keys)))


class Waiting:
    """What can wait for a person: an `ask`, or an agent with a tool that some tier has approved first."""

    def __init__(self, file: FileModel) -> None:
        self._file = file
        self._approved = frozenset(
            name
            for level in mapping(file.section("tiers").get("levels")).values()
            for name in names_in(mapping(level).get("approve"))
        )
        self._graphs = _spread(file, self._of_leaf)

    def of_work(self, work: Work) -> str | None:
        """Why a piece of work can wait, in words; None when it cannot. Its parts are not looked at."""
        name = work.name_of("graph")
        return self.of_graph(name) if work.verb == "graph" and name is not None else self._of_leaf(work)

    def of_agent(self, agent: Mapping[str, Json]) -> str | None:
        approved = next((name for name in names_in(agent.get("tools")) if name in self._approved), None)
        return None if approved is None else f"may call `{approved}`, which a person must approve"

    def of_graph(self, name: str) -> str | None:
        return self._graphs.get(name)

    def _of_leaf(self, work: Work) -> str | None:
        if work.verb == "ask":
            return "asks a person"
        agent = self._file.agent_of(work) if work.verb == "agent" else None
        return None if agent is None else self.of_agent(agent)


def graphs_with_background(file: FileModel) -> Mapping[str, str]:
    """The nested graphs that start background work, themselves or through others, and where."""
    return _spread(file, lambda work: "starts background work" if work.data.get("background") else None)


def _spread(file: FileModel, why: Callable[[Work], str | None]) -> dict[str, str]:
    """The graphs in which something holds for some work, and those that run them, each with the reason."""
    found: dict[str, str] = {}
    callers: dict[str, list[str]] = {}
    for graph in file.nested.values():
        for work in graph.works:
            reason = why(work)
            if reason is not None:
                found.setdefault(graph.name, f"{reason} (node `{work.node}` of graph `{graph.name}`)")
            if work.verb == "graph" and (name := work.name_of("graph")) is not None:
                callers.setdefault(name, []).append(graph.name)
    waiting = deque(found)
    while waiting:
        name = waiting.popleft()
        for caller in callers.get(name, ()):
            if caller not in found:
                found[caller] = found[name]
                waiting.append(caller)
    return found


def _calls_of_work(caller: Thing, work: Work) -> Iterator[Call]:
    thing = thing_of(work)
    if thing is not None and work.verb is not None:
        yield Call(caller, thing, (*work.keys, work.verb))
