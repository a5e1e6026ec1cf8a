"""How long `validate` takes on large files, against reading their YAML, and where the time goes.

Run it with `python benchmarks/validate.py`.
"""

from __future__ import annotations

import cProfile
import pstats
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from commands import AGENTCTL, seconds
from side_by_side import Row, show, take_turns

from agentctl.check.check import check_file
from agentctl.spec.source import read_source

ROUNDS = 5
HEAD = """\
agentctl: 1
name: large
models:
  near: {model: openai/qwen3, base_url: "http://localhost:11434/v1", api_key: none}
tools:
  look: {python: "tools:look", description: Look something up., parameters: {word: string}, returns: string, effect: read, timeout: 5s}
agents:
  sorter: {model: near, instructions: You sort., output: {desk: {enum: [a, b, c]}, sure: number}}
  helper: {model: near, instructions: You help., tools: [look], max_turns: 3}
input: [question]
output: [answer]
state:
  question: string
  desk: {enum: [a, b, c]}
  sure: number
  found: string
  answer: {type: string, default: ""}
limits: {recursion: 100000, tokens: 1000000}
start: sort_0
"""
NODES = """\
  sort_@:
    agent: sorter
    prompt: |
      Question @: ${{ state.question | trim }}
      {% if state.answer %}So far: ${{ state.answer | truncate(200) }}{% endif %}
    save: [desk, sure]
    max_visits: 2
    then: by_desk_@
  look_@: {tool: look, args: {word: "${{ state.question }}"}, save: found, on_error: note_@, then: note_@}
  help_@: {agent: helper, prompt: "${{ state.question }}", save: answer, max_visits: 2, then: is_done_@}
  note_@: {set: {answer: "${{ state.answer ~ ' @' }}"}, then: is_done_@}
"""
ROUTERS = """\
  by_desk_@: {by: state.desk, to: {a: look_@, b: help_@, c: note_@}}
  is_done_@: [{when: state.sure > 0.9 and state.answer != "", to: NEXT}, {when: state.sure < 0.1, to: sort_@}, {else: note_@}]
"""


def large(nodes: int) -> str:
    """A file with so many nodes, in groups of four, that uses what the language has most of."""
    groups = nodes // 4
    parts = [NODES.replace("@", str(number)) for number in range(groups)]
    arms = [
        ROUTERS.replace("@", str(number)).replace(
            "NEXT", f"sort_{number + 1}" if number + 1 < groups else "end"
        )
        for number in range(groups)
    ]
    text = "".join(parts)
    return f"{HEAD}nodes:\n{text}routers:\n{''.join(arms)}"


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """The processor time of one call."""

    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return once


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tools.py").write_text("def look(word: str) -> str: ...\n")
        small, big = folder / "small.yaml", folder / "big.yaml"
        small.write_text(large(100))
        big.write_text(large(1_000))
        cost = take_turns(
            {
                "read": timed(lambda: read_source(big, big.read_text())),
                "small": timed(lambda: check_file(small)),
                "big": timed(lambda: check_file(big)),
                "command": lambda: seconds((*AGENTCTL, "validate", str(big)), folder),
            },
            ROUNDS,
        )
        profile = _profile(big)
    rows = [
        Row("1,000 nodes, the whole command", cost["command"], None, "", 2.0),
        Row("1,000 nodes, the check alone", cost["big"], cost["read"], "reading its YAML"),
        Row("a node of 1,000", cost["big"] / 1_000, cost["small"] / 100, "a node of 100", 1.5),
    ]
    show("validate: processor time of checks, and the time of a whole command", rows, profile)


def _profile(file: Path) -> list[str]:
    """The parts of the package by the time spent in their own functions."""
    profiler = cProfile.Profile()
    profiler.runcall(check_file, file)
    spent: dict[str, float] = {}
    for (source, _, _), (_, _, own, _, _) in pstats.Stats(profiler).stats.items():  # type: ignore[attr-defined]
        part = _part_of(source)
        spent[part] = spent.get(part, 0.0) + own
    whole = sum(spent.values())
    ranked = sorted(spent.items(), key=lambda entry: -entry[1])[:12]
    return [f"{own / whole:>4.0%} {part}" for part, own in ranked]


def _part_of(source: str) -> str:
    parts = Path(source).parts
    if "agentctl" in parts:
        return "/".join(parts[len(parts) - 1 - parts[::-1].index("agentctl") :])
    if "site-packages" in parts:
        return parts[parts.index("site-packages") + 1]
    return "Python itself"


if __name__ == "__main__":
    main()
