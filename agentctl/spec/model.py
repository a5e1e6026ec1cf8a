"""The language as types: every key that exists, once. The JSON Schema and the key reference come from here."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from agentctl.json import Json

Duration = Annotated[str, Meta(description="A time in words: 500ms, 30s, 10m, 2h, 7d.", examples=["30s"])]
Size = Annotated[str | int, Meta(description="A size: 64KB, 1MB, or bytes.", examples=["64KB"])]
Money = Annotated[str | float | int, Meta(description="US dollars: $0.05 or 0.05.", examples=["$0.05"])]
Share = Annotated[str | int, Meta(description="A share, 20%, or a count.", examples=["20%"])]
Count = Annotated[int, Meta(ge=1)]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", description="A name.")]
Template = Annotated[str, Meta(description="Text; `${{ … }}` is filled in.")]
Condition = Annotated[str | bool, Meta(description="A bare expression: no `${{ }}` around it.")]
TypeSpec = Annotated[
    str | dict[str, Json],
    Meta(description="A type name (`string`, `number?`), a JSON Schema, or a mapping of fields to types."),
]
Target = Annotated[str, Meta(description="A node, a router, or `end`.")]


class Part(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every mapping of the language: closed, and never changed once read."""


class Retry(Part):
    attempts: Annotated[Count | UnsetType, Meta(description="Tries in all, 1 never retries.")] = UNSET


class Breaker(Part):
    failures: Annotated[Count | UnsetType, Meta(description="Failures in a row that open it.")] = UNSET
    cooldown: Annotated[Duration | UnsetType, Meta(description="How long it stays open.")] = UNSET


class EnvVar(Part):
    secret: Annotated[bool | UnsetType, Meta(description="Never logged, stored, or put in a prompt.")] = UNSET
    default: Annotated[str | UnsetType, Meta(description="Its value when it is not set.")] = UNSET
    required: Annotated[bool | UnsetType, Meta(description="Refuse to run without it, used or not.")] = UNSET


class Price(Part):
    input: Annotated[float, Meta(ge=0, description="US dollars for a million tokens read.")]
    output: Annotated[float, Meta(ge=0, description="US dollars for a million tokens written.")]
    cached: Annotated[
        float | UnsetType, Meta(description="US dollars for a million tokens read from the provider's cache.")
    ] = UNSET


class Rate(Part):
    requests: Annotated[int | UnsetType, Meta(description="Requests a minute, at most.")] = UNSET
    tokens: Annotated[int | UnsetType, Meta(description="Tokens a minute, at most.")] = UNSET


class ModelSpec(Part):
    """A model, or a group of models."""

    model: Annotated[
        str | UnsetType,
        Meta(description="`provider/name`, `local`, or `scripted`.", examples=["openai/gpt-5-mini", "local"]),
    ] = UNSET
    base_url: Annotated[Template | UnsetType, Meta(description="The server's address, up to `/v1`.")] = UNSET
    api_key: Annotated[
        Template | UnsetType, Meta(description="The key; OPENAI_API_KEY when left out, `none` sends none.")
    ] = UNSET
    temperature: Annotated[float | UnsetType, Meta(description="0 to 2.")] = UNSET
    max_output_tokens: Annotated[Count | UnsetType, Meta(description="Tokens of one reply, at most.")] = UNSET
    reasoning: Annotated[
        Literal["none", "minimal", "low", "medium", "high"] | UnsetType,
        Meta(description="How hard the model thinks."),
    ] = UNSET
    timeout: Annotated[Duration | UnsetType, Meta(description="For one call (60s).")] = UNSET
    retry: Annotated[Retry | UnsetType, Meta(description="Timeouts, 429 and 5xx only (3 attempts).")] = UNSET
    price: Annotated[Price | UnsetType, Meta(description="What tokens cost; `limits.cost` needs it.")] = UNSET
    rate: Annotated[Rate | UnsetType, Meta(description="Limits kept on our side.")] = UNSET
    warm: Annotated[bool | UnsetType, Meta(description="Open the connection before the first step.")] = UNSET
    keep_raw: Annotated[
        bool | UnsetType, Meta(description="Keep the provider's own payloads on the tape.")
    ] = UNSET
    extra: Annotated[
        dict[str, Json] | UnsetType, Meta(description="Further keys of the provider's request.")
    ] = UNSET
    fallback: Annotated[
        list[str] | UnsetType, Meta(description="Models in order: the next when one is down.")
    ] = UNSET
    race: Annotated[list[str] | UnsetType, Meta(description="All at once; the first good answer wins.")] = (
        UNSET
    )
    vote: Annotated[list[str] | UnsetType, Meta(description="All are asked; equal answers count.")] = UNSET
    agree: Annotated[Count | UnsetType, Meta(description="How many equal answers win a vote.")] = UNSET
    choose: Annotated[str | UnsetType, Meta(description="A bare expression that names one of `among`.")] = (
        UNSET
    )
    among: Annotated[list[str] | UnsetType, Meta(description="The models `choose` may name.")] = UNSET


