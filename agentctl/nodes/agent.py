"""The agent node: a model with instructions, in a loop with its tools, until it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import dropwhile
from typing import NamedTuple, assert_never

import msgspec

from agentctl.concurrency import side_by_side
from agentctl.errors import NodeError, ToolError
from agentctl.graph.plan import AgentNode, AgentPlan, Model, ModelChoice, ModelGroup, ModelPlan, ToolPlan
from agentctl.json import TOO_DEEP, Json, decode, encode, too_deep
from agentctl.messages import ChatReply, ChatRequest, Message, ToolCall, ToolOffer
from agentctl.nodes.context import Answered, Heard, heard_of
from agentctl.nodes.saving import saved, worth_referring
from agentctl.nodes.turn import NodeResult, NodeTurn, Offered, Part, Place, Reference
from agentctl.spec.fits import completed

CORRECTIONS = 2
"""How often an answer of the wrong shape is asked for again."""
TOOLS_AT_ONCE = 8


async def run_agent(turn: NodeTurn, node: AgentNode, place: Place) -> NodeResult:
    """Ask, call tools, ask again; save the answer and add what was said to the history."""
    prompt = node.prompt(turn.names) if node.prompt else ""
    heard = await heard_of(turn, node, place, _history(node, turn.names), _text(prompt), _asked)
    talk = _Talk(turn, node.agent, place, [*heard.sent, Message("user", _text(prompt))])
    answer, part = await talk.answer()
    result = saved(node.save, answer, talk.last_key, part)
    if node.history is None:
        return result
    said = _text(node.say(turn.names)) if node.say else _text(prompt)
    return _with_history(node.history, _with_context(result, heard), talk, said, len(heard.sent))


async def ask_agent(turn: NodeTurn, agent: AgentPlan, prompt: str, place: Place) -> Json:
    """An agent's answer to a prompt, outside of any node."""
    answer, _ = await _Talk(turn, agent, place, [Message("user", prompt)]).answer()
    return answer


async def _asked(turn: NodeTurn, agent: AgentPlan, prompt: str, place: Place) -> Answered:
    talk = _Talk(turn, agent, place, [Message("user", prompt)])
    answer, part = await talk.answer()
    return Answered(answer, talk.last_key, part)


