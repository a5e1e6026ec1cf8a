"""Graphs inside graphs, and graphs and agents as tools: the same steps, under a path, kept in memory.

What is inside is driven from its beginning whenever its step is: each effect is on the tape under its path, so that
what was paid for is read, and only what was not is asked for. Nested steps are noted beside the effects.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Mapping, Sequence
from functools import partial
from math import inf

from agentctl.concurrency import side_by_side
from agentctl.engine.budget import Budget
from agentctl.engine.effects import error_from_record
from agentctl.engine.fanout import fan_out
from agentctl.engine.signals import Cut, LimitReached, Waiting
from agentctl.engine.steps import YIELD_EVERY, Passage, Steps
from agentctl.engine.turn import Turn
from agentctl.errors import ErrorClass, NodeError, ToolError
from agentctl.expressions import ExpressionError
from agentctl.graph.plan import END, AgentWork, Graph, GraphWork, MapNode, Node, ParallelNode, ToolPlan
from agentctl.json import Json
from agentctl.nodes.agent import ask_agent
from agentctl.nodes.turn import NodeResult, Place, Reference
from agentctl.retry import Backoff
from agentctl.state import State, Write


class Nesting:
    """See engine.turn.Inside."""

    async def run_graph(self, turn: Turn, place: Place, graph: Graph, inputs: Mapping[str, Json]) -> Json:
        """See Inside."""
        return await self._drive(turn, inner_path(place), graph, inputs)

    async def fan_out(self, turn: Turn, place: Place, node: ParallelNode | MapNode) -> NodeResult:
        """See Inside."""
        return await fan_out(turn, inner_path(place), place, node)

    async def call(self, turn: Turn, place: Place, tool: ToolPlan, arguments: Json, budget: Budget) -> Json:
        """See Inside; tried again as often as the file says, each time under a path of its own."""
        assert isinstance(tool.work, GraphWork | AgentWork)
        backoff = Backoff(attempts=tool.work.attempts)
        path = inner_path(place)
        for attempt in range(1, tool.work.attempts + 1):
            one = path if attempt == 1 else f"{path}~{attempt}"
            work = partial(self._apart, turn, one, tool, arguments, budget)
            # in a task of its own: its time is over without that of the calls beside it
            [found] = await side_by_side([work], 1, apart=True)
            if not isinstance(found, BaseException):
                return found
            if not isinstance(found, ToolError) or attempt == tool.work.attempts:
                raise found
            await turn.effects.pause(Place(f"{one}~pause"), backoff.wait(attempt))
        raise AssertionError("a tool has at least one attempt")

    async def _apart(self, around: Turn, path: str, tool: ToolPlan, arguments: Json, budget: Budget) -> Json:
        """One try of a nested tool, within its time."""
        watch = around.effects.watch.beside()
        turn = around.beside(around.effects.watched_by(watch), budget)
        outer = watch.begin(tool.timeout, "timeout", path)
        try:
            return await self._work(turn, path, tool, arguments)
        except Cut as cut:
            raise _late(tool, path, cut) from None
        except asyncio.CancelledError:
            rang = watch.rang
            if rang is None:
                raise
            watch.taken()
            raise _late(tool, path, rang) from None
        except (NodeError, ExpressionError) as error:
            raise _as_tool_error(error) from error
        finally:
            watch.end(outer)
            watch.close()

    async def _work(self, turn: Turn, path: str, tool: ToolPlan, arguments: Json) -> Json:
        match tool.work:
            case AgentWork(agent=agent):
                prompt = arguments.get("prompt", "")
                return await ask_agent(turn, agent, str(prompt), Place(path))
            case GraphWork(graph=graph):
                return await self._drive(turn, path, graph, arguments)
            case _:
                raise AssertionError("a nested tool")

    async def _drive(self, turn: Turn, path: str, graph: Graph, inputs: Mapping[str, Json]) -> Json:
        nested = turn.nested(graph, _state(graph, inputs), path)
        return await NestedSteps(nested, Passage(graph.start)).drive()


class NestedSteps(Steps):
    """Drives a graph inside another from its start to its end."""

    async def drive(self) -> Json:
        """Its output. Raises the error that it ends with; Cut, LimitReached, Waiting."""
        turn, passage = self.turn, self.passage
        passage.next = self._follow(passage.next).node
        while passage.next != END:
            if self.watch.stopping:
                raise asyncio.CancelledError
            await self._step(turn.graph.nodes[passage.next])
            await self._yield()
        if passage.failure is not None:
            raise _of_graph(passage.failure, turn.graph)
        values = turn.state.values
        return {name: values[name] for name in turn.graph.output if name in values}

    async def _step(self, node: Node) -> None:
        turn, passage = self.turn, self.passage
        turn.begin(node.name)
        visit = turn.budget.begin_nested(node, turn.visits)
        self._begin(node, f"{turn.path}/{node.name}" + (f"#{visit}" if visit > 1 else ""))
        record: dict[str, Json] = {"kind": "inner", "path": self.path, "node": node.name}
        try:
            result, error = await self._work(node)
            routed, error = self._settle(node, record, result, error)
        except BaseException as error:
            self._leave(_status(error), str(error) or None)
            raise
        if routed is not None:
            record["next"] = passage.next = routed.node
        else:
            passage.next, passage.failure = END, record["err"]
        await turn.effects.note(record)
        self._end(node, result, error, routed.node if routed else None)

    async def _yield(self) -> None:
        """Let the loop run now and then. Raises Cut when a timer of the work around rings meanwhile."""
        is_time = time.monotonic() - self._yielded > YIELD_EVERY
        if is_time or self.turn.effects.tape.effects:
            place = Place(f"{self.path}~yield")
            if is_time or self.turn.effects.known(place) is not None:
                await self.turn.effects.pause(place, 0)
                self._yielded = time.monotonic()

    def _keep(
        self,
        record: dict[str, Json],
        writes: list[Write],
        encoded: bytes,
        references: Sequence[Reference],
    ) -> None:
        """See Steps; enough to see that a replay writes the same."""
        record["up"] = hashlib.blake2b(encoded, digest_size=6).hexdigest()


def inner_path(place: Place) -> str:
    """What the paths of everything inside a step begin with: `12`, `12~2` in its second try, `12.1.2` in a call."""
    again = f"~{place.attempt}" if place.attempt > 1 else ""
    call = f".{place.reply}.{place.call}" if place.call else ""
    return place.path + again + call


def _state(graph: Graph, inputs: Mapping[str, Json]) -> State:
    """The state that a graph begins with. Raises NodeError for inputs that do not fit."""
    state = State.fresh(graph.fields)
    unknown = next((name for name in inputs if name not in graph.input), None)
    if unknown is not None:
        raise NodeError("bad_answer", f"graph `{graph.name}` takes no input `{unknown}`")
    try:
        state.begin((), inputs)
    except NodeError as error:
        raise NodeError(error.error_class, f"input of graph `{graph.name}`: {error.message}") from error
    missing = next((name for name in graph.input if name not in state.values), None)
    if missing is not None:
        raise NodeError("bad_answer", f"graph `{graph.name}` is not given its input `{missing}`")
    return state


def _of_graph(failure: dict[str, Json], graph: Graph) -> NodeError:
    """The error that a graph ends with, of the kind that its node failed with."""
    where = f"node `{failure['node']}` of graph `{graph.name}`: {failure['message']}"
    return error_from_record({**failure, "message": where})


def _late(tool: ToolPlan, path: str, cut: Cut) -> Exception:
    if cut.by != path:
        return cut
    assert tool.timeout < inf
    return ToolError("timeout", f"tool `{tool.name}` took longer than {tool.timeout:g}s", retryable=False)


def _as_tool_error(error: NodeError | ExpressionError) -> ToolError:
    """What a model is told of a nested tool that failed."""
    if isinstance(error, ExpressionError):
        return ToolError("tool_failed", error.message, hint=error.hint, retryable=False)
    known: ErrorClass = "tool_failed" if error.error_class == "expression" else error.error_class
    return ToolError(known, error.message, hint=error.hint, retryable=False)


def _status(error: BaseException) -> str:
    if isinstance(error, LimitReached):
        return "limit"
    if isinstance(error, Waiting):
        return "waiting"
    return "error" if isinstance(error, Cut) else "interrupted"