class McpServer(Part):
    command: Annotated[list[str] | UnsetType, Meta(description="Started by us, spoken to over stdio.")] = (
        UNSET
    )
    url: Annotated[Template | UnsetType, Meta(description="A server over streamable HTTP.")] = UNSET
    headers: Annotated[dict[str, Template] | UnsetType, Meta(description="HTTP headers.")] = UNSET
    env: Annotated[dict[str, Template] | UnsetType, Meta(description="Environment of the command.")] = UNSET
    timeout: Annotated[Duration | UnsetType, Meta(description="For one call.")] = UNSET


class StoreSpec(Part):
    path: Annotated[str | UnsetType, Meta(description="A folder, relative to the file.")] = UNSET
    url: Annotated[Template | UnsetType, Meta(description="A shared store.")] = UNSET
    embed: Annotated[bool | str | UnsetType, Meta(description="Search by meaning; or the model to use.")] = (
        UNSET
    )


class SandboxFiles(Part):
    read: Annotated[list[str] | UnsetType, Meta(description="Paths that may be read.")] = UNSET
    write: Annotated[list[str] | UnsetType, Meta(description="Paths that may be written.")] = UNSET


class Sandbox(Part):
    time: Annotated[Duration | UnsetType, Meta(description="Processor time.")] = UNSET
    memory: Annotated[Size | UnsetType, Meta(description="Memory.")] = UNSET
    network: Annotated[bool | UnsetType, Meta(description="Whether it may open sockets.")] = UNSET
    files: Annotated[Literal["none"] | SandboxFiles | UnsetType, Meta(description="Files it may touch.")] = (
        UNSET
    )


class ToolSpec(Part):
    """A tool: one of python, http, command, mcp, graph, agent, store."""

    python: Annotated[
        str | UnsetType,
        Meta(description="`module:function`, beside the file.", examples=["tools:search_help"]),
    ] = UNSET
    http: Annotated[
        Template | UnsetType,
        Meta(description="A method and an address.", examples=["GET https://host/x/${{ args.id }}"]),
    ] = UNSET
    command: Annotated[list[Template] | UnsetType, Meta(description="A program and its arguments.")] = UNSET
    mcp: Annotated[
        str | UnsetType, Meta(description="A server of `mcp:`, or `server/tool` under another name.")
    ] = UNSET
    graph: Annotated[str | UnsetType, Meta(description="A graph of `graphs:`, or a file.")] = UNSET
    agent: Annotated[str | UnsetType, Meta(description="An agent of `agents:`.")] = UNSET
    store: Annotated[str | UnsetType, Meta(description="A store of `stores:`.")] = UNSET
    description: Annotated[str | UnsetType, Meta(description="What it does; the model reads it.")] = UNSET
    parameters: Annotated[
        dict[str, Json] | UnsetType, Meta(description="Its arguments, as types; closed.")
    ] = UNSET
    returns: Annotated[TypeSpec | UnsetType, Meta(description="The type of its result.")] = UNSET
    effect: Annotated[
        Literal["pure", "read", "write"] | UnsetType,
        Meta(description="What it does to the world; decides caching, retries and resuming (write)."),
    ] = UNSET
    cache: Annotated[
        Duration | bool | UnsetType, Meta(description="How long an answer is kept; false keeps none.")
    ] = UNSET
    timeout: Annotated[Duration | UnsetType, Meta(description="For one call (30s).")] = UNSET
    retry: Annotated[Retry | UnsetType, Meta(description="Tries, where the effect allows them.")] = UNSET
    breaker: Annotated[Breaker | UnsetType, Meta(description="Stop calling what keeps failing.")] = UNSET
    idempotency_key: Annotated[Template | UnsetType, Meta(description="Makes a write safe to repeat.")] = (
        UNSET
    )
    sandbox: Annotated[Sandbox | UnsetType, Meta(description="What the tool may use.")] = UNSET
    in_process: Annotated[
        bool | UnsetType, Meta(description="Run inside agentctl: faster, and cannot be killed.")
    ] = UNSET
    setup: Annotated[str | UnsetType, Meta(description="`module:function`, run once in a worker.")] = UNSET
    max_result: Annotated[Size | UnsetType, Meta(description="The largest result (256KB).")] = UNSET
    max_calls: Annotated[Count | UnsetType, Meta(description="Calls in one turn, at most.")] = UNSET
    headers: Annotated[dict[str, Template] | UnsetType, Meta(description="http: headers.")] = UNSET
    query: Annotated[dict[str, Json] | UnsetType, Meta(description="http: the query string.")] = UNSET
    body: Annotated[Json | UnsetType, Meta(description="http: the body (the arguments as JSON).")] = UNSET
    ok_status: Annotated[list[int] | UnsetType, Meta(description="http: answers that are no error.")] = UNSET
    ok_codes: Annotated[list[int] | UnsetType, Meta(description="command: exit codes that are no error.")] = (
        UNSET
    )
    operation: Annotated[
        Literal["search", "add", "get", "delete"] | UnsetType, Meta(description="store: what it does.")
    ] = UNSET


