"""Several models asked as one: the next when one is down, all at once for the first good answer, or for equal ones."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, Protocol, Self, TypeVar

from agentctl.errors import AgentctlError, CannotRun, ModelError
from agentctl.json import canonical, decode
from agentctl.messages import ChatReply, Usage

CHARACTERS_A_TOKEN = 4
"""What an estimate of a cancelled answer's tokens goes by."""

M = TypeVar("M")
A = TypeVar("A", contravariant=True)
OnDelta = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """One model that was asked, and what became of it."""

    model: str
    usage: Usage
    cost: float | None
    """US dollars; None when there is no price."""
    outcome: Literal["answered", "failed", "cancelled"]
    error: str | None = None

    @property
    def is_estimated(self) -> bool:
        """A provider says what a call used at its end, which a cancelled one does not reach."""
        return self.outcome == "cancelled"


class ModelAnswer(NamedTuple):
    """A reply, and everyone who was asked for it, in the order written; the one that gave it among them."""

    reply: ChatReply
    model: str
    asked: tuple[Asked, ...]

    @classmethod
    def of(cls, reply: ChatReply, model: str, cost: float | None) -> Self:
        """The answer of a model that was asked alone."""
        return cls(reply, model, (Asked(model, reply.usage, cost, "answered"),))

    @property
    def usage(self) -> Usage:
        """Tokens of all who were asked."""
        return sum((each.usage for each in self.asked), Usage())

    @property
    def cost(self) -> float | None:
        """US dollars of all who were asked; None when one of them has no price."""
        costs = [each.cost for each in self.asked]
        return None if None in costs else sum(cost for cost in costs if cost is not None)


class Asking(Protocol[A]):
    """How one member is asked; it may be a group itself."""

    def name(self, member: A) -> str:
        """What a person calls it."""

    async def ask(self, member: A, on_delta: OnDelta) -> ModelAnswer:
        """Its answer. Raises ModelError, CannotRun."""

    def cost(self, member: A, usage: Usage) -> float | None:
        """What so many tokens of it cost."""


OnFailed = Callable[[str, str], None]
"""Told of a member that failed: its name, and what was wrong."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """What the one who asks hears meanwhile, and what is good enough."""

    on_delta: OnDelta = lambda text: None
    on_retry: Callable[[AgentctlError, float], None] = lambda error, wait: None
    on_failed: OnFailed = lambda model, error: None
    is_good: Callable[[ChatReply], bool] = lambda reply: True


async def first_up(
    asking: Asking[M], members: Sequence[M], on_delta: OnDelta, on_failed: OnFailed
) -> ModelAnswer:
    """The answer of the first member that gives one, asked one after the other. Raises the last one's error."""
    failed: list[Asked] = []
    for number, member in enumerate(members, 1):
        try:
            answer = await asking.ask(member, on_delta)
        except (ModelError, CannotRun) as error:
            on_failed(asking.name(member), error.message)
            if number == len(members):
                raise
            failed.append(_failed(asking.name(member), error.message))
        else:
            return answer._replace(asked=(*failed, *answer.asked))
    raise AssertionError("a group has members")


async def first_good(
    asking: Asking[M],
    members: Sequence[M],
    is_good: Callable[[ChatReply], bool],
    on_delta: OnDelta,
    on_failed: OnFailed,
) -> ModelAnswer:
    """The first good answer of all members, asked at once; the others are then cancelled.

    Nothing of an answer is shown before it has won. When none is good, the first one that is no error is given.
    Raises the last error when all fail.
    """
    async with _Field(asking, members, on_failed) as field:
        best: int | None = None
        async for number, answer in field.answers():
            if best is None:
                best = number
            if is_good(answer.reply):
                best = number
                break
        return await field.won(best, on_delta)


