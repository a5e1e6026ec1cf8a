"""What every store of threads and every memo does, wherever it keeps them."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentctl.errors import StoreError, ThreadBusy, UsageError
from agentctl.json import Json
from agentctl.store.clock import Moment
from agentctl.store.folder import open_thread_store
from agentctl.store.memo import DiskMemo
from agentctl.store.memory import MemoryContents, MemoryMemo, MemoryThreadStore
from agentctl.store.protocols import Head, Memo, MemoEntry, ThreadStore

OpenStore = Callable[[], ThreadStore]
"""Opens a store at the same place as the one before, as the next process would."""


@pytest.fixture(params=["disk", "disk, synced", "memory"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenStore:
    if request.param == "memory":
        contents = MemoryContents()
        return lambda: MemoryThreadStore(contents)
    durability = "full" if request.param == "disk, synced" else "normal"
    return lambda: open_thread_store(tmp_path, durability=durability)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def test_a_new_thread_has_no_records(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        log = await store.open("t")
        assert (log.thread, log.seq) == ("t", 0)
        assert await log.read() == []
        assert await store.head("t") is None
        assert await store.heads() == []
        await store.close()

    run(work())


def test_records_are_numbered_from_1_without_gaps(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        log = await store.open("t")
        assert await log.append([{"a": 1}, {"a": 2}]) == 2
        assert await log.append([{"a": 3}], sync=True) == 3
        assert log.seq == 3
        assert await log.read() == [(1, {"a": 1}), (2, {"a": 2}), (3, {"a": 3})]
        await store.close()

    run(work())


def test_an_append_of_nothing_changes_nothing(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        log = await store.open("t")
        assert await log.append([]) == 0
        await log.close()
        assert await store.heads() == []
        await store.close()

    run(work())


@pytest.mark.parametrize(
    ("first", "last", "expected"),
    [
        (1, None, [1, 2, 3, 4, 5]),
        (3, None, [3, 4, 5]),
        (2, 4, [2, 3, 4]),
        (5, 5, [5]),
        (1, 1, [1]),
        (0, 2, [1, 2]),
        (4, 99, [4, 5]),
        (6, None, []),
        (99, None, []),
        (7, 9, []),
        (4, 3, []),
        (1, 0, []),
    ],
)
def test_a_range_is_read_with_both_ends(
    open_store: OpenStore, first: int, last: int | None, expected: list[int]
) -> None:
    async def work() -> None:
        store = open_store()
        log = await store.open("t")
        await log.append([{"n": n} for n in range(1, 6)])
        assert await log.read(first, last) == [(n, {"n": n}) for n in expected]
        assert await store.read("t", first, last) == [(n, {"n": n}) for n in expected]
        await store.close()

    run(work())


def test_threads_do_not_see_each_other(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        for name in ("a", "b", "ab", "A", "ä", "=a", "@a", "a b"):
            log = await store.open(name)
            await log.append([{"of": name}])
        for name in ("a", "b", "ab", "A", "ä", "=a", "@a", "a b"):
            assert await store.read(name) == [(1, {"of": name})]
        await store.close()

    run(work())


def test_the_next_process_goes_on_where_the_last_one_was(open_store: OpenStore) -> None:
    async def work() -> None:
        first = open_store()
        log = await first.open("t")
        await log.append([{"n": 1}])
        await first.close()
        second = open_store()
        log = await second.open("t")
        assert await log.append([{"n": 2}]) == 2
        assert await log.read() == [(1, {"n": 1}), (2, {"n": 2})]
        await second.close()

    run(work())


def test_a_record_is_what_it_was_when_appended(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        log = await store.open("t")
        record = {"list": [1]}
        await log.append([record])
        record["list"].append(2)
        [(_, read)] = await log.read()
        assert read == {"list": [1]}
        read["list"].append(3)
        assert await log.read() == [(1, {"list": [1]})]
        await store.close()

    run(work())


def test_what_json_cannot_say_is_refused_and_leaves_no_trace(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        log = await store.open("t")
        with pytest.raises(TypeError):
            await log.append([{"fine": 1}, {"bad": object()}])
        assert log.seq == 0
        assert await log.append([{"n": 1}]) == 1
        await store.close()

    run(work())


def test_a_thread_has_one_writer_until_it_gives_the_thread_up(open_store: OpenStore) -> None:
    async def work() -> None:
        mine, other = open_store(), open_store()
        log = await mine.open("t")
        with pytest.raises(ThreadBusy, match=r"thread `t` is being written by this process"):
            await mine.open("t")
        with pytest.raises(ThreadBusy, match=r"thread `t` is being written by this process"):
            await other.open("t")
        await (await other.open("another")).close()
        await log.close()
        await (await other.open("t")).close()
        await mine.close()
        await other.close()

    run(work())


def test_closing_a_store_gives_its_threads_up(open_store: OpenStore) -> None:
    async def work() -> None:
        first, second = open_store(), open_store()
        log = await first.open("t")
        await log.append([{"n": 1}])
        await first.close()
        assert (await second.open("t")).seq == 1
        await second.close()

    run(work())


def test_a_closed_log_and_a_closed_store_say_so(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        log = await store.open("t")
        await log.close()
        await log.close()
        with pytest.raises(StoreError, match="closed"):
            await log.append([{"n": 1}])
        log = await store.open("t")
        await store.close()
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await log.append([{"n": 1}])
        with pytest.raises(StoreError, match="closed"):
            await store.heads()

    run(work())


def test_a_reader_beside_the_writer_sees_what_was_acknowledged(open_store: OpenStore) -> None:
    async def work() -> None:
        writer, reader = open_store(), open_store()
        log = await writer.open("t")
        for n in range(1, 51):
            await log.append([{"n": n}])
            assert (await reader.read("t"))[-1] == (n, {"n": n})
        await reader.close()
        assert await log.append([{"n": 51}]) == 51
        await writer.close()

    run(work())


def test_heads_are_listed_the_last_written_first(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        for name in "abc":
            log = await store.open(name)
            # the clock was set back between them
            await log.save_head(Head(thread=name, updated=1000.0 - ord(name)))
            await log.close()
        log = await store.open("a")
        await log.append([{"n": 1}])
        await log.save_head(Head(thread="a", graph="g", seq=1, cost=None, variants={"x": "y"}))
        assert [head.thread for head in await store.heads()] == ["a", "c", "b"]
        found = await store.head("a")
        assert found == Head(thread="a", graph="g", seq=1, cost=None, variants={"x": "y"})
        await store.close()

    run(work())


def test_a_thread_whose_writer_left_no_head_is_listed(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        log = await store.open("with")
        await log.save_head(Head(thread="with"))
        log = await store.open("without")
        await log.append([{"n": 1}, {"n": 2}])
        assert await store.heads() == [Head(thread="without", seq=2), Head(thread="with")]
        assert await store.head("without") == Head(thread="without", seq=2)
        await store.close()

    run(work())


def test_a_head_of_another_thread_is_refused(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        log = await store.open("a")
        with pytest.raises(ValueError, match="`b`"):
            await log.save_head(Head(thread="b"))
        await store.close()

    run(work())


def test_a_removed_thread_is_gone_and_can_be_begun_again(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        for name in ("gone", "kept"):
            log = await store.open(name)
            await log.append([{"n": 1}, {"n": 2}])
            await log.save_head(Head(thread=name, seq=2))
            await log.close()
        await store.remove("gone")
        await store.remove("never there")
        assert await store.read("gone") == []
        assert await store.head("gone") is None
        assert [head.thread for head in await store.heads()] == ["kept"]
        assert len(await store.read("kept")) == 2
        log = await store.open("gone")
        assert await log.append([{"n": 9}]) == 1
        assert await store.read("gone") == [(1, {"n": 9})]
        await store.close()

    run(work())


def test_a_thread_that_is_being_written_is_not_removed(open_store: OpenStore) -> None:
    async def work() -> None:
        mine, other = open_store(), open_store()
        log = await mine.open("t")
        await log.append([{"n": 1}])
        for store in (mine, other):
            with pytest.raises(ThreadBusy):
                await store.remove("t")
        assert len(await log.read()) == 1
        await mine.close()
        await other.close()

    run(work())


def test_a_files_text_is_kept_once_under_its_digest(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        assert await store.load_file("d1") is None
        await store.save_file("d1", {"graph.yaml": "text " * 1000})
        await store.save_file("d1", {"graph.yaml": "text " * 1000})
        await store.save_file("d2", {"graph.yaml": ""})
        await store.close()
        again = open_store()
        assert await again.load_file("d1") == {"graph.yaml": "text " * 1000}
        assert await again.load_file("d2") == {"graph.yaml": ""}
        assert await again.load_file("d3") is None
        assert await again.heads() == []
        await again.close()

    run(work())


@pytest.mark.parametrize("name", ["", "a\nb", "a\0b", "\ud800", "x" * 513])
def test_what_cannot_name_a_thread_is_refused(open_store: OpenStore, name: str) -> None:
    async def work() -> None:
        store = open_store()
        for ask in (store.open, store.read, store.head, store.remove):
            with pytest.raises(UsageError, match="cannot name a thread"):
                await ask(name)
        await store.close()

    run(work())


def test_200_tasks_append_at_once_and_each_record_is_there_once(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        logs = [await store.open(f"t{n}") for n in range(40)]
        await asyncio.gather(*(log.append([{"n": n}]) for log in logs for n in range(5)))
        for log in logs:
            assert [record["n"] for _, record in await log.read()] == [0, 1, 2, 3, 4]
        await store.close()

    run(work())


def test_a_cancelled_append_is_still_made_before_any_later_one(open_store: OpenStore) -> None:
    async def work() -> None:
        store = open_store()
        log, beside = await store.open("t"), await store.open("beside")
        tasks = [asyncio.create_task(each.append([{"n": n}])) for n, each in enumerate([beside, log, log])]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await log.append([{"n": 3}])
        assert [record["n"] for _, record in await log.read()] == [1, 2, 3]
        await store.close()

    run(work())


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.text("ab", min_size=600, max_size=900),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4), max_size=4)
THREADS = st.sampled_from(["a", "b", "thread with a longer name"])
ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), THREADS, RECORDS, st.booleans()),
        st.tuples(st.just("close"), THREADS),
        st.tuples(st.just("head"), THREADS),
        st.tuples(st.just("remove"), THREADS),
        st.tuples(st.just("reopen")),
    ),
    max_size=15,
)


async def _act(acts: list[Any], open_store: OpenStore) -> dict[str, list[tuple[int, Json]]]:
    store, logs = open_store(), {}
    for act in acts:
        match act:
            case ("append", thread, records, sync):
                if thread not in logs:
                    logs[thread] = await store.open(thread)
                await logs[thread].append(records, sync=sync)
            case ("close", thread):
                if thread in logs:
                    await logs.pop(thread).close()
            case ("head", thread):
                if thread in logs:
                    await logs[thread].save_head(Head(thread=thread, seq=logs[thread].seq))
            case ("remove", thread):
                if thread not in logs:
                    await store.remove(thread)
            case ("reopen",):
                await store.close()
                store, logs = open_store(), {}
    await store.close()
    store = open_store()
    read = {thread: await store.read(thread) for thread in ("a", "b", "thread with a longer name")}
    heads, written = await store.heads(), {thread for thread, records in read.items() if records}
    # a head may have been saved before the first record, and says so until it is saved again
    assert {head.thread for head in heads if head.seq} <= written <= {head.thread for head in heads}
    await store.close()
    return read


@settings(max_examples=25, deadline=None)
@given(ACTS)
def test_any_sequence_of_acts_reads_back_on_disk_as_in_memory(acts: list[Any]) -> None:
    contents = MemoryContents()
    with tempfile.TemporaryDirectory() as folder:
        on_disk = asyncio.run(_act(acts, lambda: open_thread_store(Path(folder))))
    assert on_disk == asyncio.run(_act(acts, lambda: MemoryThreadStore(contents)))


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["disk", "memory"])
def memo(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Memo:
    if request.param == "memory":
        return MemoryMemo(clock=clock)
    # of no known boot of the machine: the wall clock is all there is
    return DiskMemo(tmp_path, size_limit=10**7, clock=lambda: Moment(boot="", uptime=0.0, wall=clock.now))


def test_a_memo_remembers_what_it_was_given_last(memo: Memo, clock: Clock) -> None:
    async def work() -> None:
        assert await memo.get("k") is None
        await memo.put("k", MemoEntry({"old": 1}, clock.now, 0.5), max_age=None)
        await memo.put("k", MemoEntry({"new": ["x" * 2000]}, clock.now, 1.5), max_age=60)
        await memo.put("nothing", MemoEntry(None, clock.now, 2.5), max_age=None)
        assert await memo.get("k") == MemoEntry({"new": ["x" * 2000]}, clock.now, 1.5)
        assert await memo.get("nothing") == MemoEntry(None, clock.now, 2.5)
        await memo.close()

    run(work())


@pytest.mark.parametrize(
    ("passed", "max_age", "hit"),
    [
        (59, 60, True),
        (61, 60, False),
        (-1, 60, False),
        (86_400, None, True),
        (-86_400, None, True),
        (0, 0, True),
    ],
)
def test_a_memo_never_answers_with_what_may_be_too_old(
    memo: Memo, clock: Clock, passed: float, max_age: float | None, hit: bool
) -> None:
    async def work() -> None:
        await memo.put("k", MemoEntry("v", clock.now, 1.0), max_age=max_age)
        clock.now += passed
        assert (await memo.get("k") is not None) is hit
        await memo.close()

    run(work())


def test_an_entry_that_is_too_old_is_replaced(memo: Memo, clock: Clock) -> None:
    async def work() -> None:
        await memo.put("k", MemoEntry("old", clock.now, 1.0), max_age=10)
        clock.now += 11
        assert await memo.get("k") is None
        await memo.put("k", MemoEntry("new", clock.now, 1.0), max_age=10)
        found = await memo.get("k")
        assert found is not None
        assert found.value == "new"
        await memo.close()

    run(work())
