"""A process that writes to a store, for tests that kill, stop or race it. Each line of stdin is an order."""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from agentctl.errors import ThreadBusy
from agentctl.store.folder import open_thread_store
from agentctl.store.protocols import ThreadLog


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def append_for_ever(folder: Path) -> None:
    """Several tasks, batches of three records; says `thread N` once record N is acknowledged."""
    store = open_thread_store(folder)

    async def fill(thread: str) -> None:
        log = await store.open(thread)
        for n in itertools.count(log.seq // 3):
            last = await log.append([{"batch": n, "part": part, "text": "x" * 300} for part in range(3)])
            say(f"{thread} {last}")
            await asyncio.sleep(0)

    await asyncio.gather(*(fill(thread) for thread in ("a", "b", "c")))


async def obey() -> None:
    """`claim FOLDER THREAD` says won or what it was refused with; `let go` closes what was claimed."""
    held: ThreadLog | None = None
    store = None
    for line in sys.stdin:
        order, *rest = line.split()
        if order == "claim":
            store = open_thread_store(Path(rest[0]))
            try:
                held = await store.open(rest[1])
                await held.append([{"by": "me"}])
                say("won")
            except ThreadBusy as error:
                say(f"busy: {error}")
        elif store is not None:
            await store.close()
            say("let go")


if __name__ == "__main__":
    asyncio.run(append_for_ever(Path(sys.argv[1])) if len(sys.argv) > 1 else obey())
