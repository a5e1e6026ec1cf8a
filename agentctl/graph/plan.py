"""A graph, compiled: what the engine runs. Plain frozen data; expressions are already closures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, assert_never

from agentctl.expressions import Expression
from agentctl.graph.address import Address
from agentctl.json import Json
from agentctl.spec.functions import PythonFunction
from agentctl.spec.model import Price
from agentctl.state import FieldPlan

END = "end"

Effect = Literal["pure", "read", "write"]
Check = Callable[[Json], str | None]


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """One model of the file. `provider` and `model` are the two parts of `provider/model`."""

    name: str
    provider: str
    model: str
    file: Path | None = None
    """The file that `model` names, for providers whose models are files."""
    base_url: Expression | None = None
    api_key: Expression | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    reasoning: str | None = None
    timeout: float = 60.0
    attempts: int = 3
    price: Price | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)
    requests_a_minute: int | None = None
    tokens_a_minute: int | None = None
    warm: bool = False
    """Whether it is made ready before the first step."""

    @property
    def reference(self) -> str:
        """`provider/model`, or a provider that is a model by itself."""
        return f"{self.provider}/{self.model}" if self.model else self.provider


@dataclass(frozen=True, slots=True)
class ModelGroup:
    """Models asked as one."""

    name: str
    kind: Literal["fallback", "race", "vote"]
    members: tuple[Model, ...]
    agree: int = 1
    """How many equal answers win a vote."""

    @property
    def reference(self) -> str:
        """`race(openai/a, openai/b)`"""
        return f"{self.kind}({', '.join(member.reference for member in self.members)})"


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """One of several models, chosen as a node asks."""

    name: str
    by: Expression
    among: Mapping[str, Model]

    @property
    def reference(self) -> str:
        """`choose(openai/a, openai/b)`"""
        return f"choose({', '.join(model.reference for model in self.among.values())})"


Model = ModelPlan | ModelGroup | ModelChoice


def single_models(model: Model) -> dict[str, ModelPlan]:
    """The models that a model is made of, by name."""
    match model:
        case ModelPlan(name=name):
            return {name: model}
        case ModelGroup(members=members):
            inside = members
        case ModelChoice(among=among):
            inside = tuple(among.values())
        case _:
            assert_never(model)
    return {name: single for member in inside for name, single in single_models(member).items()}


@dataclass(frozen=True, slots=True)
class PythonWork:
    """A function of a module beside the file."""

    function: PythonFunction
    in_process: bool = False
    setup: str | None = None
    kind: Literal["python"] = "python"


@dataclass(frozen=True, slots=True)
class HttpWork:
    """A request. Templates see `args`, `run` and `env`."""

    method: str
    address: Address
    headers: tuple[tuple[str, Expression], ...]
    query: Expression | None
    """None: the arguments that no template reads, for a method that has no body; else nothing."""
    body: Expression | None
    """None: the arguments, for a method that has a body; else nothing."""
    args: frozenset[str] | None
    """Arguments that a template reads; None: one may read them all."""
    ok_status: frozenset[int]
    """Empty: 200 to 299."""
    answers_text: bool | None
    """Whether `returns` says that the answer is a text; None when it says nothing."""
    kind: Literal["http"] = "http"


@dataclass(frozen=True, slots=True)
class CommandWork:
    """A program and its arguments, each a template that sees `args`, `run` and `env`."""

    words: tuple[Expression, ...]
    folder: Path
    """Where the file stands: the working directory."""
    files: tuple[str, ...]
    """Words that are no templates: what may be files of the project, whose bytes count as the tool's code."""
    ok_codes: frozenset[int]
    answers_text: bool
    """False: what it prints is JSON."""
    kind: Literal["command"] = "command"


@dataclass(frozen=True, slots=True)
class McpServerPlan:
    """A server of tools over the Model Context Protocol. Templates see `env`."""

    name: str
    command: tuple[str, ...]
    """Started by us, spoken to over stdio; empty where there is a `url`."""
    folder: Path
    """Where the file stands: the working directory of a command."""
    url: Expression | None
    headers: tuple[tuple[str, Expression], ...]
    env: tuple[tuple[str, Expression], ...]
    file: Path
    """The graph file that it is a server of."""

    @property
    def key(self) -> tuple[Path, str]:
        """What tells it from the servers of other files."""
        return self.file, self.name


