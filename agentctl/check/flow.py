"""The model of a file that the rules share: what runs, where it goes, who saves what. Built once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Literal

from msgspec import Struct

from agentctl.check.tools.functions import Functions
from agentctl.json import Json
from agentctl.spec.document import Document
from agentctl.spec.finding import Keys
from agentctl.spec.types import FieldType, state_field

VERBS = ("agent", "tool", "graph", "map", "parallel", "ask", "set")
END = "end"
SKIP = "skip"
GROUPS = ("fallback", "race", "vote", "among")
"""Keys under which a group of models lists its members."""

TargetKind = Literal["start", "then", "on_error", "on_timeout", "on_limit", "arm"]


class Target(Struct, frozen=True):
    """A word that says where to go next, and where that word stands."""

    name: str
    keys: Keys
    kind: TargetKind
    owner: str
    """The node or router that goes there; empty for `start` and `on_limit`."""


class Save(Struct, frozen=True):
    """One field that a piece of work writes; `key` picks from the result, None is the whole of it."""

    field: str
    key: str | None
    field_keys: Keys
    key_keys: Keys
    field_is_key: bool
    """Whether the field's name stands as a key of the file (else as a value)."""


class Work(Struct, frozen=True, eq=False):
    """A thing with a verb: a node, a branch of a `parallel`, or what a `map` does with each item."""

    node: str
    keys: Keys
    data: Mapping[str, Json]
    verb: str | None
    within: tuple[str, ...]
    """The verbs it stands inside of, from the node down: ("parallel", "map")."""
    parts: tuple[Work, ...]
    saves: tuple[Save, ...]

    def walk(self) -> Iterator[Work]:
        """It and everything inside it, in the order of the file."""
        yield self
        for part in self.parts:
            yield from part.walk()

    @property
    def skips_errors(self) -> bool:
        """Whether some error of it leaves it out, and the run goes on as after it."""
        errors = self.data.get("on_error")
        return errors == SKIP or (isinstance(errors, dict) and SKIP in errors.values())

    def name_of(self, verb: str) -> str | None:
        """The name after `agent:`, `tool:` or `graph:`, when it is one."""
        return text(self.data.get(verb))


class Field(Struct, frozen=True):
    """A field of a graph's state; anything goes in one whose type is wrong, which is another rule's business."""

    name: str
    keys: Keys
    type: FieldType

    @property
    def schema(self) -> Json:
        """The JSON Schema of its value."""
        return self.type.schema

    @property
    def reducer(self) -> str:
        """How two writes become one; `last` keeps the later one."""
        return self.type.reduce

    @property
    def starts_filled(self) -> bool:
        """Whether it can be read before anything wrote it: a default, a reducer's identity, or a `?`."""
        return self.type.has_default


class Graph(Struct, frozen=True, eq=False, dict=True):
    """The root graph (its name is empty) or one of `graphs:`."""

    name: str
    keys: Keys
    data: Mapping[str, Json]
    fields: Mapping[str, Field]
    nodes: Mapping[str, Work]
    routers: Mapping[str, Json]
    targets: tuple[Target, ...]

    @property
    def title(self) -> str:
        """How a message names it."""
        return f"graph `{self.name}`" if self.name else "the graph"

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        return names_in(self.data.get("input"))

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        return names_in(self.data.get("output"))

    @cached_property
    def works(self) -> tuple[Work, ...]:
        """Everything in it that runs, branches and map work included."""
        return tuple(work for node in self.nodes.values() for work in node.walk())

    @cached_property
    def by_owner(self) -> Mapping[str, tuple[Target, ...]]:
        """The targets of each node and router."""
        found: dict[str, list[Target]] = {}
        for target in self.targets:
            found.setdefault(target.owner, []).append(target)
        return {owner: tuple(targets) for owner, targets in found.items()}

    @cached_property
    def at_limit(self) -> Target | None:
        """The word that says which node runs when a limit is met; only the root graph has one."""
        return next((target for target in self.targets if target.kind == "on_limit"), None)

    @cached_property
    def last_node(self) -> Work | None:
        """The node that runs when a limit is met."""
        return None if self.at_limit is None else self.nodes.get(self.at_limit.name)

    def knows(self, target: Target) -> bool:
        """Whether a target leads somewhere."""
        if target.name in self.nodes:
            return True
        if target.kind == "on_limit":
            return False
        if target.name == SKIP:
            return target.kind == "on_error"
        return target.name == END or target.name in self.routers

    @cached_property
    def has_lost_targets(self) -> bool:
        """Whether some word leads nowhere, which makes what follows from the edges unsure."""
        return not all(self.knows(target) for target in self.targets)


