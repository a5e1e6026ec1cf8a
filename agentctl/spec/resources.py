"""What the nodes of a graph work with, as types: variables, models, tools, tiers and agents."""

from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, UnsetType

from agentctl.json import Json
from agentctl.spec.part import (
    AgentName,
    Choice,
    Count,
    Duration,
    Expression,
    GraphReference,
    ModelName,
    Name,
    Part,
    Pause,
    ServerTool,
    Size,
    StoreName,
    SummaryField,
    Template,
    TierName,
    TokensText,
    ToolName,
    TypeSpec,
    doc,
)


class Retry(Part, frozen=True):
    """How often something is tried again."""

    attempts: Annotated[Count | UnsetType, doc("Tries in all; 1 never retries.", 3)] = UNSET


class Breaker(Part, frozen=True):
    """When to stop calling what keeps failing."""

    failures: Annotated[
        Count | UnsetType,
        doc(
            "Calls that fail in a row, each with its retries, until it opens: a timeout, a tool that is not to be "
            "had, 408, 429, 5xx, an exception or exit code. A 404 or another refusal is an answer of a healthy "
            "server.",
            3,
            default=5,
        ),
    ] = UNSET
    cooldown: Annotated[
        Pause | UnsetType,
        doc(
            "How long it stays open: the tool is hidden from models, and a call of it is `tool_unavailable`. Then one "
            "call tries it, among all processes.",
            "60s",
            default="60s",
        ),
    ] = UNSET


class EnvVar(Part, frozen=True):
    """A variable of the environment."""

    secret: Annotated[bool | UnsetType, doc("Never logged, stored, or put in a prompt.", True)] = UNSET
    default: Annotated[str | UnsetType, doc("Its value when it is not set.", "http://localhost:9000")] = UNSET
    required: Annotated[bool | UnsetType, doc("Refuse to run without it, used or not.", True)] = UNSET


Dollars = Annotated[float, Meta(ge=0)]


class Price(Part, frozen=True):
    """What tokens cost, in US dollars for a million of them."""

    input: Annotated[Dollars, doc("For tokens read.", 0.25)]
    output: Annotated[Dollars, doc("For tokens written.", 2.0)]
    cached: Annotated[Dollars | UnsetType, doc("For tokens read from the provider's cache.", 0.025)] = UNSET


class Rate(Part, frozen=True):
    """Limits on calls, kept on our side."""

    requests: Annotated[Count | UnsetType, doc("Requests a minute, at most.", 60)] = UNSET
    tokens: Annotated[Count | UnsetType, doc("Tokens a minute, at most.", 100000)] = UNSET


_MODEL_KEYS = (
    *("base_url", "api_key", "temperature", "max_output_tokens", "reasoning", "timeout"),
    *("retry", "price", "rate", "warm", "keep_raw", "extra"),
)


