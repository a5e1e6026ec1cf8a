"""What an event says to a person, in a line; for the live view and for logs."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from agentctl.events import Event
from agentctl.json import Json
from agentctl.sinks.neutral import one_line
from agentctl.sinks.wording import compact, count, duration


def sentence(event: Event) -> str | None:
    """One harmless line, or None where there is nothing to say."""
    says = _SENTENCES.get(event.type)
    return None if says is None else says(event.data)


def warning(event: Event) -> str | None:
    """The line of an event that a person must hear of, however quiet things are."""
    if event.type == "warning":
        return one_line(str(event.data["message"]), 300)
    if event.type == "checkpoint.fallback":
        return f"the store failed, going on in memory: {one_line(str(event.data['error']), 200)}"
    if event.type == "sink.lost":
        return f"a sink is lost: {compact(event.data, 200)}"
    if event.type in ("sandbox.violation", "breaker.opened", "model.passed_over", "job.lost"):
        return sentence(event)
    return None


def tool_call(data: Json, longest: int = 80) -> str:
    """`search_help {"query": "crash"}`, its arguments cut to `longest` characters."""
    name, arguments = one_line(str(data["tool"]), 60), data.get("args")
    return f"{name} {compact(arguments, longest)}" if arguments else name


def first_bit(result: Json, longest: int) -> str:
    """The beginning of a tool's result, harmless and on one line; empty when there is nothing to show."""
    return compact(result, longest) if longest > 1 and result not in (None, "") else ""


def whole(result: Json) -> str:
    """All of a tool's result: a text as it is, anything else as indented JSON."""
    if isinstance(result, str):
        return result
    return "" if result is None else orjson.dumps(result, option=orjson.OPT_INDENT_2).decode()


def tool_outcome(data: Json, memo: Json = None) -> str:
    """What became of a tool call; `memo` is the data of its hit, when it was one."""
    if memo is not None:
        return f"from memo, {duration(memo['age'])} old, saved {duration(memo['saved_seconds'])}"
    if not data.get("ok", True):
        return f"failed: {compact(_message(data.get('error')))} · {duration(data['seconds'])}"
    return "from the tape" if data.get("recorded") else duration(data["seconds"])


def error_text(error: Json) -> str:
    """The message of an error as events carry it, on one line."""
    return one_line(_message(error), 300)


def _message(error: Json) -> str:
    if isinstance(error, dict):
        return str(error.get("message", error))
    return str(error)


def _passed_over(data: Json) -> str:
    return f"{one_line(str(data['model']), 60)} gave no answer, so others of its group have to: {compact(_message(data['error']))}"


def _retry(data: Json) -> str:
    name = data.get("tool") or data.get("name", "model")
    return f"{name}: {error_text(data['error'])}; trying again in {duration(data['wait'])}"


_STOPPED = {
    "files": "reading",
    "writes": "writing",
    "network": "connecting",
    "secrets": "looking into other processes",
    "signals": "signalling other processes",
    "namespaces": "a namespace or a mount",
    "kernel": "a part of the kernel",
    "processes": "starting processes",
    "memory": "too much memory",
    "time": "too much processor time",
    "output": "too much output",
}
_NAMED_ALREADY = ("memory", "processor time", "processes")
"""What was tried, where that says no more than the guarantee does."""


def _stopped(data: Json) -> str:
    """`look: stopped by its sandbox: reading /etc/passwd`, `… connecting (socket)`, `… more than 128MB of memory`."""
    what = str(data["what"])
    does, tried = _STOPPED.get(what, what), one_line(str(data.get("tried", "")), 160)
    if said := data.get("said"):
        does = error_text(said)
    elif what in ("files", "writes"):
        does = f"{does} {tried}"
    elif tried.startswith("more than "):
        does = tried
    elif tried and tried not in _NAMED_ALREADY:
        does = f"{does} ({tried})"
    return f"{data['tool']}: stopped by its sandbox: {does}"


_SENTENCES: dict[str, Callable[[Json], str]] = {
    "route.decided": lambda data: f"{data['router']} → {data['to']}",
    "model.retry": _retry,
    "model.passed_over": _passed_over,
    "tool.retry": _retry,
    "tool.refused": lambda data: f"{one_line(data['tool'], 60)} refused: {one_line(data['reason'], 200)}",
    "breaker.opened": lambda data: (
        f"{data['tool']}: {count(data['failures'], 'failure')} in a row, so it is not called for "
        f"{duration(data['cooldown'])}; the last: {error_text(data['error'])}"
    ),
    "breaker.half_open": lambda data: f"{data['tool']}: tried again with one call",
    "breaker.closed": lambda data: f"{data['tool']}: works again, its breaker is closed",
    "breaker.refused": lambda data: (
        f"{data['tool']}: not called, it failed too often; tried again in {duration(data['retry_in'])}"
    ),
    "sandbox.violation": _stopped,
    # a run that begins with a downgrade says so once, as a warning; this is which calls it was about
    "sandbox.downgraded": lambda data: f"{data['tool']}: kept to the limits of its sandbox only",
    "limit.reached": lambda data: (
        f"limit {data['limit']} reached: {_amount(data['used'])} of {_amount(data['allowed'])}"
    ),
    "context.summarised": lambda data: (
        f"{data['field']}: {data['messages']} messages summarised, {data['kept']} kept word for word"
    ),
    "job.queued": lambda data: f"{data['node']}: job {data['job'][:12]} is to be done in the background",
    "job.started": lambda data: f"{data['node']}: job {data['job'][:12]} is worked on",
    "job.done": lambda data: f"{data['node']}: job {data['job'][:12]} is done",
    "job.failed": lambda data: f"{data['node']}: job {data['job'][:12]} failed: {error_text(data['error'])}",
    "job.waiting": lambda data: f"{data['node']}: job {data['job'][:12]} waits for a person",
    "job.left": lambda data: f"{data['node']}: job {data['job'][:12]} is left for later{_because(data)}",
    "job.applied": lambda data: f"{data['node']}: the result of job {data['job'][:12]} has arrived",
    "job.lost": lambda data: (
        f"{data['node']}: job {data['job'][:12]} brings nothing: {error_text(data['error'])}"
    ),
    "context.trimmed": lambda data: f"{data['field']}: the {data['dropped']} oldest dropped",
    "ask.answered": lambda data: f"{one_line(str(data['id']), 60)} answered: {compact(data['answer'])}",
}


def _amount(number: Json) -> str:
    return (
        f"{number:,}"
        if isinstance(number, int)
        else f"{number:,.4g}"
        if isinstance(number, float)
        else str(number)
    )


def _because(data: Json) -> str:
    return f": {error_text(data['error'])}" if data.get("error") else ""
