"""Laws of SingleFlight and side_by_side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.concurrency import SingleFlight, side_by_side


@dataclass
class Runs:
    """A work that counts itself and ends when told."""

    begun: int = 0
    ended: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> str:
        self.begun += 1
        await self.gate.wait()
        self.ended += 1
        return f"run {self.begun}"


async def turns(count: int = 5) -> None:
    """Let everything that can go on, go on."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_ten_thousand_identical_calls_make_one_execution() -> None:
    async def main() -> None:
        flights: SingleFlight[str, str] = SingleFlight()
        work = Runs()
        calls = [asyncio.create_task(flights.run("k", work)) for _ in range(10_000)]
        await turns()
        work.gate.set()
        assert set(await asyncio.gather(*calls)) == {"run 1"}
        assert work.begun == 1

    asyncio.run(main())


def test_other_keys_run_by_themselves_and_nothing_is_remembered() -> None:
    async def main() -> None:
        flights: SingleFlight[str, str] = SingleFlight()
        work = Runs()
        work.gate.set()
        await asyncio.gather(flights.run("a", work), flights.run("b", work))
        assert work.begun == 2
        await flights.run("a", work)
        assert work.begun == 3

    asyncio.run(main())


def test_a_cancelled_leader_passes_the_lead_on() -> None:
    async def main() -> None:
        flights: SingleFlight[str, str] = SingleFlight()
        work = Runs()
        leader, *waiters = [asyncio.create_task(flights.run("k", work)) for _ in range(4)]
        await turns()
        leader.cancel()
        await turns()
        assert work.begun == 2
        work.gate.set()
        assert await asyncio.gather(*waiters) == ["run 2"] * 3
        assert leader.cancelled()

    asyncio.run(main())


def test_a_waiter_cancelled_as_it_is_given_the_lead_passes_it_on() -> None:
    async def main() -> None:
        flights: SingleFlight[str, str] = SingleFlight()
        work = Runs()
        leader, second, third = [asyncio.create_task(flights.run("k", work)) for _ in range(3)]
        await turns()
        leader.cancel()
        await asyncio.sleep(0)  # the leader has passed the lead on, `second` has not run yet
        second.cancel()
        await turns()
        assert work.begun == 2
        work.gate.set()
        assert await third == "run 2"
        assert second.cancelled()

    asyncio.run(main())


def test_a_failing_leader_fails_all_with_the_same_error() -> None:
    async def main() -> None:
        flights: SingleFlight[str, str] = SingleFlight()
        gate = asyncio.Event()
        error = ValueError("no such page")

        async def fail() -> str:
            await gate.wait()
            raise error

        calls = [asyncio.create_task(flights.run("k", fail)) for _ in range(100)]
        await turns()
        gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        assert all(outcome is error for outcome in outcomes)
        depth, frame = 0, error.__traceback__
        while frame is not None:
            depth, frame = depth + 1, frame.tb_next
        assert depth < 10

    asyncio.run(main())


def test_a_cancelled_waiter_disturbs_nobody() -> None:
    async def main() -> None:
        flights: SingleFlight[str, str] = SingleFlight()
        work = Runs()
        leader, second, third = [asyncio.create_task(flights.run("k", work)) for _ in range(3)]
        await turns()
        second.cancel()
        await turns()
        work.gate.set()
        assert await asyncio.gather(leader, third) == ["run 1"] * 2
        assert work.begun == 1

    asyncio.run(main())


@settings(max_examples=60, deadline=None)
@given(
    callers=st.integers(1, 8), cancels=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 2)), max_size=8)
)
def test_whoever_is_not_cancelled_gets_the_value(callers: int, cancels: list[tuple[int, int]]) -> None:
    """Any order of cancellations: one run at a time, no lost waiter, nobody sees another's cancellation."""

    async def main() -> None:
        flights: SingleFlight[str, str] = SingleFlight()
        gate = asyncio.Event()
        running = 0

        async def work() -> str:
            nonlocal running
            running += 1
            assert running == 1
            try:
                await gate.wait()
            finally:
                running -= 1
            return "value"

        calls = [asyncio.create_task(flights.run("k", work)) for _ in range(callers)]
        await turns()
        cancelled = set()
        for who, wait in cancels:
            if who < callers:
                cancelled.add(who)
                calls[who].cancel()
            await turns(wait)
        await turns()
        gate.set()
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        for who, outcome in enumerate(outcomes):
            assert (outcome == "value") is (who not in cancelled)
        assert len(flights) == 0

    asyncio.run(main())


@settings(max_examples=60, deadline=None)
@given(works=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=20), limit=st.integers(1, 6))
def test_results_stand_in_order_and_never_more_than_the_limit_run(
    works: list[tuple[int, bool]], limit: int
) -> None:
    async def main() -> None:
        running = most = 0

        def make(index: int, yields: int, fails: bool) -> Callable[[], Awaitable[int]]:
            async def work() -> int:
                nonlocal running, most
                running += 1
                most = max(most, running)
                await turns(yields)
                running -= 1
                if fails:
                    raise KeyError(index)
                return index

            return work

        made = [make(index, yields, fails) for index, (yields, fails) in enumerate(works)]
        results = await side_by_side(made, limit)
        for index, (_, fails) in enumerate(works):
            found = results[index]
            assert (isinstance(found, KeyError) and found.args == (index,)) if fails else found == index
        assert len(results) == len(works)
        assert most <= limit
        slow = sum(yields > 0 for yields, _ in works)
        assert most >= min(limit, slow, 2)  # and they do run side by side

    asyncio.run(main())


def test_one_work_makes_no_task_and_a_thousand_make_only_the_limit() -> None:
    async def main() -> None:
        seen = set()

        async def who() -> None:
            seen.add(asyncio.current_task())
            await asyncio.sleep(0)

        await side_by_side([who], limit=8)
        assert seen == {asyncio.current_task()}
        seen.clear()
        await side_by_side([who] * 1000, limit=8)
        assert len(seen) == 8

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 5])
def test_cancelling_the_caller_cancels_and_awaits_what_runs(count: int) -> None:
    async def main() -> None:
        begun = cleaned = 0

        async def work() -> None:
            nonlocal begun, cleaned
            begun += 1
            try:
                await asyncio.Event().wait()
            finally:
                await turns()  # cleaning up takes a while
                cleaned += 1

        caller = asyncio.create_task(side_by_side([work] * count, limit=3))
        await turns()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert begun == cleaned == min(count, 3)

    asyncio.run(main())


@pytest.mark.parametrize("count", [1, 3])
def test_a_work_that_cancels_itself_is_a_result(count: int) -> None:
    async def main() -> None:
        async def work() -> None:
            raise asyncio.CancelledError

        results = await side_by_side([work] * count, limit=2)
        assert [type(result) for result in results] == [asyncio.CancelledError] * count

    asyncio.run(main())


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        asyncio.run(side_by_side([], limit=0))
