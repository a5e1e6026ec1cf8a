"""From a checked document to a graph that can run: names become references, text becomes closures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from agentctl import units
from agentctl.expressions import Expression, compile_bare, compile_template
from agentctl.graph.context import compile_context
from agentctl.graph.limits import limit_plan
from agentctl.graph.nesting import document_of_tool, is_file, nested_tool, recorded_document, refuse_circle
from agentctl.graph.nodes import agents_in_place, compile_nodes, placeholders
from agentctl.graph.parts import attempts, template
from agentctl.graph.plan import (
    AgentPlan,
    AgentWork,
    ConditionRouter,
    ContextPlan,
    Graph,
    GraphWork,
    Model,
    ModelChoice,
    ModelGroup,
    ModelPlan,
    NestedWork,
    Router,
    Served,
    ToolPlan,
    ValueRouter,
)
from agentctl.graph.served import signature
from agentctl.graph.tiers import tier_plan
from agentctl.graph.tools import compile_tool
from agentctl.graph.unsupported import refuse_unsupported
from agentctl.json import Json, digest
from agentctl.spec.document import Document
from agentctl.spec.finding import Keys
from agentctl.spec.fits import first_problem
from agentctl.spec.model import (
    AgentSpec,
    Arm,
    Context,
    FileSpec,
    FileText,
    GraphSpec,
    Limits,
    ModelSpec,
    Price,
    ToolSpec,
)
from agentctl.spec.model import ValueRouter as ValueRouterSpec
from agentctl.spec.types import fields_schema, state_field
from agentctl.state import FieldPlan

DEFAULT_MODEL = "local"
FILE_PROVIDERS = ("local", "scripted")
"""Providers whose models are files beside the graph."""


def compile_graph(
    document: Document,
    *,
    models: Mapping[str, str] | None = None,
    recorded: Mapping[str, Json] | None = None,
    served: Served | None = None,
    way: tuple[Path, ...] = (),
) -> Graph:
    """Compile a document that has no errors.

    `models` replaces models by name (`default` is the one that agents without a model use) with a
    `provider/model`. `recorded` are the tools' signatures of a recording, for a replay: the tools' code is then not
    read. `served` is what MCP servers said of themselves. `way` are the files that run
    this one. Raises UsageError for what the language has and this version cannot run yet, and for files that run each
    other in a circle; CannotRun for what an MCP server lacks.
    """
    assert document.spec is not None
    if recorded is None:
        way = (*way, document.path)
        refuse_circle(way)
    refuse_unsupported(document)
    return _Compiler(document, document.spec, models or {}, recorded, served, way).graph()


@dataclass(slots=True)
class _Compiler:
    document: Document
    spec: FileSpec
    models: Mapping[str, str]
    recorded: Mapping[str, Json] | None
    served: Served | None
    way: tuple[Path, ...]
    tools: dict[str, ToolPlan] = field(default_factory=dict)
    inner: dict[str, Graph] = field(default_factory=dict)
    """The graphs of `graphs:` that are used."""

    def graph(self) -> Graph:
        """The graph of the file."""
        spec, recorded = self.spec, self.recorded
        ids = spec.events.ids if spec.events and spec.events.ids else None
        sinks = (spec.events.sinks or []) if spec.events else []
        signatures = {name: _signature(self.tool(name)) for name in spec.tools or {}}
        if recorded is not None:
            signatures |= recorded
        return replace(
            self._graph(spec, spec.name, ()),
            digest=digest([self.document.digest, signatures]),
            texts=self.document.texts,
            models=self._all_models(),
            run_id=template(ids.run) if ids else None,
            thread_id=template(ids.thread) if ids else None,
            tiers=tier_plan(spec.tiers) if spec.tiers else None,
            jsonl=any(sink == "jsonl" for sink in sinks),
            signatures=signatures,
            is_file=True,
        )

    def _graph(self, spec: FileSpec | GraphSpec, name: str, keys: Keys) -> Graph:
        """The file's own graph or one of `graphs:`, at some keys, without what only a file has."""
        data = self.document.data
        meanwhile = placeholders(spec.nodes)
        return Graph(
            name=name,
            digest="",
            path=self.document.path,
            texts={},
            start=spec.start,
            nodes=compile_nodes(self, spec.nodes, keys),
            routers={name: _router(name, router) for name, router in (spec.routers or {}).items()},
            fields={name: self._field(name, kind, meanwhile) for name, kind in (spec.state or {}).items()},
            input=tuple(spec.input or ()),
            output=tuple(spec.output or ()),
            limits=limit_plan(self.spec.limits or Limits()),
            models={},
            run_id=None,
            thread_id=None,
            tiers=None,
            jsonl=False,
            schemas={name: state_field(kind).schema for name, kind in (spec.state or {}).items()},
            data=data["graphs"][name] if keys else data,
            is_file=False,
        )

    def _field(self, name: str, kind: Json, meanwhile: Mapping[str, Json]) -> FieldPlan:
        kept = state_field(kind)
        return FieldPlan(
            name=name,
            check=first_problem(kept.schema),
            check_item=first_problem(kept.schema.get("items", {})),
            # a conversation grows by what was said, so that its log holds only that
            reduce="extend" if kept.is_messages and kept.reduce == "last" else kept.reduce,
            default=kept.default,
            has_default=kept.has_default,
            keep=kept.keep,
            first=kept.first,
            placeholder=meanwhile.get(name),
            has_placeholder=name in meanwhile,
        )

    def tool(self, name: str) -> ToolPlan:
        """See Parts; a tool may be an agent that has tools, so each is compiled when it is first named."""
        if name not in self.tools:
            spec = (self.spec.tools or {})[name]
            self.tools[name] = self._tool(name, spec, None if self.recorded is None else self.recorded[name])
        return self.tools[name]

    def _tool(self, name: str, spec: ToolSpec, recorded: Json) -> ToolPlan:
        if spec.agent is not UNSET:
            work: NestedWork = AgentWork(self.agent(spec.agent), attempts(spec.retry, 1))
        elif spec.graph is not UNSET:
            graph = self._file(name, spec.graph) if is_file(spec.graph) else self.nested(spec.graph)
            work = GraphWork(graph, attempts(spec.retry, 1))
        else:
            return compile_tool(self.document, name, spec, recorded, self.served)
        return nested_tool(self.document, name, spec, work, recorded)

    def nested(self, name: str) -> Graph:
        """See Parts."""
        if name not in self.inner:
            self.inner[name] = self._graph((self.spec.graphs or {})[name], name, ("graphs", name))
        return self.inner[name]

    def _file(self, tool: str, reference: str) -> Graph:
        """The graph of another file, with its own models and tools; the one that agents without a model use is ours."""
        recorded = None
        if self.recorded is None:
            document = document_of_tool(self.document, tool, reference)
        else:
            recording = self.recorded[tool][2]
            document, recorded = recorded_document(recording), recording["tools"]
        models = {name: model for name, model in self.models.items() if name == "default"}
        return compile_graph(document, models=models, recorded=recorded, served=self.served, way=self.way)

    def agent(self, named: str | AgentSpec, name: str = "", keys: Keys = ()) -> AgentPlan:
        """See Parts."""
        if isinstance(named, str):
            name, keys = named, ("agents", named)
        spec = named if isinstance(named, AgentSpec) else (self.spec.agents or {})[named]
        schema = fields_schema(spec.output) if spec.output else None
        return AgentPlan(
            name=name,
            model=self._model(spec.model or "default"),
            instructions=self._instructions(spec.instructions, (*keys, "instructions")),
            tools=tuple(self.tool(tool) for tool in spec.tools or ()),
            max_turns=spec.max_turns or 8,
            output=schema,
            check_output=first_problem(schema or {}),
            examples=tuple((pair.prompt, pair.answer) for pair in spec.examples or ()),
            context=self._context(spec.context, (*keys, "context")) if spec.context else None,
        )

    def _context(self, spec: Context, keys: Keys) -> ContextPlan:
        condenser = None
        if spec.summarise is not UNSET:
            # it is asked outside of any conversation, so that it has no context itself
            named = (self.spec.agents or {})[spec.summarise.agent]
            named = msgspec.structs.replace(named, context=UNSET)
            condenser = self.agent(named, spec.summarise.agent, ("agents", spec.summarise.agent))
        return compile_context(self.document, spec, keys, condenser, is_replay=self.recorded is not None)

    def _instructions(self, text: str | FileText | UnsetType, keys: Keys) -> Expression | None:
        if isinstance(text, FileText):
            prompt = self.document.prompt(keys)
            assert prompt is not None, "a checked document has the files it names"
            return compile_template(prompt)
        return template(text)

    def _all_models(self) -> dict[str, Model]:
        agents = list((self.spec.agents or {}).values())
        agents += agents_in_place(self.spec.nodes)
        for graph in (self.spec.graphs or {}).values():
            agents += agents_in_place(graph.nodes)
        models = {name: self._model(name) for name in {agent.model or "default" for agent in agents}}
        for tool in self.tools.values():
            if isinstance(tool.work, GraphWork) and tool.work.graph.is_file:
                models |= {f"{tool.name}/{name}": model for name, model in tool.work.graph.models.items()}
        return models

    def _model(self, name: str) -> Model:
        defined = self.spec.models or {}
        spec = defined.get(name) or ModelSpec(model=DEFAULT_MODEL if name == "default" else name)
        if name in self.models:
            spec = defined.get(self.models[name]) or _replaced(spec, self.models[name])
        if spec.model is not UNSET:
            return self._single(name, spec)
        if spec.choose is not UNSET:
            return ModelChoice(name, compile_bare(spec.choose), {m: self._model(m) for m in spec.among or ()})
        kinds: tuple[tuple[Literal["fallback", "race", "vote"], list[str] | UnsetType], ...] = (
            ("fallback", spec.fallback),
            ("race", spec.race),
            ("vote", spec.vote),
        )
        kind, names = next((kind, names) for kind, names in kinds if names)
        return ModelGroup(name, kind, tuple(map(self._model, names or ())), spec.agree or 1)

    def _single(self, name: str, spec: ModelSpec) -> ModelPlan:
        defined = self.spec.models or {}
        provider, _, model = str(spec.model).partition("/")
        file = None
        if provider in FILE_PROVIDERS and model:
            keys: Keys = ("models", name, "model") if name in defined else ()
            file = (self._folder(keys) / model).resolve()
        return ModelPlan(
            name=name,
            provider=provider,
            model=model,
            file=file,
            base_url=template(spec.base_url),
            api_key=template(spec.api_key),
            temperature=_or_none(spec.temperature),
            max_output_tokens=spec.max_output_tokens or None,
            reasoning=spec.reasoning or None,
            timeout=60.0 if spec.timeout is UNSET else units.seconds(spec.timeout),
            attempts=attempts(spec.retry, 3),
            price=_price(spec.price, provider),
            extra=spec.extra or {},
            requests_a_minute=(spec.rate.requests or None) if spec.rate else None,
            tokens_a_minute=(spec.rate.tokens or None) if spec.rate else None,
            warm=bool(spec.warm),
        )

    def _folder(self, keys: Keys) -> Path:
        """Where the paths at some keys begin: beside the file that they stand in."""
        return self.document.value(keys)[0].parent


