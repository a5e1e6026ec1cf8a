"""The small verbs, tool, set and ask, and the one place that knows them all."""

from __future__ import annotations

from typing import assert_never

from agentctl.errors import NodeError, ToolError
from agentctl.graph.plan import AgentNode, AskNode, GraphNode, MapNode, Node, ParallelNode, SetNode, ToolNode
from agentctl.json import encode
from agentctl.nodes.agent import run_agent
from agentctl.nodes.saving import saved
from agentctl.nodes.turn import NodeResult, NodeTurn, Place
from agentctl.spec.fits import completed


async def run_node(turn: NodeTurn, node: Node, place: Place) -> NodeResult:
    """Do a node's work once. Raises NodeError, Cut, LimitReached or Waiting."""
    match node:
        case SetNode():
            return run_set(turn, node)
        case AgentNode():
            return await run_agent(turn, node, place)
        case ToolNode():
            return await _run_tool(turn, node, place)
        case GraphNode():
            return await _run_graph(turn, node, place)
        case ParallelNode() | MapNode():
            return await turn.fan_out(place, node)
        case AskNode():
            return await _run_ask(turn, node, place)
        case _:
            assert_never(node)


def run_set(turn: NodeTurn, node: SetNode) -> NodeResult:
    """Evaluate every value against the state as the node began."""
    names = turn.names
    return NodeResult([(field, value(names)) for field, value in node.values])


async def _run_tool(turn: NodeTurn, node: ToolNode, place: Place) -> NodeResult:
    arguments = node.args(turn.names)
    problems = node.tool.check_arguments(arguments)
    if problems:
        raise ToolError("tool_failed", f"tool `{node.tool.name}` was not called: {'; '.join(problems)}")
    called = place._replace(call=1)
    result = await turn.call_tool(called, node.tool, completed(node.tool.parameters, arguments))
    return saved(node.save, result, called.key, ("result",))


async def _run_graph(turn: NodeTurn, node: GraphNode, place: Place) -> NodeResult:
    output = await turn.run_graph(place, node.graph, node.input(turn.names))
    return saved(node.save, output)


async def _run_ask(turn: NodeTurn, node: AskNode, place: Place) -> NodeResult:
    question = node.question(turn.names)
    text = question if isinstance(question, str) else encode(question).decode()
    answer = await turn.ask(place, node, text)
    if answer is None:
        if node.on_timeout is None:
            raise NodeError("timeout", f"nobody answered `{node.name}` in time")
        return NodeResult(next=node.on_timeout)
    return saved(node.save, answer, place.key, ("result",))
