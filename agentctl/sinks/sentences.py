"""What an event says to a person, in a line; for the live view and for logs."""

from __future__ import annotations

from collections.abc import Callable

from agentctl.events import Event
from agentctl.json import Json
from agentctl.sinks.neutral import one_line
from agentctl.sinks.wording import compact, duration


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
    return None


def tool_call(data: Json) -> str:
    """`search_help {"query": "crash"}`."""
    arguments = data.get("args")
    return f"{data['tool']} {compact(arguments)}" if arguments else str(data["tool"])


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


def _retry(data: Json) -> str:
    return (
        f"{data.get('name', 'model')}: {error_text(data['error'])}; trying again in {duration(data['wait'])}"
    )


_SENTENCES: dict[str, Callable[[Json], str]] = {
    "route.decided": lambda data: f"{data['router']} → {data['to']}",
    "model.retry": _retry,
    "tool.retry": _retry,
    "tool.refused": lambda data: f"{data['tool']} refused: {data['reason']}",
    "limit.reached": lambda data: (
        f"limit {data['limit']} reached: {_amount(data['used'])} of {_amount(data['allowed'])}"
    ),
    "context.trimmed": lambda data: f"{data['field']}: the {data['dropped']} oldest dropped",
    "ask.answered": lambda data: f"answered: {compact(data['answer'])}",
}


def _amount(number: Json) -> str:
    return (
        f"{number:,}"
        if isinstance(number, int)
        else f"{number:,.4g}"
        if isinstance(number, float)
        else str(number)
    )
