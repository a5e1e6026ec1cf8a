"""What surrounds a graph's run, as types: its limits, experiments, events and tests."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from agentctl.errors import ErrorClass
from agentctl.json import Json
from agentctl.spec.part import (
    Amount,
    Condition,
    Count,
    Duration,
    Expression,
    Money,
    Name,
    NodeName,
    Part,
    Pause,
    Size,
    Template,
    doc,
)


class StepLimits(Part, frozen=True):
    """Budgets of one step."""

    tokens: Annotated[Count | UnsetType, doc("Tokens of one step.", 4000)] = UNSET
    tool_calls: Annotated[Count | UnsetType, doc("Tool calls of one step.", 10)] = UNSET


class Reserve(Part, frozen=True):
    """What is held back for the last node."""

    time: Annotated[Pause | UnsetType, doc("Time.", "60s", default="30s")] = UNSET
    tokens: Annotated[Amount | UnsetType, doc("Tokens.", 8000, default=2000)] = UNSET
    cost: Annotated[Money | UnsetType, doc("Dollars.", "$0.10", default="$0.05")] = UNSET


class OnLimit(Part, frozen=True):
    """The last node at a limit."""

    node: Annotated[NodeName, doc("The node that runs once, on the reserve.", "wrap_up")]
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

    recursion: Annotated[Count | UnsetType, doc("Node runs in one turn.", 16, default=25)] = UNSET
    depth: Annotated[Count | UnsetType, doc("Graphs inside graphs.", 2, default=5)] = UNSET
    time: Annotated[Duration | UnsetType, doc("For one turn.", "5m", default="10m")] = UNSET
    step_time: Annotated[Duration | UnsetType, doc("For one agent or tool run.", "90s", default="2m")] = UNSET
    tokens: Annotated[Count | UnsetType, doc("Tokens in one turn.", 20000)] = UNSET
    cost: Annotated[Money | UnsetType, doc("Dollars in one turn.", "$0.05")] = UNSET
    tool_calls: Annotated[Count | UnsetType, doc("Tool calls in one turn.", 20, default=100)] = UNSET
    concurrency: Annotated[Count | UnsetType, doc("Things side by side.", 4, default=8)] = UNSET
    state_size: Annotated[Size | UnsetType, doc("The state as JSON.", "64KB", default="1MB")] = UNSET
    step: Annotated[StepLimits | UnsetType, doc("Budgets of one step.", {"tokens": 4000})] = UNSET
    on_limit: Annotated[
        NodeName | OnLimit | UnsetType,
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
    buffer: Annotated[
        Count | UnsetType, doc("Events that a slow sink may fall behind.", 1000, default=256)
    ] = UNSET
    when_full: Annotated[
        Literal["wait", "drop_deltas"] | UnsetType,
        doc(
            "When a sink is that far behind: the run waits for it, or it gets fewer deltas.",
            "drop_deltas",
            default="wait",
        ),
    ] = UNSET
    surface: Annotated[
        str | UnsetType,
        doc("The digest that `validate --surface` prints, signed off.", "3f1c9a0b5d7e24683f1c9a0b5d7e2468"),
    ] = UNSET


class FaultSpec(Part, frozen=True):
    """What goes wrong with a node, a tool or an agent; as a stub, instead of its answer."""

    error: Annotated[ErrorClass | UnsetType, doc("It fails with this class of errors.", "timeout")] = (
        msgspec.field(default=UNSET, name="$error")
    )
    delay: Annotated[Pause | UnsetType, doc("It answers so much later.", "2s")] = msgspec.field(
        default=UNSET, name="$delay"
    )
    drop_after: Annotated[Amount | UnsetType, doc("Its stream breaks off after so many pieces.", 3)] = (
        msgspec.field(default=UNSET, name="$drop_after")
    )


class UsageBounds(Part, frozen=True):
    """What a test's turn may use, at most."""

    steps: Annotated[Amount | UnsetType, doc("Node runs.", 4)] = UNSET
    model_calls: Annotated[Amount | UnsetType, doc("Calls of models.", 2)] = UNSET
    tool_calls: Annotated[Amount | UnsetType, doc("Calls of tools.", 1)] = UNSET
    tokens: Annotated[Amount | UnsetType, doc("Tokens, in and out.", 2000)] = UNSET
    cost: Annotated[Money | UnsetType, doc("Dollars.", "$0.01")] = UNSET
    time: Annotated[Duration | UnsetType, doc("From its start to its end.", "5s")] = UNSET


class ExpectSpec(Part, frozen=True):
    """What must hold after a test's turn. A value may be a matcher: `{$contains: …}`, `{$matches: …}`, `{$any: …}`."""

    status: Annotated[
        Literal["done", "failed", "limit", "waiting"] | UnsetType, doc("How the turn ends.", "done")
    ] = UNSET
    route: Annotated[
        list[str] | UnsetType, doc("The nodes of the tested graph, exactly as they run.", ["sort", "fix"])
    ] = UNSET
    never: Annotated[list[str] | UnsetType, doc("Nodes, tools and agents that do not run.", ["refund"])] = (
        UNSET
    )
    calls: Annotated[
        dict[str, Amount | list[dict[str, Json]]] | UnsetType,
        doc("How often each runs, or with which arguments, call by call.", {"refund": 0}),
    ] = UNSET
    state: Annotated[dict[str, Json] | UnsetType, doc("Fields, those that matter.", {"desk": "billing"})] = (
        UNSET
    )
    output: Annotated[
        dict[str, Json] | UnsetType,
        doc("The answer, the keys that matter.", {"answer": {"$contains": "restart"}}),
    ] = UNSET
    usage: Annotated[
        UsageBounds | UnsetType, doc("What it may use, at most.", {"tokens": 2000, "model_calls": 2})
    ] = UNSET
    events: Annotated[
        list[str | dict[str, Json]] | UnsetType,
        doc("Events that are seen, in this order: a type, or parts of an event.", ["tool.ended"]),
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
        dict[str, Json] | UnsetType,
        doc(
            "Answers, or faults, by node, tool or agent.",
            *({"sorter": {"desk": "billing"}}, {"agents.guide": {"$error": "timeout"}}),
        ),
    ] = UNSET
    faults: Annotated[
        dict[str, FaultSpec] | UnsetType, doc("What goes wrong, by name.", {"fixer": {"$error": "timeout"}})
    ] = UNSET
    expect: Annotated[ExpectSpec | UnsetType, doc("What must hold after it.", {"route": ["sort", "fix"]})] = (
        UNSET
    )