@dataclass(frozen=True, slots=True)
class ServedTool:
    """What an MCP server says of one of its tools."""

    parameters: Json
    """A JSON Schema of type object."""
    description: str = ""
    output: Json = None
    """The JSON Schema of its structured results, where it has one."""
    read_only: bool | None = None
    destructive: bool | None = None


@dataclass(frozen=True, slots=True)
class ServedServer:
    """What an MCP server says of itself."""

    name: str
    version: str
    tools: Mapping[str, ServedTool]


Served = Mapping[tuple[Path, str], ServedServer]
"""What MCP servers say of themselves, by the keys of their plans."""


@dataclass(frozen=True, slots=True)
class StorePlan:
    """Long-term memory: documents found again by words, and by meaning where something embeds them."""

    name: str
    folder: Path | None
    """None: in the project's `.agentctl`."""
    embeds: bool = False
    """Whether the small embedded model embeds them."""
    model: ModelPlan | None = None
    """The provider's model that embeds them."""


@dataclass(frozen=True, slots=True)
class StoreWork:
    """An operation on the documents of a store: search, add, get or delete."""

    store: StorePlan
    operation: str
    kind: Literal["store"] = "store"


@dataclass(frozen=True, slots=True)
class McpWork:
    """A tool of an MCP server, under the name that the server gives it."""

    server: McpServerPlan
    tool: str
    identity: tuple[str, str] = ("", "")
    """The server's own name and its version, once it was asked: part of the memo key."""
    output: Json = None
    """The JSON Schema that the server promises of structured results."""
    accepts_key: bool = False
    """Whether the tool takes an argument `idempotency_key`."""
    is_told: bool = False
    """Whether the file says what the tool takes: then a run can begin while its server is not there."""
    is_agreed: bool = False
    """Whether the server was asked, and agrees with the file."""
    kind: Literal["mcp"] = "mcp"


@dataclass(frozen=True, slots=True)
class GraphWork:
    """A graph: the arguments are its inputs, the result is its output."""

    graph: Graph
    attempts: int = 1
    kind: Literal["graph"] = "graph"


@dataclass(frozen=True, slots=True)
class AgentWork:
    """An agent: the argument `prompt` is what it is asked, the result is its answer."""

    agent: AgentPlan
    attempts: int = 1
    kind: Literal["agent"] = "agent"


NestedWork = GraphWork | AgentWork
"""Work that the engine does itself: what it reaches is recorded call by call."""
Work = PythonWork | HttpWork | CommandWork | McpWork | StoreWork | NestedWork


@dataclass(frozen=True, slots=True)
class BreakerPlan:
    """After so many failures in a row a tool is not called for `cooldown` seconds; then one call tries it."""

    failures: int = 5
    cooldown: float = 60.0


@dataclass(frozen=True, slots=True)
class SandboxPlan:
    """What a tool may use. Paths are absolute; what is not granted is not there."""

    time: float | None = None
    """Seconds of processor time; None: the tool's `timeout`."""
    memory: int = 512 * 1024 * 1024
    """Bytes."""
    network: bool = False
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """One tool of the file."""

    name: str
    work: Work | None
    """None in a replay, which calls nothing; graphs and agents are there, for it runs them again."""
    description: str
    parameters: Json
    """A JSON Schema of type object, closed where the file or the code says the parameters."""
    check_arguments: Callable[[Json], list[str]]
    """One sentence for each thing that is wrong with the arguments."""
    check_result: Check
    effect: Effect
    cache: float | None
    """Seconds an answer is kept; `inf` without end, None never."""
    timeout: float
    attempts: int
    idempotency_key: Expression | None
    max_result: int
    """Bytes."""
    max_calls: int | None
    definition: Json
    """The tool as the file says it; part of the memo key."""
    env: tuple[str, ...] = ()
    """Variables of the file that it uses."""
    needs: tuple[str, ...] = ()
    """Those of them that it cannot do without."""
    run: tuple[str, ...] = ()
    """Names of `run` that its templates read."""
    breaker: BreakerPlan | None = None
    sandbox: SandboxPlan | None = None


@dataclass(frozen=True, slots=True)
class Tier:
    """What a model may call, its extensions taken in: `offered` is never denied, `approve` needs a person's yes."""

    name: str
    offered: frozenset[str]
    approve: frozenset[str]
    max_calls: int | None = None
    """Calls by models in one turn."""


@dataclass(frozen=True, slots=True)
class Tiers:
    """The tiers by name; `by` chooses one as each node begins."""

    by: Expression
    levels: Mapping[str, Tier]


