"""What the file says of a tool of an MCP server, and what the server says of it: brought together, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from agentctl.errors import CannotRun
from agentctl.graph.plan import McpWork, ServedServer, ServedTool, ToolPlan
from agentctl.json import Json
from agentctl.spec.fits import UnusableSchema, check_schema
from agentctl.spec.nearest import nearest

KEY = "idempotency_key"


def agreed(
    name: str,
    work: McpWork,
    server: ServedServer,
    parameters: Json,
    description: str,
    effect: str,
    *,
    has_key: bool,
) -> tuple[McpWork, Json, str]:
    """The work, parameters and description of a tool, the file's where it has its own.

    `parameters` are the file's, or None; `has_key` says that calls have an idempotency key, which is then no argument
    of the model's. Raises CannotRun for what the server lacks, or says otherwise.
    """
    tool = server.tools.get(work.tool)
    if tool is None:
        raise CannotRun(
            f"tools.{name}: the MCP server `{work.server.name}` has no tool `{work.tool}`",
            hint=_instead(work.tool, server),
        )
    where = f"tools.{name}: the tool `{work.tool}` of the MCP server `{work.server.name}`"
    _refuse_unusable(where, tool)
    _refuse_effect(where, tool, effect)
    accepts_key = KEY in tool.parameters.get("properties", {})
    taken = _without_key(tool.parameters) if accepts_key and has_key else tool.parameters
    if parameters is not None:
        differences = list(_differences(parameters, taken))
        if differences:
            raise CannotRun(
                f"{where} takes something else than `parameters` says: {'; '.join(differences)}",
                hint="leave `parameters` out to use what the server says",
            )
    found = replace(
        work,
        identity=(server.name, server.version),
        output=tool.output,
        accepts_key=accepts_key and has_key,
        is_agreed=True,
    )
    return found, taken if parameters is None else parameters, description or tool.description


def signature(tool: ToolPlan) -> Json:
    """What is recorded of a tool with the file: its parameters and description, and who said so."""
    said = [tool.parameters, tool.description]
    if isinstance(tool.work, McpWork) and tool.work.is_agreed:
        said.append({"server": list(tool.work.identity)})
    return said


def _instead(wanted: str, server: ServedServer) -> str:
    known = list(server.tools)
    close = nearest(wanted, known)
    if close:
        return f"did you mean `{close}`?"
    return f"its tools are: {', '.join(f'`{each}`' for each in known)}" if known else "it has no tools at all"


def _refuse_unusable(where: str, tool: ServedTool) -> None:
    try:
        check_schema(tool.parameters)
        if tool.output is not None:
            check_schema(tool.output)
    except UnusableSchema as error:
        raise CannotRun(f"{where} cannot be used: {error.message}") from error


def _refuse_effect(where: str, tool: ServedTool, effect: str) -> None:
    """A server's warning is heeded. Its promise is not: without `effect` in the file a tool writes."""
    if effect not in ("read", "pure"):
        return
    if tool.read_only is False or tool.destructive:
        hint = "readOnlyHint: false" if tool.read_only is False else "destructiveHint: true"
        raise CannotRun(
            f"{where} changes things, says the server ({hint}), and the file says `effect: {effect}`",
            hint="say `effect: write`, or leave `effect` out",
        )


def _without_key(parameters: Json) -> Json:
    properties = {name: field for name, field in parameters["properties"].items() if name != KEY}
    required = [name for name in parameters.get("required", ()) if name != KEY]
    return {**parameters, "properties": properties, "required": required}


def _differences(said: Json, taken: Json) -> Iterator[str]:
    """What a call by the file's parameters would get wrong with the server's."""
    ours, theirs = said["properties"], taken.get("properties", {})
    for name, field in ours.items():
        if name not in theirs and taken.get("additionalProperties") is False:
            close = nearest(name, list(theirs))
            yield f"it has no `{name}`" + (f" (did you mean `{close}`?)" if close else "")
        elif name in theirs and not _may_fit(field, theirs[name]):
            yield f"`{name}` is {_named(theirs[name])} there and {_named(field)} here"
    for name in taken.get("required", ()):
        if name not in ours:
            yield f"it needs `{name}`"
        elif name not in said.get("required", ()) and "default" not in ours[name]:
            yield f"it always needs `{name}`, which may be left out here"


def _may_fit(ours: Json, theirs: Json) -> bool:
    """Whether some value is of a type of both; true where either says nothing of its type."""
    one, other = _types(ours), _types(theirs)
    return not one or not other or bool(one & other)


def _types(schema: Json) -> set[str]:
    said = schema.get("type", []) if isinstance(schema, dict) else []
    types = set(said if isinstance(said, list) else [said])
    return types | {"integer"} if "number" in types else types


def _named(schema: Json) -> str:
    said = schema["type"]
    return " or ".join(said) if isinstance(said, list) else str(said)
