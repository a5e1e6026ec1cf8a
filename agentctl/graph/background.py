"""Background nodes: where they stand, and the graph that a job of one runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from agentctl.graph.plan import (
    END,
    AgentNode,
    AgentPlan,
    AgentWork,
    Graph,
    GraphNode,
    GraphWork,
    LimitPlan,
    MapNode,
    Node,
    ParallelNode,
    StoreWork,
    ToolNode,
    ToolPlan,
    tools_of,
)

ATTEMPTS = 3
"""Tries of a job's work before it has failed."""


@dataclass(frozen=True, slots=True)
class BackgroundNode:
    """A node that starts jobs, the graph whose state it reads, and the graph of the file that it stands in."""

    node: Node
    owner: Graph
    file: Graph


def background_nodes(graph: Graph) -> Iterator[BackgroundNode]:
    """Those of a file, of its graphs, and of the files that its tools run."""
    yield from _Search().of_graph(graph, graph)


def job_graph(found: BackgroundNode, limits: LimitPlan) -> Graph:
    """One node, which does its work now, under the limits of a job; where its result leads to is for nobody to say."""
    node, file = found.node, found.file
    attempts = max(node.attempts, ATTEMPTS if _is_repeatable(node) else 1)
    work = replace(node, background=None, then=END, on_error={}, attempts=attempts, max_visits=None)
    return replace(
        found.owner,
        name=file.name,
        digest=file.digest,
        texts=file.texts,
        signatures=file.signatures,
        data=file.data,
        start=node.name,
        nodes={node.name: work},
        routers={},
        input=(),
        output=(),
        limits=_of_job(limits),
        tiers=None,
    )


def _of_job(limits: LimitPlan) -> LimitPlan:
    said = limits.background
    return replace(
        limits,
        time=limits.time if said.time is None else said.time,
        recursion=limits.recursion if said.recursion is None else said.recursion,
        tokens=said.tokens,
        cost=said.cost,
        on_limit=None,
    )


def _is_repeatable(node: Node) -> bool:
    """Whether nothing is written twice when the work is done again, of which a part was done."""
    return all(map(_is_safe, tools_of(node)))


def _is_safe(tool: ToolPlan) -> bool:
    match tool.work:
        case GraphWork(graph=graph):
            return all(map(_is_safe, graph.tools.values()))
        case AgentWork(agent=agent):
            return all(map(_is_safe, agent.tools))
        case StoreWork():  # documents have their digest for a name
            return True
        case _:
            return tool.effect != "write" or tool.idempotency_key is not None


class _Search:
    def __init__(self) -> None:
        self.seen: set[int] = set()

    def of_graph(self, graph: Graph, file: Graph) -> Iterator[BackgroundNode]:
        if id(graph) in self.seen:
            return
        self.seen.add(id(graph))
        for node in graph.nodes.values():
            yield from self._of_node(node, graph, file)

    def _of_node(self, node: Node, owner: Graph, file: Graph) -> Iterator[BackgroundNode]:
        if node.background is not None:
            yield BackgroundNode(node, owner, file)
        match node:
            case GraphNode(graph=graph):
                yield from self.of_graph(graph, file)
            case ParallelNode(branches=branches):
                for branch in branches:
                    yield from self._of_node(branch, owner, file)
            case MapNode(do=do):
                yield from self._of_node(do, owner, file)
            case AgentNode(agent=agent):
                yield from self._of_agent(agent, file)
            case ToolNode(tool=tool):
                yield from self._of_tool(tool, file)

    def _of_agent(self, agent: AgentPlan, file: Graph) -> Iterator[BackgroundNode]:
        for tool in agent.tools:
            yield from self._of_tool(tool, file)

    def _of_tool(self, tool: ToolPlan, file: Graph) -> Iterator[BackgroundNode]:
        match tool.work:
            case GraphWork(graph=graph):
                yield from self.of_graph(graph, graph if graph.is_file else file)
            case AgentWork(agent=agent):
                yield from self._of_agent(agent, file)