class TierLevel(Part):
    extends: Annotated[str | UnsetType, Meta(description="A tier whose tools this one has too.")] = UNSET
    tools: Annotated[list[str] | UnsetType, Meta(description="Tools a model may call.")] = UNSET
    approve: Annotated[list[str] | UnsetType, Meta(description="Tools that a person approves first.")] = UNSET
    deny: Annotated[list[str] | UnsetType, Meta(description="Tools no model of this tier may ever call.")] = (
        UNSET
    )
    max_calls: Annotated[Count | UnsetType, Meta(description="Tool calls in one turn, at most.")] = UNSET


class Tiers(Part):
    by: Annotated[str, Meta(description="A bare expression that names a level.")]
    levels: Annotated[dict[Name, TierLevel], Meta(description="The tiers by name.")]


class Summarise(Part):
    into: Annotated[str, Meta(description="The field that holds the summary.")]
    over: Annotated[int | str, Meta(description="Messages, or `6000 tokens`, before it is made.")]
    agent: Annotated[str, Meta(description="The agent that writes it.")]


class Context(Part):
    window: Annotated[Count | UnsetType, Meta(description="Messages kept word for word.")] = UNSET
    summarise: Annotated[Summarise | UnsetType, Meta(description="The rolling summary.")] = UNSET
    archive: Annotated[str | UnsetType, Meta(description="The store that keeps what leaves.")] = UNSET
    recall: Annotated[Count | UnsetType, Meta(description="Passages brought back by meaning.")] = UNSET
    python: Annotated[str | UnsetType, Meta(description="`module:function`, a policy of your own.")] = UNSET


class FileText(Part):
    file: Annotated[str, Meta(description="A file beside this one.")]


class AgentSpec(Part):
    """A model with instructions, tools and an answer's shape."""

    model: Annotated[
        str | UnsetType, Meta(description="A name of `models:`, or `provider/model` (default, or local).")
    ] = UNSET
    instructions: Annotated[
        Template | FileText | UnsetType, Meta(description="What the agent is told first.")
    ] = UNSET
    tools: Annotated[
        list[str] | UnsetType, Meta(description="Tools it may call, less what the tier lacks.")
    ] = UNSET
    max_turns: Annotated[Count | UnsetType, Meta(description="Rounds of model and tools, at most (8).")] = (
        UNSET
    )
    output: Annotated[
        dict[str, Json] | UnsetType, Meta(description="The fields of its answer; text without it.")
    ] = UNSET
    context: Annotated[Context | UnsetType, Meta(description="What of a long history is sent.")] = UNSET
    examples: Annotated[
        list[dict[str, Json]] | UnsetType, Meta(description="Pairs of `prompt` and `answer`.")
    ] = UNSET


