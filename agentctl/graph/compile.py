"""From a checked document to a graph that can run: names become references, text becomes closures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import UNSET, UnsetType

from agentctl import units
from agentctl.expressions import Expression, compile_bare, compile_template, compile_value
from agentctl.graph.limits import limit_plan
from agentctl.graph.parts import attempts, template
from agentctl.graph.plan import (
    AgentNode,
    AgentPlan,
    AskNode,
    ConditionRouter,
    Graph,
    ModelPlan,
    Node,
    Router,
    Save,
    SetNode,
    ToolNode,
    ToolPlan,
    ValueRouter,
)
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
    FileSpec,
    FileText,
    Limits,
    ModelSpec,
    NodeSpec,
    Price,
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
) -> Graph:
    """Compile a document that has no errors.

    `models` replaces models by name (`default` is the one that agents without a model use) with a
    `provider/model`. `recorded` are the tools' signatures of a recording, for a replay: the tools' code is then not
    read. Raises UsageError for what the language has and this version cannot run yet.
    """
    assert document.spec is not None
    refuse_unsupported(document)
    return _Compiler(document, document.spec, models or {}, recorded).graph()


@dataclass(slots=True)
class _Compiler:
    document: Document
    spec: FileSpec
    models: Mapping[str, str]
    recorded: Mapping[str, Json] | None
    tools: dict[str, ToolPlan] = field(default_factory=dict)

    def graph(self) -> Graph:
        spec = self.spec
        ids = spec.events.ids if spec.events and spec.events.ids else None
        sinks = (spec.events.sinks or []) if spec.events else []
        recorded = self.recorded
        self.tools = {
            name: compile_tool(self.document, name, tool, None if recorded is None else recorded[name])
            for name, tool in (spec.tools or {}).items()
        }
        signatures = {name: [tool.parameters, tool.description] for name, tool in self.tools.items()}
        fields = {name: self._field(name, kind) for name, kind in (spec.state or {}).items()}
        return Graph(
            name=spec.name,
            digest=digest([self.document.digest, signatures]),
            path=self.document.path,
            texts=self.document.texts,
            start=spec.start,
            nodes={name: self._node(name, node) for name, node in spec.nodes.items()},
            routers={name: _router(name, router) for name, router in (spec.routers or {}).items()},
            fields=fields,
            input=tuple(spec.input or ()),
            output=tuple(spec.output or ()),
            limits=limit_plan(spec.limits or Limits()),
            models=self._all_models(),
            run_id=template(ids.run) if ids else None,
            thread_id=template(ids.thread) if ids else None,
            tiers=tier_plan(spec.tiers) if spec.tiers else None,
            jsonl=any(sink == "jsonl" for sink in sinks),
            schemas={name: state_field(kind).schema for name, kind in (spec.state or {}).items()},
            data=self.document.data,
            signatures=signatures,
        )

    def _field(self, name: str, kind: Json) -> FieldPlan:
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
        )

    def _node(self, name: str, spec: NodeSpec) -> Node:
        shared: Json = {
            "name": name,
            "then": spec.then,
            "save": _save(spec.save),
            "on_error": _error_routes(spec.on_error),
            "attempts": attempts(spec.retry, 1),
            "timeout": None if spec.timeout is UNSET else units.seconds(spec.timeout),
            "max_visits": spec.max_visits or None,
        }
        if spec.agent is not UNSET:
            return AgentNode(
                agent=self._agent(name, spec.agent),
                prompt=template(spec.prompt),
                history=spec.history or None,
                say=template(spec.say),
                **shared,
            )
        if spec.tool is not UNSET:
            return ToolNode(tool=self.tools[spec.tool], args=compile_value(spec.args or {}), **shared)
        if spec.set is not UNSET:
            return SetNode(values=tuple((key, compile_value(v)) for key, v in spec.set.items()), **shared)
        assert spec.ask is not UNSET
        return AskNode(
            question=compile_template(spec.ask),
            choices=tuple(spec.choices or ()),
            on_timeout=spec.on_timeout or None,
            **shared,
        )

    def _agent(self, node: str, named: str | AgentSpec) -> AgentPlan:
        agents = self.spec.agents or {}
        inline = isinstance(named, AgentSpec)
        name, spec = (node, named) if isinstance(named, AgentSpec) else (named, agents[named])
        keys: Keys = ("nodes", node, "agent") if inline else ("agents", name)
        schema = fields_schema(spec.output) if spec.output else None
        return AgentPlan(
            name=name,
            model=self._model(spec.model or "default"),
            instructions=self._instructions(spec.instructions, (*keys, "instructions")),
            tools=tuple(self.tools[tool] for tool in spec.tools or ()),
            max_turns=spec.max_turns or 8,
            output=schema,
            check_output=first_problem(schema or {}),
            examples=tuple((pair.prompt, pair.answer) for pair in spec.examples or ()),
        )

    def _instructions(self, text: str | FileText | UnsetType, keys: Keys) -> Expression | None:
        if isinstance(text, FileText):
            prompt = self.document.prompt(keys)
            assert prompt is not None, "a checked document has the files it names"
            return compile_template(prompt)
        return template(text)

    def _all_models(self) -> dict[str, ModelPlan]:
        agents = list((self.spec.agents or {}).values())
        agents += [node.agent for node in self.spec.nodes.values() if isinstance(node.agent, AgentSpec)]
        return {name: self._model(name) for name in {agent.model or "default" for agent in agents}}

    def _model(self, name: str) -> ModelPlan:
        defined = self.spec.models or {}
        spec = defined.get(name) or ModelSpec(model=DEFAULT_MODEL if name == "default" else name)
        if name in self.models:
            spec = defined.get(self.models[name]) or _replaced(spec, self.models[name])
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
        )

    def _folder(self, keys: Keys) -> Path:
        """Where the paths at some keys begin: beside the file that they stand in."""
        return self.document.value(keys)[0].parent


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


def _save(save: Json) -> Save:
    if save is UNSET:
        return Save()
    if isinstance(save, str):
        return Save(whole=save)
    if isinstance(save, list):
        return Save(parts=tuple((name, name) for name in save))
    return Save(parts=tuple(save.items()))


def _error_routes(routes: Json) -> Mapping[str, str]:
    if routes is UNSET:
        return {}
    return {"else": routes} if isinstance(routes, str) else routes


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
