"""Tool calls as a person sees them: each a line, with what became of it, and nothing that steers a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from agentctl.events import EventStream
from agentctl.sinks.lines import LineProgress
from agentctl.sinks.terminal import TerminalProgress
from tests.sinks.stream import end, step, stream, tool_call

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
EVIL = "\x1b]0;pwned\x07\x1b[2J\x9b31m\u202egone\rover"
PICTURED = "␛]0;pwned␇␛[2J�31m�gone␍over"
Happen = Callable[[EventStream], None]


def on_terminal(happen: Happen, *, verbose: bool = False, columns: int = 90) -> list[str]:
    """What stays on the screen between the first line and the last."""
    written = StringIO()
    view = TerminalProgress(written, verbose=verbose, colour=False)
    view._console = Console(file=written, force_terminal=True, color_system=None, width=columns)
    play(stream(view), happen)
    plain = _ESCAPES.sub("", written.getvalue())
    lines = [line.split("\r")[-1].rstrip() for line in plain.split("\n") if line.strip()]
    begin = next(n for n, line in enumerate(lines) if line.startswith("✓ go"))
    return lines[begin + 1 : next(n for n, line in enumerate(lines) if line.startswith("✓ done"))]


def in_log(happen: Happen, *, verbose: bool = True) -> list[str]:
    written = StringIO()
    play(stream(LineProgress(written, verbose=verbose)), happen)
    return [line for line in written.getvalue().splitlines() if line.startswith(("1: ", "1/", "warning"))]


def play(events: EventStream, happen: Happen) -> None:
    events.publish("run.started", inputs={})
    events.publish("step.started", 1, "1", node="go", kind="agent")
    happen(events)
    step(events, 1, "go", "agent")
    end(events)


def told(type: str, **data: Any) -> Happen:
    return lambda events: events.publish(type, 1, "1", tool="search", call="1.1", **data)


def search(events: EventStream) -> None:
    tool_call(events, 1, "search", {"query": "keys"}, result={"hits": 3, "text": "x" * 200})


def test_a_call_is_a_line_with_the_first_bit_of_its_result_cut_to_the_screen() -> None:
    [line] = on_terminal(search)
    assert line.startswith('    search {"query":"keys"} · 220ms → {"hits":3,"text":"xxx')
    assert (len(line), line[-1]) == (90, "…")
    [narrow] = on_terminal(search, columns=40)
    assert (len(narrow), narrow[:20]) == (40, '    search {"query":')


def test_whole_results_are_told_to_those_who_ask() -> None:
    assert on_terminal(search, verbose=True) == [
        '    search {"query":"keys"} · 220ms',
        "      {",
        '        "hits": 3,',
        f'        "text": "{"x" * 200}"',
        "      }",
    ]
    assert in_log(search)[-2].endswith("x" * 200 + '"}')


@pytest.mark.parametrize("verbose", [True, False])
def test_nothing_of_a_tool_steers_the_terminal(verbose: bool) -> None:
    def evil(events: EventStream) -> None:
        tool_call(events, 1, "search", {"query": EVIL}, result=EVIL)
        tool_call(events, 1, "search", {}, ok=False, error=EVIL)
        for type, data in (
            ("tool.retry", {"error": EVIL, "wait": 1}),
            ("tool.refused", {"reason": EVIL}),
            ("tool.output", {"text": f"{EVIL}\n{EVIL}\n"}),
            ("breaker.opened", {"failures": 5, "cooldown": 60.0, "error": EVIL}),
            ("sandbox.violation", {"what": "memory", "said": EVIL}),
        ):
            told(type, **data)(events)

    written = StringIO()
    view = TerminalProgress(written, verbose=verbose, colour=False)
    view._console = Console(file=written, force_terminal=True, color_system=None, width=200)
    play(stream(view), evil)
    assert "\x1b[2J" not in written.getvalue()
    left = _ESCAPES.sub("", written.getvalue())
    assert not set(left) & set("\x1b\x07\x9b\u202e")
    assert left.count(PICTURED) >= (8 if verbose else 6)
    log = "\n".join(in_log(evil, verbose=verbose))
    assert not set(log) & set("\x1b\x07\x9b\u202e\r")


def test_calls_of_one_reply_are_told_apart_though_the_tool_is_the_same() -> None:
    def twice(events: EventStream) -> None:
        for call in ("1.1", "1.2"):
            events.publish("tool.started", 1, "1", tool="search", call=call, args={"n": call})
        ended: dict[str, Any] = {"ok": True, "seconds": 0.1, "recorded": False, "memo": False, "error": None}
        events.publish("tool.ended", 1, "1", tool="search", call="1.2", result="second", **ended)
        events.publish("memo.hit", 1, "1", tool="search", call="1.1", age=3.2, saved_seconds=0.2)
        events.publish(
            "tool.ended", 1, "1", tool="search", call="1.1", result="first", **{**ended, "memo": True}
        )

    assert on_terminal(twice) == [
        '    search {"n":"1.2"} · 100ms → second',
        '    search {"n":"1.1"} · from memo, 3.2s old, saved 200ms → first',
    ]


@pytest.mark.parametrize(
    ("type", "data", "said"),
    [
        ("tool.retry", {"error": "503", "wait": 0.5}, "search: 503; trying again in 500ms"),
        ("tool.refused", {"reason": "a person rejected it"}, "search refused: a person rejected it"),
        ("ask.answered", {"id": "pay@1.1.1", "answer": "approve"}, "pay@1.1.1 answered: approve"),
        (
            "breaker.refused",
            {"retry_in": 12.0},
            "search: not called, it failed too often; tried again in 12.0s",
        ),
        ("breaker.half_open", {}, "search: tried again with one call"),
        ("breaker.closed", {}, "search: works again, its breaker is closed"),
    ],
)
def test_what_happens_around_a_call_is_a_line(type: str, data: Any, said: str) -> None:
    assert on_terminal(told(type, **data)) == [f"    {said}"]
    assert in_log(told(type, **data))[-2] == f"1: {said}"
    assert in_log(told(type, **data), verbose=False) == []


@pytest.mark.parametrize(
    ("type", "data"),
    [
        ("sandbox.violation", {"what": "memory", "said": "it took more than 64 MB"}),
        ("breaker.opened", {"failures": 5, "cooldown": 60.0, "error": "it took more than 64 MB"}),
    ],
)
def test_what_a_sandbox_says_and_that_a_breaker_opens_is_heard_by_everyone(type: str, data: Any) -> None:
    [line] = in_log(told(type, **data), verbose=False)
    assert line.startswith("warning: search: ")
    assert line.endswith(": it took more than 64 MB")


@pytest.mark.parametrize(
    ("what", "tried", "said"),
    [
        ("files", "/etc/passwd", "reading /etc/passwd"),
        ("network", "socket", "connecting (socket)"),
        ("memory", "memory", "too much memory"),
        ("memory", "more than 128MB of memory", "more than 128MB of memory"),
        ("processes", "clone", "starting processes (clone)"),
    ],
)
def test_what_a_sandbox_stopped_is_named(what: str, tried: str, said: str) -> None:
    [line] = in_log(told("sandbox.violation", what=what, tried=tried), verbose=False)
    assert line == f"warning: search: stopped by its sandbox: {said}"


def test_a_downgrade_that_was_warned_of_is_told_of_each_call_only_to_those_who_ask() -> None:
    happen = told("sandbox.downgraded", **{"from": "isolated", "to": "process"})
    assert on_terminal(happen) == []
    assert on_terminal(happen, verbose=True) == ["    search: kept to the limits of its sandbox only"]


def test_what_a_tool_prints_is_told_with_its_name_to_those_who_ask() -> None:
    happen = told("tool.output", text="looking\nfound\n")
    assert on_terminal(happen) == []
    assert on_terminal(happen, verbose=True) == ["    search prints: looking", "    search prints: found"]
    assert in_log(happen)[1] == "1: search prints: looking found"


def test_what_goes_on_in_a_nested_graph_is_told_with_its_place() -> None:
    def inside(events: EventStream) -> None:
        events.publish("step.started", 1, "1/check_facts/go", node="go", kind="agent")
        events.publish("tool.started", 1, "1/check_facts/go", tool="search", call="1.1", args={})
        ended: dict[str, Any] = {"ok": True, "seconds": 0.1, "recorded": False, "memo": False, "error": None}
        events.publish("tool.ended", 1, "1/check_facts/go", tool="search", call="1.1", result=7, **ended)
        shown: dict[str, Any] = {"seconds": 0.3, "next": "end", "saved": [], "error": None}
        events.publish("step.ended", 1, "1/check_facts/go", node="go", kind="agent", status="ok", **shown)

    assert on_terminal(inside) == [
        "    check_facts/go search · 100ms → 7",
        "    ✓ check_facts/go agent · 300ms",
    ]
    assert in_log(inside)[1:3] == ["1/check_facts/go: go (agent)", "1/check_facts/go: search · 100ms → 7"]
