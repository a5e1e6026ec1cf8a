"""Calls that are remembered: one run for all who ask at once, and whatever could change an answer is a miss."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import textwrap
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from agentctl.assembly.loading import load
from agentctl.assembly.world import LiveWorld
from agentctl.errors import ToolError
from agentctl.graph.plan import McpServerPlan, McpWork, ToolPlan
from agentctl.models.calling import ProviderPool
from agentctl.store.memo import DiskMemo
from agentctl.store.memory import MemoryMemo
from agentctl.tools.call import Answered, Call, ToolCaller
from agentctl.tools.granted_files import GrantedFiles
from tests.tools.kinds import SECRET, call_of, mask, tool_of

Json = Any
PURE = "command: [count], parameters: {n: integer}, effect: pure"
"""It is never started: what it does is done by the test."""


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


class Counting:
    """A tool that counts how often it is run, and waits until it is let go."""

    def __init__(self, fails: bool = False) -> None:
        self.runs = 0
        self.go = asyncio.Event()
        self.fails = fails

    async def __call__(self, call: Call) -> Json:
        self.runs += 1
        await self.go.wait()
        if self.fails:
            raise ToolError("tool_failed", "it broke")
        return f"{call.arguments} {self.runs}"


def test_ten_thousand_identical_calls_are_one_execution_in_a_worker(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(
        "import os, time\ndef count(n: int) -> int:\n    time.sleep(0.2)\n"
        "    fd = os.open('executions', os.O_WRONLY | os.O_CREAT | os.O_APPEND)\n"
        "    os.write(fd, b'x')\n    return n + 1\n"
    )
    (tmp_path / "graph.yaml").write_text(
        textwrap.dedent("""
        agentctl: 1
        name: count
        tools: {count: {python: "tools:count", effect: pure}}
        start: go
        nodes: {go: {tool: count, args: {n: 1}, then: end}}
        """)
    )
    graph = load(tmp_path / "graph.yaml").graph
    tool = graph.tools["count"]

    async def work() -> None:
        memo = DiskMemo(tmp_path, size_limit=10**7)
        world = LiveWorld(graph, {}, ProviderPool(), memo, b"secret")
        call = dataclasses.replace(call_of(tool, {"n": 1}), code=world.code_digest(tool))
        try:
            answers = await asyncio.gather(*(world.call_tool(call) for _ in range(10_000)))
        finally:
            await world.close()
        assert {answer.value for answer in answers} == {2}
        assert sum(answer.age is None for answer in answers) == 1
        [found] = list(tmp_path.rglob("executions")) or [Path("executions")]
        assert found.read_text() == "x"

    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        run(work())
    finally:
        os.chdir(before)


def test_a_failing_leader_fails_its_whole_flight_and_nothing_is_remembered(tmp_path: Path) -> None:
    async def work() -> None:
        counting = Counting(fails=True)
        caller = ToolCaller(counting, MemoryMemo(), b"secret")
        tool = dataclasses.replace(tool_of(tmp_path, PURE), attempts=1)
        flight = [asyncio.create_task(caller.call(call_of(tool, {"n": 1}))) for _ in range(100)]
        await asyncio.sleep(0)
        counting.go.set()
        ended = await asyncio.gather(*flight, return_exceptions=True)
        assert {str(error) for error in ended} == {"it broke"}
        assert counting.runs == 1
        counting.fails = False
        assert (await caller.call(call_of(tool, {"n": 1}))).missed is not None
        assert counting.runs == 2

    run(work())


def test_a_cancelled_leader_passes_the_lead_on(tmp_path: Path) -> None:
    async def work() -> None:
        counting = Counting()
        caller = ToolCaller(counting, DiskMemo(tmp_path, size_limit=10**7), b"secret")
        tool = tool_of(tmp_path, PURE)
        flight = [asyncio.create_task(caller.call(call_of(tool, {"n": 1}))) for _ in range(5)]
        while counting.runs == 0:
            await asyncio.sleep(0)
        flight[0].cancel()
        while counting.runs == 1:
            await asyncio.sleep(0)
        counting.go.set()
        answers = await asyncio.gather(*flight[1:])
        assert counting.runs == 2
        assert sorted(answer.age is None for answer in answers) == [False, False, False, True]

    run(work())


Change = Callable[[Path, ToolPlan], ToolPlan]


def _same(folder: Path, tool: ToolPlan) -> ToolPlan:
    return tool


def _granted_file(folder: Path, tool: ToolPlan) -> ToolPlan:
    (folder / "data" / "b.csv").write_text("changed")
    return tool


def _new_granted_file(folder: Path, tool: ToolPlan) -> ToolPlan:
    (folder / "data" / "c.csv").write_text("")
    return tool


def _link_to_another_folder(folder: Path, tool: ToolPlan) -> ToolPlan:
    (folder / "data" / "current").unlink()
    (folder / "data" / "current").symlink_to("v2")
    return tool


def _file_that_it_may_write(folder: Path, tool: ToolPlan) -> ToolPlan:
    (folder / "out" / "seen.csv").write_text("changed")
    return tool


def _memory(folder: Path, tool: ToolPlan) -> ToolPlan:
    assert tool.sandbox is not None
    return dataclasses.replace(tool, sandbox=dataclasses.replace(tool.sandbox, memory=1024))


def _served_by(version: str) -> Change:
    def change(folder: Path, tool: ToolPlan) -> ToolPlan:
        server = McpServerPlan(
            name="shop",
            command=("x",),
            folder=folder,
            url=None,
            headers=(),
            env=(),
            file=folder / "graph.yaml",
        )
        return dataclasses.replace(tool, work=McpWork(server, "t", identity=("shop", version)))

    return change


@pytest.mark.parametrize(
    ("before", "change", "hit"),
    [
        (_same, _same, True),
        (_same, _granted_file, False),
        (_same, _new_granted_file, False),
        (_same, _link_to_another_folder, False),
        (_same, _file_that_it_may_write, False),
        (_same, _memory, False),
        (_served_by("one"), _served_by("one"), True),
        (_served_by("one"), _served_by("two"), False),
    ],
)
def test_a_changed_sandbox_granted_file_or_server_is_a_miss(
    tmp_path: Path, before: Change, change: Change, hit: bool
) -> None:
    async def work() -> None:
        counting = Counting()
        counting.go.set()
        memo = MemoryMemo()
        for name in ("data", "data/v1", "data/v2", "out"):
            (tmp_path / name).mkdir()
        (tmp_path / "data" / "b.csv").write_text("b")
        (tmp_path / "data" / "current").symlink_to("v1")
        tool = tool_of(tmp_path, f"{PURE}, sandbox: {{files: {{read: [data], write: [out]}}}}")
        await ToolCaller(counting, memo, b"secret").call(call_of(before(tmp_path, tool), {"n": 1}))
        changed = change(tmp_path, tool)
        answer = await ToolCaller(counting, memo, b"secret").call(call_of(changed, {"n": 1}))
        assert (answer.age is not None) is hit
        assert counting.runs == (1 if hit else 2)

    run(work())


def test_granted_files_that_cannot_be_compared_are_told_from_all_others(tmp_path: Path) -> None:
    async def work() -> None:
        files = GrantedFiles()
        (tmp_path / "a").write_text("a")
        (tmp_path / "nowhere").symlink_to("gone")
        one = await files.digest([tmp_path])
        assert one == await files.digest([tmp_path])
        assert one != await files.digest([tmp_path / "a"])
        assert await files.digest([tmp_path / "gone"]) == await files.digest([tmp_path / "too"])
        (tmp_path / "empty").mkdir()
        assert one != await files.digest([tmp_path])
        (tmp_path / "empty").rmdir()
        os.utime(tmp_path / "a", (1, 1))
        assert await files.digest([tmp_path]) == one  # names and bytes count, times do not
        os.mkfifo(tmp_path / "pipe")
        assert await files.digest([tmp_path]) is None

    run(work())


def test_a_tool_whose_files_cannot_be_compared_is_called_every_time(tmp_path: Path) -> None:
    async def work() -> None:
        counting = Counting()
        counting.go.set()
        (tmp_path / "data").mkdir()
        os.mkfifo(tmp_path / "data" / "pipe")
        tool = tool_of(tmp_path, f"{PURE}, sandbox: {{files: {{read: [data]}}}}")
        caller = ToolCaller(counting, MemoryMemo(), b"secret")
        answers = [await caller.call(call_of(tool, {"n": 1})) for _ in range(2)]
        assert [answer.missed for answer in answers] == [{"off": "files"}] * 2

    run(work())


@pytest.mark.parametrize(
    ("other", "hit"),
    [({}, True), ({"tenant": "acme"}, False), ({"arguments": {"n": 2}}, False), ({"code": "c"}, False)],
)
def test_tenants_never_share_and_a_changed_body_misses(tmp_path: Path, other: Json, hit: bool) -> None:
    async def work() -> None:
        counting = Counting()
        counting.go.set()
        caller = ToolCaller(counting, MemoryMemo(), b"secret")
        call = call_of(tool_of(tmp_path, PURE), {"n": 1})
        await caller.call(call)
        answer = await caller.call(dataclasses.replace(call, **other))
        assert (answer.age is not None) is hit

    run(work())


def test_tools_of_two_files_that_are_named_alike_never_share(tmp_path: Path) -> None:
    async def work() -> None:
        counting = Counting()
        counting.go.set()
        caller = ToolCaller(counting, MemoryMemo(), b"secret")
        http = "http: GET http://127.0.0.1/{}, parameters: {{n: integer}}, effect: read, cache: 1h"
        tools = [tool_of(tmp_path / file, http.format(file)) for file in ("outer", "inner")]
        answers = [await caller.call(call_of(tool, {"n": 1})) for tool in (*tools, *tools)]
        assert [answer.age is not None for answer in answers] == [False, False, True, True]
        assert answers[0].value != answers[1].value

    run(work())


def test_another_env_value_is_a_miss_and_no_value_is_in_what_is_kept(tmp_path: Path) -> None:
    async def work() -> None:
        counting = Counting()
        counting.go.set()
        tool = tool_of(tmp_path, PURE, "TOKEN: {default: x}")

        async def call(value: str) -> Answered:
            memo = DiskMemo(tmp_path, size_limit=10**7)
            caller = ToolCaller(counting, memo, b"key", {"TOKEN": value}, mask)
            try:
                return await caller.call(call_of(tool, {"n": SECRET}))
            finally:
                await memo.close()

        first, again, other = await call(SECRET), await call(SECRET), await call("other")
        assert (first.age, again.age is not None, other.age) == (None, True, None)
        assert first.missed is not None
        assert other.missed is not None
        assert first.missed["env"].keys() == {"TOKEN"}
        assert first.missed["env"] != other.missed["env"]
        assert SECRET not in str(first.beside)
        stored = b"".join(path.read_bytes() for path in (tmp_path / "memo").iterdir())
        assert SECRET.encode() not in stored

    run(work())
