"""What Python tools print: heard with its call, in whole lines and no more than bounded, and never on our stdout."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from agentctl.tools.printed import MOST, Printed
from tests.cli.shell import agentctl

GRAPH = """\
agentctl: 1
name: loud
output: [said]
models: {default: {model: scripted/script.json}}
tools:
  shout: {python: "tools:shout", description: Shout., parameters: {n: integer}, effect: read, timeout: 30s MORE}
agents: {one: {tools: [shout], max_turns: 3}}
state: {said: {type: string, default: ""}}
start: go
nodes:
  go: {agent: one, prompt: go, save: said, then: end}
"""
TOOLS = {
    "sync": """
import sys, time
def shout(n):
    print("tool", n, "begins")
    time.sleep(0.02)
    print("tool", n, "complains", file=sys.stderr)
    print("tool", n, "ends", end="")
    return n
""",
    "async": """
import asyncio, sys
async def shout(n):
    print("tool", n, "begins")
    await asyncio.sleep(0.02)
    print("tool", n, "complains", file=sys.stderr)
    print("tool", n, "ends", end="")
    return n
""",
}


@pytest.mark.parametrize("kind", TOOLS)
@pytest.mark.parametrize("more", ["", ", in_process: true"])
def test_what_is_printed_is_told_with_its_call_and_the_answer_stays_the_answer(
    tmp_path: Path, kind: str, more: str
) -> None:
    (tmp_path / "graph.yaml").write_text(GRAPH.replace(" MORE", more))
    (tmp_path / "tools.py").write_text(TOOLS[kind])
    call = [{"tool": "shout", "args": {"n": n}} for n in (1, 2)]
    (tmp_path / "script.json").write_text(json.dumps([{"when": "go", "call": call}, {"say": "done"}]))
    run = agentctl("run", "graph.yaml", "-v", "--events", "events", cwd=tmp_path)
    assert (run.returncode, run.stdout) == (0, "done\n")
    told = [line for line in run.stderr.splitlines() if "prints:" in line]
    assert told
    assert all(line.startswith("1: shout prints: tool ") for line in told)
    events = [json.loads(line) for line in (tmp_path / "events").read_text().splitlines()]
    for number in (1, 2):
        mine = [event for event in events if event["data"].get("call") == f"1.{number}"]
        assert [mine[0]["type"], mine[-1]["type"]] == ["tool.started", "tool.ended"]
        said = "".join(event["data"]["text"] for event in mine if event["type"] == "tool.output")
        assert said == f"tool {number} begins\ntool {number} complains\ntool {number} ends"


def heard(pieces: list[str], most: int = MOST) -> list[str]:
    told: list[str] = []
    printed = Printed(told.append, most)
    for piece in pieces:
        printed.add(piece)
    printed.end()
    printed.add("too late\n")
    printed.end()
    return told


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ([], []),
        (["a", "b\n", "c"], ["ab\n", "c"]),
        (["a\nb\nc", "\n"], ["a\nb\n", "c\n"]),
        (["12345678", "9", "more\n"], ["(and more, which is not told)"]),
        (["1\n2\n3\n4\n5\n"], ["1\n2\n3\n4\n(and more, which is not told)"]),
        (["1234\n", "5678\n", "9\n"], ["1234\n", "(and more, which is not told)"]),
    ],
)
def test_lines_are_told_whole_and_at_most_so_much(pieces: list[str], told: list[str]) -> None:
    assert heard(pieces, 8) == told


def test_a_flood_is_told_in_part() -> None:
    told = heard(["x" * 999 + "\n"] * 10_000)
    assert sum(map(len, told)) < MOST + 100


def test_two_calls_in_process_are_told_apart() -> None:
    from agentctl.tools.printed import heard as listening

    said: dict[str, list[str]] = {"a": [], "b": []}

    async def tool(name: str) -> None:
        with listening(said[name].append):
            for _ in range(3):
                print(name, end="")
                await asyncio.sleep(0)
            await asyncio.to_thread(print, name.upper(), end="")
            await asyncio.sleep(0)

    async def both() -> Any:
        return await asyncio.gather(tool("a"), tool("b"))

    asyncio.run(both())
    assert {name: "".join(words) for name, words in said.items()} == {"a": "aaaA", "b": "bbbB"}