class MapWork(Part):
    """What a map does with each item: a node with one verb, without a name or a `then`."""

    agent: str | AgentSpec | UnsetType = UNSET
    tool: str | UnsetType = UNSET
    graph: str | UnsetType = UNSET
    prompt: Template | UnsetType = UNSET
    args: dict[str, Json] | UnsetType = UNSET
    input: dict[str, Json] | UnsetType = UNSET
    timeout: Duration | UnsetType = UNSET
    retry: Retry | UnsetType = UNSET


class MapSpec(Part):
    over: Annotated[str, Meta(description="A bare expression that gives an array.")]
    do: Annotated[MapWork, Meta(description="What is done with each item.")]
    as_: Annotated[Name | UnsetType, Meta(description="The item's name (item).")] = msgspec.field(
        default=UNSET, name="as"
    )
    concurrency: Annotated[Count | UnsetType, Meta(description="Items side by side, at most.")] = UNSET
    tolerate: Annotated[Share | UnsetType, Meta(description="How many items may fail (0).")] = UNSET
    result: Annotated[str | UnsetType, Meta(description="The key picked from each answer.")] = UNSET


ErrorRoutes = Annotated[
    str | dict[str, str], Meta(description="A node, `skip`, or a mapping of error classes to them.")
]
Save = Annotated[
    str | list[str] | dict[str, str],
    Meta(description="A field for the whole result, a list of its keys, or a mapping field: key."),
]


class NodeSpec(Part):
    """A node: one verb, where its result goes, and where the run goes next."""

    agent: Annotated[str | AgentSpec | UnsetType, Meta(description="Ask an agent.")] = UNSET
    tool: Annotated[str | UnsetType, Meta(description="Call a tool.")] = UNSET
    graph: Annotated[str | UnsetType, Meta(description="Run a graph inside this one.")] = UNSET
    map: Annotated[MapSpec | UnsetType, Meta(description="Do one thing with each item.")] = UNSET
    parallel: Annotated[dict[Name, NodeSpec] | UnsetType, Meta(description="Branches side by side.")] = UNSET
    ask: Annotated[Template | UnsetType, Meta(description="Ask a person.")] = UNSET
    set: Annotated[dict[str, Json] | UnsetType, Meta(description="Write fields.")] = UNSET
    prompt: Annotated[Template | UnsetType, Meta(description="agent: what it is asked.")] = UNSET
    history: Annotated[
        str | UnsetType, Meta(description="agent: the `messages` field it reads and appends to.")
    ] = UNSET
    say: Annotated[Template | UnsetType, Meta(description="agent: what the history keeps (the prompt).")] = (
        UNSET
    )
    args: Annotated[dict[str, Json] | UnsetType, Meta(description="tool: its arguments.")] = UNSET
    input: Annotated[dict[str, Json] | UnsetType, Meta(description="graph: its inputs.")] = UNSET
    choices: Annotated[list[str] | UnsetType, Meta(description="ask: the answers to choose from.")] = UNSET
    on_timeout: Annotated[Target | UnsetType, Meta(description="ask: where to go at the deadline.")] = UNSET
    save: Annotated[Save | UnsetType, Meta(description="Where the result goes.")] = UNSET
    then: Annotated[Target | UnsetType, Meta(description="Where the run goes next.")] = UNSET
    on_error: Annotated[ErrorRoutes | UnsetType, Meta(description="Where it goes on an error.")] = UNSET
    retry: Annotated[Retry | UnsetType, Meta(description="Tries of the whole node (1).")] = UNSET
    timeout: Annotated[Duration | UnsetType, Meta(description="For one try; ask: the deadline.")] = UNSET
    max_visits: Annotated[Count | UnsetType, Meta(description="Visits in one turn, at most.")] = UNSET
    background: Annotated[
        bool | UnsetType, Meta(description="Start it and go on; the result comes with a later turn.")
    ] = UNSET
    placeholder: Annotated[
        Json | UnsetType, Meta(description="What the field reads as while the job is under way.")
    ] = UNSET
    idempotency_key: Annotated[Template | UnsetType, Meta(description="Makes the work safe to repeat.")] = (
        UNSET
    )
    description: Annotated[str | UnsetType, Meta(description="For people.")] = UNSET


