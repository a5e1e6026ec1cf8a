"""What each piece of work answers, and the type of every value that is written to a field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from agentctl.check.flow import FileModel, Graph, Work, mapping, names_in, result_saves, text
from agentctl.check.shapes import keys_of, picked
from agentctl.check.sites import Sites, answer_schema, field_schema
from agentctl.check.tools.types import python_result
from agentctl.json import Json
from agentctl.spec.finding import Keys


class Written(Struct, frozen=True):
    """A value on its way to a field."""

    title: str
    """Who writes, as the start of a sentence: agent `sorter` answers."""
    who: str
    into: Graph
    """The graph whose field it is."""
    field: str
    type: Json
    place: Keys
    place_is_key: bool = False
    key: str | None = None
    """The key picked from the answer; None for the whole of it."""
    key_keys: Keys = ()
    missing_from: Json | None = None
    """The answer's type, when it surely has no such key."""
    hint: str | None = None

    @property
    def of_graph(self) -> bool:
        """Whether a nested graph answers, whose keys are G223's business."""
        return self.who.startswith("graph ")

    @property
    def keys_there(self) -> tuple[str, ...]:
        """The keys that could have been picked."""
        return keys_of(self.missing_from)


def written_types(file: FileModel, graph: Graph, sites: Sites) -> tuple[Written, ...]:
    """Every value that a graph's work writes: by `save`, `set`, `input` and `placeholder`; worked out once."""
    if graph.name not in sites.written:
        sites.written[graph.name] = tuple(_written(file, graph, sites))
    return sites.written[graph.name]


def _written(file: FileModel, graph: Graph, sites: Sites) -> Iterator[Written]:
    for work in graph.works:
        if work.within[-1:] != ("map",):
            yield from _saved(file, graph, work, sites)
        yield from _set(graph, work, sites)
        yield from _given(file, work, sites)
        yield from _placeholder(graph, work, sites)


def answer_of(file: FileModel, work: Work, sites: Sites) -> Json:
    """The type of a piece of work's whole answer; {} when it is not known."""
    match work.verb:
        case "agent":
            agent = file.agent_of(work)
            return {} if agent is None else answer_schema(agent.get("output"))
        case "tool":
            return answer_of_tool(file, work.name_of("tool") or "")
        case "graph":
            return _graph_answer(file, work.name_of("graph") or "")
        case "map":
            return _map_answer(file, work, sites)
        case "ask":
            choices = names_in(work.data.get("choices"))
            return {"enum": [*choices]} if choices else {}
        case _:
            return {}


def _saved(file: FileModel, graph: Graph, work: Work, sites: Sites) -> Iterator[Written]:
    answer = answer_of(file, work, sites)
    who = _title(work)
    title = f"{who} may answer" if work.verb == "ask" else f"{who} answers"
    if work.verb == "map":
        yield from _picked_by_map(file, graph, work, sites)
    for save in result_saves(work.data.get("save"), (*work.keys, "save")):
        place, is_key = save.field_keys, save.field_is_key
        if save.key is None:
            hint = _hint_for_items(work) if work.verb == "map" else _hint_for_object(answer, save.field)
            yield Written(title, who, graph, save.field, answer, place, is_key, hint=hint)
            continue
        part = picked(answer, save.key)
        missing = answer if part is None else None
        picks = f"`{save.key}` of {who} is"
        yield Written(picks, who, graph, save.field, part, place, is_key, save.key, save.key_keys, missing)


def _picked_by_map(file: FileModel, graph: Graph, work: Work, sites: Sites) -> Iterator[Written]:
    key = text(mapping(work.data.get("map")).get("result"))
    if key is None or not work.parts:
        return
    answer = answer_of(file, work.parts[0], sites)
    if picked(answer, key) is None:
        keys = (*work.keys, "map", "result")
        yield Written("", _title(work.parts[0]), graph, "", {}, keys, False, key, keys, answer)


def _set(graph: Graph, work: Work, sites: Sites) -> Iterator[Written]:
    for field, value in mapping(work.data.get("set")).items():
        place = (*work.keys, "set", field)
        yield Written("this is", "this", graph, field, sites.type_of(place, value), place)


def _given(file: FileModel, work: Work, sites: Sites) -> Iterator[Written]:
    nested = file.nested.get(work.name_of("graph") or "")
    if work.verb != "graph" or nested is None:
        return
    for field, value in mapping(work.data.get("input")).items():
        if field in nested.inputs:
            place = (*work.keys, "input", field)
            value = sites.type_of(place, value)
            yield Written("this is", "this", nested, field, value, place)


def _placeholder(graph: Graph, work: Work, sites: Sites) -> Iterator[Written]:
    if "placeholder" in work.data and len(work.saves) == 1:
        place = (*work.keys, "placeholder")
        value = sites.type_of(place, work.data["placeholder"])
        yield Written("the placeholder is", "the placeholder", graph, work.saves[0].field, value, place)


def answer_of_tool(file: FileModel, name: str) -> Json:
    tool = mapping(file.section("tools").get(name))
    if "returns" in tool:
        return field_schema(tool["returns"])
    if (graph := text(tool.get("graph"))) is not None:
        return _graph_answer(file, graph)
    if "python" in tool:
        return python_result(file, name)
    agent = file.agent_named(text(tool.get("agent")) or "")
    return {} if agent is None else answer_schema(agent.get("output"))


def _graph_answer(file: FileModel, name: str) -> Json:
    graph = file.nested.get(name)
    if graph is None:
        return {}
    parts: Mapping[str, Json] = {
        field: graph.fields[field].schema if field in graph.fields else {} for field in graph.outputs
    }
    return {"type": "object", "properties": parts, "required": [*parts], "additionalProperties": False}


def _map_answer(file: FileModel, work: Work, sites: Sites) -> Json:
    item = answer_of(file, work.parts[0], sites) if work.parts else {}
    key = text(mapping(work.data.get("map")).get("result"))
    if key is not None:
        item = picked(item, key) or {}
    return {"type": "array", "items": {"anyOf": [item, {"type": "null"}]} if _tolerates(work) else item}


def _tolerates(work: Work) -> bool:
    return mapping(work.data.get("map")).get("tolerate") not in (None, 0, "0%", "0")


def _title(work: Work) -> str:
    name = work.name_of(work.verb) if work.verb in ("agent", "tool", "graph") else None
    if name is not None:
        return f"{work.verb} `{name}`"
    return {"agent": "the agent", "map": "the map", "ask": "the person", "parallel": "the branches"}.get(
        work.verb or "", "the node"
    )


def _hint_for_object(answer: Json, field: str) -> str | None:
    keys = keys_of(answer)
    if not keys:
        return None
    return f"pick one of its keys: `save: {{{field}: {field if field in keys else keys[0]}}}`"


def _hint_for_items(work: Work) -> str | None:
    return "a failed item is null at its place, because of `tolerate`" if _tolerates(work) else None
