"""What of a long conversation is sent: the summary, passages recalled, the newest messages. The rest is archived.

What leaves is summarised, archived and taken out of the history by one step: its effects are on the tape, and its
checkpoint writes the summary and the shortened history together. Where that cannot be done the history stays as it
is, whole, and the next turn tries again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from agentctl.errors import NodeError, ToolError
from agentctl.expressions import ExpressionError
from agentctl.graph.plan import AgentNode, AgentPlan, ContextPlan, ToolPlan
from agentctl.json import Json, encode
from agentctl.messages import Message
from agentctl.nodes.saving import worth_referring
from agentctl.nodes.turn import NodeTurn, Part, Place, Reference
from agentctl.spec.fits import completed
from agentctl.state import Drop, Write

LONGEST_SUMMARY = 16_000
"""Characters; or a quarter of what it stands for, where that is more: a summary that only grows bounds nothing."""
LONGEST_QUESTION = 2_000
"""Characters of a prompt that are searched for."""
_BYTES_A_TOKEN = 4
_TOKENS_A_MESSAGE = 4
"""What a message takes beside its text."""


class Answered(NamedTuple):
    """What an agent answered, and where that is on the tape."""

    answer: Json
    effect: str
    part: Part


Ask = Callable[[NodeTurn, AgentPlan, str, Place], Awaitable[Answered]]
"""Asks an agent outside of any conversation."""


class Heard(NamedTuple):
    """The conversation as it is sent before the prompt, and what the step writes of it."""

    sent: list[Message]
    writes: list[Write]
    references: tuple[Reference, ...] = ()
    """Places in `writes`."""


async def heard_of(
    turn: NodeTurn, node: AgentNode, place: Place, heard: list[Message], prompt: str, ask: Ask
) -> Heard:
    """What an agent with a context policy hears of its history, `heard`. Raises what its effects raise but for errors
    of summary, archive and recall, without which it goes on; a policy of one's own has to work."""
    plan = node.agent.context
    if plan is None or node.history is None:
        return Heard(heard, [])
    context = _Context(turn, plan, node.history, place._replace(path=f"{place.path}/context"), ask)
    if plan.policy is not None:
        return Heard(await context.by_policy(plan.policy, heard), [])
    kept, writes, references = await context.shortened(heard)
    recalled = await context.recalled(prompt)
    summary = context.summary
    memory = [Message("user", _memory(summary, recalled))] if summary or recalled else []
    return Heard([*memory, *kept], writes, references)


def cut_at(messages: Sequence[Message], window: int) -> int:
    """Where the last `window` messages begin: before a call rather than between it and its results.

    0 where nothing can be taken away.
    """
    wanted = len(messages) - window
    if wanted <= 0:
        return 0
    order: list[int] = [*range(wanted, 0, -1), *range(wanted + 1, len(messages))]
    for cut in order:
        if messages[cut].role != "tool":
            return cut
    return 0


class Counted(NamedTuple):
    """How many tokens messages take, and by whose count."""

    tokens: int
    by: Literal["usage", "estimate"]
    """`usage`: what the model said its replies took, and the other messages in proportion to their length."""


def tokens_of(messages: Sequence[Message]) -> Counted:
    """How many tokens messages take: where no model has said, one for four bytes, and four for each message."""
    known = [message for message in messages if message.tokens is not None]
    tokens = sum(message.tokens or 0 for message in known)
    others = [message for message in messages if message.tokens is None]
    bytes_a_token = float(_BYTES_A_TOKEN)
    if known:
        bytes_a_token = min(max(_size(known) / tokens, 1), 2 * _BYTES_A_TOKEN)
    tokens += int(_size(others) / bytes_a_token) + _TOKENS_A_MESSAGE * len(others)
    return Counted(tokens, "usage" if known else "estimate")


