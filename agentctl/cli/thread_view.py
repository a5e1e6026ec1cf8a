"""A thread as people and programs look at it: its turns, their steps and what each step called."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from agentctl.engine.tape import Tape, unpacked
from agentctl.json import Json
from agentctl.sinks.sentences import error_text
from agentctl.sinks.wording import compact, count, duration, money, tokens
from agentctl.store.protocols import Head

_LONGEST_VALUE = 70
_FIRST_TO_GO = ("STEPS", "TOKENS", "COST", "TURNS")
"""Columns of the list that a narrow terminal is spared, in this order."""


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
    inner: list[Json] = []
    tape = Tape()
    for _, record in rows:
        tape.take(record)
        match record["kind"]:
            case "turn":
                turns.append(_turn(record))
                calls, inner = [], []
            case "effect":
                calls.append(record)
            case "inner":
                inner.append(record)
            case "step" if turns:
                turns[-1]["steps"].append(_step(record, calls, inner, turns[-1]["seconds"], tape))
                turns[-1]["seconds"] = record["t"]
                calls, inner = [], []
            case "suspend" | "end" if turns:
                turns[-1].update(status=record["status"], error=record.get("error"))
                turns[-1]["question"] = record.get("question")
            case "resume" if turns:
                turns[-1].update(status="running", error=None, question=None)
    return turns


def open_question(rows: Sequence[tuple[int, Json]]) -> Json | None:
    """The question that the thread's last turn waits for, if it does."""
    turns = turns_of(rows)
    return turns[-1]["question"] if turns else None


def thread_text(head: Head, rows: Sequence[tuple[int, Json]]) -> str:
    """The thread for a person, a line for each step."""
    lines = [f"thread {head.thread}", *_totals(head)]
    for turn in turns_of(rows):
        lines += ["", f"turn {turn['turn']}  {turn['status']}  {compact(turn['inputs'], 120)}"]
        lines += [_job_line(job) for job in turn["jobs"]]
        for step in turn["steps"]:
            calls = "".join(f" · {name}" for name in step["calls"])
            went = f" → {step['next']}" if step["next"] else ""
            lines.append(f"  {step['step']:>3}  {step['node']} · {duration(step['seconds'])}{calls}{went}")
            lines += [_inner_line(one) for one in step["inner"]]
            lines += [f"       {name}: {compact(value, _LONGEST_VALUE)}" for name, value in step["writes"]]
            if step["error"]:
                lines.append(f"       {error_text(step['error'])}")
        if turn["error"] and lines[-1].strip() != error_text(turn["error"]):
            lines.append(f"       {error_text(turn['error'])}")
        if turn["question"]:
            lines.append(f"       {error_text(turn['question']['question'])}")
    return "\n".join(lines) + "\n"


def list_text(heads: Sequence[Head], width: int | None = None) -> str:
    """Threads as a table, a line each; columns are left out until a line fits the width, if one is given."""
    rows = [("THREAD", "GRAPH", "STATUS", "TURNS", "STEPS", "TOKENS", "COST", "LAST")]
    for head in heads:
        used = head.input_tokens + head.output_tokens
        numbers = (str(head.turns), str(head.steps), f"{used:,}", money(head.cost), moment(head.updated))
        rows.append((head.thread, head.graph, head.status, *numbers))
    columns = list(zip(*rows, strict=True))
    for name in _FIRST_TO_GO if width is not None else ():
        if sum(max(map(len, column)) + 2 for column in columns) - 2 > (width or 0):
            columns = [column for column in columns if column[0] != name]
    widths = [max(map(len, column)) for column in columns]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() + "\n"
        for row in zip(*columns, strict=True)
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
        "jobs": record.get("jobs", []),
        "status": "running",
        "seconds": 0.0,
        "steps": [],
        "error": None,
        "question": None,
    }


def _step(
    record: Json, calls: Sequence[Json], inner: Sequence[Json], before: float, tape: Tape
) -> dict[str, Json]:
    writes = unpacked(record, tape)
    return {
        "step": record["n"],
        "node": record["node"],
        "visit": record.get("visit", 1),
        "next": record.get("next"),
        "routers": record.get("via", []),
        "seconds": round(max(0.0, record["t"] - before), 3),
        "saved": [name for name, _ in writes],
        "writes": [list(write) for write in writes],
        "calls": [_call(call) for call in calls if call["of"] in ("model", "tool", "ask")],
        "inner": [_inner(one) for one in inner],
        "error": record.get("err"),
    }


def _inner(record: Json) -> dict[str, Json]:
    """A step of a graph inside."""
    return {
        "path": record["path"],
        "node": record["node"],
        "next": record.get("next"),
        "error": record.get("err"),
    }


def _inner_line(step: Json) -> str:
    """A step of a graph inside, deeper for each graph around it."""
    path = step["path"]
    went = f" → {step['next']}" if step["next"] else ""
    failed = f" · {error_text(step['error'])}" if step["error"] else ""
    return f"{'  ' * path.count('/')}     {path}{went}{failed}"


def _call(effect: Json) -> str:
    name = effect.get("tool") or effect["of"]
    return f"{name} (memo)" if effect.get("memo") else f"{name} (failed)" if effect.get("err") else str(name)


def _totals(head: Head) -> list[str]:
    usage = {"input": head.input_tokens, "output": head.output_tokens}
    turns, steps = count(head.turns, "turn"), count(head.steps, "step")
    return [
        f"graph {head.graph} · {head.status} · {moment(head.updated)}",
        f"{turns} · {steps} · {tokens(usage)} · cost {money(head.cost)}",
    ]


def _job_line(job: Json) -> str:
    """What a background job that is over brought to a turn."""
    found = dict(job.get("writes", ()))
    brought = error_text(job["error"]) if "error" in job else compact(found, _LONGEST_VALUE)
    return f"    -  {job['at']} · job {job['job'][:12]}: {brought}"
