"""What it costs to keep a step: time against one row of diskcache, and bytes against the text that was said.

Run it with `python benchmarks/durable.py`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory

import diskcache
from others import langgraph_durable_loop, missing
from parts import CHAT, LOOP, NOTES, WRITES, OneEvent, Script, graph_of, run
from side_by_side import Round, Row, show, take_turns

from agentctl.graph.plan import Graph
from agentctl.json import Json, encode
from agentctl.messages import ChatRequest
from agentctl.store.folder import open_thread_store, prepare_store

STEPS = 400
SYNCED_STEPS = 20
ROUNDS = 9
LONG = 5050
EARLY, LATE, AROUND = 50, 5000, 40
SAID_STEPS = 1000
CHARACTERS = 200
Middle = Callable[[list[float]], float]
"""The mean of many steps, checkpoints of the WAL among them; the median of few, where a disk that others use too is
waited for."""


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder:
        rows, notes = times(Path(folder))
        rows += growth(Path(folder))
    show("durable: the time of a step on disk", rows, notes)
    show("durable: bytes on disk, the store closed", sizes())


def times(folder: Path) -> tuple[list[Row], list[str]]:
    """A step without an effect and a write tool, each against one `set` of the record it leaves."""
    ours = _Turns(folder / "ours", LOOP, STEPS)
    record = ours.a_record()
    works: dict[str, Round] = {
        "step": ours,
        "set": _Sets(folder / "set", record, STEPS),
        "set, no cull": _Sets(folder / "lean", record, STEPS, cull_limit=0),
        "write": _Turns(folder / "write", WRITES, SYNCED_STEPS, median),
        "synced": _Sets(folder / "synced", record, SYNCED_STEPS, median, sqlite_synchronous=2),
    }
    notes = []
    if missing("langgraph", "langgraph.checkpoint.sqlite"):
        notes.append(
            "langgraph with its sqlite saver is not installed: pip install '.[compare]' compares with it"
        )
    else:
        works["langgraph"] = _langgraph(folder / "langgraph.db")
    cost = take_turns(works, ROUNDS)
    rows = [
        Row("a step without effect", cost["step"], cost["set"], "diskcache.set", 1.5),
        Row("the same", cost["step"], cost["set, no cull"], "diskcache.set, cull_limit=0"),
        Row("a write tool, keyed, in process", cost["write"], cost["synced"], "synced diskcache.set", 3),
    ]
    if "langgraph" in cost:
        rows.append(Row("a step in langgraph, sqlite saver", cost["langgraph"], cost["set"], "diskcache.set"))
    return rows, notes


def growth(folder: Path) -> list[Row]:
    """Late steps against early ones of a thread on disk whose state grows by an item a step."""
    turns = _Turns(folder / "growth", NOTES, LONG)
    took = [turns.steps() for _ in range(3)]
    early = median(step for steps in took for step in steps[EARLY - AROUND : EARLY + AROUND])
    late = median(step for steps in took for step in steps[LATE - AROUND : LATE + AROUND])
    worst = median(max(steps) for steps in took)
    sets = _Sets(folder / "beside", turns.a_record(), LONG)
    worst_set = median(max(sets.sets()) for _ in took)
    return [
        Row(f"step {LATE:,} of a growing field", late, early, f"step {EARLY}", 1.2),
        Row("the worst single step of it", worst, budget=0.010),
        Row("the worst of as many bare sets", worst_set),
    ]


def sizes() -> list[Row]:
    """The store of 1,000 steps that each say 200 characters, against those characters, and whether it is linear."""
    said, half = SAID_STEPS * CHARACTERS, SAID_STEPS * CHARACTERS // 2
    noted, spoken = _stored(SAYS, SAID_STEPS), _stored(CHAT, SAID_STEPS)
    return [
        Row("1,000 steps without a tape", noted, said, "of text", 5, "B"),
        Row("1,000 agent steps with their tape", spoken, said, "of text", 6, "B"),
        Row("500 steps without a tape", _stored(SAYS, SAID_STEPS // 2), half, "of text", None, "B"),
        Row("500 agent steps with their tape", _stored(CHAT, SAID_STEPS // 2), half, "of text", None, "B"),
    ]


HASH = "${{ state.count | string | sha256 }}"
SAYS = NOTES.replace("note ${{ state.count }}", f'"{HASH}{HASH}{HASH} a note."')
"""200 characters a step that no compression finds twice in a row of its own."""


class _Turns:
    """A graph on a store on disk, run as a thread of its own each time."""

    def __init__(self, folder: Path, text: str, steps: int, middle: Middle = fmean) -> None:
        self.middle = middle
        self.folder = prepare_store(folder)
        self.graph = graph_of(text)
        self.count = steps
        self.runs = 0

    def __call__(self) -> float:
        return self.middle(self.steps())

    def steps(self) -> list[float]:
        """Seconds of each step."""
        ends: list[float] = []
        self.runs += 1
        asyncio.run(
            _turn(
                self.graph, self.folder, f"t{self.runs}", self.count, lambda: ends.append(time.perf_counter())
            )
        )
        return [after - before for before, after in pairwise(ends)]

    def a_record(self) -> bytes:
        """A step's record as it lies in the store, about."""
        self.steps()
        rows = asyncio.run(_rows(self.folder, "t1"))
        return next(encode(record) for _, record in reversed(rows) if record["kind"] == "step")


