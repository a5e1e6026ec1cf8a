"""Models asked as one: who is asked, whose answer it is, and who pays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from agentctl.errors import CannotRun, ModelError
from agentctl.messages import ChatReply, ToolCall, Usage
from agentctl.models.groups import Asked, ModelAnswer, agreed, first_good, first_up

INPUT = Usage(input=100, output=10)


@dataclass
class Member:
    """A model that answers after some turns of the loop, or fails."""

    name: str
    answer: ChatReply | Exception
    after: int = 0
    deltas: tuple[str, ...] = ()
    price: float | None = 0.001
    cancelled: bool = False


@dataclass
class Models:
    """See Asking."""

    asked: list[str] = field(default_factory=list)

    def name(self, member: Member) -> str:
        return member.name

    def cost(self, member: Member, usage: Usage) -> float | None:
        return None if member.price is None else member.price * usage.total

    async def ask(self, member: Member, on_delta: Callable[[str], None]) -> ModelAnswer:
        self.asked.append(member.name)
        for text in member.deltas:
            on_delta(text)
        try:
            for _ in range(member.after):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            member.cancelled = True
            raise
        if isinstance(member.answer, Exception):
            raise member.answer
        usage = member.answer.usage
        return ModelAnswer(
            member.answer, member.name, (Asked(member.name, usage, self.cost(member, usage), "answered"),)
        )


def says(name: str, text: str, after: int = 0, deltas: tuple[str, ...] = ()) -> Member:
    return Member(name, ChatReply(text, usage=INPUT), after, deltas)


def fails(name: str, after: int = 0) -> Member:
    return Member(name, ModelError("server", f"{name} is down"), after)


def fallback(*members: Member) -> tuple[ModelAnswer, list[str], list[str]]:
    models = Models()
    failed: list[str] = []

    def on_failed(name: str, message: str) -> None:
        failed.append(message)

    answer = asyncio.run(first_up(models, members, lambda text: None, on_failed))
    return answer, failed, models.asked


def race(*members: Member, good: Callable[[ChatReply], bool] = lambda reply: True) -> tuple[ModelAnswer, str]:
    shown: list[str] = []
    answer = asyncio.run(first_good(Models(), members, good, shown.append, lambda name, message: None))
    return answer, "".join(shown)


def vote(
    *members: Member, agree: int = 2, good: Callable[[ChatReply], bool] = lambda reply: True
) -> ModelAnswer:
    return asyncio.run(agreed(Models(), members, agree, good, lambda text: None, lambda name, message: None))


def test_a_fallback_asks_the_next_one_only_when_one_is_down() -> None:
    answer, failed, asked = fallback(fails("a"), says("b", "hello"), says("c", "unheard"))
    assert (answer.reply.text, answer.model, asked) == ("hello", "b", ["a", "b"])
    assert failed == ["a is down"]
    assert [each.outcome for each in answer.asked] == ["failed", "answered"]


def test_a_member_without_its_key_is_passed_over_like_one_that_is_down() -> None:
    answer, failed, _ = fallback(Member("a", CannotRun("a has no key")), says("b", "hello"))
    assert (answer.model, failed) == ("b", ["a has no key"])


def test_a_fallback_whose_members_are_all_down_fails_with_the_last_error() -> None:
    with pytest.raises(ModelError, match="b is down"):
        fallback(fails("a"), fails("b"))


def test_a_race_is_won_by_the_first_good_answer_and_the_others_are_cancelled() -> None:
    slow = says("slow", "late", after=1_000_000, deltas=("twelve chars",))
    answer, shown = race(slow, says("fast", "first", after=2, deltas=("fi", "rst")))
    assert (answer.reply.text, answer.model, shown) == ("first", "fast", "first")
    assert slow.cancelled


def test_what_a_cancelled_one_cost_is_estimated_and_counted() -> None:
    slow = says("slow", "late", after=1_000_000, deltas=("twelve chars",))
    answer, _ = race(slow, says("fast", "first"))
    lost, won = answer.asked
    assert (lost.outcome, lost.usage, lost.is_estimated) == ("cancelled", Usage(input=100, output=3), True)
    assert lost.cost == pytest.approx(0.103)
    assert won.usage == INPUT
    assert answer.usage == Usage(input=200, output=13)
    assert answer.cost == pytest.approx(0.213)


def test_a_bad_answer_does_not_win_a_race_unless_there_is_no_better() -> None:
    def good(reply: ChatReply) -> bool:
        return reply.text == "good"

    assert race(says("a", "bad"), says("b", "good", after=3), good=good)[0].model == "b"
    assert race(says("a", "bad"), fails("b", after=3), good=good)[0].model == "a"


def test_of_two_that_arrive_together_the_one_written_first_wins() -> None:
    assert {race(says("a", "x", after=3), says("b", "y", after=3))[0].model for _ in range(20)} == {"a"}


def test_a_race_that_nobody_ends_fails_and_one_unknown_price_makes_the_whole_unknown() -> None:
    with pytest.raises(ModelError, match="b is down"):
        race(fails("a"), fails("b"))
    answer, _ = race(says("a", "x"), Member("free?", ChatReply("y"), 1_000_000, price=None))
    assert answer.cost is None


def test_equal_json_is_an_equal_vote_and_ends_the_voting() -> None:
    late = says("late", "{}", after=1_000_000)
    answer = vote(says("a", '{"x": 1, "y": 2}'), says("b", '{"y": 2.0, "x": 1}', after=2), late)
    assert (answer.model, late.cancelled) == ("b", True)


def test_a_text_is_voted_on_without_the_spaces_around_it_and_calls_count_too() -> None:
    assert vote(says("a", " yes\n"), says("b", "no"), says("c", "yes", after=2)).model == "c"
    call = ToolCall("1", "look", {"at": 1})
    other = ToolCall("2", "look", {"at": 2})
    asked = [
        Member(name, ChatReply(calls=(c,)), n) for n, (name, c) in enumerate([("a", call), ("b", other)])
    ]
    with pytest.raises(ModelError, match="2 of 2 models have to agree, and at most 1 did"):
        vote(*asked)


def test_what_is_not_good_is_no_vote() -> None:
    with pytest.raises(ModelError) as raised:
        vote(says("a", "x"), says("b", "x"), says("c", "y"), good=lambda reply: reply.text == "y")
    assert raised.value.error_class == "bad_answer"


def test_a_vote_that_can_no_longer_be_won_is_ended_at_once() -> None:
    late = says("late", "z", after=1_000_000)
    with pytest.raises(ModelError, match="3 of 3 models have to agree"):
        vote(says("a", "x"), says("b", "y", after=2), late, agree=3)
    assert late.cancelled


def test_answers_that_are_no_votes_may_end_it_too() -> None:
    late = says("late", "y", after=1_000_000)
    with pytest.raises(ModelError, match="at most 0 did"):
        vote(says("a", "x"), says("b", "x", after=2), late, good=lambda reply: reply.text == "y")
    assert late.cancelled


def test_a_vote_in_which_all_fail_is_the_last_failure() -> None:
    with pytest.raises(ModelError, match="b is down"):
        vote(fails("a"), fails("b"))


def test_a_cancelled_group_leaves_nobody_at_work() -> None:
    members = [says(name, "x", after=1_000_000) for name in "abc"]

    async def cancelled() -> None:
        task = asyncio.ensure_future(
            first_good(Models(), members, lambda reply: True, lambda text: None, lambda name, message: None)
        )
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert all(member.cancelled for member in members)
