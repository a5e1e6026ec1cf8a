"""Where expressions stand in a file, what names each may use, and what the analysis says of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from agentctl.check.flow import FileModel, Graph, Work, mapping, text
from agentctl.check.shapes import Misfit, misfit
from agentctl.check.tools.functions import Functions
from agentctl.check.tools.types import parameters_of
from agentctl.check.truth import Patience, Table, truth_table
from agentctl.expressions import Analysis, Reference, analyse_bare, analyse_template
from agentctl.json import Json
from agentctl.spec.finding import Keys
from agentctl.spec.types import fields_schema, to_schema

if TYPE_CHECKING:
    from agentctl.check.answers import Written
    from agentctl.check.nulls import Nulls

_MOST_KEPT = 10_000
_TEXT: Json = {"type": "string"}
_NODE_TEMPLATES = ("prompt", "say", "ask", "args", "input", "set", "idempotency_key")
_TOOL_TEMPLATES = ("http", "headers", "query", "body", "command")
_MODEL_TEMPLATES = ("base_url", "api_key", "extra")
_MCP_TEMPLATES = ("url", "headers", "env", "command")
_EVENT_TEMPLATES = ("ids", "sinks")


class Site(Struct, frozen=True, eq=False):
    """One expression of a file: a bare one, or a text with `${{ }}` in it."""

    keys: Keys
    text: str
    kind: Literal["bare", "template"]
    graph: Graph
    """The graph whose state it may read."""
    owner: str
    """The node or router that reads it; empty for what belongs to the whole file."""
    analysis: Analysis

    def fields_read(self) -> Iterator[tuple[str, Reference]]:
        """The state fields it reads, in order."""
        for reference in self.analysis.references:
            if reference.root == "state" and reference.path and isinstance(reference.path[0], str):
                yield reference.path[0], reference


class Shared:
    """What is worked out once for a file and all that its variants make of it: none changes the state or `env`."""

    def __init__(self) -> None:
        self.analyses: dict[tuple[str, str, str, str], Analysis] = {}
        """By text, kind, graph and scope, which is named for all that is in it."""
        self.tables: dict[tuple[str, str], Table | None] = {}
        """By a condition's text and its graph."""
        self.patience = Patience()
        self.misfits: dict[tuple[int, int], tuple[Json, Json, Misfit | None]] = {}
        """By the identity of two types, which are kept so that no other comes to have it."""
        self.functions: Functions | None = None


