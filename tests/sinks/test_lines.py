"""Progress as plain lines."""

from __future__ import annotations

from io import StringIO

from agentctl.sinks.lines import LineProgress
from tests.sinks.stream import THREAD, end, model_call, step, stream, tool_call


def told(*, verbose: bool) -> str:
    written = StringIO()
    events = stream(LineProgress(written, verbose=verbose))
    events.publish("run.started", inputs={})
    events.publish("step.started", 1, "1", node="sort", kind="agent")
    model_call(events, 1, "se", "cret words")
    step(events, 1, "sort", "agent", next="fix")
    events.publish("route.decided", 1, "1", router="is_clear", to="fix")
    events.publish("step.started", 2, "2", node="fix", kind="agent")
    events.publish("model.retry", 2, "2", name="local", error="the server said 500", wait=0.6)
    tool_call(events, 2, "search_help", {"query": "crash"})
    tool_call(events, 2, "search_help", {"query": "crash"}, hit={"age": 3.2, "saved_seconds": 0.2})
    tool_call(events, 2, "snippet", {}, ok=False, error="ZeroDivisionError: division by zero")
    events.publish("warning", message="the store is slow")
    events.publish("checkpoint.fallback", error="disk full")
    events.publish("context.trimmed", 2, "2", field="chat", dropped=4)
    events.publish("limit.reached", 2, limit="tokens", used=20310, allowed=20000)
    step(events, 2, "fix", "agent", status="error", error={"class": "server", "message": "it is down"})
    end(events, "limit")
    return written.getvalue()


def test_a_log_tells_each_step_call_and_retry_in_a_line_and_no_words_of_the_model() -> None:
    assert told(verbose=True).splitlines() == [
        f"support: turn 1 of thread {THREAD} started",
        "1: sort (agent)",
        "1: model local: 134 tokens (120 in, 14 out), 1.2s",
        "1: sort ok, 1.2s, then fix",
        "1: is_clear → fix",
        "2: fix (agent)",
        "2: local: the server said 500; trying again in 600ms",
        '2: search_help {"query":"crash"} · 220ms',
        '2: search_help {"query":"crash"} · from memo, 3.2s old, saved 200ms',
        "2: snippet · failed: ZeroDivisionError: division by zero · 220ms",
        "warning: the store is slow",
        "warning: the store failed, going on in memory: disk full",
        "2: chat: the 4 oldest dropped",
        "limit tokens reached: 20,310 of 20,000",
        "2: fix error: it is down, 1.2s, then end",
        "limit · 2 steps · 1 model call · 2 tool calls · 1 from memo · 668 tokens (540 in, 128 out) · cost — · "
        f"9.3s · thread {THREAD}",
    ]


def test_without_being_asked_only_warnings_are_told() -> None:
    assert told(verbose=False).splitlines() == [
        "warning: the store is slow",
        "warning: the store failed, going on in memory: disk full",
    ]


def test_calls_from_the_tape_are_counted_apart() -> None:
    written = StringIO()
    events = stream(LineProgress(written, verbose=True))
    model_call(events, 1, recorded=True)
    tool_call(events, 1, "pay", {}, recorded=True)
    end(events, cost=0.0123)
    assert "pay · from the tape" in written.getvalue()
    assert "0 model calls · 0 tool calls · 2 from the tape" in written.getvalue()
    assert "cost $0.0123" in written.getvalue()
