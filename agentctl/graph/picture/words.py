"""The few words that say what a node does and what bounds it."""

from __future__ import annotations

import re

from msgspec import UNSET

from agentctl.spec.model import MapWork, NodeSpec

_LONGEST = 60


def short(text: object) -> str:
    """One line of at most 60 characters, none of which steers a terminal or turns the text around."""
    line = re.sub(r"[\s\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+", " ", str(text)).strip()
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def says(node: NodeSpec | MapWork) -> str:
    """What a node does, in a few words: `agent sorter`, `tool refund`, `ask approve | reject`."""
    if node.agent is not UNSET:
        return f"agent {node.agent}" if isinstance(node.agent, str) else "agent"
    if node.tool is not UNSET:
        return f"tool {node.tool}"
    if node.graph is not UNSET:
        return f"graph {node.graph}"
    if isinstance(node, NodeSpec) and node.map is not UNSET:
        return f"map {says(node.map.do)}, for each of {short(node.map.over)}"
    if isinstance(node, NodeSpec) and node.parallel is not UNSET:
        return "parallel"
    if node.ask is not UNSET:
        return "ask " + " | ".join(node.choices) if node.choices else "ask"
    return f"set {', '.join(node.set)}" if node.set else "set"


def notes(node: NodeSpec | MapWork) -> tuple[str, ...]:
    """What bounds a node: `at most 2 visits`, `3 tries`, `30m`, `in the background`."""
    found = []
    if isinstance(node, NodeSpec) and node.max_visits:
        found.append(f"at most {node.max_visits} visit{'' if node.max_visits == 1 else 's'}")
    if node.retry and node.retry.attempts:
        found.append(f"{node.retry.attempts} tries")
    if node.timeout:
        found.append(f"timeout {node.timeout}")
    if node.background is True:
        found.append("in the background")
    return tuple(found)
