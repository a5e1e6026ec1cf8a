"""The circuit breaker around calls: what counts, when it opens, who tries, and what clocks and faults cannot do to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agentctl.errors import BreakerOpen, ErrorClass, StoreError, ToolError
from agentctl.graph.compile import compile_graph
from agentctl.graph.plan import PythonWork, ToolNode, ToolPlan
from agentctl.spec.document import read_document
from agentctl.store.breakers import DiskBreakers
from agentctl.store.folder import open_breakers
from agentctl.store.memory import MemoryBreakers
from agentctl.store.protocols import CLOSED, Breakers, BreakerState
from agentctl.tools.breaker import ToolBreakers, breaker_key, finding
from tests.tools.breaking import SetClock, guarded
from tests.tools.kinds import tool_of

Json = Any
DAY = 86_400.0


@dataclass
class Bench:
    """A tool behind a breaker that opens after 2 failures for 60 s; `told` are its events."""

    store: Breakers = field(default_factory=MemoryBreakers)
    clock: SetClock = field(default_factory=SetClock)
    tool: ToolPlan = field(default_factory=guarded)
    told: list[tuple[str, dict[str, Json]]] = field(default_factory=list)
    made: int = 0

    def __post_init__(self) -> None:
        self.breakers = ToolBreakers(self.store, lambda tool: tool.name, self.clock)

    async def acall(self, error: BaseException | None = None) -> str:
        """`ok`, `open: …`, or the message of the error that the work raised."""

        async def work() -> Json:
            self.made += 1
            if error is not None:
                raise error

        return await self.through(work)

    async def through(self, work: Callable[[], Awaitable[Json]]) -> str:
        try:
            await self.breakers.guard(self.tool, lambda type, data: self.told.append((type, data)), work)
        except BreakerOpen as refused:
            return f"open: {refused.message}"
        except ToolError as failed:
            return failed.message
        return "ok"

    def call(self, error: BaseException | None = None) -> str:
        return asyncio.run(self.acall(error))

    def open(self) -> None:
        """Two failures in a row."""
        for _ in range(2):
            self.call(failure())
        assert self.state.opened is not None

    @property
    def state(self) -> BreakerState:
        return asyncio.run(self.store.get(self.tool.name))

    @property
    def types(self) -> list[str]:
        return [type.removeprefix("breaker.") for type, _ in self.told]


def failure(error_class: ErrorClass = "timeout", *, retryable: bool = True) -> ToolError:
    return ToolError(error_class, "it failed", retryable=retryable)


@pytest.mark.parametrize(
    ("error_class", "retryable", "found"),
    [
        ("timeout", True, "fails"),
        ("tool_unavailable", True, "fails"),
        ("tool_unavailable", False, "fails"),
        ("server", True, "fails"),
        ("rate_limited", True, "fails"),
        ("tool_failed", True, "fails"),
        ("tool_failed", False, "nothing"),
        ("refused", False, "works"),
        ("bad_answer", True, "nothing"),
        ("limit", True, "nothing"),
    ],
)
def test_what_an_error_says_of_its_tool(error_class: ErrorClass, retryable: bool, found: str) -> None:
    assert finding(failure(error_class, retryable=retryable)) == found


def test_failures_in_a_row_open_it_and_it_says_since_when_and_until_when() -> None:
    bench = Bench()
    bench.open()
    bench.clock.pass_by(18)
    assert bench.call() == (
        "open: tool `look` is not called: its last 2 calls failed, the last 18s ago; "
        "it will be tried again in 42s"
    )
    assert bench.made == 2
    assert bench.told == [
        ("breaker.opened", {"failures": 2, "cooldown": 60.0, "error": "it failed"}),
        ("breaker.refused", {"retry_in": 42.0}),
    ]


def test_a_success_between_failures_sets_the_count_to_0() -> None:
    bench = Bench()
    for error in (failure(), None, failure(), failure("refused", retryable=False), failure()):
        bench.call(error)
    assert (bench.state.failures, bench.told) == (1, [])


@pytest.mark.parametrize("error", [failure("tool_failed", retryable=False), failure("limit")])
def test_what_says_nothing_of_the_tool_leaves_the_count_as_it_is(error: ToolError) -> None:
    bench = Bench()
    bench.call(failure())
    bench.call(error)
    assert bench.state.failures == 1
    bench.call(failure())
    assert bench.state.opened is not None


def test_after_the_cooldown_one_trial_closes_it_or_opens_it_again() -> None:
    bench = Bench()
    bench.open()
    bench.clock.pass_by(60)
    assert bench.call(failure()) == "it failed"
    assert bench.state.failures == 3
    assert bench.call().startswith("open: tool `look` is not called: its last 3 calls failed")
    bench.clock.pass_by(60)
    assert bench.call() == "ok"
    assert bench.state == CLOSED
    assert bench.call() == "ok"
    assert bench.types == ["opened", "half_open", "opened", "refused", "half_open", "closed"]


def test_an_answer_of_a_healthy_server_closes_it_though_it_is_no_success() -> None:
    bench = Bench()
    bench.open()
    bench.clock.pass_by(60)
    bench.call(failure("refused", retryable=False))
    assert (bench.state, bench.types[-1]) == (CLOSED, "closed")


def test_while_one_call_tries_the_others_are_refused_and_none_hides_the_tool_twice() -> None:
    bench = Bench()
    bench.open()
    bench.clock.pass_by(60)

    async def work() -> None:
        assert await bench.breakers.refusing([bench.tool]) == []
        goes_on = asyncio.Event()
        trial = asyncio.create_task(bench.through(goes_on.wait))
        await asyncio.sleep(0)
        assert await bench.breakers.refusing([bench.tool, guarded("dig")]) == ["look"]
        others = await asyncio.gather(*(bench.acall() for _ in range(20)))
        assert all(said.endswith("it is being tried again by another call") for said in others)
        goes_on.set()
        assert await trial == "ok"
        assert await bench.breakers.refusing([bench.tool]) == []

    asyncio.run(work())
    assert bench.types.count("half_open") == 1


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), failure("limit"), StoreError("the disk is full")]
)
def test_a_trial_that_says_nothing_is_given_up_to_the_next_call(error: BaseException) -> None:
    bench = Bench()
    bench.open()
    bench.clock.pass_by(60)
    with suppress(asyncio.CancelledError, StoreError):
        bench.call(error)
    assert bench.state.trial is None
    assert bench.state.opened is not None
    assert bench.call() == "ok"
    assert bench.types[-3:] == ["half_open", "half_open", "closed"]


def test_a_cancelled_call_does_not_count() -> None:
    bench = Bench()
    bench.call(failure())
    with pytest.raises(asyncio.CancelledError):
        bench.call(asyncio.CancelledError())
    assert bench.state.failures == 1


def test_calls_that_were_begun_before_it_opened_say_nothing_afterwards() -> None:
    bench = Bench()

    async def work() -> None:
        slow = [asyncio.Event(), asyncio.Event()]
        late = asyncio.create_task(bench.through(slow[0].wait))
        failing = asyncio.create_task(bench.through(_failing_after(slow[1])))
        await asyncio.sleep(0)
        for _ in range(2):
            await bench.acall(failure())
        opened = await bench.store.get("look")
        bench.clock.pass_by(10)
        for event in slow:
            event.set()
        await asyncio.gather(late, failing)
        assert await bench.store.get("look") == opened

    asyncio.run(work())
    assert bench.types == ["opened"]


def test_a_trial_that_is_stopped_may_be_taken_over_once_its_time_is_over() -> None:
    bench = Bench()
    bench.open()
    bench.clock.pass_by(60)

    async def work() -> None:
        goes_on = asyncio.Event()
        stopped = asyncio.create_task(bench.through(_failing_after(goes_on)))
        await asyncio.sleep(0)
        assert (await bench.acall()).startswith("open: ")
        bench.clock.pass_by(5 + 30)  # its timeout, and what a worker may take to start
        assert await bench.acall() == "ok"
        goes_on.set()
        await stopped
        assert await bench.store.get("look") == CLOSED

    asyncio.run(work())


@pytest.mark.parametrize("set_by", [DAY, -DAY])
def test_a_wall_clock_that_is_set_neither_opens_nor_closes_it(set_by: float) -> None:
    bench = Bench()
    bench.open()
    bench.clock.set_wall(set_by)
    bench.clock.pass_by(59)
    assert bench.call().endswith("it will be tried again in 1.0s")
    bench.clock.pass_by(1)
    assert bench.call() == "ok"


def test_after_a_reboot_it_waits_for_the_rest_of_its_cooldown_and_never_longer() -> None:
    bench = Bench()
    bench.open()
    bench.clock.reboot(20)
    assert bench.call().endswith("it will be tried again in 40s")
    bench.clock.reboot(5, wall=-DAY)
    assert bench.call() == "ok"


class Broken(MemoryBreakers):
    """A store that cannot be used."""

    async def get(self, key: str) -> BreakerState:
        raise StoreError("the disk is gone")

    async def recover(self, key: str, error: StoreError) -> None:
        raise error


def test_a_store_that_fails_stops_no_call_and_is_told() -> None:
    bench = Bench(Broken())
    assert (bench.call(failure()), bench.call()) == ("it failed", "ok")
    assert asyncio.run(bench.breakers.refusing([bench.tool])) == []
    assert {type for type, _ in bench.told} == {"warning"}
    assert bench.told[0][1]["message"] == (
        "the breaker of `look` counts as closed, for its state cannot be kept: the disk is gone"
    )


def test_damaged_files_are_told_once_and_begun_anew(tmp_path: Path) -> None:
    bench = Bench(open_breakers(tmp_path))
    bench.open()
    asyncio.run(bench.breakers.close())
    (tmp_path / "breakers" / "cache.db").write_bytes(b"no database" * 5000)
    again = Bench(DiskBreakers(tmp_path))
    assert [again.call(), again.call()] == ["ok", "ok"]
    assert [type for type, _ in again.told] == ["warning"]
    again.open()
    assert again.call().startswith("open: ")


def test_a_lock_that_a_stopped_process_holds_stops_no_call(tmp_path: Path) -> None:
    holder, bench = DiskBreakers(tmp_path), Bench(DiskBreakers(tmp_path, patience=0.01))
    with holder._lock.held_sync():
        assert bench.call(failure()) == "it failed"
    assert bench.types == ["warning"]
    assert bench.call() == "ok"


def test_tools_share_a_breaker_when_they_are_the_same_and_reach_the_same(tmp_path: Path) -> None:
    text = "http: 'GET ${{ env.AT }}/search', breaker: {failures: 2}"
    tool, other = tool_of(tmp_path, text, "AT: {}"), tool_of(tmp_path, text + ", timeout: 5s", "AT: {}")
    one, two = {"AT": "http://one"}, {"AT": "http://two"}
    here = breaker_key(tool, one, b"secret", tmp_path)
    assert here.startswith("it/")
    assert breaker_key(tool_of(tmp_path / "b", text, "AT: {}"), one, b"secret", tmp_path / "b") == here
    others = {
        breaker_key(tool, two, b"secret", tmp_path),
        breaker_key(tool, one, b"other", tmp_path),
        breaker_key(other, one, b"secret", tmp_path),
        breaker_key(replace(tool, name="that"), one, b"secret", tmp_path),
    }
    assert len(others | {here}) == 5


def test_two_files_named_alike_are_two_tools(tmp_path: Path) -> None:
    found = set()
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        (folder / "tools.py").write_text("def look() -> str:\n    return ''\n")
        tool = tool_of(folder, "python: 'tools:look', breaker: {failures: 2}")
        assert isinstance(tool.work, PythonWork)
        found.add(breaker_key(tool, {}, b"", tmp_path))
    assert len(found) == 2


def test_two_stores_named_alike_are_two(tmp_path: Path) -> None:
    found = set()
    for path in ("one", "two"):
        (tmp_path / path).mkdir()
        (tmp_path / path / "graph.yaml").write_text(
            "agentctl: 1\nname: kinds\nstores: {notes: {path: ./notes}}\ntools:\n"
            "  it: {store: notes, operation: get, breaker: {failures: 2}}\n"
            "start: go\nnodes:\n  go: {tool: it, args: {id: x}, then: end}\n"
        )
        node = compile_graph(read_document(tmp_path / path / "graph.yaml")).nodes["go"]
        assert isinstance(node, ToolNode)
        found.add(breaker_key(node.tool, {}, b"secret", tmp_path))
    assert len(found) == 2


def _failing_after(event: asyncio.Event) -> Callable[[], Awaitable[Json]]:
    async def work() -> Json:
        await event.wait()
        raise failure()

    return work
