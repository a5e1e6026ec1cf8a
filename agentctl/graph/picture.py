"""The picture of a graph, as a tree for a terminal and as a Mermaid flowchart."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from msgspec import UNSET

from agentctl.spec.model import FileSpec, GraphSpec, MapWork, NodeSpec, ValueRouter

END = "end"
_LONGEST = 60
_NODE_SHAPES = {"agent": "[]", "tool": "[[]]", "ask": "{{}}", "graph": "[[]]"}


@dataclass(frozen=True)
class Edge:
    """A way from one place to another; `rare` ones are taken when something goes wrong."""

    to: str
    label: str = ""
    rare: bool = False


def as_tree(spec: FileSpec) -> str:
    """The graph as a tree from its start. A place is drawn out once, where it is first met."""
    lines: list[str] = []
    for title, graph in _graphs(spec):
        lines += ["", title] if lines else [title]
        lines += _Tree(graph).lines()
    return "\n".join(lines) + "\n"


def as_mermaid(spec: FileSpec) -> str:
    """The graph in the language of mermaid.js.org, a subgraph for each graph of `graphs:`."""
    lines = ["flowchart TD"]
    for index, (title, graph) in enumerate(_graphs(spec)):
        chart = list(_chart(graph, f"g{index}_" if index else ""))
        if index:
            lines.append(f'    subgraph g{index} ["{_quoted(title)}"]')
            lines += [f"    {line}" for line in chart]
            lines.append("    end")
        else:
            lines += chart
    return "\n".join(lines) + "\n"


def edges(graph: FileSpec | GraphSpec, name: str) -> list[Edge]:
    """Where the run may go from a node or a router, the usual ways first."""
    router = (graph.routers or {}).get(name)
    if isinstance(router, ValueRouter):
        found = [Edge(to, value) for value, to in router.to.items()]
        return [*found, Edge(router.else_, "else")] if router.else_ else found
    if router is not None:
        return [
            Edge(arm.else_, "else") if arm.else_ else Edge(arm.to or END, f"when {arm.when}")
            for arm in router
        ]
    node = graph.nodes.get(name)
    return [] if node is None else _node_edges(node)


def says(node: NodeSpec | MapWork) -> str:
    """What a node does, in a few words: `agent sorter`, `tool refund`, `ask approve | reject`."""
    if node.agent is not UNSET:
        return f"agent {node.agent}" if isinstance(node.agent, str) else "agent"
    if node.tool is not UNSET:
        return f"tool {node.tool}"
    if node.graph is not UNSET:
        return f"graph {node.graph}"
    if isinstance(node, MapWork):
        return ""
    if node.map is not UNSET:
        return f"map {says(node.map.do)}, for each of {_short(node.map.over)}"
    if node.parallel is not UNSET:
        return "parallel"
    if node.ask is not UNSET:
        return "ask " + " | ".join(node.choices) if node.choices else "ask"
    return f"set {', '.join(node.set)}" if node.set else "set"


def _graphs(spec: FileSpec) -> Iterator[tuple[str, FileSpec | GraphSpec]]:
    yield spec.name, spec
    for name, graph in (spec.graphs or {}).items():
        yield f"graph {name}", graph


def _node_edges(node: NodeSpec) -> list[Edge]:
    found = [Edge(node.then)] if node.then else []
    if node.on_timeout:
        found.append(Edge(node.on_timeout, "on timeout", rare=True))
    if isinstance(node.on_error, str):
        found.append(Edge(node.on_error, "on error", rare=True))
    elif isinstance(node.on_error, Mapping):
        found += [Edge(to, f"on error {name}", rare=True) for name, to in node.on_error.items()]
    return found


def _beginnings(graph: FileSpec | GraphSpec) -> list[Edge]:
    """Where a run starts, and where it goes when a limit is met."""
    limits = graph.limits if isinstance(graph, FileSpec) else UNSET
    last = limits.on_limit if limits else UNSET
    found = [Edge(graph.start)]
    if last:
        found.append(Edge(last if isinstance(last, str) else last.node, "at a limit", rare=True))
    return found


class _Tree:
    """One graph drawn as a tree, depth first, each place drawn out once."""

    def __init__(self, graph: FileSpec | GraphSpec) -> None:
        self.graph = graph
        self.drawn: set[str] = set()

    def lines(self) -> list[str]:
        lines = self._draw(_beginnings(self.graph), "")
        left = [name for name in self.graph.nodes if name not in self.drawn]
        return [*lines, "not reached: " + ", ".join(left)] if left else lines

    def _draw(self, ways: list[Edge], indent: str) -> list[str]:
        """Lines of all the ways that leave one place. The stack is explicit: a chain may be long."""
        lines: list[str] = []
        stack = [(way, indent, way is ways[-1]) for way in reversed(ways)]
        while stack:
            way, indent, last = stack.pop()
            lines.append(f"{indent}{'└─' if last else '├─'} {self._says(way)}")
            inner = indent + ("   " if last else "│  ")
            if way.to in self.drawn or way.to in (END, "skip"):
                continue
            self.drawn.add(way.to)
            lines += [f"{inner}· {text}" for text in self._branches(way.to)]
            onward = edges(self.graph, way.to)
            stack += [(edge, inner, edge is onward[-1]) for edge in reversed(onward)]
        return lines

    def _says(self, way: Edge) -> str:
        label = f"{_short(way.label)} → " if way.label else ""
        node = self.graph.nodes.get(way.to)
        if way.to in (END, "skip"):
            return f"{label}{way.to}"
        if way.to in self.drawn:
            return f"{label}{way.to} (above)"
        if node is not None:
            return f"{label}{way.to}  {says(node)}"
        return f"{label}{way.to}?" if way.to in (self.graph.routers or {}) else f"{label}{way.to} (unknown)"

    def _branches(self, name: str) -> list[str]:
        node = self.graph.nodes.get(name)
        inside = node.parallel if node is not None and node.parallel else {}
        return [f"{branch}  {says(work)}" for branch, work in inside.items()]


def _chart(graph: FileSpec | GraphSpec, prefix: str) -> Iterator[str]:
    ids = {name: f"{prefix}n{index}" for index, name in enumerate([*graph.nodes, *(graph.routers or {})])}
    final = f"{prefix}stop"
    for name, node in graph.nodes.items():
        opening, closing = _shape(node)
        words = [
            name,
            says(node),
            *(f"{branch}: {says(work)}" for branch, work in (node.parallel or {}).items()),
        ]
        yield f'    {ids[name]}{opening}"{"<br/>".join(map(_quoted, words))}"{closing}'
    for name in graph.routers or {}:
        yield f'    {ids[name]}{{"{_quoted(name)}"}}'
    yield f"    {final}([end])"
    for number, edge in enumerate(_beginnings(graph)):
        begin = f"{prefix}begin{number}([{edge.label or 'start'}])"
        yield f"    {begin} {'-.->' if edge.rare else '-->'} {ids.get(edge.to, final)}"
    for name, here in ids.items():
        for edge in edges(graph, name):
            arrow = "-.->" if edge.rare else "-->"
            label = f'|"{_quoted(_short(edge.label))}"|' if edge.label else ""
            target = graph.nodes[name].then or END if edge.to == "skip" and name in graph.nodes else edge.to
            yield f"    {here} {arrow}{label} {ids.get(target, final)}"


def _shape(node: NodeSpec) -> tuple[str, str]:
    shape = _NODE_SHAPES.get(says(node).split(" ", 1)[0], "[]")
    return shape[: len(shape) // 2], shape[len(shape) // 2 :]


def _short(text: object) -> str:
    """One line of at most 60 characters."""
    line = re.sub(r"\s+", " ", str(text)).strip()
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _quoted(text: str) -> str:
    """Text inside a Mermaid string: its own entities, so that nothing in it is markup."""
    return re.sub(r'[#"<>&`\\]', lambda found: f"#{ord(found[0])};", text)