class _Context:
    """The policy of one agent, at work in one step."""

    def __init__(self, turn: NodeTurn, plan: ContextPlan, field: str, place: Place, ask: Ask) -> None:
        self.turn = turn
        self.plan = plan
        self.field = field
        self.place = place
        self.ask = ask
        self.summary = "" if plan.into is None else _text(turn.names["state"].get(plan.into))

    async def by_policy(self, policy: ToolPlan, heard: list[Message]) -> list[Message]:
        """What a function of one's own makes of the messages. Raises ToolError."""
        given = {"messages": [msgspec.to_builtins(message) for message in heard]}
        answer = await self.turn.call_tool(self._place("policy"), policy, given)
        try:
            messages = [msgspec.convert(message, Message) for message in answer]
        except msgspec.ValidationError as error:
            raise _unfit(policy, str(error)) from error
        asked: set[str] = set()
        for message in messages:
            if message.role == "tool" and message.call_id not in asked:
                raise _unfit(policy, f"the tool result `{message.call_id}` stands without its call")
            asked.update(call.id for call in message.calls)
        return messages

    async def shortened(
        self, heard: list[Message]
    ) -> tuple[list[Message], list[Write], tuple[Reference, ...]]:
        """The messages to send word for word, and the writes that take the others out of the history."""
        plan = self.plan
        cut = cut_at(heard, plan.window)
        if not plan.leaves:
            return heard[cut:], [], ()
        counted = tokens_of(heard)
        if cut == 0 or (counted.tokens if plan.counts_tokens else len(heard)) <= plan.over:
            return heard, [], ()
        old = heard[:cut]
        # a call that `keep` parted from its results is not sent, and goes with the rest
        parted = len(self.turn.names["state"][self.field]) - len(heard)
        try:
            written = await self._summarised(old)
            await self._archived(old)
        except (NodeError, ExpressionError) as error:
            self._failed("shortened", error)
            return heard, [], ()
        writes: list[Write] = [(self.field, Drop(parted + cut))]
        references: tuple[Reference, ...] = ()
        if written is not None:
            self.summary = _text(written.answer)
            writes.insert(0, (str(plan.into), self.summary))
            if isinstance(written.answer, str) and worth_referring(written.answer):
                references = (Reference((0, 1), written.effect, written.part),)
        self.turn.tell(
            self.place,
            "context.summarised" if written is not None else "context.archived",
            field=self.field,
            messages=cut,
            kept=len(heard) - cut,
            tokens=counted.tokens,
            counted=counted.by,
        )
        return heard[cut:], writes, references

    async def recalled(self, prompt: str) -> list[Json]:
        """What the archive has for the prompt, of this thread."""
        plan = self.plan
        if plan.recall is None or not prompt.strip():
            return []
        asked = {
            "query": prompt[:LONGEST_QUESTION],
            "top": plan.passages,
            "metadata": {"thread": self.turn.names["run"]["thread"]},
        }
        try:
            found = await self.turn.call_tool(
                self._place("recall"), plan.recall, completed(plan.recall.parameters, asked)
            )
        except NodeError as error:
            self._failed("recalled", error)
            return []
        passages: list[Json] = list(found)
        self.turn.tell(self.place, "context.recalled", passages=len(passages))
        return passages

    async def _summarised(self, old: Sequence[Message]) -> Answered | None:
        """The new summary, of the one before and what leaves. Raises NodeError."""
        condenser = self.plan.condenser
        if condenser is None:
            return None
        said = _conversation(old)
        written = await self.ask(self.turn, condenser, _request(self.summary, said), self.place)
        longest = max(LONGEST_SUMMARY, (len(self.summary) + len(said)) // 4)
        length = len(_text(written.answer))
        if length > longest:
            message = f"agent `{condenser.name}` wrote a summary of {length} characters, and {longest} may be"
            raise NodeError("bad_answer", message, origin="model")
        return written

    async def _archived(self, old: Sequence[Message]) -> None:
        """Keep what leaves, each message under its place in the thread. Raises ToolError."""
        if self.plan.archive is None:
            return
        run = self.turn.names["run"]
        documents = [
            {
                "text": _content(message),
                "metadata": {
                    "thread": run["thread"],
                    "turn": run["turn"],
                    "step": self.place.path.removesuffix("/context"),
                    "n": n,
                    "role": message.role,
                },
            }
            for n, message in enumerate(old, 1)
        ]
        await self.turn.call_tool(self._place("archive"), self.plan.archive, {"documents": documents})

    def _place(self, what: str) -> Place:
        return self.place._replace(path=f"{self.place.path}/{what}")

    def _failed(self, what: str, error: NodeError | ExpressionError) -> None:
        """Tell that it goes on without; nothing of the conversation is lost."""
        self.turn.tell(self.place, "context.failed", field=self.field, what=what, error=error.message)
        message = f"`{self.field}` could not be {what}, and the agent went on without: {error.message}"
        self.turn.tell(self.place, "warning", message=message)


def _memory(summary: str, passages: Sequence[Json]) -> str:
    parts = []
    if summary:
        parts.append(f"What was said before, in short:\n{summary}")
    if passages:
        found = "\n".join(f"- {_source(passage['metadata'])}: {passage['text']}" for passage in passages)
        parts.append(f"From earlier in this conversation:\n{found}")
    return "\n\n".join(parts)


def _source(metadata: Mapping[str, Json]) -> str:
    return f"[{metadata.get('role', 'document')}, left in turn {metadata.get('turn', '?')}]"


def _request(summary: str, said: str) -> str:
    before = f"The summary so far:\n{summary}\n\n" if summary else ""
    return (
        f"{before}What was said since:\n{said}\n\n"
        "Write one summary of all this, to go on from when these messages are gone."
    )


def _conversation(messages: Sequence[Message]) -> str:
    return "\n".join(_line(message) for message in messages)


def _size(messages: Sequence[Message]) -> int:
    """Bytes of their texts."""
    return sum(len(_line(message).encode(errors="replace")) for message in messages)


def _line(message: Message) -> str:
    return f"{message.role}: {_content(message)}"


def _content(message: Message) -> str:
    """A message as one text, the calls in it too."""
    calls = [f"{call.name} {_text(call.arguments)}" for call in message.calls]
    return "\n".join([*([message.content] if message.content else []), *calls])


def _text(value: Json) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else encode(value).decode()


def _unfit(policy: ToolPlan, why: str) -> ToolError:
    return ToolError("tool_failed", f"`{policy.name}` answered no conversation: {why}", retryable=False)
