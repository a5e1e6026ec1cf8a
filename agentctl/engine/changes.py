"""What changed in a file between the passage that was suspended and the one that would go on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from agentctl.errors import UsageError
from agentctl.graph.plan import Graph
from agentctl.json import Json
from agentctl.spec.document import document_from_texts

NAMED = (("agent", "agents"), ("tool", "tools"), ("graph", "graphs"))
"""Keys of a node or a tool that name something, and where that stands."""


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
    changed += _other_files(recording["tools"], graph.signatures)
    if changed:
        raise UsageError(
            f"the file changed where the suspended turn would go on: {', '.join(sorted(set(changed)))}",
            hint="bring it back, or go on with the new file: add --accept-changes",
        )


def _relevant(before: Json, after: Json, pending: str) -> Iterator[str]:
    """Paths that the next step depends on: its node and all that it runs, its routers, the tiers, the state."""
    yield "state"
    yield "tiers"
    yield f"nodes.{pending}"
    for data in (before, after):
        yield from (f"routers.{name}" for name in data.get("routers", {}))
        yield from _run_by(data, pending)


def _run_by(data: Json, node: str) -> Iterator[str]:
    """Paths of all that a node runs, and what that runs."""
    seen: dict[str, None] = {}
    waiting = [*_named_by(data["nodes"].get(node, {}))]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen[path] = None
            waiting += _named_by(_at(data, path))
    yield from seen


def _named_by(thing: Json) -> Iterator[str]:
    """Paths of what a node, a branch, an agent, a tool or a graph names."""
    if not isinstance(thing, dict):
        return
    for key, section in NAMED:
        named = thing.get(key)
        if isinstance(named, str):
            yield f"{section}.{named}"
        elif isinstance(named, dict):
            yield from _named_by(named)
    if isinstance(server := thing.get("mcp"), str):
        yield f"mcp.{server.partition('/')[0]}"
    if isinstance(tools := thing.get("tools"), list):
        yield from (f"tools.{tool}" for tool in tools)
    if isinstance(context := thing.get("context"), dict):
        yield from _named_by(context.get("summarise"))
    for part in ("nodes", "parallel"):
        for inner in (thing.get(part) or {}).values():
            yield from _named_by(inner)
    yield from _named_by((thing.get("map") or {}).get("do"))


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


def _other_files(before: Mapping[str, Json], after: Mapping[str, Json]) -> Iterator[str]:
    """Tools that run another file, where that file changed."""
    for name, told in before.items():
        now = after.get(name, told)
        if _texts(told) != _texts(now):
            yield f"tools.{name}"


def _texts(signature: Json) -> Json:
    return [said["texts"] for said in signature[2:] if isinstance(said, dict) and "texts" in said]


def _at(data: Json, path: str) -> Json:
    for key in path.split("."):
        data = data.get(key, {}) if isinstance(data, dict) else {}
    return data