@dataclass(frozen=True, slots=True)
class ContextPlan:
    """What of a long conversation is sent, and what becomes of the rest."""

    window: int
    """Messages kept word for word."""
    over: int
    """Messages, or tokens, from which on the others leave."""
    counts_tokens: bool = False
    into: str | None = None
    """The field of the summary, which `condenser` writes; None: there is none."""
    condenser: AgentPlan | None = None
    archive: ToolPlan | None = None
    """Keeps what leaves."""
    recall: ToolPlan | None = None
    """Finds it again."""
    passages: int = 0
    """Found again for one prompt, at most."""
    policy: ToolPlan | None = None
    """A function of one's own, from messages to messages; then nothing leaves."""

    @property
    def leaves(self) -> bool:
        """Whether what is over is taken out of the history."""
        return self.into is not None or self.archive is not None

    @property
    def tools(self) -> tuple[ToolPlan, ...]:
        """What it calls by itself, and what the condenser may."""
        own = [tool for tool in (self.archive, self.recall, self.policy) if tool is not None]
        return (*own, *(self.condenser.tools if self.condenser else ()))


@dataclass(frozen=True, slots=True)
class AgentPlan:
    """A model with instructions, tools and the shape of its answer."""

    name: str
    model: Model
    instructions: Expression | None
    tools: tuple[ToolPlan, ...]
    max_turns: int
    output: Json
    """A closed JSON Schema, or None for text."""
    check_output: Check
    examples: tuple[tuple[str, Json], ...]
    context: ContextPlan | None = None


@dataclass(frozen=True, slots=True)
class Save:
    """Where a result goes: `whole` names a field for all of it, `parts` are pairs of field and key."""

    whole: str | None = None
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def fields(self) -> list[str]:
        return [self.whole] if self.whole else [name for name, _ in self.parts]


@dataclass(frozen=True, slots=True)
class BackgroundPlan:
    """A node that starts a job instead of doing its work."""

    at: str
    """Where the node stands in its file: `nodes.read_on`, `graphs.inner.nodes.look`."""
    key: Expression | None
    """The idempotency key; None: what the node is given makes it one job or another."""
    applies: bool
    """Whether a later turn takes the result in: the state of a graph inside another is gone by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """What every node has, whatever its verb."""

    name: str
    then: str
    save: Save = Save()
    on_error: Mapping[str, str] = field(default_factory=dict)
    """Target by error class; `else` for the others; the target `skip` goes on to `then`."""
    attempts: int = 1
    timeout: float | None = None
    """Seconds for one try; for `ask`, until its deadline."""
    max_visits: int | None = None
    background: BackgroundPlan | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentNode(NodePlan):
    agent: AgentPlan
    prompt: Expression | None = None
    history: str | None = None
    say: Expression | None = None
    kind: Literal["agent"] = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolNode(NodePlan):
    tool: ToolPlan
    args: Expression
    kind: Literal["tool"] = "tool"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetNode(NodePlan):
    values: tuple[tuple[str, Expression], ...]
    kind: Literal["set"] = "set"


@dataclass(frozen=True, slots=True, kw_only=True)
class AskNode(NodePlan):
    question: Expression
    choices: tuple[str, ...] = ()
    on_timeout: str | None = None
    kind: Literal["ask"] = "ask"


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphNode(NodePlan):
    graph: Graph
    input: Expression
    kind: Literal["graph"] = "graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelNode(NodePlan):
    """Branches side by side, each a node without a `then`; their writes are applied in this order."""

    branches: tuple[Node, ...]
    kind: Literal["parallel"] = "parallel"


@dataclass(frozen=True, slots=True, kw_only=True)
class MapNode(NodePlan):
    """One thing done with each item of an array."""

    over: Expression
    item: str
    """The name of the item."""
    do: Node
    """It saves its result to `ITEM`."""
    result: str | None = None
    """The key picked from each answer."""
    concurrency: int | None = None
    tolerate: str | int = 0
    """How many items may fail: a count, or a share of them as `20%`."""
    kind: Literal["map"] = "map"


ITEM = "item"
Node = AgentNode | ToolNode | SetNode | AskNode | GraphNode | ParallelNode | MapNode


@dataclass(frozen=True, slots=True)
class ConditionRouter:
    """Arms in order: the first whose condition holds; the last has none."""

    name: str
    arms: tuple[tuple[Expression | None, str], ...]


@dataclass(frozen=True, slots=True)
class ValueRouter:
    """A target for each value of an expression, as text; `otherwise` for the rest."""

    name: str
    by: Expression
    targets: Mapping[str, str]
    otherwise: str | None


Router = ConditionRouter | ValueRouter


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What ends a background job; None: `time` and `recursion` are those of a turn, the others bound nothing."""

    time: float | None = None
    recursion: int | None = None
    tokens: int | None = None
    cost: float | None = None
    concurrency: int = 1
    """Jobs side by side."""


