"""What a turn has used, against what it may use."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentctl.engine.signals import LimitReached
from agentctl.graph.plan import AgentNode, LimitPlan, Node, ToolNode
from agentctl.json import Json
from agentctl.messages import Usage


@dataclass(slots=True)
class Budget:
    """Counters of one turn."""

    limits: LimitPlan
    reserved: bool = False
    """Whether a part of tokens, cost and time is held back for `on_limit`."""
    nodes: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0
    """US dollars; None once a call had no price."""
    model_calls: int = 0
    tool_calls: int = 0
    step_tokens: int = 0
    step_tool_calls: int = 0
    offered_calls: int = 0
    """Those of the tool calls that a model of some tier asked for."""
    visits: dict[str, int] = field(default_factory=dict)
    calls_of: dict[str, int] = field(default_factory=dict)
    under_way: dict[str, str] = field(default_factory=dict)
    """Tools that are being called, by the key of the place."""

    @classmethod
    def for_graph(cls, limits: LimitPlan, last: Node | None) -> Budget:
        """A fresh budget; only a last node that costs something has a reserve held back for it."""
        return cls(limits, reserved=isinstance(last, AgentNode | ToolNode))

    def begin(self, node: Node) -> int:
        """Count a node run and return which visit it is. Raises LimitReached."""
        limits = self.limits
        if self.nodes >= limits.recursion:
            raise LimitReached("recursion", self.nodes, limits.recursion)
        visit = self.visits.get(node.name, 0) + 1
        if node.max_visits is not None and visit > node.max_visits:
            raise LimitReached("max_visits", visit - 1, node.max_visits)
        self.nodes += 1
        self.visits[node.name] = visit
        self.step_tokens = self.step_tool_calls = 0
        return visit

    def begin_last(self, node: Node) -> int:
        """Count the run of `on_limit`, which is outside `recursion` and has the reserve."""
        self.reserved = False
        self.step_tokens = self.step_tool_calls = 0
        visit = self.visits[node.name] = self.visits.get(node.name, 0) + 1
        return visit

    def time_allowed(self) -> float:
        """Seconds of the turn, less what is held back."""
        limits = self.limits
        return limits.time - min(limits.reserve_time, limits.time / 2) if self.reserved else limits.time

    def before_model_call(self) -> None:
        """Raises LimitReached when tokens or cost are used up."""
        limits = self.limits
        if limits.tokens is not None:
            allowed = limits.tokens
            if self.reserved:
                allowed -= min(limits.reserve_tokens, allowed // 2)
            if self.usage.total >= allowed:
                raise LimitReached("tokens", self.usage.total, allowed)
        if limits.step_tokens is not None and self.step_tokens >= limits.step_tokens:
            raise LimitReached("tokens", self.step_tokens, limits.step_tokens)
        if limits.cost is not None and self.cost is not None:
            ceiling = limits.cost - min(limits.reserve_cost, limits.cost / 2) * self.reserved
            if self.cost >= ceiling:
                raise LimitReached("cost", self.cost, ceiling)

    def before_tool_call(self) -> None:
        """Raises LimitReached when no tool call is left; calls under way are counted."""
        limits, open = self.limits, len(self.under_way)
        if self.tool_calls + open >= limits.tool_calls:
            raise LimitReached("tool_calls", self.tool_calls + open, limits.tool_calls)
        if limits.step_tool_calls is not None and self.step_tool_calls + open >= limits.step_tool_calls:
            raise LimitReached("tool_calls", self.step_tool_calls + open, limits.step_tool_calls)

    def calls_begun(self, tool: str) -> int:
        """Calls of one tool in the turn, those under way among them."""
        return self.calls_of.get(tool, 0) + list(self.under_way.values()).count(tool)

    def add_model_call(self, usage: Usage, cost: float | None) -> None:
        self.model_calls += 1
        self.usage += usage
        self.step_tokens += usage.total
        self.cost = None if cost is None or self.cost is None else self.cost + cost

    def add_tool_call(self, tool: str, *, offered: bool = False) -> None:
        self.tool_calls += 1
        self.offered_calls += offered
        self.step_tool_calls += 1
        self.calls_of[tool] = self.calls_of.get(tool, 0) + 1

    def check_state(self, size: int) -> None:
        """Raises LimitReached when the state is over its size, in bytes."""
        if size > self.limits.state_size:
            raise LimitReached("state_size", size, self.limits.state_size)

    def as_json(self) -> Json:
        """What a checkpoint keeps of it."""
        usage = self.usage
        kept: list[Json] = [
            self.nodes,
            [usage.input, usage.output, usage.cached, usage.reasoning],
            self.cost,
            self.model_calls,
            self.tool_calls,
        ]
        return [*kept, self.offered_calls] if self.offered_calls else kept

    def restore(self, kept: Json, visits: dict[str, int], calls_of: dict[str, int]) -> None:
        """Take up what a checkpoint kept, and the visits counted from the steps since the turn began."""
        self.nodes, usage, self.cost, self.model_calls, self.tool_calls, *offered = kept
        self.offered_calls = offered[0] if offered else 0
        self.usage = Usage(*usage)
        self.visits = visits
        self.calls_of = calls_of
