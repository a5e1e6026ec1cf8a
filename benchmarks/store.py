"""What the store costs, against bare diskcache and against the text it keeps.

Run it with `python benchmarks/store.py`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import diskcache
from side_by_side import Row, show, take_turns

from agentctl.json import Json, encode
from agentctl.store.folder import open_memo, open_thread_store, prepare_store
from agentctl.store.protocols import Head, MemoEntry, ThreadLog

ROUNDS = 15
APPENDS, SYNCED, HITS = 200, 20, 400
EARLY, LATE, AROUND = 50, 5000, 40
CHARACTERS = 200
THREADS, STEPS = 1000, 10
WORDS = "the order was sent on monday but it never came so where is my parcel and when can i have it"


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder, asyncio.Runner() as runner:
        rows = times(runner, Path(folder))
    show("store: time", rows)
    with TemporaryDirectory() as folder:
        said = {steps: asyncio.run(chat(Path(folder) / str(steps), steps)) for steps in (1000, 4000)}
    show(
        "store: bytes on disk, the store closed", [_bytes_row(steps, found) for steps, found in said.items()]
    )


def times(runner: asyncio.Runner, folder: Path) -> list[Row]:
    """Everything that is timed, all of it in turns."""
    store = open_thread_store(prepare_store(folder / "ours"))
    memo = open_memo(prepare_store(folder / "memo"))
    log = runner.run(store.open("timed"))
    bare = diskcache.Cache(str(folder / "bare"))
    synced = diskcache.Cache(str(folder / "synced"), sqlite_synchronous=2)
    record = effect(1, text(random.Random(1)))
    value = encode(record)
    numbers = iter(range(10**9))

    async def add(count: int, sync: bool) -> None:
        for _ in range(count):
            await log.append([record], sync=sync)

    def put(cache: diskcache.Cache, count: int) -> None:
        for _ in range(count):
            cache.set(f"timed/{next(numbers):08d}", value)

    async def hit() -> None:
        for n in range(HITS):
            assert await memo.get(str(n)) is not None

    def get() -> None:
        for n in range(HITS):
            assert bare.get(str(n)) is not None

    async def remember() -> None:
        for n in range(HITS):
            await memo.put(str(n), MemoEntry(record, time.time(), 0.1), max_age=3600)
            bare.set(str(n), record)

    runner.run(remember())
    cost = take_turns(
        {
            "append": lambda: timed(lambda: runner.run(add(APPENDS, False)), APPENDS),
            "set": lambda: timed(lambda: put(bare, APPENDS), APPENDS),
            "synced append": lambda: timed(lambda: runner.run(add(SYNCED, True)), SYNCED),
            "synced set": lambda: timed(lambda: put(synced, SYNCED), SYNCED),
            "hit": lambda: timed(lambda: runner.run(hit()), HITS),
            "get": lambda: timed(get, HITS),
        },
        ROUNDS,
    )
    runner.run(store.close())
    runner.run(memo.close())
    bare.close()
    synced.close()
    return [
        Row("a durable append", cost["append"], cost["set"], "diskcache.set", 1.5),
        Row("a synced append", cost["synced append"], cost["synced set"], "synced diskcache.set", 1.5),
        Row("a memo hit", cost["hit"], cost["get"], "diskcache.get", 2),
        Row(
            f"one of {THREADS:,} threads x {STEPS} appends",
            runner.run(crowd(folder)),
            cost["set"],
            "diskcache.set",
            1,
        ),
        *growth(runner, folder),
    ]


def growth(runner: asyncio.Runner, folder: Path) -> list[Row]:
    """Late appends against early ones, and the slowest, with as many bare sets done in turns beside it."""
    early, late, worst, bare_worst = [], [], [], []
    for number in range(3):
        ours, theirs = runner.run(long_thread(folder / f"long{number}"))
        early.append(median(ours[EARLY - AROUND : EARLY + AROUND]))
        late.append(median(ours[LATE - AROUND : LATE + AROUND]))
        worst.append(max(ours[1:]))  # the first makes the store
        bare_worst.append(max(theirs[1:]))
    return [
        Row(f"append {LATE:,} of one thread", median(late), median(early), f"append {EARLY}", 1.2),
        Row("the worst single append of it", median(worst), budget=0.010),
        Row("the worst single diskcache.set beside it", median(bare_worst)),
    ]


async def long_thread(folder: Path) -> tuple[list[float], list[float]]:
    """Seconds of each append to one thread, and of each set of the same bytes to a bare diskcache."""
    store = open_thread_store(prepare_store(folder / "ours"))
    log = await store.open("long")
    bare = diskcache.Cache(str(folder / "bare"))
    chance = random.Random(2)
    ours, theirs = [], []
    for n in range(LATE + AROUND):
        records = [effect(n, text(chance)), step(n)]
        value = encode(records)
        ours.append(await timed_async(log.append, records))
        theirs.append(timed(lambda key=f"long/{n:08d}", value=value: bare.set(key, value), 1))
    await store.close()
    bare.close()
    return ours, theirs


async def crowd(folder: Path) -> float:
    """Seconds for an append when a thousand threads run in one process."""
    store = open_thread_store(prepare_store(folder / "crowd"))
    logs = [await store.open(f"t{n}") for n in range(THREADS)]

    async def run(log: ThreadLog) -> None:
        for n in range(STEPS):
            await log.append([step(n)])

    began = time.perf_counter()
    await asyncio.gather(*(run(log) for log in logs))
    took = time.perf_counter() - began
    await store.close()
    return took / THREADS / STEPS


async def chat(folder: Path, steps: int) -> int:
    """Bytes of a thread of chat steps: for each an effect with the text, and a step that refers to it."""
    store = open_thread_store(prepare_store(folder))
    log = await store.open("chat")
    chance = random.Random(3)
    for n in range(1, steps + 1):
        await log.append([effect(n, text(chance))])
        await log.append([step(n)])
    await log.save_head(Head(thread="chat", seq=log.seq, steps=steps))
    await store.close()
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def effect(n: int, said: str) -> Json:
    return {"kind": "effect", "key": f"{n}/answer#1/1", "res": {"text": said}}


def step(n: int) -> Json:
    refs = [[[0, 1], f"{n}/answer#1/1", ["text"]]]
    return {"kind": "step", "n": n, "node": "answer", "up": [["reply", None]], "refs": refs, "next": "end"}


def text(chance: random.Random) -> str:
    return " ".join(chance.choices(WORDS.split(), k=CHARACTERS))[:CHARACTERS]


def timed(work: Callable[[], object], count: int) -> float:
    """Seconds for each of `count` operations that a work does."""
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) / count


async def timed_async(work: Callable[[Json], Awaitable[object]], argument: Json) -> float:
    began = time.perf_counter()
    await work(argument)
    return time.perf_counter() - began


def _bytes_row(steps: int, found: int) -> Row:
    return Row(f"{steps:,} chat steps of two records", found, steps * CHARACTERS, "of text", 5, "B")


if __name__ == "__main__":
    main()
