"""The bounds of a run: what one turn may use at most, and how long its ways are.

Each number is the least of what is known to bound it; None says that nothing does, which is never written as 0.

- Steps: `recursion`; or, where `max_visits` ends every loop, the most that its visits allow, and what the graphs that
  models call as tools add. The node of `on_limit` comes on top: it is outside of `recursion`.
- Model calls: requests to a provider, so a reply counts as often as its model may be tried. The graph's visits times
  what each may ask for, or `recursion` times the dearest node; agents used as tools once for each tool call.
- Tool calls: `tool_calls`, or the visits of `tool:` nodes where no agent has tools.
- Tokens: `tokens`, or `step.tokens` for each step. `max_output_tokens` bounds a reply and not what is sent with the
  next request, so nothing follows from it. Tokens and dollars are counted after each call: those under way when they
  are used up are finished.
- Dollars: `cost`, or the tokens at the price of the dearest model.

Background jobs have limits of their own and are not in it.
"""

from __future__ import annotations

from functools import partial

from msgspec import Struct

from agentctl.check.facts import Facts
from agentctl.check.flow import Work
from agentctl.check.reach import edges_of, entries_of, reachable
from agentctl.check.runs.limits import MANY, TurnLimits, turn_limits
from agentctl.check.runs.spending import Spending, agent_calls, tool_calls
from agentctl.check.runs.steps import Steps, Totals, plus, times
from agentctl.check.tools.tooling import Tier


class RunBounds(Struct, frozen=True):
    """What one turn may use at most; None is no bound."""

    steps: int
    model_calls: int | None
    tool_calls: int
    tokens: int | None
    cost: float | None
    """US dollars."""


def run_bounds(facts: Facts, steps: Steps, tier: Tier | None = None) -> RunBounds | None:
    """The bounds of a turn of the file's own graph; None when graphs run themselves (G225).

    `tier` leaves agents the tools that it offers.
    """
    if not steps.order:
        return None
    return _Turn(facts, steps, Spending(facts, tier)).bounds()


class _Turn:
    def __init__(self, facts: Facts, steps: Steps, spending: Spending) -> None:
        self._facts = facts
        self._steps = steps
        self._spending = spending
        self._limits: TurnLimits = turn_limits(facts.file.data)
        self._called = [
            callee
            for kind, name in spending.reached
            if kind == "tool"
            for callee in (call.callee for call in facts.tooling.calls.get((kind, name), ()))
        ]
        """Graphs and agents that are run as tools."""
        self._last = facts.file.root.last_node

    def bounds(self) -> RunBounds:
        tools, begun = self._tool_calls(), self._begun()
        calls = self._model_calls(begun, tools)
        last_calls = 0 if self._last is None else self._own_calls(self._last)
        steps = begun + (self._last is not None)
        tokens = self._tokens(steps, plus(calls, last_calls))
        return RunBounds(steps, plus(calls, last_calls), tools, tokens, self._cost(tokens))

    def _tool_calls(self) -> int:
        own = partial(tool_calls, self._facts, self._spending)
        total = self._steps.totals(own).get("")
        last = 0 if self._last is None else self._steps.used(self._last, own, {})
        each = self._limits.step_tool_calls
        if self._called:
            total = None  # what runs as a tool calls tools of its own
        elif total is None and each is not None:
            total = times(each, self._begun())
        bounds = (self._limits.tool_calls, plus(total, last), self._by_max_calls())
        return min(bound for bound in bounds if bound is not None)

    def _by_max_calls(self) -> int | None:
        """The calls that the tools themselves allow in a turn."""
        total: int | None = 0
        for kind, name in self._spending.reached:
            if kind == "tool":
                most = self._facts.tooling.tools.get(name, {}).get("max_calls")
                total = plus(total, most if isinstance(most, int) else None)
        return total

    def _begun(self) -> int:
        """Nodes that are begun, but for that of `on_limit`."""
        total = plus(self._steps.most.get(""), self._of_tools(self._steps.most))
        return self._limits.recursion if total is None else min(self._limits.recursion, total)

    def _model_calls(self, begun: int, tools: int) -> int | None:
        own = partial(agent_calls, self._facts, self._spending)
        totals = self._steps.totals(own)
        by_visits = plus(totals.get(""), self._of_tools(totals))
        agents = self._spending.agents
        as_tools = [agents[name] for kind, name in self._called if kind == "agent" and name in agents]
        each_tool = max((self._spending.model_calls(agent) for agent in as_tools), default=0)
        by_steps = times(begun, self._dearest_node())
        known = [count for count in (by_visits, by_steps) if count is not None]
        return min(min(known) + min(tools * each_tool, MANY), MANY) if known else None

    def _of_tools(self, totals: Totals) -> int | None:
        """What the graphs that are run as tools use, if every tool call runs the dearest of them."""
        graphs = [name for kind, name in self._called if kind == "graph"]
        most: int | None = 0
        for name in graphs:
            total = totals.get(name)  # None too for a graph in a file of its own
            most = None if most is None or total is None else max(most, total)
        return times(self._limits.tool_calls, most)

    def _dearest_node(self) -> int | None:
        """The most model calls that one visit of a node makes, but for those of its graph's own nodes."""
        most: int | None = 0
        for graph in self._facts.file.graphs:
            if ("graph", graph.name) not in self._spending.reached:
                continue
            there = reachable(edges_of(graph), entries_of(graph))
            for name, node in graph.nodes.items():
                if name in there:
                    calls = self._own_calls(node)
                    most = None if most is None or calls is None else max(most, calls)
        return most

    def _own_calls(self, node: Work) -> int | None:
        return self._steps.used(node, partial(agent_calls, self._facts, self._spending), {})

    def _tokens(self, steps: int, calls: int | None) -> int | None:
        if calls == 0:
            return 0
        each = self._limits.step_tokens
        bounds = [self._limits.tokens, times(each, steps)]
        return min((bound for bound in bounds if bound is not None), default=None)

    def _cost(self, tokens: int | None) -> float | None:
        prices = [model.dearest for model, _ in self._spending.models_used]
        known = [price for price in prices if price is not None]
        bounds = [self._limits.cost]
        if len(known) == len(prices):
            dearest = max(known, default=0.0)
            bounds.append(0.0 if dearest == 0 else None if tokens is None else tokens * dearest / 1_000_000)
        return min((bound for bound in bounds if bound is not None), default=None)
