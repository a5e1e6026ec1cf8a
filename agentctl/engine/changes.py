"""What changed in a file between the passage that was suspended and the one that would go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agentctl.errors import UsageError
from agentctl.graph.plan import Graph
from agentctl.json import Json
from agentctl.spec.document import document_from_texts


def refuse_changes(graph: Graph, recording: Mapping[str, Json] | None, pending: str, *, accept: bool) -> None:
    """Raise UsageError when something the pending step depends on changed, unless that is accepted."""
    if recording is None or accept:
        return
    before = document_from_texts(recording["root"], recording["texts"]).data
    relevant = list(_relevant(before, graph.data, pending))
    changed = [name for name in relevant if _at(before, name) != _at(graph.data, name)]
    changed += [
        f"{name} (as its MCP server says)"
        for name in relevant
        if _differ(_served(recording["tools"], name), _served(graph.signatures, name))
    ]
    if changed:
        raise UsageError(
            f"the file changed where the suspended turn would go on: {', '.join(sorted(set(changed)))}",
            hint="bring it back, or go on with the new file: add --accept-changes",
        )


def _relevant(before: Json, after: Json, pending: str) -> Iterator[str]:
    """Paths that the next step depends on: its node, its agent, their tools, its routers, the tiers, the state."""
    yield "state"
    yield "tiers"
    yield f"nodes.{pending}"
    for data in (before, after):
        node = data["nodes"].get(pending, {})
        yield from (f"routers.{name}" for name in data.get("routers", {}))
        agent = node.get("agent")
        if isinstance(agent, str):
            yield f"agents.{agent}"
            for tool in data.get("agents", {}).get(agent, {}).get("tools", ()):
                yield from _of_tool(data, tool)
        if isinstance(node.get("tool"), str):
            yield from _of_tool(data, node["tool"])


def _of_tool(data: Json, tool: str) -> Iterator[str]:
    yield f"tools.{tool}"
    server = data.get("tools", {}).get(tool, {}).get("mcp")
    if isinstance(server, str):
        yield f"mcp.{server.partition('/')[0]}"


def _differ(before: Json, now: Json) -> bool:
    """Whether a server said one thing and says another; one that cannot be asked says nothing."""
    return before is not None and now is not None and before != now


def _served(signatures: Mapping[str, Json], path: str) -> Json:
    """What an MCP server says of the tool at a path: its parameters and description. None for anything else.

    That the server is of another version changes nothing by itself.
    """
    kind, _, name = path.partition(".")
    told = signatures.get(name) if kind == "tools" else None
    is_served = told is not None and isinstance(told[-1], dict) and "server" in told[-1]
    return told[:2] if told is not None and is_served else None


def _at(data: Json, path: str) -> Json:
    for key in path.split("."):
        data = data.get(key, {}) if isinstance(data, dict) else {}
    return data
