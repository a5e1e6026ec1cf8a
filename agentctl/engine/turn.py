"""One turn under way: what its nodes may ask of it, and what it keeps count of."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import msgspec

from agentctl.engine.budget import Budget
from agentctl.engine.effects import Answer, Effects
from agentctl.engine.signals import Question, Waiting
from agentctl.engine.tape import called_tool
from agentctl.engine.world import World
from agentctl.errors import AgentctlError, ToolError, UsageError
from agentctl.events import EventStream
from agentctl.graph.plan import AgentPlan, AskNode, Graph, PythonWork, ToolPlan
from agentctl.json import TOO_DEEP, Json, canonical, decode, digest, encode, too_deep
from agentctl.messages import ChatReply, ChatRequest
from agentctl.nodes.turn import Place
from agentctl.state import State
from agentctl.tools.call import Call


@dataclass(slots=True)
class Turn:
    """The NodeTurn of a run, a resumed run and a replay; they differ in `effects` and `world`."""

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
    names: Mapping[str, Json] = field(default_factory=dict)
    step: int = 0
    node: str = ""
    memo_hits: int = 0

    def __post_init__(self) -> None:
        self.names = {"state": self.state.values, "run": self.run}

    async def chat(self, place: Place, agent: AgentPlan, request: ChatRequest) -> ChatReply:
        """See NodeTurn."""
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
            model=model,
            usage=record["usage"],
            cost=record["cost"],
            seconds=record["sec"],
            finish=reply.finish,
            calls=[call.name for call in reply.calls],
            recorded=known,
            error=None,
        )
        return reply

    async def _chat(self, place: Place, agent: AgentPlan, request: ChatRequest) -> Answer:
        assert self.world is not None
        on_delta = partial(self._delta, place)
        on_retry = partial(self._retry, "model.retry", place, agent.model.reference)
        reply, cost = await self.world.chat(agent.model, request, on_delta, on_retry)
        body = msgspec.to_builtins(reply)
        usage = body.pop("usage", {})
        return {"res": body, "usage": usage, "cost": cost}

    async def call_tool(self, place: Place, tool: ToolPlan, arguments: Json) -> Json:
        """See NodeTurn."""
        names = {**self.names, "args": arguments}
        key = _key_text(tool.idempotency_key(names)) if tool.idempotency_key else None
        self._publish("tool.started", place, tool=tool.name, args=arguments)
        known = self.effects.known(place)
        ask = partial(self._call, place, tool, arguments, key)
        if known is None and place.key in self.effects.tape.intents:
            ask = self._outcome_unknown(place, tool, arguments, key)
        try:
            record = await self.effects.perform(
                place,
                "tool",
                digest([tool.name, arguments]),
                ask,
                shown=arguments,
                tool=tool.name,
                write=tool.effect == "write",
                last=place.reply == 0,
            )
        except BaseException as error:
            record = self.effects.known(place)
            if record is not None and called_tool(record):
                self.budget.add_tool_call(tool.name)
            self._tool_ended(place, tool, known, record, self._said(error))
            raise
        finally:
            self.budget.under_way.pop(place.key, None)
        if "memo" in record:
            self.memo_hits += 1
        else:
            self.budget.add_tool_call(tool.name)
        self._tool_ended(place, tool, known, record, None)
        return record["res"]

    async def _call(self, place: Place, tool: ToolPlan, arguments: Json, key: str | None) -> Answer:
        assert self.world is not None
        answered = await self.world.call_tool(
            Call(
                tool=tool,
                arguments=arguments,
                tenant=self.run["tenant"],
                code=self.world.code_digest(tool) if tool.cache is not None else "",
                idempotency_key=key,
                context=self._context() if _accepts_context(tool) else None,
                run=self.run,
                before=partial(self._before_call, place, tool, arguments),
                on_retry=partial(self._retry, "tool.retry", place, tool.name),
            )
        )
        answer = {"res": answered.value}
        if answered.age is not None:
            answer["memo"] = {"age": round(answered.age, 3), "saved": round(answered.saved or 0.0, 4)}
        return answer

    def _context(self) -> dict[str, Json]:
        return {name: self.run[name] for name in ("thread", "turn", "id", "tenant")}

    async def _before_call(self, place: Place, tool: ToolPlan, arguments: Json) -> None:
        self.budget.before_tool_call()
        if tool.max_calls is not None and self.budget.calls_begun(tool.name) >= tool.max_calls:
            raise ToolError("limit", f"tool `{tool.name}` may be called {tool.max_calls} times in a turn")
        self.budget.under_way[place.key] = tool.name
        if tool.effect == "write":
            await self.effects.intend(place, tool.name, arguments)

    def _outcome_unknown(
        self, place: Place, tool: ToolPlan, arguments: Json, key: str | None
    ) -> partial[Json]:
        """A write was begun here and nobody saw its end: only a key, or a person, lets it go on."""
        assumed = self.assume.get(place.key)
        if key is not None or assumed == "retry":
            return partial(self._call, place, tool, arguments, key)
        if isinstance(assumed, dict):
            return partial(_given, {"res": assumed["done"], "assumed": True})
        text = f"`{tool.name}` was called with {encode(arguments).decode()} and its outcome is unknown"
        raise Waiting(Question(place.key, "outcome", text, ("done", "retry")))

    async def ask(self, place: Place, node: AskNode, question: str) -> Json | None:
        """See NodeTurn."""
        asked = digest([question, list(node.choices)])
        ask = partial(self._ask, place, node, question)
        record = await self.effects.perform(place, "ask", asked, ask, shown=question)
        if record["res"] is not None:
            self._publish("ask.answered", place, id=self.question_id(node), answer=record["res"])
        return cast(Json, record["res"])

    async def _ask(self, place: Place, node: AskNode, question: str) -> Answer:
        assert self.world is not None
        id = self.question_id(node)
        deadline = await self._deadline(place, node)
        if id in self.answers:
            return {"res": self._fitting(node, self.answers[id])}
        if deadline is not None and self.world.now() >= deadline:
            return {"res": None}
        asked = Question(id, "ask", question, node.choices, deadline)
        self._publish("ask.waiting", place, **asked.as_json())
        if self.world.ask is None:
            raise Waiting(asked)
        try:
            async with asyncio.timeout(None if deadline is None else deadline - self.world.now()):
                answer = await self.world.ask(asked)
        except TimeoutError:
            return {"res": None}
        return {"res": self._fitting(node, answer)}

    async def _deadline(self, place: Place, node: AskNode) -> float | None:
        """When the answer is due: an absolute time, set when the question was first asked."""
        assert self.world is not None
        asked = self.effects.tape.asked.get(place.key)
        if asked is None:
            deadline = None if node.timeout is None else self.world.now() + node.timeout
            asked = {"kind": "asked", "key": place.key, "deadline": deadline}
            await self.effects.record([asked])
        return cast("float | None", asked["deadline"])

    def question_id(self, node: AskNode) -> str:
        """The node's name; from its second visit on with the visit, so that no answer is taken twice."""
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

    def _said(self, error: BaseException) -> str:
        """What ended a call, for its event."""
        text = error.message if isinstance(error, AgentctlError) else str(error)
        return str(self.effects.mask(text or "stopped"))

    def _delta(self, place: Place, text: str) -> None:
        self._publish("model.delta", place, text=self.effects.mask(text))

    def _retry(self, type: str, place: Place, name: str, error: AgentctlError, wait: float) -> None:
        self._publish(type, place, name=name, error=self.effects.mask(error.message), wait=wait)

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
            self._publish("memo.hit", place, tool=tool.name, age=memo["age"], saved_seconds=memo["saved"])
        self._publish(
            "tool.ended",
            place,
            tool=tool.name,
            ok=error is None,
            seconds=record["sec"] if record else 0.0,
            recorded=known is not None,
            memo=memo is not None,
            error=error,
        )


def _accepts_context(tool: ToolPlan) -> bool:
    return isinstance(tool.work, PythonWork) and tool.work.function.accepts_context


def _key_text(key: Json) -> str:
    """An idempotency key as a tool is given it: 12.0 is 12."""
    return key if isinstance(key, str) else canonical(key).decode()


async def _given(answer: Answer) -> Answer:
    return answer
