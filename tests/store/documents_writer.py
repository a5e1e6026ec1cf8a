"""A process that adds documents, for tests that kill, stop or race it: FOLDER NAME [COUNT]."""

from __future__ import annotations

import asyncio
import itertools
import sys
from pathlib import Path

from agentctl.store.documents.documents import Documents, Draft
from tests.store.letters import Letters


async def add(folder: Path, name: str, count: int | None) -> None:
    """Batches of three documents; says `N` once batch N is acknowledged."""
    documents = Documents(folder, Letters())
    for n in itertools.count() if count is None else range(count):
        await documents.add(
            [
                Draft(f"{name} {n} part {part} " + "and more " * 30, id=f"{name}-{n}-{part}")
                for part in range(3)
            ]
        )
        sys.stdout.write(f"{n}\n")
        sys.stdout.flush()
    await documents.close()


if __name__ == "__main__":
    asyncio.run(add(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else None))