def _signature(tool: ToolPlan) -> Json:
    """What a replay is told of a tool; of a graph in another file, that file too."""
    told = signature(tool)
    if isinstance(tool.work, GraphWork) and tool.work.graph.is_file:
        told.append(tool.work.graph.recording)
    return told


def _router(name: str, spec: list[Arm] | ValueRouterSpec) -> Router:
    if isinstance(spec, ValueRouterSpec):
        return ValueRouter(name, compile_bare(spec.by), spec.to, spec.else_ or None)
    return ConditionRouter(name, tuple(_arm(arm) for arm in spec))


def _arm(arm: Arm) -> tuple[Expression | None, str]:
    if arm.else_ is not UNSET:
        return None, arm.else_
    return compile_bare(_text(arm.when)), str(arm.to)


def _text(condition: Json) -> str:
    return str(condition).lower() if isinstance(condition, bool) else str(condition)


def _or_none(value: Json) -> Json:
    return None if value is UNSET else value


def _price(price: Price | Json, provider: str) -> Price | None:
    if price is not UNSET:
        assert isinstance(price, Price)
        return price
    # what runs on this machine costs nothing; what another price is, nobody has said
    return Price(input=0.0, output=0.0) if provider in FILE_PROVIDERS else None


def _replaced(spec: ModelSpec, model: str) -> ModelSpec:
    """Another model in the same place: what the file says of the first one's server and price is not its."""
    return ModelSpec(
        model=model,
        temperature=spec.temperature,
        max_output_tokens=spec.max_output_tokens,
        timeout=spec.timeout,
        retry=spec.retry,
    )