class Sites:
    """Every expression of a file, each analysed once."""

    def __init__(self, file: FileModel, shared: Shared | None = None) -> None:
        self._file = file
        self._scopes: dict[tuple[str, str], Mapping[str, Json]] = {}
        self._shared = shared or Shared()
        self.written: dict[str, tuple[Written, ...]] = {}
        """What is known of the values that each graph writes."""

    @cached_property
    def all(self) -> tuple[Site, ...]:
        """In the order: the file's own sections, then each graph's nodes and routers."""
        return (*self._of_file(), *(site for graph in self._file.graphs for site in self._of_graph(graph)))

    @cached_property
    def by_keys(self) -> Mapping[Keys, Site]:
        """The site at given keys (an agent's instructions may be read in several graphs: the first of them)."""
        found: dict[Keys, Site] = {}
        for site in self.all:
            found.setdefault(site.keys, site)
        return found

    def of(self, graph: Graph) -> tuple[Site, ...]:
        """The sites that may read a graph's state."""
        return self._by_graph.get(graph.name, ())

    @cached_property
    def _by_graph(self) -> Mapping[str, tuple[Site, ...]]:
        found: dict[str, list[Site]] = {}
        for site in self.all:
            found.setdefault(site.graph.name, []).append(site)
        return {name: tuple(sites) for name, sites in found.items()}

    def state_of(self, graph: Graph) -> Json:
        """The closed schema of a graph's state, as an expression sees it."""
        return self._scope(graph, "state")["state"]

    def table_of(self, condition: Site) -> Table | None:
        """The answers of a condition of a router; None unless all that it reads is closed state."""
        key, tables = (condition.text, condition.graph.name), self._shared.tables
        if key not in tables:
            state = self.state_of(condition.graph)
            tables[key] = truth_table(condition.text, condition.analysis, state, self._shared.patience)
        return tables[key]

    def misfit(self, written: Json, wanted: Json) -> Misfit | None:
        """Why some value of one type does not fit another: most of a file are of a few types."""
        key, misfits = (id(written), id(wanted)), self._shared.misfits
        if key not in misfits:
            if len(misfits) > _MOST_KEPT:
                misfits.clear()
            misfits[key] = (written, wanted, misfit(written, wanted))
        return misfits[key][2]

    def type_of(self, keys: Keys, value: Json) -> Json:
        """The type of a value of `set`, `args` or `input`, whose texts may be templates."""
        if isinstance(value, str):
            site = self.by_keys.get(keys)
            return self._nulls.type_of(site) if site is not None else {"const": value}
        if isinstance(value, dict):
            parts = {key: self.type_of((*keys, key), part) for key, part in value.items()}
            return {
                "type": "object",
                "properties": parts,
                "required": [*parts],
                "additionalProperties": False,
            }
        if isinstance(value, list):
            items = [self.type_of((*keys, place), item) for place, item in enumerate(value)]
            return {"type": "array", "items": {"anyOf": items}} if items else {"type": "array", "maxItems": 0}
        return {"const": value}

    @cached_property
    def _nulls(self) -> Nulls:
        from agentctl.check.nulls import Nulls  # which looks at sites

        return Nulls(self)

    def _of_file(self) -> Iterator[Site]:
        root, file = self._file.root, self._file
        for name, model in file.entries("models"):
            keys: Keys = ("models", name)
            yield from self._templates(model, _MODEL_TEMPLATES, keys, root, "", "env")
            yield from self._bare(model.get("choose"), (*keys, "choose"), root, "", "state")
        for name, server in file.entries("mcp"):
            yield from self._templates(server, _MCP_TEMPLATES, ("mcp", name), root, "", "env")
        for name, store in file.entries("stores"):
            yield from self._templates(store, tuple(store), ("stores", name), root, "", "env")
        for name, tool in file.entries("tools"):
            scope = self._tool_scope(root, name, "env")
            yield from self._templates(tool, _TOOL_TEMPLATES, ("tools", name), root, "", scope)
            # a key is kept on the tape, where no variable of the environment belongs
            scope = self._tool_scope(root, name, "run")
            yield from self._templates(tool, ("idempotency_key",), ("tools", name), root, "", scope)
        yield from self._bare(file.section("tiers").get("by"), ("tiers", "by"), root, "", "state")
        yield from self._of_agents()
        for name, experiment in file.entries("experiments"):
            for key in ("assign_by", "success"):
                yield from self._bare(experiment.get(key), ("experiments", name, key), root, "", "state")
        yield from self._templates(file.section("events"), _EVENT_TEMPLATES, ("events",), root, "", "env")

    def _of_agents(self) -> Iterator[Site]:
        """Instructions, read by every node that asks the agent; by the root's state when none does."""
        users: dict[str, dict[tuple[str, str], Graph]] = {}
        for graph in self._file.graphs:
            for work in graph.works:
                if (name := work.name_of("agent")) is not None:
                    users.setdefault(name, {}).setdefault((graph.name, work.node), graph)
        for name, agent in self._file.entries("agents"):
            readers = users.get(name) or {("", ""): self._file.root}
            keys: Keys = ("agents", name, "instructions")
            for (_, node), graph in readers.items():
                yield from self._instructions(agent, keys, graph, node)

    def _instructions(
        self, agent: Mapping[str, Json], keys: Keys, graph: Graph, owner: str, scope: str = "state"
    ) -> Iterator[Site]:
        """What an agent is told: text in place, or a file beside this one."""
        prompt = self._file.document.prompt(keys)
        told = agent.get("instructions") if prompt is None else prompt
        yield from self._template(text(told), keys, graph, owner, scope)

    def _of_graph(self, graph: Graph) -> Iterator[Site]:
        for node in graph.nodes.values():
            yield from self._of_work(graph, node, "state")
        for name, router in graph.routers.items():
            keys: Keys = (*graph.keys, "routers", name)
            if isinstance(router, list):
                for index, arm in enumerate(router):
                    yield from self._bare(
                        mapping(arm).get("when"), (*keys, index, "when"), graph, name, "state"
                    )
            yield from self._bare(mapping(router).get("by"), (*keys, "by"), graph, name, "state")

    def _of_work(self, graph: Graph, work: Work, scope: str) -> Iterator[Site]:
        yield from self._templates(work.data, _NODE_TEMPLATES, work.keys, graph, work.node, scope)
        if isinstance(agent := work.data.get("agent"), dict):
            keys: Keys = (*work.keys, "agent", "instructions")
            yield from self._instructions(agent, keys, graph, work.node, scope)
        if work.verb == "map":
            loop = mapping(work.data["map"])
            keys = (*work.keys, "map", "over")
            over = [*self._bare(loop.get("over"), keys, graph, work.node, scope)]
            yield from over
            item = item_type(over[0].analysis.type) if over else {}
            scope = self._item_scope(graph, scope, text(loop.get("as")) or "item", item)
        for part in work.parts:
            yield from self._of_work(graph, part, scope)

    def _templates(
        self,
        data: Mapping[str, Json],
        names: tuple[str, ...],
        keys: Keys,
        graph: Graph,
        owner: str,
        scope: str,
    ) -> Iterator[Site]:
        for name in names:
            if name in data:
                yield from self._template(data[name], (*keys, name), graph, owner, scope)

    def _template(self, value: Json, keys: Keys, graph: Graph, owner: str, scope: str) -> Iterator[Site]:
        """The templates inside a value; a text without a brace or a dollar is plain."""
        if isinstance(value, str):
            if "{" in value:
                yield self._site(analyse_template, value, keys, "template", graph, owner, scope)
        elif isinstance(value, dict):
            for key, part in value.items():
                yield from self._template(part, (*keys, key), graph, owner, scope)
        elif isinstance(value, list):
            for place, part in enumerate(value):
                yield from self._template(part, (*keys, place), graph, owner, scope)

    def _bare(self, value: Json, keys: Keys, graph: Graph, owner: str, scope: str) -> Iterator[Site]:
        if isinstance(value, str):
            yield self._site(analyse_bare, value, keys, "bare", graph, owner, scope)

    def _site(
        self,
        analyse: Callable[[str, Mapping[str, Json]], Analysis],
        value: str,
        keys: Keys,
        kind: Literal["bare", "template"],
        graph: Graph,
        owner: str,
        scope: str,
    ) -> Site:
        memo = (value, kind, graph.name, scope)
        seen = self._shared.analyses
        if memo not in seen:
            seen[memo] = analyse(value, self._scope(graph, scope))
        return Site(keys, value, kind, graph, owner, seen[memo])

    def _scope(self, graph: Graph, scope: str) -> Mapping[str, Json]:
        key = (graph.name, scope)
        if key not in self._scopes:
            self._scopes[key] = self._make_scope(graph, scope)
        return self._scopes[key]

    def _make_scope(self, graph: Graph, scope: str) -> Mapping[str, Json]:
        if scope == "state":
            return {"state": _state_schema(graph), "run": self._run}
        if scope == "run":
            return {"run": self._run}
        return {"env": _closed(dict.fromkeys(self._file.section("env"), _TEXT)), "run": self._run}

    def _tool_scope(self, graph: Graph, tool: str, outer: str) -> str:
        """A scope with a tool's arguments in it."""
        arguments = self._arguments(tool)
        inner = f"{outer} args:{arguments!r}"
        if (graph.name, inner) not in self._scopes:
            self._scopes[graph.name, inner] = {**self._scope(graph, outer), "args": arguments}
        return inner

    def _arguments(self, tool: str) -> Json:
        """What a tool takes; what a caller may leave out is a name to use, none the less."""
        parameters = parameters_of(self._file, tool)
        return {} if parameters is None else {**parameters, "required": [*parameters["properties"]]}

    def _item_scope(self, graph: Graph, scope: str, name: str, item: Json) -> str:
        """A scope with an item's name in it, as work of a map sees it."""
        inner = f"{scope} {name}:{item!r}"
        if (graph.name, inner) not in self._scopes:
            names = {**self._scope(graph, scope), name: item, "index": {"type": "integer"}}
            self._scopes[graph.name, inner] = names
        return inner

    @cached_property
    def _run(self) -> Json:
        variants = {
            name: {"enum": [*mapping(experiment.get("variants"))]}
            for name, experiment in self._file.entries("experiments")
        }
        names = ("id", "thread", "tenant", "tier", "uuid", "now")
        return _closed(
            {**dict.fromkeys(names, _TEXT), "turn": {"type": "integer"}, "variants": _closed(variants)}
        )


def item_type(array: Json) -> Json:
    """The type of an array's items; {} when it is not known."""
    items = array.get("items", {}) if isinstance(array, dict) else {}
    return items if isinstance(items, dict) else {}


def _state_schema(graph: Graph) -> Json:
    return _closed({name: field.schema for name, field in graph.fields.items()})


def _schema(type: Json) -> Json:
    """The schema of a type as it is written; anything goes for one that is wrong, which is S110's business."""
    try:
        return to_schema(type)
    except (ValueError, TypeError):
        return {}


def _closed(properties: Mapping[str, Json]) -> Json:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [*properties],
        "additionalProperties": False,
    }


def answer_schema(output: Json) -> Json:
    """The schema of an agent's answer: its `output`, or text."""
    if not isinstance(output, dict):
        return _TEXT
    try:
        return fields_schema(output)
    except (ValueError, TypeError):
        return {}


def field_schema(type: Json) -> Json:
    """The schema of a state field."""
    return _schema(type)
