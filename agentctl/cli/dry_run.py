"""What a run would use, and what it would fail with, for `run --dry-run`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agentctl.cli.answer import print_json
from agentctl.cli.streams import complain_about, on_terminal
from agentctl.json import Json
from agentctl.sinks.neutral import neutral
from agentctl.sinks.wording import compact, count, duration

if TYPE_CHECKING:
    from agentctl.assembly.rehearsal import ReadyModel, Rehearsal
    from agentctl.graph.plan import LimitPlan, Node, ToolPlan

_SECONDS = ("time", "step_time")
_RESERVES = ("reserve_time", "reserve_tokens", "reserve_cost")


def report(rehearsal: Rehearsal, *, thread: str | None, turns: int, as_json: bool) -> int:
    """Print it, its problems on stderr; the exit code the run would fail with, or 0. `turns` share the inputs."""
    if as_json:
        print_json(_as_json(rehearsal, thread, turns))
    else:
        text = _as_text(rehearsal, thread, turns)
        sys.stdout.write(neutral(text) if on_terminal(sys.stdout) else text)
    sys.stdout.flush()
    for problem in rehearsal.problems:
        complain_about(problem)
    return rehearsal.exit_code


def _as_json(rehearsal: Rehearsal, thread: str | None, turns: int) -> Json:
    return {
        "v": 1,
        "graph": rehearsal.graph.name,
        "thread": thread,
        "turn": rehearsal.turn,
        "turns": turns,
        "inputs": dict(rehearsal.inputs),
        "models": [_model(model) for model in rehearsal.models],
        "tools": [
            {"name": tool.name, "effect": tool.effect, "cache": tool.cache not in (None, 0), **_work(tool)}
            for tool in rehearsal.graph.tools.values()
        ],
        "nodes": [{"name": node.name, "kind": node.kind} for node in rehearsal.graph.nodes.values()],
        "limits": _limits(rehearsal.graph.limits),
        "problems": [
            {"message": problem.message, "hint": problem.hint, "exit_code": problem.exit_code}
            for problem in rehearsal.problems
        ],
        "exit_code": rehearsal.exit_code,
    }


def _as_text(rehearsal: Rehearsal, thread: str | None, turns: int) -> str:
    graph = rehearsal.graph
    if turns > 1:
        what = f"{count(turns, 'turn')}, each on a thread of its own; the first:"
    else:
        what = f"turn {rehearsal.turn} of thread {thread}" if thread else "one turn on a new thread"
    parts = [
        f"{graph.name}: would run {what}\n",
        _rows("inputs", {name: compact(value) for name, value in rehearsal.inputs.items()}),
        _rows("models", {model.plan.name: _model_words(model) for model in rehearsal.models}),
        _rows("tools", {name: _tool_words(tool) for name, tool in graph.tools.items()}),
        _rows("nodes", {name: _node_words(node) for name, node in graph.nodes.items()}),
        _rows("limits", _limit_words(graph.limits)),
    ]
    return "".join(parts)


def _rows(title: str, rows: Mapping[str, str]) -> str:
    if not rows:
        return ""
    width = max(map(len, rows))
    return f"{title}\n" + "".join(f"  {name:{width}}  {said}\n" for name, said in rows.items())


def _model(model: ReadyModel) -> Json:
    return {
        "name": model.plan.name,
        "model": model.plan.reference,
        "ready": model.problem is None and not model.to_fetch,
        "to_fetch": model.to_fetch,
        "problem": model.problem.message if model.problem else None,
    }


def _model_words(model: ReadyModel) -> str:
    if model.problem is not None:
        return f"{model.plan.reference}  {model.problem.message}"
    return f"{model.plan.reference}  {'to be fetched' if model.to_fetch else 'ready'}"


def _work(tool: ToolPlan) -> dict[str, Json]:
    """What a call of it would do, as the file says."""
    kind = tool.work.kind if tool.work else ""
    said = tool.definition.get(kind)
    return {"kind": kind, "calls": " ".join(map(str, said)) if isinstance(said, list) else said}


def _tool_words(tool: ToolPlan) -> str:
    kept = "" if tool.cache in (None, 0) else ", answered from the memo where it can be"
    said = " ".join(map(str, _work(tool).values()))
    kept += ", in a sandbox" if tool.sandbox is not None else ""
    return f"{tool.effect}{kept}" + (f": {said}" if tool.work and tool.work.kind != "python" else "")


def _node_words(node: Node) -> str:
    match node.kind:
        case "agent":
            tools = ", ".join(tool.name for tool in node.agent.tools)
            return f"agent on {node.agent.model.reference}" + (f" with {tools}" if tools else "")
        case "tool":
            return f"tool {node.tool.name}"
        case kind:
            return kind


def _limits(limits: LimitPlan) -> dict[str, Json]:
    """Those that are set; seconds, bytes and US dollars. What `on_limit` keeps back matters only with it."""
    found = {name: getattr(limits, name) for name in limits.__slots__}
    left_out = () if limits.on_limit else _RESERVES
    return {name: value for name, value in found.items() if value is not None and name not in left_out}


def _limit_words(limits: LimitPlan) -> dict[str, str]:
    words = {}
    for name, value in _limits(limits).items():
        if name in (*_SECONDS, "reserve_time"):
            words[name] = duration(value)
        elif name == "state_size":
            words[name] = f"{value:,} bytes"
        elif name in ("cost", "reserve_cost"):
            words[name] = f"${value:g}"
        else:
            words[name] = f"{value:,}" if isinstance(value, int) else str(value)
    return words
