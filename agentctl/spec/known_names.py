"""The schema of one file: the language's, with the names of that file wherever a name stands."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from agentctl.json import Json
from agentctl.spec.schema import graph_schema

_END, _SKIP = "end", "skip"
_OPEN = frozenset(("ModelName", "GraphReference", "ServerTool", "SummaryField"))
"""Words that may be something else than a name of the file, such as `provider/model`."""
_OF_A_GRAPH = frozenset(("Target", "ErrorTarget", "NodeName", "FieldName"))
_REF = "#/$defs/"


def schema_with_names(data: Mapping[str, Json]) -> Json:
    """The schema for a file with this data: its names are offered, and where only they can stand, asked for.

    A part, which has no nodes, may name what other files have: its names are offered only.
    """
    schema = json.loads(json.dumps(graph_schema()))
    defs = schema["$defs"]
    graphs = {name: graph for name, graph in _table(data, "graphs").items() if isinstance(graph, dict)}
    names = {**_names_of_file(data), **_names_of_graph(data)}
    names["SummaryField"] = list(
        dict.fromkeys(field for one in (data, *graphs.values()) for field in _table(one, "state"))
    )
    _put(schema["$defs"], names, is_part="nodes" not in data)
    shared = _reaching(defs, _OF_A_GRAPH)
    for number, (name, graph) in enumerate(graphs.items(), 1):
        own = {old: f"{old}.{number}" for old in (*_OF_A_GRAPH, *shared)}
        copies = json.loads(json.dumps({old: graph_schema()["$defs"][old] for old in own}))
        _put(copies, _names_of_graph(graph), is_part=False)
        defs.update({own[old]: _renamed(copy, own) for old, copy in copies.items()})
        schema["properties"]["graphs"].setdefault("properties", {})[name] = {"$ref": _REF + own["Graph"]}
    _offer(schema, defs)
    schema.pop("$id")
    return schema


def _names_of_file(data: Mapping[str, Json]) -> dict[str, list[str]]:
    tiers = data.get("tiers")
    graphs = [*_table(data, "graphs")]
    return {
        "AgentName": [*_table(data, "agents")],
        "ToolName": [*_table(data, "tools")],
        "ModelName": [*_table(data, "models"), "local"],
        "GraphName": graphs,
        "GraphReference": graphs,
        "StoreName": [*_table(data, "stores")],
        "ServerTool": [*_table(data, "mcp")],
        "TierName": [*_table(tiers if isinstance(tiers, dict) else {}, "levels")],
    }


def _names_of_graph(graph: Mapping[str, Json]) -> dict[str, list[str]]:
    nodes = [*_table(graph, "nodes")]
    targets = [*nodes, *_table(graph, "routers"), _END]
    return {
        "NodeName": nodes,
        "Target": targets,
        "ErrorTarget": [*targets, _SKIP],
        "FieldName": [*_table(graph, "state")],
    }


def _table(owner: Mapping[str, Json], key: str) -> Mapping[str, Json]:
    found = owner.get(key)
    return found if isinstance(found, dict) else {}


def _put(defs: Json, names: Mapping[str, list[str]], *, is_part: bool) -> None:
    """Put the names where their word is defined; a word without any stays as it is."""
    for word, known in names.items():
        if known and word in defs:
            defs[word]["examples"] = known
            if not is_part and word not in _OPEN:
                defs[word]["enum"] = known


def _reaching(defs: Mapping[str, Json], words: Iterable[str]) -> frozenset[str]:
    """The mappings of a graph that lead to one of the words."""
    leads = {name: frozenset(_references(schema)) for name, schema in defs.items()}
    reached = frozenset(words)
    while True:
        more = frozenset(name for name, to in leads.items() if not to.isdisjoint(reached)) | reached
        if more == reached:
            return frozenset(name for name in reached if name in _below(leads, "Graph")) - frozenset(words)
        reached = more


def _below(leads: Mapping[str, frozenset[str]], name: str) -> frozenset[str]:
    seen, waiting = {name}, [name]
    while waiting:
        new = leads.get(waiting.pop(), frozenset()) - seen
        seen |= new
        waiting += new
    return frozenset(seen)


def _references(schema: Json) -> Iterator[str]:
    for part in _parts(schema):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].removeprefix(_REF)


def _renamed(schema: Json, own: Mapping[str, str]) -> Json:
    for part in _parts(schema):
        if isinstance(part.get("$ref"), str):
            name = part["$ref"].removeprefix(_REF)
            part["$ref"] = _REF + own.get(name, name)
    return schema


def _offer(schema: Json, defs: Mapping[str, Json]) -> None:
    """Names behind an `if` or as keys, which editors do not look for: as examples, and as keys."""
    for part in _parts(schema):
        rules = [part, *(part["allOf"] if isinstance(part.get("allOf"), list) else ())]
        words = (
            str(rule["then"].get("$ref")).removeprefix(_REF)
            for rule in rules
            if isinstance(rule.get("then"), dict)
        )
        known = [name for word in words if word in defs for name in defs[word].get("examples", ())]
        if known and "type" in part and "examples" in part:
            part["examples"] = known
        keys = part.get("propertyNames")
        word = keys.get("$ref", "").removeprefix(_REF) if isinstance(keys, dict) else ""
        if word.startswith("FieldName") and "enum" in defs[word]:
            value = part.get("additionalProperties")
            said = value if isinstance(value, dict) else {"description": "A field."}
            part["properties"] = {name: dict(said) for name in defs[word]["enum"]}


def _parts(schema: Json) -> Iterator[dict[str, Json]]:
    waiting = [schema]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting += part.values()
        elif isinstance(part, list):
            waiting += part
