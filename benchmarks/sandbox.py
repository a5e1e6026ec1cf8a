"""What the sandbox of a Python tool costs: a call, warm and cold, against starting Python and doing nothing.

Run it with `python benchmarks/sandbox.py`.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from side_by_side import Round, Row, show, take_turns

from agentctl.graph.plan import SandboxPlan
from agentctl.json import Json
from agentctl.tools.python_call import PythonCall
from agentctl.tools.worker import WorkerPool

CALLS = 20
ROUNDS = 7
BARE = [sys.executable, "-c", "pass"]
MODULE = "def add(a, b):\n    return a + b\n"


def main() -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "tools.py").write_text(MODULE)
        plain = PythonCall(Path(folder) / "tools.py", "add")
        boxed = replace(plain, sandbox=SandboxPlan())
        pools = _Pools()
        try:
            found = take_turns(
                {
                    "python": _bare,
                    "worker": pools.warm(plain),
                    "sandbox": pools.warm(boxed),
                    "cold worker": pools.cold(plain),
                    "cold sandbox": pools.cold(boxed),
                    "bounds": pools.warm(replace(boxed, bounded_only=True)),
                },
                ROUNDS,
            )
        finally:
            pools.close()
    against = "python -c pass"
    show(
        "One call of a Python tool, and its first one",
        [
            Row("sandboxed, template warm", found["sandbox"], found["python"], against, 1.0),
            Row("sandboxed, template warm", found["sandbox"], found["worker"], "the worker without one"),
            Row("sandboxed, first call", found["cold sandbox"], found["python"], against),
            Row(
                "sandboxed, first call", found["cold sandbox"], found["cold worker"], "the worker without one"
            ),
            Row("bounded only (--sandbox process)", found["bounds"], found["python"], against),
        ],
    )


def _bare() -> float:
    began = time.perf_counter()
    for _ in range(CALLS // 4):
        subprocess.run(BARE, check=True)
    return (time.perf_counter() - began) / (CALLS // 4)


class _Pools:
    """Workers on a loop of their own."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._pool = self._runner.run(_made())

    def warm(self, call: PythonCall) -> Round:
        return self._timed(CALLS, lambda: _call(self._pool, call))

    def cold(self, call: PythonCall) -> Round:
        async def first() -> Json:
            pool = WorkerPool()
            try:
                return await _call(pool, call)
            finally:
                await pool.close()

        return self._timed(2, first)

    def close(self) -> None:
        self._runner.run(self._pool.close())
        self._runner.close()

    def _timed(self, calls: int, work: Callable[[], Awaitable[Json]]) -> Round:
        async def every() -> float:
            await work()
            began = time.perf_counter()
            for _ in range(calls):
                await work()
            return (time.perf_counter() - began) / calls

        return lambda: self._runner.run(every())


async def _made() -> WorkerPool:
    return WorkerPool()


async def _call(pool: WorkerPool, call: PythonCall) -> Json:
    answer = await pool.call(call, {"a": 1, "b": 2}, timeout=30, max_result=1024)
    assert answer == 3
    return answer


if __name__ == "__main__":
    main()
