"""When appends are committed: inline when one comes alone, in few transactions when many come at once."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from agentctl.errors import StoreError
from agentctl.store.commits import GroupCommit
from agentctl.store.locks import FileLock

ROOT = Path(__file__).parent.parent.parent


class Batches:
    """Takes what is committed, and can be made to fail."""

    def __init__(self) -> None:
        self.taken: list[list[int]] = []
        self.fails = False

    def __call__(self, batch: Sequence[int]) -> None:
        if self.fails:
            raise StoreError("the disk is full")
        self.taken.append(list(batch))


@pytest.fixture
def batches() -> Batches:
    return Batches()


@pytest.fixture
def commits(tmp_path: Path, batches: Batches) -> GroupCommit[int]:
    return GroupCommit(FileLock(tmp_path / "lock", patience=0.1), batches)


def test_one_task_alone_commits_each_of_its_items_at_once(
    commits: GroupCommit[int], batches: Batches
) -> None:
    async def work() -> None:
        for n in range(5):
            await commits.commit(n, alone=True)
            assert batches.taken[-1] == [n]

    asyncio.run(work())


def test_200_tasks_of_one_turn_share_a_transaction(commits: GroupCommit[int], batches: Batches) -> None:
    async def work() -> None:
        await asyncio.gather(*(commits.commit(n, alone=True) for n in range(200)))

    asyncio.run(work())
    assert [len(batch) for batch in batches.taken] == [1, 199]
    assert [n for batch in batches.taken for n in batch] == list(range(200))


def test_no_transaction_takes_more_than_256_items(commits: GroupCommit[int], batches: Batches) -> None:
    async def work() -> None:
        await asyncio.gather(*(commits.commit(n, alone=False) for n in range(1000)))

    asyncio.run(work())
    assert [len(batch) for batch in batches.taken] == [256, 256, 256, 232]
    assert [n for batch in batches.taken for n in batch] == list(range(1000))


def test_when_a_transaction_fails_each_of_its_tasks_hears_of_it(
    commits: GroupCommit[int], batches: Batches
) -> None:
    async def work() -> None:
        batches.fails = True
        outcomes = await asyncio.gather(
            *(commits.commit(n, alone=True) for n in range(3)), return_exceptions=True
        )
        assert [str(outcome) for outcome in outcomes] == ["the disk is full"] * 3
        batches.fails = False
        await commits.commit(3, alone=True)

    asyncio.run(work())
    assert batches.taken == [[3]]


def test_what_waits_for_another_process_is_committed_in_its_order_once_it_lets_go(
    tmp_path: Path, commits: GroupCommit[int], batches: Batches
) -> None:
    async def work() -> None:
        other = FileLock(tmp_path / "lock")
        assert other.try_acquire()
        tasks = [asyncio.create_task(commits.commit(n, alone=True)) for n in range(3)]
        await asyncio.sleep(0.01)
        assert batches.taken == []
        other.release()
        await commits.drain()
        await asyncio.gather(*tasks)

    asyncio.run(work())
    assert batches.taken == [[0, 1, 2]]


def test_a_process_that_never_lets_go_is_given_up_on(
    tmp_path: Path, commits: GroupCommit[int], batches: Batches
) -> None:
    async def work() -> None:
        other = FileLock(tmp_path / "lock")
        assert other.try_acquire()
        outcomes = await asyncio.gather(
            *(commits.commit(n, alone=True) for n in range(3)), return_exceptions=True
        )
        assert all(isinstance(outcome, StoreError) for outcome in outcomes)
        other.release()
        await commits.commit(3, alone=True)

    asyncio.run(work())
    assert batches.taken == [[3]]


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace to see what is synced")
def test_a_synced_append_reaches_the_disk_before_it_is_acknowledged(tmp_path: Path) -> None:
    code = f"""
import asyncio, os
from pathlib import Path
from agentctl.store.folder import open_thread_store

async def work():
    store = open_thread_store(Path({str(tmp_path)!r}))
    log = await store.open("t")
    await log.append([{{"n": 1}}])
    for n, sync in enumerate([False, True, False, True, True]):
        os.write(2, b"begin\\n")
        await log.append([{{"n": n}}], sync=sync)
        os.write(2, b"acknowledged\\n")

asyncio.run(work())
"""
    trace = tmp_path / "trace"
    subprocess.run(
        ["strace", "-f", "-y", "-o", trace, "-e", "trace=fdatasync,fsync,write", sys.executable, "-c", code],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    synced: list[bool] = []
    for line in trace.read_text().splitlines():
        if "begin" in line:
            synced.append(False)
        elif synced and "acknowledged" not in line and "sync(" in line and "logs/cache.db-wal" in line:
            synced[-1] = True
    assert synced == [False, True, False, True, True]
