"""The live view: what stays on the screen, and what never reaches it."""

from __future__ import annotations

import re
from io import StringIO

from agentctl.sinks.terminal import TerminalProgress
from tests.sinks.stream import THREAD, end, model_call, step, stream, tool_call

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def screen(*, verbose: bool = False, colour: bool = True) -> str:
    written = StringIO()
    events = stream(TerminalProgress(written, verbose=verbose, colour=colour))
    events.publish("run.started", inputs={})
    events.publish("step.started", 1, "1", node="sort", kind="agent")
    model_call(events, 1, "[bold]words[/]", " \x1b[2J\x1b]0;pwned\x07")
    step(events, 1, "sort", "agent", next="fix")
    events.publish("step.started", 2, "2", node="fix", kind="tool")
    tool_call(events, 2, "search_help", {"query": "[red]x[/]\x1b[31m"})
    tool_call(events, 2, "search_help", {"query": "y"}, hit={"age": 3.2, "saved_seconds": 0.2})
    events.publish("warning", message="the store is \x1b[5mslow")
    step(events, 2, "fix", "tool", status="error", error={"message": "it is \x1b[1mdown"})
    end(events)
    return written.getvalue()


def lines_left(shown: str) -> list[str]:
    """What a person reads in the end: the live part is erased by its own escapes before each lasting line."""
    return [line.split("\r")[-1].rstrip() for line in _ESCAPES.sub("", shown).split("\n") if line.strip()]


def test_what_stays_is_a_line_for_each_step_its_calls_and_a_summary() -> None:
    left = lines_left(screen())
    for line in (
        "support · turn 1",
        "✓ sort  agent · local · 134 tokens · 1.2s → fix",
        "warning: the store is ␛[5mslow",
        "✗ fix  tool · 1.2s",
        '    search_help {"query":"y"} · from memo, 3.2s old, saved 200ms',
        "    it is ␛[1mdown",
    ):
        assert line in left
    summary = " ".join(" ".join(left).partition("✓ done")[2].split())
    assert summary == (
        "· 2 steps · 1 model call · 1 tool call · 1 from memo 668 tokens (540 in, 128 out) · cost — · 9.3s "
        f"thread {THREAD}"
    ), "wrapped between words: a thread's id broken in two cannot be copied"


def test_hostile_text_reaches_the_screen_as_pictures_and_markup_as_itself() -> None:
    shown = screen(verbose=True)
    assert "\x1b[2J" not in shown
    assert "\x1b]0;" not in shown
    assert "\x07" not in shown
    assert "[bold]words[/] ␛[2J␛]0;pwned␇" in shown
    assert "[red]x[/]" in shown


def test_words_stay_only_when_asked_for() -> None:
    assert "    [bold]words[/] ␛[2J␛]0;pwned␇" in lines_left(screen(verbose=True))
    assert "    [bold]words[/] ␛[2J␛]0;pwned␇" not in lines_left(screen())


def test_without_colour_there_is_none_and_nothing_bold() -> None:
    assert re.search(r"\x1b\[[0-9;]*m", screen())
    assert not re.search(r"\x1b\[[0-9;]*m", screen(colour=False))


def test_the_cursor_is_given_back() -> None:
    shown = screen()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
