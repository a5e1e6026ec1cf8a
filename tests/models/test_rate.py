"""Limits on calls, on a clock that moves when somebody sleeps."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as some

from agentctl.models.rate import RateLimit


class Clock:
    """Seconds that pass only in sleep."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.seconds += seconds


def limit(clock: Clock, requests: int | None = None, tokens: int | None = None) -> RateLimit:
    return RateLimit(requests, tokens, now=clock.now, sleep=clock.sleep)


def begun(clock: Clock, rate: RateLimit, estimates: list[int]) -> list[float]:
    """When each of several calls that came at once was let through, in seconds."""

    async def one(estimate: int) -> float:
        await rate.admit(estimate)
        return clock.now() - 1000.0

    async def all_of_them() -> list[float]:
        return await asyncio.gather(*map(one, estimates))

    return asyncio.run(all_of_them())


def test_a_minutes_worth_goes_at_once_and_the_rest_evenly() -> None:
    clock = Clock()
    assert begun(clock, limit(clock, requests=3), [0] * 5) == pytest.approx([0, 0, 0, 20, 40])


def test_tokens_that_a_call_took_beyond_its_estimate_delay_the_next() -> None:
    clock = Clock()
    rate = limit(clock, tokens=600)
    assert begun(clock, rate, [500]) == [0]
    rate.settle(500, 900)
    assert begun(clock, rate, [100]) == pytest.approx([40])


def test_tokens_that_a_call_did_not_take_are_given_back() -> None:
    clock = Clock()
    rate = limit(clock, tokens=600)
    begun(clock, rate, [600])
    rate.settle(600, 100)
    assert begun(clock, rate, [500]) == [0]


def test_a_call_larger_than_a_minute_allows_goes_once_the_bucket_is_full() -> None:
    clock = Clock()
    assert begun(clock, limit(clock, tokens=100), [50, 1000, 1]) == pytest.approx([0, 30, 30 + 540 + 0.6])


def test_who_is_cancelled_in_line_takes_nothing() -> None:
    clock = Clock()
    rate = limit(clock, requests=1)

    async def tried() -> None:
        await rate.admit(0)
        waiting = asyncio.ensure_future(RateLimit.admit(rate, 0))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        clock.seconds += 60
        assert await rate.admit(0) == 0

    asyncio.run(tried())


@given(
    some.integers(1, 50),
    some.lists(some.integers(0, 100), max_size=30),
)
def test_no_minute_sees_more_than_twice_what_it_allows(requests: int, estimates: list[int]) -> None:
    clock = Clock()
    times = begun(clock, limit(clock, requests=requests), estimates)
    assert times == sorted(times)
    # a full bucket, and what flows in meanwhile
    assert all(sum(start <= at < start + 60 for at in times) <= 2 * requests for start in times)