@dataclass(frozen=True, slots=True)
class LimitPlan:
    """What ends a turn. Times in seconds, sizes in bytes, money in US dollars; None bounds nothing."""

    recursion: int = 25
    time: float = 600.0
    step_time: float = 120.0
    tokens: int | None = None
    cost: float | None = None
    tool_calls: int = 100
    concurrency: int = 8
    state_size: int = 1024 * 1024
    depth: int = 5
    """Graphs inside each other; the root graph is not counted."""
    step_tokens: int | None = None
    step_tool_calls: int | None = None
    on_limit: str | None = None
    reserve_time: float = 30.0
    reserve_tokens: int = 2000
    reserve_cost: float = 0.05
    background: JobLimits = JobLimits()


@dataclass(frozen=True, slots=True)
class Graph:
    """A compiled graph: that of a file, or one of its `graphs:`, which has the file's models and no tiers of its own."""

    name: str
    digest: str
    path: Path
    texts: Mapping[str, str]
    start: str
    nodes: Mapping[str, Node]
    routers: Mapping[str, Router]
    fields: Mapping[str, FieldPlan]
    input: tuple[str, ...]
    output: tuple[str, ...]
    limits: LimitPlan
    models: Mapping[str, Model]
    """Those that agents name."""
    run_id: Expression | None
    thread_id: Expression | None
    tiers: Tiers | None
    jsonl: bool
    """Whether the file asks for the JSON Lines sink."""
    schemas: Mapping[str, Json] = field(default_factory=dict)
    """The JSON Schema of each field."""
    data: Mapping[str, Json] = field(default_factory=dict)
    """The file as plain data, includes merged in."""
    signatures: Mapping[str, Json] = field(default_factory=dict)
    """Parameters and description of each tool, wherever they came from; of a graph in a file, its recording too."""
    is_file: bool = True
    """Whether it is a file's own graph: under another graph it still goes by its own tiers."""

    @property
    def tools(self) -> dict[str, ToolPlan]:
        """The tools that nodes and their agents may call, nested ones too, in the order of the nodes.

        Those of another file are named with the tool that runs it, `other/look`.
        """
        found: dict[str, ToolPlan] = {}
        for node in self.nodes.values():
            for tool in tools_of(node):
                _add_tool(found, tool)
        return found

    @property
    def files(self) -> tuple[Graph, ...]:
        """The graphs of other files that tools run, and those that theirs run."""
        found: dict[Path, Graph] = {}
        for tool in self.tools.values():
            if isinstance(tool.work, GraphWork) and tool.work.graph.is_file:
                found[tool.work.graph.path] = tool.work.graph
        return tuple(found.values())

    @property
    def recording(self) -> dict[str, Json]:
        """What a replay needs of the file: its texts, and what was read from the tools' code."""
        return {"root": self.path.name, "texts": dict(self.texts), "tools": dict(self.signatures)}


def tools_of(node: Node) -> tuple[ToolPlan, ...]:
    """The tools that a node may call, or what it runs."""
    match node:
        case ToolNode(tool=tool):
            return (tool,)
        case AgentNode(agent=agent):
            return (*agent.tools, *(agent.context.tools if agent.context else ()))
        case GraphNode(graph=graph):
            return tuple(tool for inner in graph.nodes.values() for tool in tools_of(inner))
        case ParallelNode(branches=branches):
            return tuple(tool for branch in branches for tool in tools_of(branch))
        case MapNode(do=do):
            return tools_of(do)
        case SetNode() | AskNode():
            return ()
        case _:
            assert_never(node)


def _add_tool(found: dict[str, ToolPlan], tool: ToolPlan) -> None:
    if tool.name in found:
        return
    found[tool.name] = tool
    match tool.work:
        case GraphWork(graph=graph) if graph.is_file:
            found |= {f"{tool.name}/{name}": inner for name, inner in graph.tools.items()}
        case GraphWork(graph=graph):
            for inner in graph.tools.values():
                _add_tool(found, inner)
        case AgentWork(agent=agent):
            for inner in agent.tools:
                _add_tool(found, inner)