class FileModel(Struct, frozen=True, eq=False, dict=True):
    """A file as the rules see it. It holds what is there, and passes over what has no right shape."""

    document: Document
    data: Mapping[str, Json]
    graphs: tuple[Graph, ...]
    known_functions: Functions | None = None
    """Those of the file that variants make this one of."""

    @property
    def root(self) -> Graph:
        return self.graphs[0]

    @cached_property
    def functions(self) -> Functions:
        """The Python functions that it names."""
        return Functions(self.document, self.known_functions)

    @cached_property
    def nested(self) -> Mapping[str, Graph]:
        """The graphs of `graphs:` by name."""
        return {graph.name: graph for graph in self.graphs[1:]}

    def section(self, name: str) -> Mapping[str, Json]:
        """A top-level mapping by name; empty when it is not there."""
        return mapping(self.data.get(name))

    def entries(self, name: str) -> Iterator[tuple[str, Mapping[str, Json]]]:
        """The entries of a top-level section that are mappings."""
        for key, value in self.section(name).items():
            if isinstance(value, dict):
                yield key, value

    def agent_of(self, work: Work) -> Mapping[str, Json] | None:
        """The agent a piece of work asks: declared, or written in place."""
        agent = work.data.get("agent")
        return (
            self.agent_named(agent) if isinstance(agent, str) else agent if isinstance(agent, dict) else None
        )

    def agent_named(self, name: str) -> Mapping[str, Json] | None:
        agent = self.section("agents").get(name)
        return agent if isinstance(agent, dict) else None

    @cached_property
    def agents_in_place(self) -> tuple[tuple[Keys, Mapping[str, Json]], ...]:
        """Every agent with its keys: those of `agents:`, then those written inside nodes."""
        declared = [(("agents", name), agent) for name, agent in self.entries("agents")]
        inline = [
            ((*work.keys, "agent"), work.data["agent"])
            for graph in self.graphs
            for work in graph.works
            if isinstance(work.data.get("agent"), dict)
        ]
        return (*declared, *inline)


def read_flow(document: Document, functions: Functions | None = None) -> FileModel:
    """The model of a document's data; some of its functions may be known already."""
    data = mapping(document.data)
    root = _graph("", (), data)
    nested = [
        _graph(name, ("graphs", name), mapping(graph)) for name, graph in mapping(data.get("graphs")).items()
    ]
    return FileModel(document, data, (root, *nested), functions)


def mapping(value: Json) -> Mapping[str, Json]:
    """The value when it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def text(value: Json) -> str | None:
    """The value when it is text."""
    return value if isinstance(value, str) else None


def names_in(value: Json) -> tuple[str, ...]:
    """The texts of a list."""
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def placed_names(value: Json, keys: Keys) -> Iterator[tuple[str, Keys]]:
    """The texts of a list with their keys."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            if isinstance(item, str):
                yield item, (*keys, index)