class ModelSpec(Part, frozen=True):
    """A model, or a group of models: one of model, fallback, race, vote, choose."""

    choice: ClassVar[Choice | None] = Choice(
        noun="a model",
        kind="kind",
        keys=("model", "fallback", "race", "vote", "choose"),
        belonging={**dict.fromkeys(_MODEL_KEYS, ("model",)), "agree": ("vote",), "among": ("choose",)},
        needs={"vote": ("agree",), "choose": ("among",)},
    )

    model: Annotated[
        str | UnsetType, doc("`provider/name`, `local`, or `scripted`.", "openai/gpt-5-mini", "local")
    ] = UNSET
    base_url: Annotated[
        Template | UnsetType, doc("The server's address, up to `/v1`.", "http://localhost:11434/v1")
    ] = UNSET
    api_key: Annotated[
        Template | UnsetType,
        doc("The key; OPENAI_API_KEY when left out, `none` sends none.", "${{ env.LAB_KEY }}", "none"),
    ] = UNSET
    temperature: Annotated[
        Annotated[float, Meta(ge=0, le=2)] | UnsetType, doc("How freely it chooses words, 0 to 2.", 0)
    ] = UNSET
    max_output_tokens: Annotated[Count | UnsetType, doc("Tokens of one reply, at most.", 1000)] = UNSET
    reasoning: Annotated[
        Literal["none", "minimal", "low", "medium", "high"] | UnsetType,
        doc("How hard the model thinks.", "low"),
    ] = UNSET
    timeout: Annotated[Duration | UnsetType, doc("For one call.", "20s", default="60s")] = UNSET
    retry: Annotated[
        Retry | UnsetType, doc("Timeouts, 429 and 5xx only.", {"attempts": 5}, default={"attempts": 3})
    ] = UNSET
    price: Annotated[
        Price | UnsetType, doc("What tokens cost; `limits.cost` needs it.", {"input": 0.25, "output": 2.0})
    ] = UNSET
    rate: Annotated[Rate | UnsetType, doc("Limits kept on our side.", {"requests": 60})] = UNSET
    warm: Annotated[bool | UnsetType, doc("Open the connection before the first step.", True)] = UNSET
    keep_raw: Annotated[bool | UnsetType, doc("Keep the provider's own payloads on the tape.", True)] = UNSET
    extra: Annotated[
        dict[str, Json] | UnsetType, doc("Further keys of the provider's request.", {"seed": 7})
    ] = UNSET
    fallback: Annotated[
        list[ModelName] | UnsetType,
        doc("Models in order: the next one when one is down.", ["strong", "small"]),
    ] = UNSET
    race: Annotated[
        list[ModelName] | UnsetType, doc("All at once; the first good answer wins.", ["fast", "small"])
    ] = UNSET
    vote: Annotated[
        list[ModelName] | UnsetType, doc("All are asked; equal answers count.", ["strong", "fast", "small"])
    ] = UNSET
    agree: Annotated[Count | UnsetType, doc("vote: how many equal answers win.", 2)] = UNSET
    choose: Annotated[
        Expression | UnsetType,
        doc("A bare expression that names one of `among`.", "'strong' if state.plan == 'pro' else 'fast'"),
    ] = UNSET
    among: Annotated[
        list[ModelName] | UnsetType, doc("choose: the models it may name.", ["strong", "fast"])
    ] = UNSET


class McpServer(Part, frozen=True):
    """A server of tools over the Model Context Protocol: one of command, url."""

    choice: ClassVar[Choice | None] = Choice(
        noun="an MCP server",
        kind="transport",
        keys=("command", "url"),
        belonging={"headers": ("url",), "env": ("command",)},
    )

    command: Annotated[
        list[str] | UnsetType, doc("Started by us, spoken to over stdio.", ["uvx", "mcp-server-time"])
    ] = UNSET
    url: Annotated[
        Template | UnsetType, doc("A server over streamable HTTP.", "https://tools.example.org/mcp")
    ] = UNSET
    headers: Annotated[
        dict[str, Template] | UnsetType,
        doc("url: HTTP headers.", {"Authorization": "Bearer ${{ env.TOOLS_TOKEN }}"}),
    ] = UNSET
    env: Annotated[
        dict[str, Template] | UnsetType, doc("command: its environment.", {"TZ": "Europe/Rome"})
    ] = UNSET
    timeout: Annotated[Duration | UnsetType, doc("For one call.", "20s")] = UNSET


class StoreSpec(Part, frozen=True):
    """Long-term memory: documents with metadata, full text and embeddings."""

    path: Annotated[str | UnsetType, doc("A folder, relative to the file.", "./shelf")] = UNSET
    url: Annotated[Template | UnsetType, doc("A shared store.", "${{ env.STORE_URL }}")] = UNSET
    embed: Annotated[
        bool | str | UnsetType, doc("Search by meaning; or the model that embeds.", True, "openai/embed")
    ] = UNSET


class SandboxFiles(Part, frozen=True):
    """Files a tool may touch."""

    read: Annotated[list[str] | UnsetType, doc("Paths that may be read.", ["./notes"])] = UNSET
    write: Annotated[list[str] | UnsetType, doc("Paths that may be written.", ["./out"])] = UNSET


class Sandbox(Part, frozen=True):
    """What a tool may use."""

    time: Annotated[Duration | UnsetType, doc("Processor time.", "2s")] = UNSET
    memory: Annotated[Size | UnsetType, doc("Memory.", "128MB")] = UNSET
    network: Annotated[bool | UnsetType, doc("Whether it may open sockets.", False)] = UNSET
    files: Annotated[
        Literal["none"] | SandboxFiles | UnsetType,
        doc("Files it may touch.", "none", {"read": ["./notes"]}),
    ] = UNSET


_HTTP_KEYS = ("headers", "query", "body", "ok_status")


