"""What Python tools print: told a line at a time, at most so much of it, and never on our own stdout."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TextIO, cast

from agentctl.json import Json

MOST = 64 * 1024
"""Characters told of one call."""
_MORE = "(and more, which is not told)"
Listener = Callable[[str], None]
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
"""Who hears what is printed in this task, or in a thread that was begun with its context."""


class Printed:
    """What one call prints, as it comes in pieces, told in whole lines."""

    def __init__(self, tell: Listener, most: int = MOST) -> None:
        self._tell = tell
        self._left = most
        self._line = ""
        self._is_over = False

    def add(self, text: str) -> None:
        if self._is_over or not self._left:
            return
        lines, end, self._line = (self._line + text).rpartition("\n")
        if len(self._line) > self._left:
            lines, end, self._line = lines + end + self._line, "", ""
        self._say(lines + end)

    def end(self) -> None:
        """Tell the last line; what comes later is of no call."""
        if not self._is_over:
            self._say(self._line)
        self._is_over = True

    def _say(self, text: str) -> None:
        if not text:
            return
        if len(text) > self._left:
            # whole lines only: a secret that is cut in two is not recognised
            lines, end, _ = text[: self._left].rpartition("\n")
            text, self._left = f"{lines}{end}{_MORE}", 0
        else:
            self._left -= len(text)
        self._tell(text)


def told(tell: Callable[[str, dict[str, Json]], None]) -> Printed:
    """What a call prints, as its `tool.output` events."""
    return Printed(lambda text: tell("tool.output", {"text": text}))


@contextmanager
def heard(listener: Listener | None) -> Iterator[None]:
    """What is printed in here, and in threads begun here, goes to the listener on the loop of this task."""
    if listener is None:
        yield
        return
    mine = _listener.set(_on_loop(listener))
    _Routed.open()
    try:
        yield
    finally:
        _Routed.close()
        _listener.reset(mine)


def _on_loop(listener: Listener) -> Listener:
    loop, thread = asyncio.get_running_loop(), threading.get_ident()

    def hear(text: str) -> None:
        if threading.get_ident() == thread:
            listener(text)
        elif not loop.is_closed():
            loop.call_soon_threadsafe(listener, text)

    return hear


class _Routed:
    """Stands before stdout or stderr while calls are under way that run inside agentctl."""

    users = 0
    lock = threading.Lock()

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    @classmethod
    def open(cls) -> None:
        with cls.lock:
            cls.users += 1
            if cls.users == 1:
                sys.stdout, sys.stderr = cast(TextIO, cls(sys.stdout)), cast(TextIO, cls(sys.stderr))

    @classmethod
    def close(cls) -> None:
        with cls.lock:
            cls.users -= 1
            if cls.users == 0:
                # a tool may have put something else in its place
                for name in ("stdout", "stderr"):
                    now = getattr(sys, name)
                    setattr(sys, name, now.stream if isinstance(now, cls) else now)

    def write(self, text: str) -> int:
        listener = _listener.get()
        if listener is None:
            return self.stream.write(text)
        listener(text)
        return len(text)

    def __getattr__(self, name: str) -> Json:
        return getattr(self.stream, name)
