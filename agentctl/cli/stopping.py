"""Ctrl-C and SIGTERM: the first stops the turn where it can go on, the second exits at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Signals:
    """Which signal has stopped the turn, if one has."""

    got: int | None = None

    @property
    def exit_code(self) -> int:
        return 128 + (self.got or signal.SIGINT)


@contextmanager
def stop_on_signals(stop: Callable[[], None], leave: Callable[[], None]) -> Iterator[Signals]:
    """Call `stop` on the loop at the first signal; at the second call `leave` and exit.

    Handlers of `signal` rather than of the loop: the second must be heard when the loop is not running.
    """
    loop = asyncio.get_running_loop()
    signals = Signals()

    def heard(number: int, frame: FrameType | None) -> None:
        if signals.got is None:
            signals.got = number
            loop.call_soon_threadsafe(stop)
        else:
            leave()
            os._exit(128 + number)

    before = {number: signal.signal(number, heard) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