class _Sets:
    """A bare diskcache that is given a value over and over, under a new key each time.

    It is opened for each round, as the store is: a WAL that grows is slower to sync than one that is used again.
    """

    def __init__(
        self, folder: Path, value: bytes, count: int, middle: Middle = fmean, **settings: int
    ) -> None:
        self.middle = middle
        self.open = partial(diskcache.Cache, str(folder), **settings)
        self.value = value
        self.count = count
        self.next = 0

    def __call__(self) -> float:
        return self.middle(self.sets())

    def sets(self) -> list[float]:
        """Seconds of each `set`."""
        ends = []
        with self.open() as cache:
            for number in range(self.next, self.next + self.count + 1):
                cache.set(f"thread{number:07}", self.value)
                ends.append(time.perf_counter())
        self.next += self.count + 1
        return [after - before for before, after in pairwise(ends)]


def _langgraph(file: Path) -> Round:
    loop = langgraph_durable_loop(file)

    async def timed() -> float:
        began = time.perf_counter()
        await loop(STEPS)
        return (time.perf_counter() - began) / STEPS

    return lambda: asyncio.run(timed())


async def _turn(
    graph: Graph, folder: Path, thread: str, steps: int, at: Callable[[], None], world: Script | None = None
) -> None:
    store = open_thread_store(folder)
    try:
        outcome = await run(graph, store, thread, {"goal": steps}, world=world, sinks=[OneEvent(at=at)])
        assert outcome.steps == steps, outcome
    finally:
        await store.close()


async def _rows(folder: Path, thread: str) -> list[tuple[int, Json]]:
    store = open_thread_store(folder)
    try:
        return await store.read(thread)
    finally:
        await store.close()


def _stored(text: str, steps: int) -> int:
    """Bytes of the store's files after a thread of so many steps."""
    poet = random.Random(7)
    world = Script(reply=lambda request: _words(poet, request))
    with TemporaryDirectory() as folder:
        store = prepare_store(Path(folder) / "store")
        asyncio.run(_turn(graph_of(text), store, "t", steps, lambda: None, world))
        return sum(file.stat().st_size for file in store.rglob("*") if file.is_file())


def _words(poet: random.Random, request: ChatRequest) -> str:
    """200 characters of made-up words."""
    words: list[str] = []
    while sum(map(len, words)) + len(words) < CHARACTERS:
        words.append("".join(poet.choices("abcdefghijklmnopqrstuvwxyz", k=poet.randint(2, 9))))
    return " ".join(words)[:CHARACTERS].ljust(CHARACTERS, ".")


if __name__ == "__main__":
    main()
