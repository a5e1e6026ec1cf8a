"""Several processes at one store: killed, stopped, racing, forked."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentctl.errors import StoreError, ThreadBusy
from agentctl.json import Json
from agentctl.store.folder import open_thread_store
from agentctl.store.locks import FileLock, WriterLocks
from agentctl.store.threads import DiskThreadStore

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def writer(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.writer", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def order(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdin is not None
    process.stdin.write(text + "\n")
    process.stdin.flush()


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


async def read_all(folder: Path, threads: Sequence[str]) -> dict[str, list[Json]]:
    store = open_thread_store(folder)
    try:
        return {thread: [record for _, record in await store.read(thread)] for thread in threads}
    finally:
        await store.close()


def test_what_was_acknowledged_before_sigkill_is_there_and_nothing_half(tmp_path: Path) -> None:
    chance = random.Random(7)
    acknowledged = {"a": 0, "b": 0, "c": 0}
    for _ in range(10):
        with writer(str(tmp_path)) as process:
            assert process.stdout is not None
            for _ in range(chance.randrange(2, 400)):
                thread, last = process.stdout.readline().split()
                acknowledged[thread] = int(last)
            time.sleep(chance.uniform(0, 0.003))
            process.kill()
            for line in process.stdout.read().splitlines(keepends=True):
                if line.endswith("\n"):
                    thread, last = line.split()
                    acknowledged[thread] = int(last)
        for thread, records in asyncio.run(read_all(tmp_path, "abc")).items():
            assert len(records) >= acknowledged[thread]
            assert len(records) % 3 == 0, "half of an append"
            assert [(r["batch"], r["part"]) for r in records] == [
                (n // 3, n % 3) for n in range(len(records))
            ]


def test_of_two_processes_that_want_a_thread_exactly_one_wins(tmp_path: Path) -> None:
    with writer() as one, writer() as other:
        for n in range(50):
            folder = tmp_path / str(n // 10)  # every tenth race is also one for making the store
            folder.mkdir(exist_ok=True)
            for process in (one, other):
                order(process, f"claim {folder} t{n}")
            said = sorted([(answer(one), one.pid), (answer(other), other.pid)])
            (refusal, _), (win, winner) = said
            assert win == "won"
            assert re.match(rf"busy: thread `t{n}` is being written by process {winner}\b", refusal)
            for process in (one, other):
                order(process, "let go")
                assert answer(process) == "let go"
            assert asyncio.run(read_all(folder, [f"t{n}"])) == {f"t{n}": [{"by": "me"}]}


def test_a_stopped_owner_keeps_its_thread_and_is_named(tmp_path: Path) -> None:
    async def ask() -> str:
        store = open_thread_store(tmp_path)
        try:
            with pytest.raises(ThreadBusy) as refused:
                await store.open("t")
            assert await store.read("t") == [(1, {"by": "me"})]
            log = await store.open("another")
            await log.append([{"n": 1}])
        finally:
            await store.close()
        return refused.value.message

    with writer() as owner:
        order(owner, f"claim {tmp_path} t")
        assert answer(owner) == "won"
        owner.send_signal(signal.SIGSTOP)
        os.waitpid(owner.pid, os.WUNTRACED)
        for _ in range(60):
            said = asyncio.run(ask())
            assert re.fullmatch(
                rf"thread `t` is being written by process {owner.pid} \(stopped\) since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d",
                said,
            )
        owner.kill()
        owner.wait()

    async def take_over() -> None:
        store = open_thread_store(tmp_path)
        assert (await store.open("t")).seq == 1
        await store.close()

    asyncio.run(take_over())


def test_a_process_stopped_while_it_writes_is_waited_for_in_bounds(tmp_path: Path) -> None:
    code = f"""
import signal, os
from pathlib import Path
from agentctl.store.locks import FileLock
lock = FileLock(Path({str(tmp_path / "threads.lock")!r}))
assert lock.try_acquire()
os.kill(os.getpid(), signal.SIGSTOP)
"""

    async def work(holder: int) -> None:
        store = DiskThreadStore(tmp_path, patience=0.3)
        log, beside = await store.open("t"), await store.open("beside")
        began = time.monotonic()
        outcomes = await asyncio.gather(
            log.append([{"n": 1}]), beside.append([{"n": 1}]), store.save_file("d", 1), return_exceptions=True
        )
        assert time.monotonic() - began < 2
        for outcome in outcomes:
            assert isinstance(outcome, StoreError)
            assert f"process {holder} has held" in outcome.message
        assert log.seq == 0
        await store.close()

    process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        os.waitpid(process.pid, os.WUNTRACED)
        asyncio.run(work(process.pid))
    finally:
        process.kill()
        process.wait()

    async def heals() -> None:
        store = open_thread_store(tmp_path)
        assert await (await store.open("t")).append([{"n": 1}]) == 1
        await store.close()

    asyncio.run(heals())


def test_no_child_holds_a_lock_for_its_parent(tmp_path: Path) -> None:
    code = f"""
import os, subprocess, sys
from pathlib import Path
from agentctl.store.locks import FileLock, WriterLocks
lock, writers = FileLock(Path({str(tmp_path / "l")!r})), WriterLocks(Path({str(tmp_path / "w")!r}))
assert lock.try_acquire()
writers.claim("t")
subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], close_fds=False)
if os.fork() == 0:
    print("ready", flush=True)
    sys.stdin.read()
    os._exit(0)
os.wait()
"""
    end, wait_for = os.pipe()
    with os.fdopen(wait_for, "w"):  # both children live until it is closed
        done = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, stdin=end, stdout=subprocess.PIPE, text=True
        )
        os.close(end)
        assert answer(done) == "ready"
        done.kill()
        done.wait()
        lock, writers = FileLock(tmp_path / "l"), WriterLocks(tmp_path / "w")
        assert lock.try_acquire()
        writers.claim("t")
        lock.close()
        writers.close()


def test_a_store_is_of_no_use_after_a_fork(tmp_path: Path) -> None:
    async def fill() -> DiskThreadStore:
        store = open_thread_store(tmp_path)
        await (await store.open("t")).append([{"n": 1}])
        return store

    store = asyncio.run(fill())
    child = os.fork()
    if child == 0:
        try:
            asyncio.run(store.read("t"))
            os._exit(1)
        except StoreError as error:
            os._exit(0 if "before a fork" in error.message else 2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    asyncio.run(store.close())


def test_a_thousand_threads_share_one_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    mine, other = WriterLocks(tmp_path / "w"), WriterLocks(tmp_path / "w")
    for n in range(1000):
        mine.claim(f"t{n}")
    assert len(os.listdir("/proc/self/fd")) <= before + 1
    for n in range(0, 1000, 50):
        with pytest.raises(ThreadBusy, match=f"`t{n}` is being written by this process"):
            other.claim(f"t{n}")
    mine.release("t50")
    other.claim("t50")
    mine.close()
    other.claim("t51")
    other.close()