async def agreed(
    asking: Asking[M],
    members: Sequence[M],
    agree: int,
    is_good: Callable[[ChatReply], bool],
    on_delta: OnDelta,
    on_failed: OnFailed,
) -> ModelAnswer:
    """The answer that `agree` members give, all asked at once; the others are cancelled once it is reached.

    Answers are equal when their JSON is, or else their text without the spaces around it, and they call the same
    tools. One that is not good is no vote. Raises ModelError(bad_answer) when so many can no longer agree, and the
    last error when all fail.
    """
    async with _Field(asking, members, on_failed) as field:
        votes: Counter[bytes] = Counter()
        async for number, answer in field.answers():
            if is_good(answer.reply):
                ballot = _ballot(answer.reply)
                votes[ballot] += 1
                if votes[ballot] >= agree:
                    return await field.won(number, on_delta)
            if max(votes.values(), default=0) + field.open < agree:
                break
        if field.have_all_failed:
            return await field.won(None, on_delta)
        most = max(votes.values(), default=0)
        raise ModelError(
            "bad_answer",
            f"{agree} of {len(members)} models have to agree, and at most {most} did",
            hint="lower `agree`, ask more models, or give the answer a closed `output`",
        )


def _failed(name: str, message: str) -> Asked:
    return Asked(name, Usage(), 0.0, "failed", message)


def _ballot(reply: ChatReply) -> bytes:
    text: object = reply.text.strip()
    with suppress(ValueError):  # no JSON: a text, which is compared as such
        text = decode(reply.text)
    return canonical([text, [[call.name, call.arguments] for call in reply.calls]])


class _Field(Generic[M]):
    """All members, asked at once. Leaving it cancels those who are still at it, and waits for them."""

    def __init__(self, asking: Asking[M], members: Sequence[M], on_failed: OnFailed) -> None:
        self._asking = asking
        self._members = members
        self._on_failed = on_failed
        self._said: list[list[str]] = [[] for _ in members]
        self._tasks: list[asyncio.Task[ModelAnswer]] = []
        self._answers: dict[int, ModelAnswer] = {}
        self._errors: dict[int, ModelError | CannotRun] = {}

    async def __aenter__(self) -> Self:
        for member, said in zip(self._members, self._said, strict=True):
            self._tasks.append(asyncio.ensure_future(self._asking.ask(member, said.append)))
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._cancel()

    def is_open(self, number: int) -> bool:
        """Whether a member has neither answered nor failed, as far as was looked."""
        return number not in self._answers and number not in self._errors

    @property
    def open(self) -> int:
        """How many have neither answered nor failed."""
        return sum(map(self.is_open, range(len(self._tasks))))

    @property
    def have_all_failed(self) -> bool:
        return len(self._errors) == len(self._tasks)

    async def answers(self) -> AsyncIterator[tuple[int, ModelAnswer]]:
        """Answers with their members' numbers, as they come; of several at once the one written first."""
        waiting = set(self._tasks)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for number in sorted(self._tasks.index(task) for task in done):
                answer = self._taken(number)
                if answer is not None:
                    yield number, answer

    def _taken(self, number: int) -> ModelAnswer | None:
        try:
            answer = self._answers[number] = self._tasks[number].result()
        except (ModelError, CannotRun) as error:
            self._errors[number] = error
            self._on_failed(self._asking.name(self._members[number]), error.message)
            return None
        return answer

    async def won(self, number: int | None, on_delta: OnDelta) -> ModelAnswer:
        """That member's answer, with what all others did. Raises the last error when there is none."""
        await self._cancel()
        if number is None:
            raise self._errors[max(self._errors)]
        answer = self._answers[number]
        asked: list[Asked] = []
        for other in range(len(self._tasks)):
            asked += self._became(other, answer)
        for text in self._said[number]:
            on_delta(text)
        return answer._replace(asked=tuple(asked))

    def _became(self, number: int, winner: ModelAnswer) -> Sequence[Asked]:
        """What became of a member, once nobody is at it any more."""
        if self.is_open(number) and not self._tasks[number].cancelled():
            self._taken(number)  # it came in between
        if number in self._answers:
            return self._answers[number].asked
        member = self._members[number]
        name = self._asking.name(member)
        if number in self._errors:
            return [_failed(name, self._errors[number].message)]
        # the same prompt was read, and what was said of the answer is known
        written = -(-sum(map(len, self._said[number])) // CHARACTERS_A_TOKEN)
        usage = Usage(input=winner.reply.usage.input, output=written)
        return [Asked(name, usage, self._asking.cost(member, usage), "cancelled")]

    async def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
