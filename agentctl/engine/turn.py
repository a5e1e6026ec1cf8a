"""One turn under way: what its nodes may ask of it, and what it keeps count of."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol, Self, cast

import msgspec

from agentctl.engine.budget import Budget
from agentctl.engine.effects import Answer, Effects, Mismatch, error_record
from agentctl.engine.masking import MaskedStream
from agentctl.engine.signals import LimitReached, Question, Waiting
from agentctl.engine.tape import called_tool
from agentctl.engine.world import World
from agentctl.errors import AgentctlError, BreakerOpen, NodeError, ToolError, UsageError
from agentctl.events import EventStream
from agentctl.expressions import ExpressionError
from agentctl.graph.plan import (
    AgentPlan,
    AgentWork,
    AskNode,
    Graph,
    GraphWork,
    MapNode,
    ModelPlan,
    Node,
    ParallelNode,
    PythonWork,
    Tier,
    Tiers,
    ToolPlan,
)
from agentctl.json import TOO_DEEP, Json, canonical, decode, digest, encode, too_deep
from agentctl.messages import ChatReply, ChatRequest, Usage
from agentctl.models.groups import Hearing
from agentctl.nodes.agent import is_usable
from agentctl.nodes.turn import NodeResult, Offered, Place
from agentctl.state import State
from agentctl.tools.call import Call, checked

APPROVALS = ("approve", "reject")


class Inside(Protocol):
    """Runs what a turn has inside it: graphs, and the tools that are graphs or agents."""

    async def run_graph(self, turn: Turn, place: Place, graph: Graph, inputs: Mapping[str, Json]) -> Json:
        """The output. Raises NodeError, Cut, LimitReached, Waiting."""

    async def fan_out(self, turn: Turn, place: Place, node: ParallelNode | MapNode) -> NodeResult:
        """See NodeTurn."""

    async def call(self, turn: Turn, place: Place, tool: ToolPlan, arguments: Json, budget: Budget) -> Json:
        """The result of a nested tool, which uses a budget of its own. Raises ToolError, Cut, LimitReached, Waiting."""


class Jobs(Protocol):
    """Where background jobs are asked for."""

    async def ask(self, turn: Turn, node: Node, about: Json) -> Answer:
        """Ask for the job of a node, told from its others by `about`. Raises StoreError."""


@dataclass(slots=True)
class Turn:
    """The NodeTurn of a run, a resumed run and a replay; they differ in `effects` and `world`.

    A graph inside another has a turn of its own, with its own state and visits; so has what runs beside other work.
    """

    graph: Graph
    state: State
    effects: Effects
    events: EventStream
    budget: Budget
    run: dict[str, Json]
    """`run.*` of expressions."""
    world: World | None = None
    answers: Mapping[str, Json] = field(default_factory=dict)
    """Answers to questions by id."""
    assume: Mapping[str, Json] = field(default_factory=dict)
    """For writes nobody saw the end of, by id: `retry`, or `{"done": result}`."""
    inside: Inside | None = None
    jobs: Jobs | None = None
    open_jobs: dict[str, str] = field(default_factory=dict)
    """Jobs whose results a later turn takes in, and their nodes; shared with what runs inside."""
    names: Mapping[str, Json] = field(default_factory=dict)
    path: str = ""
    """Of what this runs inside of; empty for the root graph."""
    depth: int = 0
    """Graphs that this is inside of."""
    visits: dict[str, int] = field(default_factory=dict)
    """Of the nodes of a nested graph; those of the root graph are in the budget."""
    is_beside: bool = False
    """Whether other work runs at the same time."""
    slots: asyncio.Semaphore = field(default_factory=asyncio.Semaphore)
    """For what runs beside others, across the turn; each fan-out has one more, that of its own step."""
    step: int = 0
    node: str = ""
    tier: Tier | None = None
    """What models may call in this node; None when the file has no tiers, or `tier_error` says why there is none."""
    tier_error: NodeError | None = None

    def __post_init__(self) -> None:
        # the record of the turn keeps its own
        self.run = dict(self.run)
        self.names = {"state": self.state.shown, "run": self.run}

    def begin(self, node: str) -> None:
        """A node begins: the tier is read from the state as it is now."""
        self.node = node
        if self.graph.tiers is not None:
            self._choose_tier(self.graph.tiers)

    def nested(self, graph: Graph, state: State, path: str) -> Self:
        """The turn of a graph inside this one. Tools stay those of the tier, but for a file that has its own."""
        allowed = self.budget.limits.depth
        if self.depth >= allowed:
            raise LimitReached("depth", self.depth, allowed)
        nested = replace(self, graph=graph, state=state, path=path, depth=self.depth + 1, visits={})
        if graph.is_file:
            nested.tier = nested.tier_error = None
            nested.run["tier"] = ""
        return nested

    def beside(self, effects: Effects, budget: Budget) -> Self:
        """The turn of what runs beside other work."""
        beside = replace(self, effects=effects, budget=budget, is_beside=True)
        beside.names = {**self.names, "run": beside.run}
        return beside

    def _choose_tier(self, tiers: Tiers) -> None:
        self.tier, self.tier_error = None, None
        try:
            value = tiers.by(self.names)
        except ExpressionError as error:
            self.tier_error = NodeError("expression", f"tiers.by: {error.message}", hint=error.hint)
        else:
            self.tier = tiers.levels.get(value) if isinstance(value, str) else None
            if self.tier is None:
                known = ", ".join(tiers.levels)
                self.tier_error = NodeError(
                    "expression", f"tiers.by gives `{value}`, and the tiers are {known}"
                )
        name = self.tier.name if self.tier else ""
        self.run["tier"] = name
        if not self.path and name != self.events.facts.tier:
            # events that are under way keep the facts they were built with
            self.events.facts = msgspec.structs.replace(self.events.facts, tier=name)

    async def offered(self, place: Place, agent: AgentPlan) -> Offered:
        """See NodeTurn."""
        if self.tier_error is not None and agent.tools:
            raise self.tier_error
        tools, tier = agent.tools, self.tier
        if tier is not None:
            tools = tuple(tool for tool in tools if tool.name in tier.offered)
        hidden = await self._hidden(place, tools)
        if hidden and len(hidden) == len(tools):
            raise BreakerOpen(f"no tool of agent `{agent.name}` is called now: the breakers of all are open")
        return Offered(tuple(tool for tool in tools if tool.name not in hidden), hidden)

    async def _hidden(self, place: Place, tools: Sequence[ToolPlan]) -> Collection[str]:
        """The tools whose breakers are open as a model is asked; on the tape where there are any."""
        guarded = [tool for tool in tools if tool.breaker is not None]
        if not guarded and self.effects.live:
            return ()
        seen = place._replace(path=f"{place.path}/breakers")
        record = self.effects.known(seen)
        if record is None and self.effects.live and self.effects.known(place) is None:
            assert self.world is not None
            hidden = await self.world.open_breakers(guarded)
            if hidden:
                record = {"kind": "effect", "key": seen.key, "of": "breakers", "res": sorted(hidden)}
                await self.effects.record([record])
        names = [] if record is None else [str(name) for name in record["res"]]
        known = {tool.name for tool in guarded}
        if not self.effects.live and not known.issuperset(names):
            message = "tools were hidden from the model whose breakers were open, and have none now"
            raise Mismatch("D14", message, seen, names, sorted(known))
        return [name for name in names if name in known]

    def tell(self, place: Place, type: str, **data: Json) -> None:
        """See NodeTurn."""
        self._publish(type, place, **self.effects.mask(data))

    def refused(self, place: Place, tool: str, reason: str) -> None:
        """See NodeTurn."""
        call = f"{place.reply}.{place.call}"
        self._publish("tool.refused", place, tool=tool, call=call, reason=self.effects.mask(reason))

    async def approved(self, place: Place, tool: ToolPlan, arguments: Json) -> bool:
        """See NodeTurn."""
        if self.tier is None or tool.name not in self.tier.approve:
            return True
        asked = place._replace(path=f"{place.path}/approve")
        ask = partial(self._approve, asked, tool, arguments)
        record = await self.effects.perform(
            asked, "approval", digest([tool.name, arguments]), ask, shown=arguments
        )
        self._publish("ask.answered", place, id=_approval_id(place, tool), answer=record["res"])
        return bool(record["res"] == APPROVALS[0])

    async def _approve(self, place: Place, tool: ToolPlan, arguments: Json) -> Answer:
        assert self.world is not None
        text = f"May `{tool.name}` be called with {encode(self.effects.mask(arguments)).decode()}?"
        question = Question(_approval_id(place, tool), "approval", text, APPROVALS)
        if question.id in self.answers:
            return {"res": _taken(question, partial(_chosen, question, self.answers[question.id]))}
        self._publish("ask.waiting", place, **question.as_json())
        if self.world.ask is None:
            raise Waiting(question)
        answer = await self._thought_of(self.world.ask(question))
        return {"res": _taken(question, partial(_chosen, question, answer))}

    async def _thought_of(self, answer: Awaitable[Json]) -> Json:
        """A person's answer; nothing is cut short while they think."""
        watch = self.effects.watch
        paused = watch.pause()
        try:
            return await answer
        finally:
            watch.go_on(paused)

    async def chat(self, place: Place, agent: AgentPlan, request: ChatRequest) -> ChatReply:
        """See NodeTurn."""
        if not self.is_beside:
            self.budget.before_model_call()
        model = agent.model.reference
        self._publish("model.started", place, model=model, agent=agent.name)
        known = self.effects.known(place) is not None
        asked = hashlib.blake2b(msgspec.json.encode(request), digest_size=16).hexdigest()
        ask = partial(self._chat, place, agent, request)
        try:
            record = await self.effects.perform(
                place, "model", asked, ask, shown=request.messages[-1].content
            )
        except BaseException as error:
            self._model_failed(place, model, self._said(error))
            raise
        reply = msgspec.convert({**record["res"], "usage": record["usage"]}, ChatReply)
        self.budget.add_model_call(reply.usage, record["cost"])
        self._publish(
            "model.ended",
            place,
            model=record.get("by", model),
            usage=record["usage"],
            cost=record["cost"],
            seconds=record["sec"],
            finish=reply.finish,
            calls=[call.name for call in reply.calls],
            recorded=known,
            error=None,
            **({"asked": record["asked"]} if "asked" in record else {}),
        )
        return reply

    async def _chat(self, place: Place, agent: AgentPlan, request: ChatRequest) -> Answer:
        assert self.world is not None
        if self.is_beside:
            # what others have used by now is chance, and so it is on the tape
            self.budget.before_model_call()
        said = MaskedStream(self.effects.mask, partial(self._delta, place))
        hearing = Hearing(
            on_delta=said.add,
            on_retry=partial(self._model_retry, place, agent.model.reference, said),
            on_failed=partial(self._member_failed, place),
            is_good=partial(is_usable, agent),
        )
        answer = await self.world.chat(agent.model, request, hearing)
        said.end()
        body = msgspec.to_builtins(answer.reply)
        body.pop("usage", None)
        kept = {"res": body, "usage": msgspec.to_builtins(answer.usage), "cost": answer.cost}
        if isinstance(agent.model, ModelPlan):
            return kept
        return {**kept, "by": answer.model, "asked": [msgspec.to_builtins(each) for each in answer.asked]}

    def _member_failed(self, place: Place, model: str, error: str) -> None:
        """One of several models that were asked as one did not answer."""
        self._publish("model.passed_over", place, model=model, error=self.effects.mask(error))

    async def call_tool(self, place: Place, tool: ToolPlan, arguments: Json) -> Json:
        """See NodeTurn."""
        key = self._key(tool, arguments)
        known = self.effects.known(place)
        nested = _Nested(self.budget.part()) if isinstance(tool.work, GraphWork | AgentWork) else None
        if nested is not None and known is not None:
            await self._account_for(place, tool, arguments, known)
        ask = partial(self._call, place, tool, arguments, key, nested)
        if known is None and place.key in self.effects.tape.intents:
            ask = self._outcome_unknown(place, tool, arguments, key)
        self._publish_call("tool.started", place, tool, args=arguments)
        try:
            record = await self.effects.perform(
                place,
                "tool",
                digest([tool.name, arguments]),
                ask,
                shown=arguments,
                tool=tool.name,
                write=tool.effect == "write",
                # what a node does beside its own work, `12/context`, has its work after it
                last=place.reply == 0
                and nested is None
                and not (self.path or self.is_beside or "/" in place.path),
                used=None if nested is None else nested.used,
            )
        except BaseException as error:
            record = self.effects.known(place)
            if record is not None and called_tool(record):
                self.budget.add_tool_call(tool.name, offered=self._is_offered(place))
            self._tool_ended(place, tool, known, record, self._said(error))
            raise
        finally:
            self.budget.under_way.pop(place.key, None)
        if "memo" in record:
            self.budget.add_memo_hit()
        else:
            self.budget.add_tool_call(tool.name, offered=self._is_offered(place))
        if "spent" in record:
            spent = record["spent"]
            self.budget.add_model_call(msgspec.convert(spent["usage"], Usage), spent["cost"])
        self._tool_ended(place, tool, known, record, None)
        return record["res"]

    def _key(self, tool: ToolPlan, arguments: Json) -> str | None:
        """The idempotency key of a call: 12.0 is 12 in it, wherever it stands."""
        if tool.idempotency_key is None:
            return None
        key = tool.idempotency_key({**self.names, "args": decode(canonical(arguments))})
        return key if isinstance(key, str) else canonical(key).decode()

    async def _account_for(self, place: Place, tool: ToolPlan, arguments: Json, known: Json) -> None:
        """Count what a nested call used that is on the tape.

        A replay runs it again, to see whether the graph still comes to that; but for one that was cut short, and for
        one that was over when its file changed.
        """
        if "used" not in known:
            return
        request = digest([tool.name, arguments])
        if self.effects.live or "cut" in known or "limit" in known or known.get("req") != request:
            self.budget.add(known["used"])
            return
        assert self.inside is not None
        part = self.budget.part()
        found: Json
        try:
            found = {"res": checked(tool, await self.inside.call(self, place, tool, arguments, part))}
        except NodeError as error:
            found = {"err": error_record(error)}
        expected = {name: known[name] for name in ("res", "err") if name in known}
        if found != expected:
            message = f"`{tool.name}` comes to something else than was recorded"
            raise Mismatch("D13", message, place, expected, found)

    async def _call(
        self, place: Place, tool: ToolPlan, arguments: Json, key: str | None, nested: _Nested | None
    ) -> Answer:
        assert self.world is not None
        work, spent = None, _Spent()
        if nested is not None:
            assert self.inside is not None
            work = nested.begun(partial(self.inside.call, self, place, tool, arguments, nested.budget))
        answered = await self.world.call_tool(
            Call(
                tool=tool,
                arguments=arguments,
                tenant=self.run["tenant"],
                code=self.world.code_digest(tool) if tool.cache is not None else "",
                idempotency_key=key,
                context=self._context() if _accepts_context(tool) else None,
                run=self.run,
                admit=partial(self._admit, place, tool),
                intend=partial(self._intend, place, tool, arguments),
                tell=partial(self._tell, place, tool),
                on_retry=partial(self._tool_retry, place, tool),
                charge=spent.add,
                nested=work,
            )
        )
        return {"res": answered.value, **answered.beside, **spent.beside}

    def _is_offered(self, place: Place) -> bool:
        """Whether a model of a tier asked for a call; a `tool:` node is the author's own act."""
        return self.tier is not None and place.reply > 0

    def _context(self) -> dict[str, Json]:
        return {name: self.run[name] for name in ("thread", "turn", "id", "tenant")}

    def _admit(self, place: Place, tool: ToolPlan) -> None:
        """Raises ToolError or LimitReached when no such call is left."""
        self.budget.before_tool_call()
        if tool.max_calls is not None and self.budget.calls_begun(tool.name) >= tool.max_calls:
            raise ToolError("limit", f"tool `{tool.name}` may be called {tool.max_calls} times in a turn")
        most = self.tier.max_calls if self.tier is not None and place.reply > 0 else None
        if most is not None and self.budget.offered_begun() >= most:
            raise ToolError(
                "limit", f"models of tier `{self.run['tier']}` may call tools {most} times in a turn"
            )
        self.budget.under_way[place.key] = tool.name

    async def _intend(self, place: Place, tool: ToolPlan, arguments: Json) -> None:
        # what a nested tool writes has its intents one by one
        if tool.effect == "write" and not isinstance(tool.work, GraphWork | AgentWork):
            await self.effects.intend(place, tool.name, arguments)

    def _outcome_unknown(
        self, place: Place, tool: ToolPlan, arguments: Json, key: str | None
    ) -> partial[Json]:
        """A write was begun here and nobody saw its end: only a key, or a person, lets it go on."""
        assumed = self.assume.get(place.key)
        if key is not None or assumed == "retry":
            return partial(self._call, place, tool, arguments, key, None)
        shown = encode(self.effects.mask(arguments)).decode()
        text = f"`{tool.name}` was called with {shown} and its outcome is unknown"
        question = Question(place.key, "outcome", text, ("done", "retry"))
        if isinstance(assumed, dict):
            result = _taken(question, partial(_assumed, place, tool, assumed["done"]))
            return partial(_given, {"res": result, "assumed": True})
        self._publish("ask.waiting", place, **question.as_json())
        raise Waiting(question)

    async def ask(self, place: Place, node: AskNode, question: str) -> Json | None:
        """See NodeTurn."""
        asked = digest([question, list(node.choices)])
        ask = partial(self._ask, place, node, question)
        record = await self.effects.perform(place, "ask", asked, ask, shown=question)
        if record["res"] is not None:
            self._publish("ask.answered", place, id=self._question_id(place, node), answer=record["res"])
        return cast(Json, record["res"])

    async def _ask(self, place: Place, node: AskNode, question: str) -> Answer:
        assert self.world is not None
        id = self._question_id(place, node)
        deadline = await self._deadline(place, node)
        asked = Question(id, "ask", question, node.choices, deadline)
        if id in self.answers:
            return {"res": _taken(asked, partial(self._fitting, node, self.answers[id]))}
        if deadline is not None and self.world.now() >= deadline:
            return {"res": None}
        self._publish("ask.waiting", place, **asked.as_json())
        if self.world.ask is None:
            raise Waiting(asked)
        try:
            async with asyncio.timeout(None if deadline is None else deadline - self.world.now()):
                answer = await self._thought_of(self.world.ask(asked))
        except TimeoutError:
            return {"res": None}
        return {"res": _taken(asked, partial(self._fitting, node, answer))}

    async def _deadline(self, place: Place, node: AskNode) -> float | None:
        """When the answer is due: an absolute time, set when the question was first asked."""
        assert self.world is not None
        asked = self.effects.tape.asked.get(place.key)
        if asked is None:
            deadline = None if node.timeout is None else self.world.now() + node.timeout
            asked = {"kind": "asked", "key": place.key, "deadline": deadline}
            await self.effects.record([asked])
        return cast("float | None", asked["deadline"])

    async def run_graph(self, place: Place, graph: Graph, inputs: Mapping[str, Json]) -> Json:
        """See NodeTurn."""
        assert self.inside is not None
        return await self.inside.run_graph(self, place, graph, inputs)

    async def fan_out(self, place: Place, node: ParallelNode | MapNode) -> NodeResult:
        """See NodeTurn."""
        assert self.inside is not None
        return await self.inside.fan_out(self, place, node)

    def _question_id(self, place: Place, node: AskNode) -> str:
        """The node's name; from its second visit on with the visit, so that no answer is taken twice.

        Inside another graph it is the step's path, which is there but once.
        """
        if self.path:
            return place.path
        visit = self.budget.visits.get(node.name, 1)
        return node.name if visit == 1 else f"{node.name}#{visit}"

    def _fitting(self, node: AskNode, answer: Json) -> Json:
        """The answer as its field's type. Raises UsageError for one that the question does not allow."""
        if node.choices and answer not in node.choices:
            raise UsageError(f"`{answer}` is no answer to `{node.name}`; choose {' or '.join(node.choices)}")
        field = self.graph.fields.get(node.save.whole or "")
        if field is None:
            return answer
        schema = self.graph.schemas[field.name]
        if isinstance(answer, str) and schema.get("type") not in (None, "string") and "enum" not in schema:
            with suppress(ValueError):
                answer = decode(answer)
        check = field.check_item if field.reduce == "append" else field.check
        problem = TOO_DEEP if too_deep(answer) else check(answer)
        if problem is not None:
            raise UsageError(f"`{answer}` is no answer to `{node.name}`: {problem}")
        return answer

    def _publish(self, type: str, place: Place, **data: Json) -> None:
        if self.events.wants(type):
            self.events.publish(type, self.step, place.path, place.attempt, **data)

    def _publish_call(self, type: str, place: Place, tool: ToolPlan, **data: Json) -> None:
        """An event of a tool call: `call` tells the calls of one place apart."""
        self._publish(type, place, tool=tool.name, call=f"{place.reply}.{place.call}", **data)

    def _said(self, error: BaseException) -> str:
        """What ended a call, for its event."""
        text = error.message if isinstance(error, AgentctlError) else str(error)
        return str(self.effects.mask(text or "stopped"))

    def _delta(self, place: Place, text: str) -> None:
        self._publish("model.delta", place, text=text)

    def _tell(self, place: Place, tool: ToolPlan, type: str, data: dict[str, Json]) -> None:
        self._publish_call(type, place, tool, **self.effects.mask(data))

    def _model_retry(
        self, place: Place, name: str, said: MaskedStream, error: AgentctlError, wait: float
    ) -> None:
        said.drop()
        self._publish("model.retry", place, name=name, error=self.effects.mask(error.message), wait=wait)

    def _tool_retry(self, place: Place, tool: ToolPlan, error: AgentctlError, wait: float) -> None:
        self._publish_call("tool.retry", place, tool, error=self.effects.mask(error.message), wait=wait)

    def _model_failed(self, place: Place, model: str, error: str) -> None:
        record = self.effects.known(place)
        self._publish(
            "model.ended",
            place,
            model=model,
            usage={},
            cost=None,
            seconds=record["sec"] if record else 0.0,
            finish="error",
            calls=[],
            recorded=False,
            error=error,
        )

    def _tool_ended(
        self, place: Place, tool: ToolPlan, known: Json | None, record: Json, error: str | None
    ) -> None:
        memo = record.get("memo") if record else None
        if memo is not None:
            self._publish_call("memo.hit", place, tool, age=memo["age"], saved_seconds=memo["saved"])
        self._publish_call(
            "tool.ended",
            place,
            tool,
            ok=error is None,
            seconds=record["sec"] if record else 0.0,
            recorded=known is not None,
            memo=memo is not None,
            result=record.get("res") if record else None,
            error=error,
        )