class _Talk:
    """One agent's loop of replies and tool calls."""

    def __init__(self, turn: NodeTurn, agent: AgentPlan, place: Place, messages: list[Message]) -> None:
        self.turn = turn
        self.agent = replace(agent, model=chosen(agent.model, turn.names))
        self.place = place
        self.messages = messages
        self.keys: dict[int, tuple[str, Part]] = {}
        """Which effect the content of a message is, by its index."""
        self.opening = _opening(agent, turn.names)
        self.offered = Offered(())
        """What the model may call in the round under way."""
        self.last_key = ""

    async def answer(self) -> tuple[Json, Part]:
        """The final answer and which part of its effect it is."""
        corrections = 0
        for round in range(1, self.agent.max_turns + CORRECTIONS + 1):
            if round - corrections > self.agent.max_turns:
                break
            reply = await self._ask(round)
            if reply.calls:
                await self._call_tools(round, reply)
                continue
            answer, problem = _read(self.agent, reply)
            if problem is None:
                return answer, ("json",) if self.agent.output is not None else ("text",)
            if corrections == CORRECTIONS:
                raise NodeError("bad_answer", f"agent `{self.agent.name}`: {problem}", origin="model")
            corrections += 1
            self.messages.append(Message("user", f"That answer cannot be used: {problem}. Answer again."))
        raise NodeError(
            "limit",
            f"agent `{self.agent.name}` gave no answer within max_turns: {self.agent.max_turns}",
            hint="raise `max_turns` of the agent, or tell it when to stop",
        )

    async def _ask(self, round: int) -> ChatReply:
        place = self.place._replace(reply=round)
        self.offered = await self.turn.offered(place, self.agent)
        reply = await self.turn.chat(place, self.agent, self._request())
        self.last_key = place.key
        self.keys[len(self.messages)] = (place.key, ("text",))
        self.messages.append(Message("assistant", reply.text, reply.calls, tokens=self._tokens(reply)))
        return reply

    def _tokens(self, reply: ChatReply) -> int | None:
        """What a reply took as its model counted, where that is asked; of a group it is what all its members took."""
        context = self.agent.context
        if context is None or not context.counts_tokens or not isinstance(self.agent.model, ModelPlan):
            return None
        return max(reply.usage.output - reply.usage.reasoning, 0) or None

    def _request(self) -> ChatRequest:
        agent, model = self.agent, self.agent.model
        request = ChatRequest(
            model=model.reference,
            messages=(*self.opening, *self.messages),
            tools=tuple(ToolOffer(t.name, t.description, t.parameters) for t in self.offered.tools),
            output=agent.output,
        )
        # what is asked of the models of a group is said to each of them
        return addressed(request, model) if isinstance(model, ModelPlan) else request

    async def _call_tools(self, round: int, reply: ChatReply) -> None:
        places = [self.place._replace(reply=round, call=n) for n in range(1, len(reply.calls) + 1)]
        # a person is asked about one call at a time, before any of them is made
        wishes = [await self._wish(place, call) for place, call in zip(places, reply.calls, strict=True)]
        works = [partial(self._call, place, wish) for place, wish in zip(places, wishes, strict=True)]
        results = await side_by_side(works, TOOLS_AT_ONCE)
        for failed in results:
            if isinstance(failed, BaseException):
                raise failed
        self._refuse_if_all_unavailable(reply.calls, results)
        for place, call, result in zip(places, reply.calls, results, strict=True):
            if isinstance(result, str):
                self.keys[len(self.messages)] = (place.key, ("result",))
            content = result if isinstance(result, str) else _told(result)
            self.messages.append(Message("tool", content, call_id=call.id))

    async def _wish(self, place: Place, call: ToolCall) -> _Wish | _Failure:
        """The call as it may be made, or why it may not."""
        tool = next((tool for tool in self.offered.tools if tool.name == call.name), None)
        if tool is None:
            self.turn.refused(place, call.name, self._why_not(call.name))
            names = ", ".join(tool.name for tool in self.offered.tools) or "none"
            return _Failure(f"there is no tool `{call.name}`; you may call: {names}")
        problems = _argument_problems(tool, call.arguments)
        if problems:
            said = "; ".join(problems)
            self.turn.refused(place, call.name, said)
            return _Failure(f"the call was not made: {said}")
        arguments = completed(tool.parameters, call.arguments)
        if not await self.turn.approved(place, tool, arguments):
            self.turn.refused(place, call.name, "a person rejected it")
            return _Failure("the call was not made: a person rejected it")
        return _Wish(tool, arguments)

    def _why_not(self, name: str) -> str:
        if name in self.offered.hidden:
            return "its breaker is open"
        is_listed = any(tool.name == name for tool in self.agent.tools)
        return "the tier does not offer it" if is_listed else "there is none"

    async def _call(self, place: Place, wish: _Wish | _Failure) -> Json:
        """The tool's result, or an error that the model is told."""
        if isinstance(wish, _Failure):
            return wish
        try:
            return await self.turn.call_tool(place, wish.tool, wish.arguments)
        except ToolError as error:
            return _Failure(error.message, unavailable=error.error_class == "tool_unavailable")

    def _refuse_if_all_unavailable(self, calls: Sequence[ToolCall], results: Sequence[Json]) -> None:
        down = {
            call.name
            for call, result in zip(calls, results, strict=True)
            if isinstance(result, _Failure) and result.unavailable
        }
        if down and down == {tool.name for tool in self.offered.tools}:
            raise ToolError("tool_unavailable", f"no tool of agent `{self.agent.name}` is available")


