"""The language as types: every key that exists, once. The JSON Schema and the key reference come from here."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from agentctl.json import Json
from agentctl.spec.part import (
    AgentName,
    Choice,
    Condition,
    Count,
    Duration,
    ErrorKey,
    ErrorTarget,
    Expression,
    FieldName,
    GraphName,
    Name,
    Part,
    Share,
    StateType,
    Target,
    Template,
    ToolName,
    TypeName,
    TypeSpec,
    doc,
)
from agentctl.spec.resources import (
    AgentSpec,
    Breaker,
    Context,
    EnvVar,
    FileText,
    McpServer,
    ModelSpec,
    Price,
    Rate,
    Retry,
    Sandbox,
    SandboxFiles,
    StoreSpec,
    Summarise,
    TierLevel,
    Tiers,
    ToolSpec,
)
from agentctl.spec.running import (
    BackgroundLimits,
    EventIds,
    Events,
    ExpectSpec,
    Experiment,
    FaultSpec,
    Hooks,
    Limits,
    OnLimit,
    Reserve,
    StepLimits,
    TestSpec,
    UsageBounds,
    Variant,
)
from agentctl.state import Reducer

__all__ = [
    "AgentSpec",
    "Arm",
    "BackgroundLimits",
    "Breaker",
    "Context",
    "EnvVar",
    "EventIds",
    "Events",
    "ExpectSpec",
    "Experiment",
    "FaultSpec",
    "FieldSpec",
    "FileSpec",
    "FileText",
    "GraphSpec",
    "Hooks",
    "Limits",
    "MapSpec",
    "MapWork",
    "McpServer",
    "ModelSpec",
    "NodeSpec",
    "OnLimit",
    "Part",
    "Price",
    "Rate",
    "Reserve",
    "Retry",
    "Sandbox",
    "SandboxFiles",
    "StepLimits",
    "StoreSpec",
    "Summarise",
    "TestSpec",
    "TierLevel",
    "Tiers",
    "ToolSpec",
    "TypeSpec",
    "UsageBounds",
    "ValueRouter",
    "Variant",
]

_KEYS_OF_VERBS = {
    **dict.fromkeys(("prompt", "history", "say"), ("agent",)),
    "args": ("tool",),
    "input": ("graph",),
    **dict.fromkeys(("choices", "on_timeout"), ("ask",)),
}
ErrorRoutes = ErrorTarget | dict[ErrorKey, ErrorTarget]
Save = FieldName | list[FieldName] | dict[FieldName, str]


class MapWork(Part, frozen=True):
    """What a map does with each item: a node with one verb, without a name or a `then`."""

    choice: ClassVar[Choice | None] = Choice(
        "the work of a map", "verb", ("agent", "tool", "graph", "ask", "set"), _KEYS_OF_VERBS
    )

    agent: Annotated[
        AgentName | AgentSpec | UnsetType,
        doc("Ask an agent.", "judge", {"instructions": "You judge claims."}),
    ] = UNSET
    tool: Annotated[ToolName | UnsetType, doc("Call a tool.", "read_paper")] = UNSET
    graph: Annotated[GraphName | UnsetType, doc("Run a graph inside this one.", "read_one")] = UNSET
    ask: Annotated[Template | UnsetType, doc("Ask a person.", "Is ${{ item }} right?")] = UNSET
    set: Annotated[dict[str, Json] | UnsetType, doc("Make values.", {"title": "${{ item.title }}"})] = UNSET
    prompt: Annotated[Template | UnsetType, doc("agent: what it is asked.", "Claim: ${{ item }}")] = UNSET
    history: Annotated[
        FieldName | UnsetType, doc("agent: the `messages` field it reads and appends to.", "messages")
    ] = UNSET
    say: Annotated[
        Template | UnsetType, doc("agent: what the history keeps (the prompt).", "${{ item }}")
    ] = UNSET
    args: Annotated[dict[str, Json] | UnsetType, doc("tool: its arguments.", {"path": "${{ item }}"})] = UNSET
    input: Annotated[dict[str, Json] | UnsetType, doc("graph: its inputs.", {"path": "${{ item }}"})] = UNSET
    choices: Annotated[list[str] | UnsetType, doc("ask: the answers to choose from.", ["yes", "no"])] = UNSET
    on_timeout: Annotated[Target | UnsetType, doc("ask: where to go at the deadline.", "end")] = UNSET
    timeout: Annotated[Duration | UnsetType, doc("For one try.", "20s")] = UNSET
    retry: Annotated[
        Retry | UnsetType, doc("Tries of one item.", {"attempts": 2}, default={"attempts": 1})
    ] = UNSET
    background: Annotated[bool | UnsetType, doc("Not inside a map.", False)] = UNSET
    idempotency_key: Annotated[
        Template | UnsetType, doc("Makes the work safe to repeat.", "${{ item.id }}")
    ] = UNSET
    description: Annotated[str | UnsetType, doc("For people.", "Judge one claim.")] = UNSET


class MapSpec(Part, frozen=True):
    """One thing done with each item of an array."""

    over: Annotated[Expression, doc("A bare expression that gives an array.", "state.claims")]
    do: Annotated[MapWork, doc("What is done with each item.", {"agent": "judge", "prompt": "${{ item }}"})]
    as_: Annotated[Name | UnsetType, doc("The item's name.", "claim", default="item")] = msgspec.field(
        default=UNSET, name="as"
    )
    concurrency: Annotated[Count | UnsetType, doc("Items side by side, at most.", 3)] = UNSET
    tolerate: Annotated[Share | UnsetType, doc("How many items may fail.", "20%", 2, default=0)] = UNSET
    result: Annotated[str | UnsetType, doc("The key picked from each answer.", "holds")] = UNSET


class NodeSpec(Part, frozen=True):
    """A node: one verb, where its result goes, and where the run goes next."""

    choice: ClassVar[Choice | None] = Choice(
        "a node", "verb", ("agent", "tool", "graph", "map", "parallel", "ask", "set"), _KEYS_OF_VERBS
    )

    agent: Annotated[
        AgentName | AgentSpec | UnsetType,
        doc("Ask an agent.", "sorter", {"instructions": "You greet people."}),
    ] = UNSET
    tool: Annotated[ToolName | UnsetType, doc("Call a tool.", "find_customer")] = UNSET
    graph: Annotated[GraphName | UnsetType, doc("Run a graph inside this one.", "check_facts")] = UNSET
    map: Annotated[
        MapSpec | UnsetType,
        doc("Do one thing with each item.", {"over": "state.claims", "do": {"agent": "judge"}}),
    ] = UNSET
    parallel: Annotated[
        dict[Name, "NodeSpec"] | UnsetType,
        doc("Branches side by side.", {"web": {"agent": "scout"}, "notes": {"agent": "archivist"}}),
    ] = UNSET
    ask: Annotated[Template | UnsetType, doc("Ask a person.", "Refund ${{ state.amount }}?")] = UNSET
    set: Annotated[dict[FieldName, Json] | UnsetType, doc("Write fields.", {"answer": "Nothing found."})] = (
        UNSET
    )
    prompt: Annotated[
        Template | UnsetType, doc("agent: what it is asked.", "Question: ${{ state.question }}")
    ] = UNSET
    history: Annotated[
        FieldName | UnsetType, doc("agent: the `messages` field it reads and appends to.", "messages")
    ] = UNSET
    say: Annotated[
        Template | UnsetType, doc("agent: what the history keeps (the prompt).", "${{ state.question }}")
    ] = UNSET
    args: Annotated[
        dict[str, Json] | UnsetType, doc("tool: its arguments.", {"email": "${{ state.email }}"})
    ] = UNSET
    input: Annotated[
        dict[str, Json] | UnsetType, doc("graph: its inputs.", {"text": "${{ state.report }}"})
    ] = UNSET
    choices: Annotated[
        list[str] | UnsetType, doc("ask: the answers to choose from.", ["approve", "reject"])
    ] = UNSET
    on_timeout: Annotated[Target | UnsetType, doc("ask: where to go at the deadline.", "guide")] = UNSET
    save: Annotated[
        Save | UnsetType,
        doc(
            "Where the result goes: a field for the whole, a list of its keys, or field: key.",
            *("answer", ["desk", "sure"], {"reading": "page"}),
        ),
    ] = UNSET
    then: Annotated[
        Target | UnsetType, doc("Where the run goes next: a node, a router, or `end`.", "end")
    ] = UNSET
    on_error: Annotated[
        ErrorRoutes | UnsetType,
        doc(
            "Where it goes on an error: a node, `skip`, or by class.",
            *("sorry", {"tool_unavailable": "guide", "else": "sorry"}),
        ),
    ] = UNSET
    retry: Annotated[
        Retry | UnsetType, doc("Tries of the whole node.", {"attempts": 2}, default={"attempts": 1})
    ] = UNSET
    timeout: Annotated[Duration | UnsetType, doc("For one try; ask: the deadline.", "30m")] = UNSET
    max_visits: Annotated[Count | UnsetType, doc("Visits in one turn, at most.", 2)] = UNSET
    background: Annotated[
        bool | UnsetType, doc("Start it and go on; the result comes with a later turn.", True)
    ] = UNSET
    placeholder: Annotated[
        Json | UnsetType, doc("What the field reads as while the job is under way.", "still reading")
    ] = UNSET
    idempotency_key: Annotated[
        Template | UnsetType, doc("Makes the work safe to repeat.", "${{ state.question }}")
    ] = UNSET
    description: Annotated[str | UnsetType, doc("For people.", "Sort the question by desk.")] = UNSET


class Arm(Part, frozen=True):
    """One arm of a router by condition: `when` and `to`, or `else`."""

    choice: ClassVar[Choice | None] = Choice(
        "an arm", "condition", ("when", "else"), {"to": ("when",)}, {"when": ("to",)}
    )

    when: Annotated[
        Condition | UnsetType, doc("A bare expression that is true or false.", "state.sure >= 0.6")
    ] = UNSET
    to: Annotated[Target | UnsetType, doc("when: where to go.", "by_desk")] = UNSET
    else_: Annotated[Target | UnsetType, doc("Where to go otherwise; the last arm.", "end")] = msgspec.field(
        default=UNSET, name="else"
    )


class ValueRouter(Part, frozen=True):
    """A router by value."""

    by: Annotated[Expression, doc("A bare expression.", "state.desk")]
    to: Annotated[
        dict[str, Target], doc("A target for each value.", {"billing": "look_up", "other": "guide"})
    ]
    else_: Annotated[Target | UnsetType, doc("For every other value.", "guide")] = msgspec.field(
        default=UNSET, name="else"
    )


Routers = dict[Name, list[Arm] | ValueRouter]
_FIELDS = {"question": "string", "plan": {"enum": ["free", "pro"], "default": "free"}}
_NODES = {"greet": {"agent": "guide", "prompt": "${{ state.question }}", "save": "answer", "then": "end"}}
_ROUTERS = (
    {"by_desk": {"by": "state.desk", "to": {"billing": "look_up", "other": "guide"}}},
    {"is_clear": [{"when": "state.sure >= 0.6", "to": "by_desk"}, {"else": "clarify"}]},
)


class FieldSpec(Part, frozen=True):
    """A state field that says more than its type: a JSON Schema, and how the field is kept."""

    type: Annotated[
        TypeName | list[TypeName] | UnsetType,
        doc("The type, or a list of them.", "array", ["string", "null"]),
    ] = UNSET
    enum: Annotated[list[Json] | UnsetType, doc("The values it may have.", ["free", "pro"])] = UNSET
    items: Annotated[
        TypeSpec | UnsetType, doc("What an array holds.", "string", {"title": "string", "year": "integer"})
    ] = UNSET
    properties: Annotated[
        dict[str, TypeSpec] | UnsetType, doc("An object's fields.", {"title": "string"})
    ] = UNSET
    format: Annotated[str | UnsetType, doc("The form of a text; it is asserted.", "email", "date")] = UNSET
    description: Annotated[str | UnsetType, doc("For people, and for models.", "What they ask.")] = UNSET
    default: Annotated[Json | UnsetType, doc("What it holds until it is written.", "free", [])] = UNSET
    reduce: Annotated[
        Reducer | UnsetType, doc("How a new value joins the old one.", "append", default="last")
    ] = UNSET
    keep: Annotated[Count | UnsetType, doc("The newest items that are kept of an array.", 40)] = UNSET
    first: Annotated[Count | UnsetType, doc("The items that are kept of a written array.", 3)] = UNSET


class GraphSpec(Part, frozen=True):
    """A graph: its inputs, outputs, state, nodes and routers."""

    start: Annotated[Target, doc("Where a turn begins.", "split")]
    nodes: Annotated[dict[Name, NodeSpec], doc("The nodes by name.", _NODES)]
    description: Annotated[str | UnsetType, doc("For people.", "Split a text and judge it.")] = UNSET
    input: Annotated[list[FieldName] | UnsetType, doc("Fields given from outside.", ["text"])] = UNSET
    output: Annotated[list[FieldName] | UnsetType, doc("Fields that are the answer.", ["weak"])] = UNSET
    state: Annotated[dict[Name, StateType] | UnsetType, doc("Typed fields.", _FIELDS)] = UNSET
    routers: Annotated[Routers | UnsetType, doc("Decisions by name.", *_ROUTERS)] = UNSET


class FileSpec(Part, frozen=True):
    """A whole file, once its includes are merged in. Keys that begin with `x-` are left to their owners."""

    agentctl: Annotated[Literal[1], doc("The version of the language.", 1)]
    name: Annotated[Name, doc("The graph's name.", "support")]
    start: Annotated[Target, doc("Where a turn begins: a node or a router.", "sort")]
    nodes: Annotated[dict[Name, NodeSpec], doc("The nodes by name.", _NODES)]
    description: Annotated[str | UnsetType, doc("For people.", "Sort questions and answer them.")] = UNSET
    include: Annotated[
        list[str] | UnsetType, doc("Files whose parts belong to this one.", ["./shared.yaml"])
    ] = UNSET
    env: Annotated[
        dict[str, EnvVar] | UnsetType,
        doc("The variables that `env.*` may use.", {"CRM_TOKEN": {"secret": True}}),
    ] = UNSET
    models: Annotated[
        dict[Name, ModelSpec] | UnsetType, doc("Models by name.", {"fast": {"model": "openai/gpt-5-mini"}})
    ] = UNSET
    mcp: Annotated[
        dict[Name, McpServer] | UnsetType,
        doc("MCP servers by name.", {"search": {"command": ["uvx", "mcp-search"]}}),
    ] = UNSET
    stores: Annotated[
        dict[Name, StoreSpec] | UnsetType, doc("Long-term memory by name.", {"shelf": {"embed": True}})
    ] = UNSET
    tools: Annotated[
        dict[Name, ToolSpec] | UnsetType, doc("Tools by name.", {"keep": {"python": "tools:keep"}})
    ] = UNSET
    tiers: Annotated[
        Tiers | UnsetType,
        doc("What a model may call.", {"by": "state.plan", "levels": {"free": {"tools": ["search_help"]}}}),
    ] = UNSET
    agents: Annotated[
        dict[Name, AgentSpec] | UnsetType,
        doc("Agents by name.", {"guide": {"instructions": "You answer briefly."}}),
    ] = UNSET
    input: Annotated[list[FieldName] | UnsetType, doc("Fields given from outside.", ["question"])] = UNSET
    output: Annotated[list[FieldName] | UnsetType, doc("Fields that are the answer.", ["answer"])] = UNSET
    state: Annotated[dict[Name, StateType] | UnsetType, doc("Typed fields.", _FIELDS)] = UNSET
    routers: Annotated[Routers | UnsetType, doc("Decisions by name.", *_ROUTERS)] = UNSET
    graphs: Annotated[
        dict[Name, GraphSpec] | UnsetType,
        doc("Graphs used inside this one.", {"read_one": {"start": "open", "nodes": _NODES}}),
    ] = UNSET
    limits: Annotated[
        Limits | UnsetType, doc("What ends a run that would not end.", {"recursion": 16, "cost": "$0.05"})
    ] = UNSET
    experiments: Annotated[
        dict[Name, Experiment] | UnsetType,
        doc("Overlays to compare.", {"tone": {"assign_by": "run.thread", "variants": {"A": {"weight": 1}}}}),
    ] = UNSET
    events: Annotated[Events | UnsetType, doc("What is told, and to whom.", {"sinks": ["jsonl"]})] = UNSET
    tests: Annotated[
        dict[str, TestSpec] | UnsetType,
        doc("What must hold, offline, by what it says.", {"it greets": {"stub": {"guide": "Hello."}}}),
    ] = UNSET
