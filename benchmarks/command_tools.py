"""What a command tool costs: a call, sandboxed and not, against starting the program and nothing else.

Run it with `python benchmarks/command_tools.py`.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from side_by_side import Round, Row, show, take_turns

from agentctl.graph.compile import compile_graph
from agentctl.graph.plan import CommandWork, ToolNode, ToolPlan
from agentctl.spec.document import read_document
from agentctl.tools.call import Call
from agentctl.tools.command import CommandTools

CALLS = 20
ROUNDS = 7
GRAPH = """
agentctl: 1
name: g
tools:
  plain: {command: ["true"], effect: read}
  boxed: {command: ["true"], effect: read, sandbox: {time: 1s, memory: 64MB}}
start: a
nodes:
  a: {tool: plain, then: b}
  b: {tool: boxed, then: end}
"""


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as folder, asyncio.Runner() as runner:
        (Path(folder) / "graph.yaml").write_text(GRAPH)
        nodes = compile_graph(read_document(Path(folder) / "graph.yaml")).nodes.values()
        plans = {node.tool.name: node.tool for node in nodes if isinstance(node, ToolNode)}
        tools = runner.run(_made({}))
        bounded = runner.run(_made({}, isolate=False))
        works: dict[str, Round] = {
            "bare": _bare,
            "plain": lambda: runner.run(_called(tools, plans["plain"])),
            "isolated": lambda: runner.run(_called(tools, plans["boxed"])),
            "bounded": lambda: runner.run(_called(bounded, plans["boxed"])),
        }
        cost = take_turns(works, ROUNDS)
        runner.run(tools.close())
        runner.run(bounded.close())
    against = "a bare subprocess"
    show(
        "One call of a command tool",
        [
            Row("without a sandbox", cost["plain"], cost["bare"], against),
            Row("isolated", cost["isolated"], cost["bare"], against),
            Row("bounded only (--sandbox process)", cost["bounded"], cost["bare"], against),
        ],
    )


def _bare() -> float:
    began = time.perf_counter()
    for _ in range(CALLS):
        subprocess.run(["true"], check=True, capture_output=True)
    return (time.perf_counter() - began) / CALLS


async def _made(env: Mapping[str, str], *, isolate: bool = True) -> CommandTools:
    return CommandTools(env, lambda value: value, isolate=isolate)


async def _called(tools: CommandTools, tool: ToolPlan) -> float:
    assert isinstance(tool.work, CommandWork)
    began = time.perf_counter()
    for _ in range(CALLS):
        await tools.call(tool.work, _call(tool))
    return (time.perf_counter() - began) / CALLS


def _call(tool: ToolPlan) -> Call:
    async def nothing() -> None: ...

    return Call(
        tool=tool,
        arguments={},
        tenant="",
        code="",
        idempotency_key=None,
        context=None,
        run={},
        admit=lambda: None,
        intend=nothing,
        tell=lambda type, data: None,
        on_retry=lambda error, wait: None,
    )


if __name__ == "__main__":
    main()
