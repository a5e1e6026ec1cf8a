"""What a turn, or a part of it that runs beside others, has used, against what the turn may use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentctl.engine.signals import LimitReached
from agentctl.graph.plan import AskNode, LimitPlan, Node, SetNode
from agentctl.json import Json
from agentctl.messages import Usage


@dataclass(slots=True)
class Budget:
    """Counters of one turn; or of a part of it, which counts towards the turn and is bounded by what that has left."""

    limits: LimitPlan
    whole: Budget | None = None
    """Of what this is a part."""
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
    memo_hits: int = 0
    beyond: int = 0
    """Nodes begun before `on_limit` ran: what is inside it has `recursion` once more for itself."""
    under_way: dict[str, str] = field(default_factory=dict)
    """Tools that are being called, by the key of the place."""

    @classmethod
    def for_graph(cls, limits: LimitPlan, last: Node | None) -> Budget:
        """A fresh budget; only a last node that costs something has a reserve held back for it."""
        return cls(limits, reserved=last is not None and not isinstance(last, SetNode | AskNode))

    def part(self) -> Budget:
        """Counters for what runs beside other work."""
        return Budget(self.limits, self, under_way=self.under_way)

    def begin(self, node: Node) -> int:
        """Count a node run of the root graph and return which visit it is. Raises LimitReached."""
        # as `begin_nested`, in one go: this is paid for every step
        if self.nodes >= self.limits.recursion:
            raise LimitReached("recursion", self.nodes, self.limits.recursion)
        visit = self.visits.get(node.name, 0) + 1
        if node.max_visits is not None and visit > node.max_visits:
            raise LimitReached("max_visits", visit - 1, node.max_visits)
        self.nodes += 1
        self.visits[node.name] = visit
        self.step_tokens = self.step_tool_calls = 0
        return visit

    def begin_nested(self, node: Node, visits: dict[str, int]) -> int:
        """Count a node run; `visits` are those of its graph. Raises LimitReached."""
        self._check_nodes()
        visit = visits.get(node.name, 0) + 1
        if node.max_visits is not None and visit > node.max_visits:
            raise LimitReached("max_visits", visit - 1, node.max_visits)
        self._count_node()
        visits[node.name] = visit
        return visit

    def begin_last(self, node: Node) -> int:
        """Count the run of `on_limit`, which is outside `recursion` and has the reserve."""
        self.reserved, self.beyond = False, self.nodes
        self.step_tokens = self.step_tool_calls = 0
        visit = self.visits[node.name] = self.visits.get(node.name, 0) + 1
        return visit

    def time_allowed(self) -> float:
        """Seconds of the turn, less what is held back."""
        limits = self.limits
        return limits.time - min(limits.reserve_time, limits.time / 2) if self.reserved else limits.time

    def before_model_call(self) -> None:
        """Raises LimitReached when tokens or cost are used up."""
        if self.whole is not None:
            self.whole.before_model_call()
            return
        limits = self.limits
        if limits.tokens is not None:
            allowed = limits.tokens
            if self.reserved:
                allowed -= min(limits.reserve_tokens, allowed // 2)
            if self.usage.total >= allowed:
                raise LimitReached("tokens", self.usage.total, allowed)
        if limits.step_tokens is not None and self.step_tokens >= limits.step_tokens:
            raise LimitReached("step.tokens", self.step_tokens, limits.step_tokens)
        if limits.cost is not None and self.cost is not None:
            ceiling = limits.cost - min(limits.reserve_cost, limits.cost / 2) * self.reserved
            if self.cost >= ceiling:
                raise LimitReached("cost", self.cost, ceiling)

    def before_tool_call(self) -> None:
        """Raises LimitReached when no tool call is left; calls under way are counted."""
        if self.whole is not None:
            self.whole.before_tool_call()
            return
        limits, open = self.limits, len(self.under_way)
        if self.tool_calls + open >= limits.tool_calls:
            raise LimitReached("tool_calls", self.tool_calls + open, limits.tool_calls)
        if limits.step_tool_calls is not None and self.step_tool_calls + open >= limits.step_tool_calls:
            raise LimitReached("step.tool_calls", self.step_tool_calls + open, limits.step_tool_calls)

    def calls_begun(self, tool: str) -> int:
        """Calls of one tool in the turn, those under way among them."""
        if self.whole is not None:
            return self.whole.calls_begun(tool)
        return self.calls_of.get(tool, 0) + list(self.under_way.values()).count(tool)

    def offered_begun(self) -> int:
        """Calls that models asked for in the turn, those under way among them."""
        return self.offered_calls + len(self.under_way) if self.whole is None else self.whole.offered_begun()

    def add_model_call(self, usage: Usage, cost: float | None) -> None:
        if self.whole is not None:
            self.whole.add_model_call(usage, cost)
        self.model_calls += 1
        self.usage += usage
        self.step_tokens += usage.total
        self.cost = None if cost is None or self.cost is None else self.cost + cost

    def add_tool_call(self, tool: str, *, offered: bool = False) -> None:
        if self.whole is not None:
            self.whole.add_tool_call(tool, offered=offered)
        self.tool_calls += 1
        self.offered_calls += offered
        self.step_tool_calls += 1
        self.calls_of[tool] = self.calls_of.get(tool, 0) + 1

    def add_memo_hit(self) -> None:
        self.memo_hits += 1
        if self.whole is not None:
            self.whole.add_memo_hit()

    def add(self, part: Json) -> None:
        """Count what a part used that is over, as `part_json` gave it."""
        if self.whole is not None:
            self.whole.add(part)
        nodes, usage, cost, model_calls, tool_calls, offered, calls_of = part
        used = Usage(*usage)
        self.nodes += nodes
        self.usage += used
        self.step_tokens += used.total
        self.cost = None if cost is None or self.cost is None else self.cost + cost
        self.model_calls += model_calls
        self.tool_calls += tool_calls
        self.step_tool_calls += tool_calls
        self.offered_calls += offered
        for tool, calls in calls_of.items():
            self.calls_of[tool] = self.calls_of.get(tool, 0) + calls

    def check_state(self, size: int) -> None:
        """Raises LimitReached when the state is over its size, in bytes."""
        if size > self.limits.state_size:
            raise LimitReached("state_size", size, self.limits.state_size)

    def as_json(self) -> Json:
        """What a checkpoint keeps of it."""
        kept = self._counts()
        if self.offered_calls:
            kept.append(self.offered_calls)
        return kept

    def part_json(self) -> Json:
        """What the tape keeps of a part."""
        calls: Mapping[str, int] = dict(sorted(self.calls_of.items()))
        return [*self._counts(), self.offered_calls, calls]

    def restore(self, kept: Json, visits: dict[str, int], calls_of: dict[str, int]) -> None:
        """Take up what a checkpoint kept, and the visits counted from the steps since the turn began."""
        self.nodes, usage, self.cost, self.model_calls, self.tool_calls, *offered = kept
        self.offered_calls = offered[0] if offered else 0
        self.usage = Usage(*usage)
        self.visits = visits
        self.calls_of = calls_of

    def _counts(self) -> list[Json]:
        usage = self.usage
        return [
            self.nodes,
            [usage.input, usage.output, usage.cached, usage.reasoning],
            # what was paid side by side adds up in any order
            self.cost and round(self.cost, 10),
            self.model_calls,
            self.tool_calls,
        ]

    def _check_nodes(self) -> None:
        if self.whole is not None:
            self.whole._check_nodes()
        elif self.nodes >= self.limits.recursion + self.beyond:
            raise LimitReached("recursion", self.nodes - self.beyond, self.limits.recursion)

    def _count_node(self) -> None:
        if self.whole is not None:
            self.whole._count_node()
        self.nodes += 1
