"""Processes that make the same tool call at one store: `stress PROCESSES CALLS` or `kill TRIALS`, in a folder.

Each execution of the tool appends its process id to a file, which is what is counted. What was found is printed as
JSON. The processes are forked before an event loop or a store is opened.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from agentctl.engine.masking import Mask
from agentctl.store.folder import open_memo
from agentctl.tools.call import Call, ToolCaller
from tests.tools.kinds import call_of, tool_of

Json = Any
TOOL = "command: [count], parameters: {n: integer}, effect: pure, timeout: 60s"
"""It is never started: what it does is done here."""
PATIENCE = 40.0


def executions(folder: Path) -> list[int]:
    """The process ids of those that worked, in their order."""
    found = folder / "executions"
    return [int(line) for line in found.read_text().split()] if found.exists() else []


async def call_many(folder: Path, call: Call, calls: int, wait: Callable[[], Awaitable[None]]) -> int:
    """How many of the calls came from the memo, or from somebody who made them at the same time."""

    async def work(call: Call) -> Json:
        with (folder / "executions").open("a") as file:
            file.write(f"{os.getpid()}\n")
        await wait()
        return {"n": call.arguments["n"]}

    memo = open_memo(folder)
    caller = ToolCaller(work, memo, b"secret", {}, Mask([]))
    try:
        answers = await asyncio.gather(*(caller.call(call) for _ in range(calls)))
    finally:
        await memo.close()
    assert {answer.value["n"] for answer in answers} == {1}
    return sum(answer.age is not None for answer in answers)


def child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not what():
        if time.monotonic() > deadline:
            raise TimeoutError("nobody went on")
        time.sleep(0.002)


def ended(pids: list[int]) -> list[int]:
    """The exit codes of processes; those that hang are killed after a while."""
    codes: dict[int, int] = {}

    def all_ended() -> bool:
        for pid in set(pids) - set(codes):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                codes[pid] = os.waitstatus_to_exitcode(status)
        return len(codes) == len(pids)

    try:
        until(all_ended)
    finally:
        for pid in set(pids) - set(codes):
            os.kill(pid, signal.SIGKILL)
    return [codes[pid] for pid in pids]


def stress(folder: Path, call: Call, processes: int, calls: int) -> Json:
    started = folder / "go"

    async def pause() -> None:
        await asyncio.sleep(0.3)

    def work() -> None:
        until(started.exists)
        hits = asyncio.run(call_many(folder, call, calls, pause))
        (folder / f"hits.{os.getpid()}").write_text(str(hits))

    pids = [child(work) for _ in range(processes)]
    started.touch()
    codes = ended(pids)
    hits = sum(int((folder / f"hits.{pid}").read_text()) for pid in pids)
    return {"codes": codes, "executions": len(executions(folder)), "hits": hits}


def kill(folder: Path, call: Call, trials: int) -> Json:
    return [_trial(folder / str(number), call) for number in range(trials)]


def _trial(folder: Path, call: Call) -> Json:
    folder.mkdir()
    go = folder / "go"

    async def until_told() -> None:
        while not go.exists():
            await asyncio.sleep(0.002)

    def work() -> None:
        asyncio.run(call_many(folder, call, 2, until_told))

    pids = [child(work) for _ in range(3)]
    try:
        until(lambda: len(executions(folder)) > 0)
        os.kill(executions(folder)[0], signal.SIGKILL)
        until(lambda: len(executions(folder)) > 1)
    finally:
        go.touch()
        codes = ended(pids)
    return {"executions": len(executions(folder)), "codes": sorted(codes)}


def main() -> None:
    folder = Path(sys.argv[1])
    tool = tool_of(folder, TOOL)
    call = call_of(tool, {"n": 1})
    order, *numbers = sys.argv[2:]
    found = (
        stress(folder, call, int(numbers[0]), int(numbers[1]))
        if order == "stress"
        else kill(folder, call, int(numbers[0]))
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