class Arm(Part):
    """One arm of a router by condition: `when` and `to`, or `else`."""

    when: Annotated[Condition | UnsetType, Meta(description="A bare expression that is true or false.")] = (
        UNSET
    )
    to: Annotated[Target | UnsetType, Meta(description="Where to go.")] = UNSET
    else_: Annotated[Target | UnsetType, Meta(description="Where to go otherwise; the last arm.")] = (
        msgspec.field(default=UNSET, name="else")
    )


class ValueRouter(Part):
    """A router by value."""

    by: Annotated[str, Meta(description="A bare expression.")]
    to: Annotated[dict[str, Target], Meta(description="A target for each value.")]
    else_: Annotated[Target | UnsetType, Meta(description="For every other value.")] = msgspec.field(
        default=UNSET, name="else"
    )


class StepLimits(Part):
    tokens: Annotated[Count | UnsetType, Meta(description="Tokens of one step.")] = UNSET
    tool_calls: Annotated[Count | UnsetType, Meta(description="Tool calls of one step.")] = UNSET


class Reserve(Part):
    time: Annotated[Duration | UnsetType, Meta(description="30s unless said.")] = UNSET
    tokens: Annotated[int | UnsetType, Meta(description="2000 unless said.")] = UNSET
    cost: Annotated[Money | UnsetType, Meta(description="$0.05 unless said.")] = UNSET


class OnLimit(Part):
    node: Annotated[str, Meta(description="The node that runs once, on the reserve.")]
    reserve: Annotated[Reserve | UnsetType, Meta(description="What is held back for it.")] = UNSET


class BackgroundLimits(Part):
    time: Duration | UnsetType = UNSET
    recursion: Count | UnsetType = UNSET
    tokens: Count | UnsetType = UNSET
    cost: Money | UnsetType = UNSET
    concurrency: Count | UnsetType = UNSET


class Limits(Part):
    recursion: Annotated[Count | UnsetType, Meta(description="Node runs in one turn (25).")] = UNSET
    depth: Annotated[Count | UnsetType, Meta(description="Graphs inside graphs (5).")] = UNSET
    time: Annotated[Duration | UnsetType, Meta(description="For one turn (10m).")] = UNSET
    step_time: Annotated[Duration | UnsetType, Meta(description="For one agent or tool run (2m).")] = UNSET
    tokens: Annotated[Count | UnsetType, Meta(description="Tokens in one turn.")] = UNSET
    cost: Annotated[Money | UnsetType, Meta(description="Dollars in one turn.")] = UNSET
    tool_calls: Annotated[Count | UnsetType, Meta(description="Tool calls in one turn (100).")] = UNSET
    concurrency: Annotated[Count | UnsetType, Meta(description="Things side by side (8).")] = UNSET
    state_size: Annotated[Size | UnsetType, Meta(description="The state as JSON (1MB).")] = UNSET
    step: Annotated[StepLimits | UnsetType, Meta(description="Budgets of one step.")] = UNSET
    on_limit: Annotated[str | OnLimit | UnsetType, Meta(description="One last node at a limit.")] = UNSET
    background: Annotated[BackgroundLimits | UnsetType, Meta(description="For each job.")] = UNSET


class Variant(Part):
    weight: Annotated[float, Meta(description="Its share of the units.")]
    override: Annotated[
        dict[str, Json] | UnsetType, Meta(description="Values by path: agents.lead.model.")
    ] = UNSET


class Experiment(Part):
    assign_by: Annotated[str, Meta(description="A bare expression: the unit.")]
    variants: Annotated[dict[Name, Variant], Meta(description="The variants by name.")]
    salt: Annotated[str | UnsetType, Meta(description="Changes the assignment.")] = UNSET
    success: Annotated[Condition | UnsetType, Meta(description="Judged on a thread's last turn.")] = UNSET
    guardrails: Annotated[
        list[Json] | dict[str, Json] | UnsetType, Meta(description="What must not get worse.")
    ] = UNSET


class EventIds(Part):
    run: Template | UnsetType = UNSET
    thread: Template | UnsetType = UNSET


class Hooks(Part):
    before_node: Annotated[str | UnsetType, Meta(description="`module:function`.")] = UNSET
    after_node: Annotated[str | UnsetType, Meta(description="`module:function`.")] = UNSET