def texts_in(value: Json) -> Iterator[str]:
    """Every text inside a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)


def members_of(model: Mapping[str, Json], keys: Keys) -> Iterator[tuple[str, Keys]]:
    """The models that a group of models names."""
    for group in GROUPS:
        yield from placed_names(model.get(group), (*keys, group))


def summary_of(agent: Mapping[str, Json]) -> Mapping[str, Json]:
    """How an agent has its history shortened: `agent` writes the summary `into` a field. Empty when it does not."""
    return mapping(mapping(agent.get("context")).get("summarise"))


def result_saves(value: Json, keys: Keys) -> Iterator[Save]:
    """What a `save:` writes, in its three forms."""
    if isinstance(value, str):
        yield Save(value, None, keys, keys, False)
    elif isinstance(value, list):
        for name, place in placed_names(value, keys):
            yield Save(name, name, place, place, False)
    elif isinstance(value, dict):
        for field, key in value.items():
            if isinstance(key, str):
                yield Save(field, key, (*keys, field), (*keys, field), True)


def _graph(name: str, keys: Keys, data: Mapping[str, Json]) -> Graph:
    nodes = {
        node: _work(node, (*keys, "nodes", node), mapping(body), ())
        for node, body in mapping(data.get("nodes")).items()
    }
    routers = mapping(data.get("routers"))
    fields = {
        field: Field(field, (*keys, "state", field), _type(type))
        for field, type in mapping(data.get("state")).items()
    }
    return Graph(name, keys, data, fields, nodes, routers, tuple(_targets(keys, data, nodes, routers)))


def _type(type: Json) -> FieldType:
    try:
        return state_field(type)
    except (ValueError, TypeError):
        return FieldType({}, None, False, "last", None, None, False)


def _work(node: str, keys: Keys, data: Mapping[str, Json], within: tuple[str, ...]) -> Work:
    verb = next((word for word in VERBS if word in data), None)
    parts: list[Work] = []
    if verb == "map":
        body = mapping(mapping(data["map"]).get("do"))
        parts.append(_work(node, (*keys, "map", "do"), body, (*within, "map")))
    elif verb == "parallel":
        for branch, body in mapping(data["parallel"]).items():
            parts.append(_work(node, (*keys, "parallel", branch), mapping(body), (*within, "parallel")))
    saves = [*result_saves(data.get("save"), (*keys, "save"))]
    for field in mapping(data.get("set")):
        place = (*keys, "set", field)
        saves.append(Save(field, field, place, place, True))
    return Work(node, keys, data, verb, within, tuple(parts), tuple(saves))


def _targets(
    keys: Keys, data: Mapping[str, Json], nodes: Mapping[str, Work], routers: Mapping[str, Json]
) -> Iterator[Target]:
    if isinstance(start := data.get("start"), str):
        yield Target(start, (*keys, "start"), "start", "")
    for node in nodes.values():
        yield from _targets_of_node(node)
    for name, router in routers.items():
        yield from _targets_of_router(name, router, (*keys, "routers", name))
    if not keys:
        yield from _target_at_limit(mapping(data.get("limits")).get("on_limit"))


def _targets_of_node(node: Work) -> Iterator[Target]:
    if isinstance(then := node.data.get("then"), str):
        yield Target(then, (*node.keys, "then"), "then", node.node)
    if isinstance(late := node.data.get("on_timeout"), str):
        yield Target(late, (*node.keys, "on_timeout"), "on_timeout", node.node)
    errors = node.data.get("on_error")
    if isinstance(errors, str):
        yield Target(errors, (*node.keys, "on_error"), "on_error", node.node)
    for error_class, name in mapping(errors).items():
        if isinstance(name, str):
            yield Target(name, (*node.keys, "on_error", error_class), "on_error", node.node)


def _targets_of_router(name: str, router: Json, keys: Keys) -> Iterator[Target]:
    if isinstance(router, list):
        for index, arm in enumerate(router):
            for key in ("to", "else"):
                if isinstance(target := mapping(arm).get(key), str):
                    yield Target(target, (*keys, index, key), "arm", name)
        return
    for value, target in mapping(mapping(router).get("to")).items():
        if isinstance(target, str):
            yield Target(target, (*keys, "to", value), "arm", name)
    if isinstance(target := mapping(router).get("else"), str):
        yield Target(target, (*keys, "else"), "arm", name)


def _target_at_limit(value: Json) -> Iterator[Target]:
    if isinstance(value, str):
        yield Target(value, ("limits", "on_limit"), "on_limit", "")
    elif isinstance(node := mapping(value).get("node"), str):
        yield Target(node, ("limits", "on_limit", "node"), "on_limit", "")
