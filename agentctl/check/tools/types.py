"""What each tool takes and answers, as JSON Schema: as its file says, else as its kind makes plain."""

from __future__ import annotations

from collections.abc import Mapping

from agentctl.check.flow import FileModel, Graph, mapping, text
from agentctl.json import Json
from agentctl.spec.store_tools import PARAMETERS as STORE_PARAMETERS
from agentctl.spec.types import fields_schema

_PROMPT: Mapping[str, Json] = {"prompt": "string"}


def parameters_of(file: FileModel, tool: str) -> Json | None:
    """The closed JSON Schema of a tool's arguments; None when it is not known.

    Of a Python tool that does not say, what its type hints say; of a graph, its inputs; of an MCP tool, an address
    or a command that does not say, nothing is known.
    """
    spec = mapping(file.section("tools").get(tool))
    if isinstance(written := spec.get("parameters"), dict):
        return _schema(written)
    if (reference := text(spec.get("python"))) is not None:
        function = file.functions.of_tool(tool, reference)
        return None if function is None else function.read_parameters
    if (name := text(spec.get("graph"))) is not None:
        return _inputs(file.nested[name]) if name in file.nested else None
    if "agent" in spec:
        return _schema(_PROMPT)
    of_store = STORE_PARAMETERS.get(str(spec.get("operation"))) if "store" in spec else None
    return None if of_store is None else _schema(of_store)


def python_result(file: FileModel, tool: str) -> Json:
    """The type that a Python tool's hint gives its result; {} when it says none."""
    reference = text(mapping(file.section("tools").get(tool)).get("python"))
    function = None if reference is None else file.functions.of_tool(tool, reference)
    return {} if function is None or function.returns is None else function.returns


def _inputs(graph: Graph) -> Json:
    """The inputs of a graph as the arguments of a call; one that starts filled may be left out."""
    fields = {name: graph.fields.get(name) for name in graph.inputs}
    return {
        "type": "object",
        "properties": {name: {} if field is None else field.schema for name, field in fields.items()},
        "required": [name for name, field in fields.items() if field is not None and not field.starts_filled],
        "additionalProperties": False,
    }


def _schema(fields: Mapping[str, Json]) -> Json | None:
    try:
        return fields_schema(fields)
    except (ValueError, TypeError):
        return None  # a type that is wrong is S110's business
