"""Commands as their users start them: processes, timed from their start to their end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from parts import LOOP, graph_of, run

from agentctl.store.folder import open_thread_store, prepare_store

PYTHON = sys.executable
AGENTCTL = (str(Path(PYTHON).with_name("agentctl")),)
IMPORT_TYPER = (PYTHON, "-c", "import typer")
HELLO = Path(__file__).parent.parent / "examples" / "hello" / "graph.yaml"


def seconds(command: Sequence[str], folder: Path) -> float:
    """The wall time of a command that must succeed."""
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False
    )
    took = time.perf_counter() - began
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} gave {done.returncode}: {done.stderr}")
    return took


def make_thread(folder: Path, name: str, steps: int) -> None:
    """A finished thread of so many steps in a folder's store."""
    asyncio.run(_make_thread(folder, name, steps))


async def _make_thread(folder: Path, name: str, steps: int) -> None:
    store = open_thread_store(prepare_store(folder / ".agentctl"))
    try:
        outcome = await run(graph_of(LOOP), store, name, {"goal": steps})
        assert outcome.steps == steps
    finally:
        await store.close()


def _environment() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": ""}