class ToolSpec(Part, frozen=True):
    """A tool: one of python, http, command, mcp, graph, agent, store."""

    choice: ClassVar[Choice | None] = Choice(
        noun="a tool",
        kind="kind",
        keys=("python", "http", "command", "mcp", "graph", "agent", "store"),
        belonging={
            **dict.fromkeys(_HTTP_KEYS, ("http",)),
            **dict.fromkeys(("in_process", "setup"), ("python",)),
            "ok_codes": ("command",),
            "operation": ("store",),
        },
        needs={"store": ("operation",)},
    )

    python: Annotated[str | UnsetType, doc("`module:function`, beside the file.", "tools:search_help")] = (
        UNSET
    )
    http: Annotated[
        Template | UnsetType,
        doc(
            "A method and an address, in which each argument stays percent-encoded in its place.",
            "GET https://api.example.org/orders/${{ args.id }}",
        ),
    ] = UNSET
    command: Annotated[
        list[Template] | UnsetType,
        doc(
            "A program and its arguments; no shell, in the file's folder, with PATH, HOME, LANG and `env`. Write "
            "`--` before words that a model chooses.",
            ["grep", "-rn", "--", "${{ args.pattern }}", "notes"],
        ),
    ] = UNSET
    mcp: Annotated[
        ServerTool | UnsetType,
        doc("A server of `mcp:`, or `server/tool` under another name.", "search", "search/web"),
    ] = UNSET
    graph: Annotated[GraphReference | UnsetType, doc("A graph of `graphs:`, or a file.", "check_facts")] = (
        UNSET
    )
    agent: Annotated[AgentName | UnsetType, doc("An agent of `agents:`.", "scout")] = UNSET
    store: Annotated[StoreName | UnsetType, doc("A store of `stores:`.", "shelf")] = UNSET
    description: Annotated[
        str | UnsetType, doc("What it does; the model reads it.", "Search the help pages.")
    ] = UNSET
    parameters: Annotated[
        dict[str, Json] | UnsetType, doc("Its arguments, as types; closed.", {"query": "string"})
    ] = UNSET
    returns: Annotated[
        TypeSpec | UnsetType,
        doc(
            "The type of its result; a command prints JSON, where it is no text.",
            "array",
            {"total": "number"},
        ),
    ] = UNSET
    effect: Annotated[
        Literal["pure", "read", "write"] | UnsetType,
        doc("What it does to the world; decides caching, retries and resuming.", "read", default="write"),
    ] = UNSET
    cache: Annotated[
        Duration | bool | UnsetType, doc("How long an answer is kept; false keeps none.", "10m", False)
    ] = UNSET
    timeout: Annotated[Duration | UnsetType, doc("For one call.", "5s", default="30s")] = UNSET
    retry: Annotated[Retry | UnsetType, doc("Tries, where the effect allows them.", {"attempts": 2})] = UNSET
    breaker: Annotated[
        Breaker | UnsetType, doc("Stop calling what keeps failing.", {"failures": 3, "cooldown": "60s"})
    ] = UNSET
    idempotency_key: Annotated[
        Template | UnsetType,
        doc(
            "Makes a write safe to repeat: a header Idempotency-Key, an argument `idempotency_key`, a variable "
            "AGENTCTL_IDEMPOTENCY_KEY.",
            "${{ run.thread }}/${{ args.order }}",
        ),
    ] = UNSET
    sandbox: Annotated[
        Sandbox | UnsetType, doc("What it may use.", {"time": "2s", "memory": "128MB", "network": False})
    ] = UNSET
    in_process: Annotated[
        bool | UnsetType, doc("python: run inside agentctl; faster, and cannot be killed.", True)
    ] = UNSET
    setup: Annotated[
        str | UnsetType, doc("python: `module:function`, run once in a worker.", "tools:connect")
    ] = UNSET
    max_result: Annotated[Size | UnsetType, doc("The largest result.", "64KB", default="256KB")] = UNSET
    max_calls: Annotated[Count | UnsetType, doc("Calls in one turn, at most.", 5)] = UNSET
    headers: Annotated[
        dict[str, Template] | UnsetType,
        doc("http: headers.", {"Authorization": "Bearer ${{ env.CRM_TOKEN }}"}),
    ] = UNSET
    query: Annotated[
        dict[str, Json] | UnsetType,
        doc(
            "http: the query string; of a GET or DELETE without it, the arguments that no template reads.",
            {"q": "${{ args.query }}"},
        ),
    ] = UNSET
    body: Annotated[
        Json | UnsetType,
        doc(
            "http: the body, as JSON, or a text as it is; of a POST, PUT or PATCH without it, the arguments.",
            {"id": "${{ args.id }}"},
        ),
    ] = UNSET
    ok_status: Annotated[
        list[int] | UnsetType, doc("http: answers that are no error (200 to 299).", [200, 404])
    ] = UNSET
    ok_codes: Annotated[list[int] | UnsetType, doc("command: exit codes that are no error (0).", [0, 1])] = (
        UNSET
    )
    operation: Annotated[
        Literal["search", "add", "get", "delete"] | UnsetType, doc("store: what it does.", "search")
    ] = UNSET