class Events(Part):
    ids: Annotated[EventIds | UnsetType, Meta(description="How ids are built.")] = UNSET
    hooks: Annotated[Hooks | UnsetType, Meta(description="Functions around each node.")] = UNSET
    sinks: Annotated[list[Json] | UnsetType, Meta(description="Where events go: jsonl.")] = UNSET
    buffer: Annotated[Count | UnsetType, Meta(description="How far a slow sink may fall behind (256).")] = (
        UNSET
    )
    when_full: Annotated[
        Literal["wait", "drop_deltas"] | UnsetType, Meta(description="Then the run waits, or thins deltas.")
    ] = UNSET
    surface: Annotated[str | UnsetType, Meta(description="The signed-off digest of the tool surface.")] = (
        UNSET
    )


class TestSpec(Part):
    graph: str | UnsetType = UNSET
    input: dict[str, Json] | UnsetType = UNSET
    after: str | UnsetType = UNSET
    variant: dict[str, str] | UnsetType = UNSET
    stub: dict[str, Json] | UnsetType = UNSET
    faults: dict[str, Json] | UnsetType = UNSET
    expect: dict[str, Json] | UnsetType = UNSET


class GraphSpec(Part):
    """A graph: its inputs, outputs, state, nodes and routers."""

    start: Annotated[Target, Meta(description="Where a turn begins.")]
    nodes: Annotated[dict[Name, NodeSpec], Meta(description="The nodes by name.")]
    description: str | UnsetType = UNSET
    input: Annotated[list[str] | UnsetType, Meta(description="Fields given from outside.")] = UNSET
    output: Annotated[list[str] | UnsetType, Meta(description="Fields that are the answer.")] = UNSET
    state: Annotated[dict[Name, TypeSpec] | UnsetType, Meta(description="Typed fields.")] = UNSET
    routers: Annotated[
        dict[Name, list[Arm] | ValueRouter] | UnsetType, Meta(description="Decisions by name.")
    ] = UNSET


class FileSpec(Part):
    """A whole file, once its includes are merged in. Keys that begin with `x-` are left to their owners."""

    agentctl: Annotated[Literal[1], Meta(description="The version of the language.")]
    name: Annotated[Name, Meta(description="The graph's name.")]
    start: Annotated[Target, Meta(description="Where a turn begins.")]
    nodes: Annotated[dict[Name, NodeSpec], Meta(description="The nodes by name.")]
    description: str | UnsetType = UNSET
    include: Annotated[list[str] | UnsetType, Meta(description="Files whose parts belong to this one.")] = (
        UNSET
    )
    env: Annotated[dict[str, EnvVar] | UnsetType, Meta(description="The variables `env.*` may use.")] = UNSET
    models: Annotated[dict[Name, ModelSpec] | UnsetType, Meta(description="Models by name.")] = UNSET
    mcp: Annotated[dict[Name, McpServer] | UnsetType, Meta(description="MCP servers by name.")] = UNSET
    stores: Annotated[dict[Name, StoreSpec] | UnsetType, Meta(description="Long-term memory by name.")] = (
        UNSET
    )
    tools: Annotated[dict[Name, ToolSpec] | UnsetType, Meta(description="Tools by name.")] = UNSET
    tiers: Annotated[Tiers | UnsetType, Meta(description="What a model may call.")] = UNSET
    agents: Annotated[dict[Name, AgentSpec] | UnsetType, Meta(description="Agents by name.")] = UNSET
    input: Annotated[list[str] | UnsetType, Meta(description="Fields given from outside.")] = UNSET
    output: Annotated[list[str] | UnsetType, Meta(description="Fields that are the answer.")] = UNSET
    state: Annotated[dict[Name, TypeSpec] | UnsetType, Meta(description="Typed fields.")] = UNSET
    routers: Annotated[
        dict[Name, list[Arm] | ValueRouter] | UnsetType, Meta(description="Decisions by name.")
    ] = UNSET
    graphs: Annotated[dict[Name, GraphSpec] | UnsetType, Meta(description="Graphs used inside this one.")] = (
        UNSET
    )
    limits: Annotated[Limits | UnsetType, Meta(description="What ends a run that would not end.")] = UNSET
    experiments: Annotated[dict[Name, Experiment] | UnsetType, Meta(description="Overlays to compare.")] = (
        UNSET
    )
    events: Annotated[Events | UnsetType, Meta(description="What is told, and to whom.")] = UNSET
    tests: Annotated[dict[str, TestSpec] | UnsetType, Meta(description="What must hold, offline.")] = UNSET
