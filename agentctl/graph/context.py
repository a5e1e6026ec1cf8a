"""From an agent's `context:` to its plan: what is sent of a long conversation, and what becomes of the rest."""

from __future__ import annotations

from msgspec import UNSET

from agentctl import units
from agentctl.check.rules.context import WINDOW
from agentctl.graph.plan import AgentPlan, ContextPlan, PythonWork, StorePlan, StoreWork, ToolPlan, Work
from agentctl.graph.stores import compile_store
from agentctl.json import Json
from agentctl.spec.document import Document
from agentctl.spec.finding import Keys
from agentctl.spec.fits import first_problem, problems
from agentctl.spec.functions import read_function
from agentctl.spec.model import Context
from agentctl.spec.store_tools import PARAMETERS
from agentctl.spec.types import fields_schema, messages_schema

MAX_RECALLED = 16 * 1024
"""Bytes of what is recalled: a longer message is cut to the passage that fits best."""
MAX_SENT = 4 * 1024 * 1024
"""Bytes that a policy of one's own may answer."""


def compile_context(
    document: Document, spec: Context, keys: Keys, condenser: AgentPlan | None, *, is_replay: bool
) -> ContextPlan:
    """The plan of the policy at `keys`. Raises UsageError for a model that cannot embed, UnreadableSource."""
    if spec.python is not UNSET:
        return _own(document, spec, keys, is_replay=is_replay)
    window = WINDOW if spec.window is UNSET else spec.window
    over: int | str = spec.summarise.over if spec.summarise else 2 * window
    store = compile_store(document, spec.archive) if spec.archive is not UNSET else None
    return ContextPlan(
        window=window,
        over=units.tokens(over) if isinstance(over, str) else over,
        counts_tokens=isinstance(over, str),
        into=spec.summarise.into if spec.summarise else None,
        condenser=condenser,
        archive=_archive(store) if store else None,
        recall=_recall(store) if store and spec.recall is not UNSET else None,
        passages=0 if spec.recall is UNSET else spec.recall,
    )


def _own(document: Document, spec: Context, keys: Keys, *, is_replay: bool) -> ContextPlan:
    """A function of one's own; a replay does not read its code."""
    reference = str(spec.python)
    work = None
    if not is_replay:
        folder = document.value((*keys, "python"))[0].parent.absolute()
        work = PythonWork(read_function(folder, reference))
    parameters = fields_schema({"messages": "array"})
    policy = _tool(reference, work, parameters, MAX_SENT, {"python": reference}, first=messages_schema())
    return ContextPlan(window=WINDOW, over=2 * WINDOW, policy=policy)


def _archive(store: StorePlan) -> ToolPlan:
    # not journalled as a write: the store takes the same documents twice without harm, and syncs what it has taken
    parameters = fields_schema({"documents": "array"})
    definition = {"store": store.name, "operation": "archive"}
    return _tool(f"{store.name}.archive", StoreWork(store, "archive"), parameters, MAX_RECALLED, definition)


def _recall(store: StorePlan) -> ToolPlan:
    parameters = fields_schema(PARAMETERS["search"])
    definition = {"store": store.name, "operation": "search"}
    return _tool(f"{store.name}.recall", StoreWork(store, "search"), parameters, MAX_RECALLED, definition)


def _tool(
    name: str, work: Work | None, parameters: Json, max_result: int, definition: Json, first: Json = None
) -> ToolPlan:
    """A tool that no model is offered."""
    return ToolPlan(
        name=name,
        work=work,
        description="",
        parameters=parameters,
        check_arguments=problems(parameters),
        check_result=first_problem(first or {}),
        effect="read",
        cache=None,
        timeout=30.0,
        attempts=1 if isinstance(work, PythonWork) else 3,
        idempotency_key=None,
        max_result=max_result,
        max_calls=None,
        definition=definition,
    )