class TierLevel(Part, frozen=True):
    """A named set of tools a model may call."""

    extends: Annotated[TierName | UnsetType, doc("A tier whose tools this one has too.", "free")] = UNSET
    tools: Annotated[list[ToolName] | UnsetType, doc("Tools a model may call.", ["search_help"])] = UNSET
    approve: Annotated[list[ToolName] | UnsetType, doc("Tools that a person approves first.", ["refund"])] = (
        UNSET
    )
    deny: Annotated[
        list[ToolName] | UnsetType, doc("Tools that no model of this tier may ever call.", ["refund"])
    ] = UNSET
    max_calls: Annotated[Count | UnsetType, doc("Tool calls in one turn, at most.", 20)] = UNSET


class Tiers(Part, frozen=True):
    """What a model may call, by who is asking."""

    by: Annotated[Expression, doc("A bare expression that names a level.", "state.plan")]
    levels: Annotated[dict[Name, TierLevel], doc("The tiers by name.", {"free": {"tools": ["search_help"]}})]


class Example(Part, frozen=True):
    """What an agent would be asked, and what it should answer."""

    prompt: Annotated[str, doc("What it is asked.", "My bill is wrong")]
    answer: Annotated[Json, doc("What it answers: text, or its `output`.", {"desk": "billing"}, "Hello!")]


class Summarise(Part, frozen=True):
    """How a long conversation is shortened."""

    into: Annotated[SummaryField, doc("The field that holds the summary.", "summary")]
    over: Annotated[Count | TokensText, doc("Messages, or tokens, before it is made.", 24, "6000 tokens")]
    agent: Annotated[AgentName, doc("The agent that writes it.", "condenser")]


class Context(Part, frozen=True):
    """What of a long history is sent: the summary, what is recalled, and the newest messages."""

    window: Annotated[Count | UnsetType, doc("Messages kept word for word.", 12, default=12)] = UNSET
    summarise: Annotated[
        Summarise | UnsetType,
        doc("The rolling summary.", {"into": "summary", "over": 24, "agent": "condenser"}),
    ] = UNSET
    archive: Annotated[StoreName | UnsetType, doc("The store that keeps what leaves.", "talks")] = UNSET
    recall: Annotated[
        Count | UnsetType, doc("Passages of this thread brought back from the archive for a prompt.", 3)
    ] = UNSET
    python: Annotated[
        str | UnsetType,
        doc(
            "`module:function`, a policy of your own and alone: it takes `messages` and answers those to send.",
            "context:trim",
        ),
    ] = UNSET


class FileText(Part, frozen=True):
    """A text kept in a file of its own."""

    file: Annotated[str, doc("A file beside this one.", "prompts/sorter.md")]


class AgentSpec(Part, frozen=True):
    """A model with instructions, tools and an answer's shape."""

    model: Annotated[
        ModelName | UnsetType,
        doc("A name of `models:`, or `provider/model` (default, or local).", "fast", "openai/gpt-5-mini"),
    ] = UNSET
    instructions: Annotated[
        Template | FileText | UnsetType,
        doc("What the agent is told first.", "You answer briefly.", {"file": "prompts/guide.md"}),
    ] = UNSET
    tools: Annotated[
        list[ToolName] | UnsetType, doc("Tools it may call, less what the tier lacks.", ["search_help"])
    ] = UNSET
    max_turns: Annotated[Count | UnsetType, doc("Rounds of model and tools, at most.", 6, default=8)] = UNSET
    output: Annotated[
        dict[str, Json] | UnsetType,
        doc("The fields of its answer; text without it.", {"desk": {"enum": ["billing", "other"]}}),
    ] = UNSET
    context: Annotated[Context | UnsetType, doc("What of a long history is sent.", {"window": 12})] = UNSET
    examples: Annotated[
        list[Example] | UnsetType,
        doc(
            "Pairs of `prompt` and `answer`.", [{"prompt": "My bill is wrong", "answer": {"desk": "billing"}}]
        ),
    ] = UNSET
