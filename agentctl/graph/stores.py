"""From a store of the file to its plan, and what its tools take."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from msgspec import UNSET

from agentctl import units
from agentctl.errors import UsageError
from agentctl.graph.parts import attempts, template
from agentctl.graph.plan import ModelPlan, StorePlan, StoreWork
from agentctl.json import Json, digest
from agentctl.spec.document import Document
from agentctl.spec.finding import Keys
from agentctl.spec.model import ModelSpec, StoreSpec, ToolSpec
from agentctl.spec.store_tools import DESCRIPTIONS, PARAMETERS
from agentctl.spec.types import fields_schema


def compile_store(document: Document, name: str) -> StorePlan:
    """The plan of a store of the file. Raises UsageError for a model that cannot embed."""
    assert document.spec is not None
    spec = (document.spec.stores or {})[name]
    keys: Keys = ("stores", name)
    folder = None
    if spec.path is not UNSET:
        folder = (document.value((*keys, "path"))[0].parent / spec.path).absolute()
    model = _embedder(document, spec, (*keys, "embed"))
    return StorePlan(name, folder, embeds=spec.embed is True, model=model)


def compile_store_work(document: Document, name: str, spec: ToolSpec) -> tuple[StoreWork, Json, str]:
    """The work of a store's tool, its parameters and its description. Raises UsageError."""
    store, operation = str(spec.store), str(spec.operation)
    taken = PARAMETERS[operation]
    written: Mapping[str, Json] = taken if spec.parameters is UNSET else spec.parameters
    parameters = fields_schema(written)
    unknown = [parameter for parameter in written if parameter not in taken]
    lacking = [p for p in fields_schema(taken)["required"] if p not in written]
    if unknown or lacking:
        what = f"`{unknown[0]}` is none" if unknown else f"`{lacking[0]}` is missing"
        raise _refused(
            document,
            ("tools", name, "parameters"),
            f"{operation} in a store takes {', '.join(taken)}, and {what} of them",
            "leave `parameters` out, or name some of these",
        )
    described = DESCRIPTIONS[operation].format(store=store)
    return StoreWork(compile_store(document, store), operation), parameters, spec.description or described


def natural_key(names: Mapping[str, Json]) -> Json:
    """The idempotency key of a store's write: its arguments, for a store takes the same ones twice without harm."""
    return digest(names["args"])


def _embedder(document: Document, spec: StoreSpec, keys: Keys) -> ModelPlan | None:
    if not isinstance(spec.embed, str):
        return None
    assert document.spec is not None
    model = (document.spec.models or {}).get(spec.embed) or ModelSpec(model=spec.embed)
    provider, _, rest = str(model.model or "").partition("/")
    if model.model is UNSET or not rest:
        raise _refused(
            document,
            keys,
            f"`embed: {spec.embed}` names no single model that embeds",
            "write `embed: true`, `embed: provider/model`, or a name of `models:` that has such a `model`",
        )
    return ModelPlan(
        name=spec.embed,
        provider=provider,
        model=rest,
        base_url=template(model.base_url),
        api_key=template(model.api_key),
        timeout=60.0 if model.timeout is UNSET else units.seconds(model.timeout),
        attempts=attempts(model.retry, 3),
        price=model.price or None,
        extra=model.extra or {},
    )


def _refused(document: Document, keys: Keys, message: str, hint: str) -> UsageError:
    path, span = document.key(keys)
    return UsageError(f"{Path(path).name}:{span.line}:{span.column}: {message}", hint=hint)
