"""Graphs and agents as tools, and graphs in files of their own."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from pathlib import Path

from msgspec import UNSET

from agentctl import units
from agentctl.check.check import check
from agentctl.check.flow import FileModel, read_flow
from agentctl.check.tools.calls import Waiting
from agentctl.check.tools.tooling import Tooling
from agentctl.check.tools.types import parameters_of
from agentctl.errors import UsageError
from agentctl.graph.parts import breaker
from agentctl.graph.plan import AgentWork, Graph, GraphWork, NestedWork, ToolPlan
from agentctl.graph.tools import MAX_RESULT
from agentctl.json import Json
from agentctl.spec.document import Document, document_from_texts, part_refused, read_document
from agentctl.spec.fits import first_problem, problems
from agentctl.spec.model import ToolSpec
from agentctl.spec.types import to_schema

FILE_ENDINGS = (".yaml", ".yml")


def is_file(reference: str) -> bool:
    """Whether a `graph:` names a file rather than an entry of `graphs:`."""
    return reference.endswith(FILE_ENDINGS)


def nested_tool(
    document: Document, name: str, spec: ToolSpec, work: NestedWork, recorded: Json = None
) -> ToolPlan:
    """The plan of a tool that is a graph or an agent; what the file leaves out follows from what it runs.

    Its answers are never remembered: those of the tools inside are, one by one.
    """
    file = read_flow(document)
    parameters, description = recorded[:2] if recorded is not None else _told(file, name, spec, work)
    return ToolPlan(
        name=name,
        work=work,
        description=description,
        parameters=parameters,
        check_arguments=problems(parameters),
        check_result=first_problem(to_schema(spec.returns) if spec.returns else {}),
        effect=Tooling(file).effect(name),
        cache=None,
        # what is inside has its own times, and the step has one
        timeout=inf if spec.timeout is UNSET else units.seconds(spec.timeout),
        attempts=1,
        idempotency_key=None,
        max_result=MAX_RESULT if spec.max_result is UNSET else units.size(spec.max_result),
        max_calls=spec.max_calls or None,
        definition=document.data["tools"][name],
        breaker=breaker(spec.breaker),
    )


def document_of_tool(document: Document, tool: str, reference: str) -> Document:
    """The file that a tool runs the graph of. Raises UsageError when it cannot be read or run."""
    path, span = document.value(("tools", tool, "graph"))
    where = f"{path.name}:{span.line}:{span.column}: `{reference}`"
    found = read_document(path.parent / reference)
    errors = [finding for finding in check(found) if finding.severity == "error"]
    if errors:
        first = errors[0]
        raise UsageError(
            f"{where} has errors: {first.file.name}:{first.span.line}:{first.span.column}: {first.message}",
            hint=f"`agentctl validate {reference}` shows them all",
        )
    if found.spec is None:
        raise part_refused(found.path)
    _refuse_waiting(found, where)
    return found


def recorded_document(recording: Mapping[str, Json]) -> Document:
    """A document as a recording has it."""
    return document_from_texts(recording["root"], recording["texts"])


def refuse_circle(way: tuple[Path, ...]) -> None:
    """Raise UsageError when the last of some files, each run by the one before, is among those before it."""
    *before, last = way
    if last in before:
        circle = " → ".join(path.name for path in way[before.index(last) :])
        raise UsageError(f"files run each other in a circle: {circle}", hint="such a run could never end")


def _told(file: FileModel, name: str, spec: ToolSpec, work: NestedWork) -> tuple[Json, str]:
    """The parameters and the description that a model is shown."""
    parameters = parameters_of(file, name)
    said = spec.description or ""
    match work:
        case GraphWork(graph=graph):
            said = said or str(graph.data.get("description", ""))
            parameters = inputs_schema(graph) if parameters is None else parameters
        case AgentWork(agent=agent):
            said = said or f"Ask the agent `{agent.name}`."
    assert parameters is not None, "a checked file has the agents and graphs it names"
    return parameters, said


def inputs_schema(graph: Graph) -> Json:
    """The inputs of a graph as arguments; one that starts filled may be left out."""
    return {
        "type": "object",
        "properties": {name: graph.schemas[name] for name in graph.input},
        "required": [name for name in graph.input if not graph.fields[name].has_default],
        "additionalProperties": False,
    }


def _refuse_waiting(document: Document, where: str) -> None:
    file = read_flow(document)
    waiting = Waiting(file)
    for graph in file.graphs:
        for work in graph.works:
            why = waiting.of_work(work)
            if why is not None:
                raise UsageError(
                    f"{where} may not wait for a person as a tool, and its node `{work.node}` {why}",
                    hint="ask in a node of the calling graph",
                )
