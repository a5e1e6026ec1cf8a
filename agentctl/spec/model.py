"""The language as types: every key that exists, once. The JSON Schema and the key reference come from here."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from agentctl.json import Json
from agentctl.spec.part import (
    Amount,
    Choice,
    Condition,
    Count,
    Duration,
    ErrorKey,
    Expression,
    Money,
    Name,
    Part,
    Share,
    Size,
    Target,
    Template,
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

__all__ = [
    "AgentSpec",
    "Arm",
    "BackgroundLimits",
    "Breaker",
    "Context",
    "EnvVar",
    "EventIds",
    "Events",
    "Experiment",
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
    "ValueRouter",
    "Variant",
]

_KEYS_OF_VERBS = {
    **dict.fromkeys(("prompt", "history", "say"), ("agent",)),
    "args": ("tool",),
    "input": ("graph",),
    **dict.fromkeys(("choices", "on_timeout"), ("ask",)),
}
ErrorRoutes = Target | dict[ErrorKey, Target]
Save = str | list[str] | dict[str, str]


class MapWork(Part, frozen=True):
    """What a map does with each item: a node with one verb, without a name or a `then`."""

    choice: ClassVar[Choice | None] = Choice(
        "the work of a map", "verb", ("agent", "tool", "graph", "ask", "set"), _KEYS_OF_VERBS
    )

    agent: Annotated[
        str | AgentSpec | UnsetType, doc("Ask an agent.", "judge", {"instructions": "You judge claims."})
    ] = UNSET
    tool: Annotated[str | UnsetType, doc("Call a tool.", "read_paper")] = UNSET
    graph: Annotated[str | UnsetType, doc("Run a graph inside this one.", "read_one")] = UNSET
    ask: Annotated[Template | UnsetType, doc("Ask a person.", "Is ${{ item }} right?")] = UNSET
    set: Annotated[dict[str, Json] | UnsetType, doc("Make values.", {"title": "${{ item.title }}"})] = UNSET
    prompt: Annotated[Template | UnsetType, doc("agent: what it is asked.", "Claim: ${{ item }}")] = UNSET
    history: Annotated[
        str | UnsetType, doc("agent: the `messages` field it reads and appends to.", "messages")
    ] = UNSET
    say: Annotated[
        Template | UnsetType, doc("agent: what the history keeps (the prompt).", "${{ item }}")
    ] = UNSET
    args: Annotated[dict[str, Json] | UnsetType, doc("tool: its arguments.", {"path": "${{ item }}"})] = UNSET
    input: Annotated[dict[str, Json] | UnsetType, doc("graph: its inputs.", {"path": "${{ item }}"})] = UNSET
    choices: Annotated[list[str] | UnsetType, doc("ask: the answers to choose from.", ["yes", "no"])] = UNSET
    on_timeout: Annotated[Target | UnsetType, doc("ask: where to go at the deadline.", "end")] = UNSET
    timeout: Annotated[Duration | UnsetType, doc("For one try.", "20s")] = UNSET
    retry: Annotated[Retry | UnsetType, doc("Tries of one item (1).", {"attempts": 2})] = UNSET
    background: Annotated[bool | UnsetType, doc("Not inside a map.", False)] = UNSET
    idempotency_key: Annotated[
        Template | UnsetType, doc("Makes the work safe to repeat.", "${{ item.id }}")
    ] = UNSET
    description: Annotated[str | UnsetType, doc("For people.", "Judge one claim.")] = UNSET


class MapSpec(Part, frozen=True):
    """One thing done with each item of an array."""

    over: Annotated[Expression, doc("A bare expression that gives an array.", "state.claims")]
    do: Annotated[MapWork, doc("What is done with each item.", {"agent": "judge", "prompt": "${{ item }}"})]
    as_: Annotated[Name | UnsetType, doc("The item's name (item).", "claim")] = msgspec.field(
        default=UNSET, name="as"
    )
    concurrency: Annotated[Count | UnsetType, doc("Items side by side, at most.", 3)] = UNSET
    tolerate: Annotated[Share | UnsetType, doc("How many items may fail (0).", "20%", 2)] = UNSET
    result: Annotated[str | UnsetType, doc("The key picked from each answer.", "holds")] = UNSET


class NodeSpec(Part, frozen=True):
    """A node: one verb, where its result goes, and where the run goes next."""

    choice: ClassVar[Choice | None] = Choice(
        "a node", "verb", ("agent", "tool", "graph", "map", "parallel", "ask", "set"), _KEYS_OF_VERBS
    )

    agent: Annotated[
        str | AgentSpec | UnsetType, doc("Ask an agent.", "sorter", {"instructions": "You greet people."})
    ] = UNSET
    tool: Annotated[str | UnsetType, doc("Call a tool.", "find_customer")] = UNSET
    graph: Annotated[str | UnsetType, doc("Run a graph inside this one.", "check_facts")] = UNSET
    map: Annotated[
        MapSpec | UnsetType,
        doc("Do one thing with each item.", {"over": "state.claims", "do": {"agent": "judge"}}),
    ] = UNSET
    parallel: Annotated[
        dict[Name, "NodeSpec"] | UnsetType,
        doc("Branches side by side.", {"web": {"agent": "scout"}, "notes": {"agent": "archivist"}}),
    ] = UNSET
    ask: Annotated[Template | UnsetType, doc("Ask a person.", "Refund ${{ state.amount }}?")] = UNSET
    set: Annotated[dict[str, Json] | UnsetType, doc("Write fields.", {"answer": "Nothing found."})] = UNSET
    prompt: Annotated[
        Template | UnsetType, doc("agent: what it is asked.", "Question: ${{ state.question }}")
    ] = UNSET
    history: Annotated[
        str | UnsetType, doc("agent: the `messages` field it reads and appends to.", "messages")
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
    retry: Annotated[Retry | UnsetType, doc("Tries of the whole node (1).", {"attempts": 2})] = UNSET
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


class StepLimits(Part, frozen=True):
    """Budgets of one step."""

    tokens: Annotated[Count | UnsetType, doc("Tokens of one step.", 4000)] = UNSET
    tool_calls: Annotated[Count | UnsetType, doc("Tool calls of one step.", 10)] = UNSET


class Reserve(Part, frozen=True):
    """What is held back for the last node."""

    time: Annotated[Duration | UnsetType, doc("30s unless said.", "60s")] = UNSET
    tokens: Annotated[Amount | UnsetType, doc("2000 unless said.", 8000)] = UNSET
    cost: Annotated[Money | UnsetType, doc("$0.05 unless said.", "$0.10")] = UNSET


class OnLimit(Part, frozen=True):
    """The last node at a limit."""

    node: Annotated[str, doc("The node that runs once, on the reserve.", "wrap_up")]
    reserve: Annotated[Reserve | UnsetType, doc("What is held back for it.", {"time": "60s"})] = UNSET


class BackgroundLimits(Part, frozen=True):
    """Limits of each background job."""

    time: Annotated[Duration | UnsetType, doc("For one job.", "10m")] = UNSET
    recursion: Annotated[Count | UnsetType, doc("Node runs in one job.", 120)] = UNSET
    tokens: Annotated[Count | UnsetType, doc("Tokens in one job.", 200000)] = UNSET
    cost: Annotated[Money | UnsetType, doc("Dollars in one job.", "$0.50")] = UNSET
    concurrency: Annotated[Count | UnsetType, doc("Jobs side by side.", 1)] = UNSET


class Limits(Part, frozen=True):
    """What ends a run that would not end."""

    recursion: Annotated[Count | UnsetType, doc("Node runs in one turn (25).", 16)] = UNSET
    depth: Annotated[Count | UnsetType, doc("Graphs inside graphs (5).", 2)] = UNSET
    time: Annotated[Duration | UnsetType, doc("For one turn (10m).", "5m")] = UNSET
    step_time: Annotated[Duration | UnsetType, doc("For one agent or tool run (2m).", "90s")] = UNSET
    tokens: Annotated[Count | UnsetType, doc("Tokens in one turn.", 20000)] = UNSET
    cost: Annotated[Money | UnsetType, doc("Dollars in one turn.", "$0.05")] = UNSET
    tool_calls: Annotated[Count | UnsetType, doc("Tool calls in one turn (100).", 20)] = UNSET
    concurrency: Annotated[Count | UnsetType, doc("Things side by side (8).", 4)] = UNSET
    state_size: Annotated[Size | UnsetType, doc("The state as JSON (1MB).", "64KB")] = UNSET
    step: Annotated[StepLimits | UnsetType, doc("Budgets of one step.", {"tokens": 4000})] = UNSET
    on_limit: Annotated[
        str | OnLimit | UnsetType,
        doc("One last node at a limit.", "sorry", {"node": "wrap_up", "reserve": {"time": "60s"}}),
    ] = UNSET
    background: Annotated[BackgroundLimits | UnsetType, doc("For each job.", {"time": "10m"})] = UNSET


class Variant(Part, frozen=True):
    """One variant of an experiment."""

    weight: Annotated[float, doc("Its share of the units.", 50)]
    override: Annotated[
        dict[str, Json] | UnsetType, doc("Values by path.", {"agents.lead.model": "fast"})
    ] = UNSET


class Experiment(Part, frozen=True):
    """Overlays on the file, compared."""

    assign_by: Annotated[Expression, doc("A bare expression: the unit.", "run.thread")]
    variants: Annotated[
        dict[Name, Variant],
        doc("The variants by name.", {"A": {"weight": 50}, "B": {"weight": 50, "override": {}}}),
    ]
    salt: Annotated[str | UnsetType, doc("Changes the assignment.", "spring")] = UNSET
    success: Annotated[
        Condition | UnsetType, doc("A bare expression, judged on a thread's last turn.", 'state.answer != ""')
    ] = UNSET
    guardrails: Annotated[
        list[Json] | dict[str, Json] | UnsetType, doc("What must not get worse.", ["cost", "seconds"])
    ] = UNSET


class EventIds(Part, frozen=True):
    """How ids are built."""

    run: Annotated[Template | UnsetType, doc("A run's id.", "${{ run.tenant }}-${{ run.uuid }}")] = UNSET
    thread: Annotated[Template | UnsetType, doc("A thread's id.", "${{ run.tenant }}-${{ run.uuid }}")] = (
        UNSET
    )


class Hooks(Part, frozen=True):
    """Functions around each node."""

    before_node: Annotated[str | UnsetType, doc("`module:function`.", "hooks:before")] = UNSET
    after_node: Annotated[str | UnsetType, doc("`module:function`.", "hooks:after")] = UNSET


class Events(Part, frozen=True):
    """What is told, and to whom."""

    ids: Annotated[
        EventIds | UnsetType, doc("How ids are built.", {"run": "${{ run.tenant }}-${{ run.uuid }}"})
    ] = UNSET
    hooks: Annotated[
        Hooks | UnsetType, doc("Functions around each node.", {"before_node": "hooks:before"})
    ] = UNSET
    sinks: Annotated[list[Json] | UnsetType, doc("Where events go.", ["jsonl"])] = UNSET
    buffer: Annotated[Count | UnsetType, doc("How far a slow sink may fall behind (256).", 256)] = UNSET
    when_full: Annotated[
        Literal["wait", "drop_deltas"] | UnsetType, doc("Then the run waits (wait), or thins deltas.", "wait")
    ] = UNSET
    surface: Annotated[
        str | UnsetType, doc("The signed-off digest of the tool surface.", "3f1c9a0b5d7e2468")
    ] = UNSET


class TestSpec(Part, frozen=True):
    """What must hold, offline."""

    graph: Annotated[str | UnsetType, doc("A graph of `graphs:` (the root).", "check_facts")] = UNSET
    input: Annotated[dict[str, Json] | UnsetType, doc("What it is given.", {"topic": "tea"})] = UNSET
    after: Annotated[str | UnsetType, doc("The test whose turn comes before.", "the first turn")] = UNSET
    variant: Annotated[dict[str, str] | UnsetType, doc("Variants by experiment.", {"tool-strategy": "A"})] = (
        UNSET
    )
    stub: Annotated[
        dict[str, Json] | UnsetType, doc("Answers by node, tool or agent.", {"sorter": {"desk": "billing"}})
    ] = UNSET
    faults: Annotated[
        dict[str, Json] | UnsetType, doc("What goes wrong, by name.", {"fixer": {"$error": "timeout"}})
    ] = UNSET
    expect: Annotated[
        dict[str, Json] | UnsetType, doc("What must hold after it.", {"route": ["sort", "fix"]})
    ] = UNSET


Routers = dict[Name, list[Arm] | ValueRouter]
_FIELDS = {"question": "string", "plan": {"enum": ["free", "pro"], "default": "free"}}
_NODES = {"greet": {"agent": "guide", "prompt": "${{ state.question }}", "save": "answer", "then": "end"}}
_ROUTERS = {
    "is_clear": [{"when": "state.sure >= 0.6", "to": "by_desk"}, {"else": "clarify"}],
    "by_desk": {"by": "state.desk", "to": {"billing": "look_up", "other": "guide"}},
}


class GraphSpec(Part, frozen=True):
    """A graph: its inputs, outputs, state, nodes and routers."""

    start: Annotated[Target, doc("Where a turn begins.", "split")]
    nodes: Annotated[dict[Name, NodeSpec], doc("The nodes by name.", _NODES)]
    description: Annotated[str | UnsetType, doc("For people.", "Split a text and judge it.")] = UNSET
    input: Annotated[list[str] | UnsetType, doc("Fields given from outside.", ["text"])] = UNSET
    output: Annotated[list[str] | UnsetType, doc("Fields that are the answer.", ["weak"])] = UNSET
    state: Annotated[dict[Name, TypeSpec] | UnsetType, doc("Typed fields.", _FIELDS)] = UNSET
    routers: Annotated[Routers | UnsetType, doc("Decisions by name.", _ROUTERS)] = UNSET


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
    input: Annotated[list[str] | UnsetType, doc("Fields given from outside.", ["question"])] = UNSET
    output: Annotated[list[str] | UnsetType, doc("Fields that are the answer.", ["answer"])] = UNSET
    state: Annotated[dict[Name, TypeSpec] | UnsetType, doc("Typed fields.", _FIELDS)] = UNSET
    routers: Annotated[Routers | UnsetType, doc("Decisions by name.", _ROUTERS)] = UNSET
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