class _Wish(NamedTuple):
    """A call that may be made."""

    tool: ToolPlan
    arguments: Json


class _Failure(msgspec.Struct, frozen=True):
    """A call that failed, as the model is told."""

    message: str
    unavailable: bool = False


def _told(result: Json) -> str:
    if isinstance(result, _Failure):
        return f"error: {result.message}"
    return encode(result).decode()


def _argument_problems(tool: ToolPlan, arguments: Json) -> list[str]:
    if isinstance(arguments, str):
        return ["its arguments are no JSON object"]
    return tool.check_arguments(arguments)


def _opening(agent: AgentPlan, names: Mapping[str, Json]) -> list[Message]:
    messages = []
    if agent.instructions is not None:
        messages.append(Message("system", _text(agent.instructions(names))))
    for prompt, answer in agent.examples:
        messages.append(Message("user", prompt))
        messages.append(Message("assistant", _text(answer)))
    return messages


def _history(node: AgentNode, names: Mapping[str, Json]) -> list[Message]:
    if node.history is None:
        return []
    kept = names["state"].get(node.history, ())
    # `keep` may have dropped a call and kept its results, which servers refuse
    whole = dropwhile(lambda message: message["role"] == "tool", kept)
    return [msgspec.convert(message, Message) for message in whole]


def chosen(model: Model, names: Mapping[str, Json]) -> Model:
    """The model with every choice in it made. Raises NodeError for a name that is not among those it may be."""
    match model:
        case ModelPlan():
            return model
        case ModelGroup(members=members):
            return replace(model, members=tuple(chosen(member, names) for member in members))
        case ModelChoice(by=by, among=among):
            name = by(names)
            if name not in among:
                known = ", ".join(among)
                raise NodeError(
                    "expression", f"models.{model.name}.choose gives `{name}`, and it may be: {known}"
                )
            return chosen(among[name], names)
        case _:
            assert_never(model)


def addressed(request: ChatRequest, model: ModelPlan) -> ChatRequest:
    """The request as it is put to one model, with what the file says of a call of it."""
    return msgspec.structs.replace(
        request,
        model=model.model,
        temperature=model.temperature,
        max_output_tokens=model.max_output_tokens,
        reasoning=model.reasoning,
        extra=dict(model.extra),
    )


def is_usable(agent: AgentPlan, reply: ChatReply) -> bool:
    """Whether a reply calls tools, or answers in the shape that the agent has to."""
    return bool(reply.calls) or _read(agent, reply)[1] is None


def _read(agent: AgentPlan, reply: ChatReply) -> tuple[Json, str | None]:
    """The answer in its shape, or what is wrong with it."""
    if reply.finish == "length":
        return None, "it was cut off by max_output_tokens"
    if agent.output is None:
        return reply.text, None if reply.text.strip() else "it is empty"
    try:
        answer = decode(reply.text)
    except ValueError:
        return None, "it is not JSON"
    return answer, TOO_DEEP if too_deep(answer) else agent.check_output(answer)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else encode(value).decode()


def _with_context(result: NodeResult, heard: Heard) -> NodeResult:
    """The result, and what the context policy takes out of the history and puts into the summary."""
    if not heard.writes:
        return result
    at = len(result.writes)
    moved = [replace(each, at=(at + int(each.at[0]), *each.at[1:])) for each in heard.references]
    return NodeResult([*result.writes, *heard.writes], (*result.references, *moved))


def _with_history(field: str, result: NodeResult, talk: _Talk, said: str, heard: int) -> NodeResult:
    """The result, and the conversation's new messages written to the history field."""
    spoken = [Message("user", said), *talk.messages[heard + 1 :]]
    at = len(result.writes)
    references = [
        Reference((at, 1, index - heard, "content"), key, part)
        for index, (key, part) in talk.keys.items()
        if worth_referring(talk.messages[index].content)
    ]
    write = (field, [msgspec.to_builtins(message) for message in spoken])
    return NodeResult([*result.writes, write], (*result.references, *references))