@dataclass(slots=True)
class _Nested:
    """A nested call: what it uses, once it was begun."""

    budget: Budget
    is_begun: bool = False

    def begun(self, work: Callable[[], Awaitable[Json]]) -> Callable[[], Awaitable[Json]]:
        """The work, noted as begun when it is."""

        async def begin() -> Json:
            self.is_begun = True
            return await work()

        return begin

    def used(self) -> dict[str, Json]:
        """What the tape keeps of it."""
        return {"used": self.budget.part_json()} if self.is_begun else {}


@dataclass(slots=True)
class _Spent:
    """What a tool's own calls of a model took: a store's, which embeds."""

    usage: Usage = field(default_factory=Usage)
    cost: float | None = 0.0

    def add(self, usage: Usage, cost: float | None) -> None:
        self.usage += usage
        self.cost = None if cost is None or self.cost is None else self.cost + cost

    @property
    def beside(self) -> dict[str, Json]:
        """What the tape keeps beside the result."""
        if not self.usage.total:
            return {}
        return {"spent": {"usage": msgspec.to_builtins(self.usage), "cost": self.cost}}


def _approval_id(place: Place, tool: ToolPlan) -> str:
    """An approval by its tool and call: `refund@12.1.2`, step 12, reply 1, call 2; a further try of the node is said."""
    step = place.path.removesuffix("/approve")
    again = f"~{place.attempt}" if place.attempt > 1 else ""
    return f"{tool.name}@{step}.{place.reply}.{place.call}{again}"


def _taken(question: Question, answer: Callable[[], Json]) -> Json:
    """The answer as it is read; one that is none leaves the question open. Raises Waiting."""
    try:
        return answer()
    except UsageError as error:
        raise Waiting(question, error) from error


def _chosen(question: Question, answer: Json) -> Json:
    """One of the question's choices. Raises UsageError."""
    if answer not in question.choices:
        raise UsageError(
            f"`{answer}` is no answer to `{question.id}`; choose {' or '.join(question.choices)}"
        )
    return answer


def _assumed(place: Place, tool: ToolPlan, result: Json) -> Json:
    """What a person says that a write gave. Raises UsageError for what the tool could not have given."""
    problem = TOO_DEEP if too_deep(result) else tool.check_result(result)
    if problem is not None:
        shown = encode(result).decode()
        raise UsageError(
            f"`{tool.name}` cannot have given {shown}: {problem}",
            hint=f"say what it gave: --assume done '{place.key}' --result JSON",
        )
    return result


def _accepts_context(tool: ToolPlan) -> bool:
    return isinstance(tool.work, PythonWork) and tool.work.function.accepts_context


async def _given(answer: Answer) -> Answer:
    return answer
