"""Several processes at one store of documents: killed, stopped, racing, forked."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from agentctl.errors import StoreError

pytest.importorskip("apsw", reason="stores need `pip install .[stores]`")
pytest.importorskip("sqlite_vec", reason="stores need `pip install .[stores]`")

from agentctl.store.documents.database import LockedStore, connect
from agentctl.store.documents.documents import Documents, Draft
from tests.store.letters import Letters

ROOT = Path(__file__).parent.parent.parent
T = TypeVar("T")


@contextmanager
def writer(folder: Path, name: str, *count: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.documents_writer", str(folder), name, *count],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def with_documents(folder: Path, work: Callable[[Documents], Awaitable[T]]) -> T:
    async def run() -> T:
        documents = Documents(folder, Letters())
        try:
            return await work(documents)
        finally:
            await documents.close()

    return asyncio.run(run())


def test_killed_in_the_midst_of_adding_fifty_times(tmp_path: Path) -> None:
    """A child of one warm process is killed each time: what was acknowledged is there, and nothing half."""
    chance = random.Random(11)
    acknowledged = 0
    for trial in range(50):
        acknowledged += _killed(tmp_path, f"w{trial}", chance.uniform(0.0, 0.03))
        whole = with_documents(tmp_path, lambda documents: _whole_batches(documents))
        assert whole >= acknowledged
    assert acknowledged > 50


def _killed(folder: Path, name: str, patience: float) -> int:
    """Begin to add in a child, kill it some time after its first batch, and return how many it acknowledged."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        os.dup2(into, 1)
        sys.stdout = os.fdopen(1, "w")
        try:
            from tests.store.documents_writer import add

            asyncio.run(add(folder, name, None))
        finally:
            os._exit(1)
    os.close(into)
    with os.fdopen(out) as said:
        lines = [said.readline()]
        time.sleep(patience)
        os.kill(child, signal.SIGKILL)
        lines += said.readlines()
    os.waitpid(child, 0)
    return sum(line.endswith("\n") for line in lines)


async def _whole_batches(documents: Documents) -> int:
    """How many batches are there, each in all its parts, its index and its vectors."""
    count = await documents.count()
    assert count % 3 == 0, "half of a batch"
    connection = connect(documents.folder / "documents.db")
    try:
        [(words,)] = connection.execute("SELECT count(*) FROM words('part')")
        [(vectors,)] = connection.execute("SELECT count(DISTINCT n) FROM vectors")
        assert (words, vectors) == (count, count)
        connection.execute("INSERT INTO words (words) VALUES ('integrity-check')")
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()
    return count // 3


def test_writers_side_by_side_lose_nothing_and_a_reader_sees_whole_batches(tmp_path: Path) -> None:
    async def watch(documents: Documents, processes: list[subprocess.Popen[str]]) -> None:
        while any(process.poll() is None for process in processes):
            assert await documents.count() % 3 == 0
            found = await documents.search("part", top=3)
            assert len(found) in (0, 3)
            await asyncio.sleep(0.005)

    with writer(tmp_path, "a", "60") as a, writer(tmp_path, "b", "60") as b, writer(tmp_path, "a", "60") as c:
        with_documents(tmp_path, lambda documents: watch(documents, [a, b, c]))
        assert (a.wait(), b.wait(), c.wait()) == (0, 0, 0)
    assert with_documents(tmp_path, lambda documents: documents.count()) == 2 * 60 * 3


def test_a_writer_that_holds_on_is_not_waited_for_longer_than_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agentctl.store.documents.files.PATIENCE", 0.3)

    async def wait(documents: Documents) -> None:
        await documents.add([Draft("before")])
        other = connect(tmp_path / "documents.db")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(LockedStore, match="being written by another process"):
            await documents.add([Draft("after")])
        assert await documents.count() == 1  # readers are beside
        other.execute("ROLLBACK")
        other.close()
        await documents.add([Draft("after")])
        assert await documents.count() == 2

    with_documents(tmp_path, wait)


def test_of_processes_that_make_a_store_at_once_each_finds_the_same(tmp_path: Path) -> None:
    for trial in range(5):
        folder = tmp_path / str(trial)
        with writer(folder, "a", "1") as a, writer(folder, "b", "1") as b, writer(folder, "c", "1") as c:
            assert (a.wait(), b.wait(), c.wait()) == (0, 0, 0)
        assert with_documents(folder, lambda documents: documents.count()) == 9
        assert [path.name for path in folder.iterdir()] == ["documents.db"]


def test_a_log_damaged_after_a_kill_is_an_error_and_not_a_loss(tmp_path: Path) -> None:
    with writer(tmp_path, "a") as process:
        assert process.stdout is not None
        assert "9\n" in process.stdout
        process.kill()
    log = tmp_path / "documents.db-wal"
    data = bytearray(log.read_bytes())
    data[len(data) // 3] ^= 1
    log.write_bytes(data)
    with pytest.raises(StoreError, match="does not match its checksums"):
        with_documents(tmp_path, lambda documents: documents.count())


def test_a_forked_child_is_told_to_open_the_store_again(tmp_path: Path) -> None:
    async def fork(documents: Documents) -> None:
        await documents.add([Draft("x")])
        child = os.fork()
        if child == 0:
            try:
                documents._files.readers.ask("", lambda table: table.count(), 0)
            except StoreError:
                os._exit(7)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7

    with_documents(tmp_path, fork)
