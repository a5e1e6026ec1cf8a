"""A thread as people and programs look at it: its turns, their steps and what each step called."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from agentctl.json import Json
from agentctl.sinks.sentences import error_text
from agentctl.sinks.wording import compact, count, duration, money, tokens
from agentctl.store.protocols import Head


def thread_as_json(head: Head, rows: Sequence[tuple[int, Json]]) -> Json:
    """`threads show --json` (version 1): the thread with its turns and steps."""
    return {"v": 1, **head_as_json(head), "turns": turns_of(rows)}


def head_as_json(head: Head) -> dict[str, Json]:
    """One thread of `threads list --json`."""
    return {
        "thread": head.thread,
        "graph": head.graph,
        "status": head.status,
        "turn": head.turns,
        "steps": head.steps,
        "tenant": head.tenant,
        "usage": {"input": head.input_tokens, "output": head.output_tokens},
        "cost": head.cost,
        "created": head.created,
        "updated": head.updated,
        "variants": head.variants,
        "digest": head.digest,
    }


def turns_of(rows: Sequence[tuple[int, Json]]) -> list[dict[str, Json]]:
    """The turns a log tells of, in order."""
    turns: list[dict[str, Json]] = []
    calls: list[Json] = []
    for _, record in rows:
        match record["kind"]:
            case "turn":
                turns.append(_turn(record))
                calls = []
            case "effect":
                calls.append(record)
            case "step" if turns:
                turns[-1]["steps"].append(_step(record, calls, turns[-1]["seconds"]))
                turns[-1]["seconds"] = record["t"]
                calls = []
            case "suspend" | "end" if turns:
                turns[-1].update(status=record["status"], error=record.get("error"))
                turns[-1]["question"] = record.get("question")
            case "resume" if turns:
                turns[-1].update(status="running", error=None, question=None)
    return turns


def thread_text(head: Head, rows: Sequence[tuple[int, Json]]) -> str:
    """The thread for a person, a line for each step."""
    lines = [f"thread {head.thread}", f"graph {head.graph} · {_totals(head)}"]
    for turn in turns_of(rows):
        lines += ["", f"turn {turn['turn']}  {turn['status']}  {compact(turn['inputs'], 120)}"]
        for step in turn["steps"]:
            calls = "".join(f" · {name}" for name in step["calls"])
            went = f" → {step['next']}" if step["next"] else ""
            lines.append(f"  {step['step']:>3}  {step['node']} · {duration(step['seconds'])}{calls}{went}")
            if step["error"]:
                lines.append(f"       {error_text(step['error'])}")
        if turn["error"]:
            lines.append(f"       {error_text(turn['error'])}")
        if turn["question"]:
            lines.append(f"       {error_text(turn['question']['question'])}")
    return "\n".join(lines) + "\n"


def list_text(heads: Sequence[Head]) -> str:
    """Threads as a table, a line each."""
    rows = [("THREAD", "GRAPH", "STATUS", "TURNS", "STEPS", "TOKENS", "COST", "LAST")]
    for head in heads:
        used = head.input_tokens + head.output_tokens
        numbers = (str(head.turns), str(head.steps), f"{used:,}", money(head.cost), moment(head.updated))
        rows.append((head.thread, head.graph, head.status, *numbers))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in rows
    )


def moment(time: float) -> str:
    """A time in Unix seconds, on the clock of this machine."""
    return datetime.fromtimestamp(time, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _turn(record: Json) -> dict[str, Json]:
    return {
        "turn": record["n"],
        "run": record["run"]["id"],
        "graph": record["graph"],
        "file": record["path"],
        "digest": record["digest"],
        "inputs": record["inputs"],
        "status": "running",
        "seconds": 0.0,
        "steps": [],
        "error": None,
        "question": None,
    }


def _step(record: Json, calls: Sequence[Json], before: float) -> dict[str, Json]:
    return {
        "step": record["n"],
        "node": record["node"],
        "visit": record.get("visit", 1),
        "next": record.get("next"),
        "routers": record.get("via", []),
        "seconds": round(max(0.0, record["t"] - before), 3),
        "saved": [name for name, _ in record.get("up", ())],
        "calls": [_call(call) for call in calls if call["of"] in ("model", "tool", "ask")],
        "error": record.get("err"),
    }


def _call(effect: Json) -> str:
    name = effect.get("tool") or effect["of"]
    return f"{name} (memo)" if effect.get("memo") else f"{name} (failed)" if effect.get("err") else str(name)


def _totals(head: Head) -> str:
    usage = {"input": head.input_tokens, "output": head.output_tokens}
    turns, steps = count(head.turns, "turn"), count(head.steps, "step")
    return f"{head.status} · {turns} · {steps} · {tokens(usage)} · cost {money(head.cost)} · {moment(head.updated)}"
