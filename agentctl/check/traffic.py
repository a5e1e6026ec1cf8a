"""Which fields of each graph are read and which are written, and which a misspelt name may have meant."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from agentctl.check.flow import FileModel, Graph, Work, placed_names, summary_of, text
from agentctl.check.sites import Sites
from agentctl.spec.finding import Keys
from agentctl.spec.nearest import nearest

UNREADABLE = frozenset(("E401", "E402", "E403", "E404", "E405"))
"""Problems after which it is not known what an expression reads."""


class Traffic(Struct, frozen=True):
    """What goes in and out of a graph's fields."""

    graph: Graph
    read: frozenset[str]
    written: frozenset[str]
    suspects: frozenset[str]
    """Fields that a misspelt name may have meant: what is said of them is unsure."""
    is_unreadable: bool
    """Whether some expression cannot be read, so that it is not known which fields it reads."""


def traffic_of(file: FileModel, sites: Sites) -> list[Traffic]:
    """The traffic of each graph."""
    return [
        Traffic(
            graph,
            frozenset(_fields_read(file, graph, sites)),
            frozenset(_fields_written(file, graph)),
            frozenset(_suspects(file, graph, sites)),
            any(problem.code in UNREADABLE for site in sites.of(graph) for problem in site.analysis.problems),
        )
        for graph in file.graphs
    ]


def named_fields(file: FileModel, graph: Graph) -> Iterator[tuple[str, Keys]]:
    """The fields a graph names outside of expressions and saves."""
    for part in ("input", "output"):
        yield from placed_names(graph.data.get(part), (*graph.keys, part))
    for work in graph.works:
        if (field := text(work.data.get("history"))) is not None:
            yield field, (*work.keys, "history")
            yield from _summary_field(file, work)


def _summary_field(file: FileModel, work: Work) -> Iterator[tuple[str, Keys]]:
    agent, name = file.agent_of(work), work.name_of("agent")
    into = text(summary_of(agent or {}).get("into"))
    if into is not None:
        keys: Keys = ("agents", name) if name is not None else (*work.keys, "agent")
        yield into, (*keys, "context", "summarise", "into")


def _fields_read(file: FileModel, graph: Graph, sites: Sites) -> set[str]:
    """Every field that something reads: expressions, outputs, histories and tiers."""
    read = {field for site in sites.of(graph) for field, _ in site.fields_read()}
    if any(_reads_whole_state(site.analysis.references) for site in sites.of(graph)):
        read.update(graph.fields)
    read.update(graph.outputs)
    for name, keys in named_fields(file, graph):
        if keys[len(graph.keys)] != "input":
            read.add(name)
    return read


def _reads_whole_state(references: tuple[object, ...]) -> bool:
    return any(getattr(ref, "root", "") == "state" and not getattr(ref, "path", ()) for ref in references)


def _fields_written(file: FileModel, graph: Graph) -> set[str]:
    written = {save.field for work in graph.works for save in work.saves} | set(graph.inputs)
    return written | {name for name, keys in named_fields(file, graph) if keys[-1] in ("history", "into")}


def _suspects(file: FileModel, graph: Graph, sites: Sites) -> set[str]:
    """Fields that a misspelt name may have meant."""
    named = {save.field for work in graph.works for save in work.saves}
    named |= {name for name, _ in named_fields(file, graph)}
    named |= {field for site in sites.of(graph) for field, _ in site.fields_read()}
    near = {nearest(name, graph.fields) for name in named if name not in graph.fields}
    bare = {
        site.text[problem.offset : problem.offset + problem.length]
        for site in sites.of(graph)
        for problem in site.analysis.problems
        if problem.code == "E411"
    }
    return {name for name in near | bare if name is not None}
