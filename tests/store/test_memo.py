"""The memo on disk: one run of identical calls in all processes, ages that no clock spoils, and its bounds."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from agentctl.errors import UsageError
from agentctl.store.clock import Moment
from agentctl.store.folder import MEMO_SIZE, memo_size, open_memo
from agentctl.store.locks import FileLock
from agentctl.store.memo import DiskMemo
from agentctl.store.protocols import MemoEntry
from agentctl.store.remembered import RememberedCalls

ROOT = Path(__file__).parent.parent.parent
Json = Any
DAY = 86_400.0
ABOUT = {"tool": "search", "tenant": "", "thread": "t", "turn": 1, "arguments": {"n": 1}, "marks": {}}


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def callers(folder: Path, *order: str) -> Json:
    done = subprocess.run(
        [sys.executable, "-m", "tests.store.memo_callers", str(folder), *order],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_identical_calls_of_eight_processes_are_one_execution(tmp_path: Path) -> None:
    found = callers(tmp_path, "stress", "8", "200")
    assert found == {"codes": [0] * 8, "executions": 1, "hits": 8 * 200 - 1}


def test_a_killed_leader_frees_the_next_and_nobody_hangs(tmp_path: Path) -> None:
    found = callers(tmp_path, "kill", "30")
    assert found == [{"executions": 2, "codes": [-9, 0, 0]}] * 30


def test_who_waits_holds_nothing_up_and_is_cancelled_at_once(tmp_path: Path) -> None:
    async def work() -> None:
        ours, theirs = open_memo(tmp_path), open_memo(tmp_path)

        async def follow() -> None:
            async with ours.leading("k", 600.0):
                pytest.fail("the lead was taken")

        async with theirs.leading("k", 1.0):
            following = asyncio.create_task(follow())
            for _ in range(100):  # the loop turns on while it waits
                await asyncio.sleep(0.001)
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(following, 30)
        async with ours.leading("k", 0.0):
            pass
        await ours.close()
        await theirs.close()

    run(work())


def test_a_leader_that_stands_still_is_waited_for_only_so_long(tmp_path: Path) -> None:
    async def work() -> None:
        ours, theirs = open_memo(tmp_path), open_memo(tmp_path)
        async with theirs.leading("k", 1.0):
            began = time.monotonic()
            async with ours.leading("k", 0.2), ours.leading("other", 0.0):
                assert time.monotonic() - began >= 0.2
            # whoever went on without the lead does not take it from its holder
            began = time.monotonic()
            async with ours.leading("k", 0.2):
                assert time.monotonic() - began >= 0.2
        await ours.close()
        await theirs.close()

    run(work())


def test_a_store_that_cannot_be_locked_stops_no_call(tmp_path: Path) -> None:
    async def work() -> None:
        troubles: list[Exception] = []
        memo = open_memo(tmp_path, on_trouble=troubles.append)
        (tmp_path / "memo.calls.lock").mkdir()
        async with memo.leading("k", 5.0):
            pass
        assert "memo.calls.lock" in str(troubles[0])
        await memo.close()

    run(work())


def test_a_damaged_memo_that_another_process_has_locked_stops_no_call(tmp_path: Path) -> None:
    async def work() -> None:
        troubles: list[Exception] = []
        first = DiskMemo(tmp_path, size_limit=10**7)
        await first.put("k", MemoEntry("v", time.time(), 0.1), max_age=None)
        await first.close()
        (tmp_path / "memo" / "cache.db").write_bytes(b"no database" * 1000)
        memo = DiskMemo(tmp_path, size_limit=10**7, on_trouble=troubles.append, patience=0.01)
        holder = FileLock(tmp_path / "memo.lock")
        with holder.held_sync():
            assert await memo.get("k") is None
            await memo.put("k", MemoEntry("v", time.time(), 0.1), max_age=None)
        assert any("locked" in str(trouble) for trouble in troubles)
        assert await memo.get("k") is None
        await memo.put("k", MemoEntry("w", time.time(), 0.1), max_age=None)
        assert (await memo.get("k") or MemoEntry("", 0, 0)).value == "w", "it is begun anew once it can be"
        await memo.close()

    run(work())


@pytest.mark.parametrize("set_by", [0.0, DAY, -DAY])
@pytest.mark.parametrize(("passed", "hit"), [(599.0, True), (601.0, False)])
def test_ten_minutes_are_ten_minutes_however_the_clock_is_set(
    tmp_path: Path, set_by: float, passed: float, hit: bool
) -> None:
    now = Moment(boot="b", uptime=1000.0, wall=1e9)

    async def work() -> None:
        nonlocal now
        memo = DiskMemo(tmp_path, size_limit=10**7, clock=lambda: now)
        await memo.put("k", MemoEntry("v", now.wall, 1.0), max_age=600, about=ABOUT)
        now = Moment(boot="b", uptime=1000.0 + passed, wall=1e9 + passed + set_by)
        assert (await memo.get("k") is not None) is hit
        if not hit:
            assert await memo.lost("k") == {"expired": 1.0}
        await memo.close()

    run(work())


@pytest.mark.parametrize(
    ("wall", "lost"),
    [(1e9 + 599, None), (1e9 + 660, {"expired": 60.0}), (1e9 - 1, {"clock": 1e9})],
)
def test_over_a_new_start_of_the_machine_the_clock_decides(tmp_path: Path, wall: float, lost: Json) -> None:
    now = Moment(boot="one", uptime=1000.0, wall=1e9)

    async def work() -> None:
        nonlocal now
        memo = DiskMemo(tmp_path, size_limit=10**7, clock=lambda: now)
        await memo.put("k", MemoEntry("v", now.wall, 1.0), max_age=600, about=ABOUT)
        now = Moment(boot="two", uptime=5.0, wall=wall)
        assert (await memo.get("k") is None) is (lost is not None)
        if lost is not None:
            assert await memo.lost("k") == lost
            # it does not live for ever, nor break: the next answer takes its place
            await memo.put("k", MemoEntry("again", now.wall, 1.0), max_age=600, about=ABOUT)
            found = await memo.get("k")
            assert found is not None
            assert found.value == "again"
        await memo.close()

    run(work())


def test_the_memo_stays_within_its_size_and_drops_what_was_stored_first(tmp_path: Path) -> None:
    limit = 1024**2
    text = "".join(f"{number:x}" for number in range(6000))  # does not shrink to nothing

    async def work() -> None:
        memo = DiskMemo(tmp_path, size_limit=limit)
        for number in range(400):
            value = f"{number}{text[number:]}"
            await memo.put(f"{number:032x}", MemoEntry(value, 0.0, 0.0), max_age=None, about=ABOUT)
            await memo.get(f"{0:032x}")  # reading the first does not keep it
        assert await memo.get(f"{0:032x}") is None
        assert await memo.get(f"{399:032x}") is not None
        await memo.close()

    run(work())
    kept = RememberedCalls(tmp_path, size_limit=limit)
    numbers = sorted(int(entry.key, 16) for entry in kept.entries())
    assert numbers == list(range(numbers[0], 400))
    assert 20 < len(numbers) < 400
    assert kept.disk_size < limit * 1.2
    kept.close()


def test_an_answer_over_an_eighth_of_the_room_is_not_kept_and_that_is_known(tmp_path: Path) -> None:
    async def work() -> None:
        memo = DiskMemo(tmp_path, size_limit=1024**2)
        large = "".join(f"{number:x}" for number in range(300_000))
        await memo.put("k", MemoEntry(large, 0.0, 0.0), max_age=None, about=ABOUT)
        assert await memo.get("k") is None
        [(name, size)] = (await memo.lost("k")).items()
        assert (name, size > 1024**2 // 8) == ("too_large", True)
        await memo.close()

    run(work())


def test_what_is_forgotten_beside_a_running_process_gives_its_room_back_and_breaks_nothing(
    tmp_path: Path,
) -> None:
    async def work() -> None:
        running = open_memo(tmp_path, on_trouble=pytest.fail)
        text = "".join(f"{number:x}" for number in range(8000))
        for number in range(200):
            key = f"{number:032x}"
            await running.put(key, MemoEntry(text[number:], 0.0, 0.0), max_age=None, about=ABOUT)
        beside = RememberedCalls(tmp_path, size_limit=MEMO_SIZE)
        entries = beside.entries()
        assert len(entries) == 200
        freed = beside.forget([entry.key for entry in entries[:190]])
        assert freed.entries == 190
        assert freed.bytes > 100_000
        assert beside.forget_all().entries == 10
        beside.close()
        assert await running.get(f"{199:032x}") is None
        await running.put("a" * 32, MemoEntry("again", 0.0, 0.0), max_age=None, about=ABOUT)
        found = await running.get("a" * 32)
        assert found is not None
        await running.close()

    run(work())


def test_the_size_is_the_users_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memo_size() == MEMO_SIZE
    monkeypatch.setenv("AGENTCTL_MEMO_SIZE", "1GB")
    assert memo_size() == 1024**3
    for said in ("much", "1KB"):
        monkeypatch.setenv("AGENTCTL_MEMO_SIZE", said)
        with pytest.raises(UsageError, match=said):
            memo_size()
