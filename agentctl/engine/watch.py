"""The timer of a turn, and its stop: both cancel what is in flight."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf

from agentctl.engine.signals import Cut, CutReason


class Stop:
    """Asks a run to stop at once, leaving it resumable. Safe to set from a signal handler of the loop."""

    def __init__(self) -> None:
        self.requested = False
        self._watches: list[Watch] = []

    def set(self) -> None:
        """Cancel the calls in flight of every turn that watches this."""
        self.requested = True
        for watch in list(self._watches):
            watch.interrupt()

    def add(self, watch: Watch) -> None:
        self._watches.append(watch)

    def remove(self, watch: Watch) -> None:
        self._watches.remove(watch)


@dataclass(slots=True, eq=False)
class Deadline:
    """Until when some work must be over, in the loop's time; `by` is the path of the step or call that says so."""

    at: float
    reason: CutReason
    by: str
    around: Deadline | None
    """That of the work around it, which comes later."""


class Watch:
    """Cancels a task when the time of its work is over, or when it is asked to stop.

    One timer serves all steps: it is armed once and, when it rings too early for the step now running, armed
    again; arming one for every step costs more than a step does. Work inside work may have a deadline of its own;
    what runs side by side has a watch of its own, for it is another task.
    """

    def __init__(self, stop: Stop | None, *, clocked: bool = True, around: Watch | None = None) -> None:
        """`around` watches the work that this is a part of."""
        self.loop = asyncio.get_running_loop()
        self.task = asyncio.current_task()
        self.stop = stop
        self.clocked = clocked
        """False in a replay, where no clock may matter."""
        self.cut: Deadline | None = None
        """The deadline that rang, until the work that it cut short is over."""
        self.thought = 0.0
        """Seconds that people took, which count for nothing."""
        self._around = around
        self._stopping = stop is not None and stop.requested
        self._again: asyncio.Handle | None = None
        self._deadline: Deadline | None = None
        """The nearest."""
        self._timer: asyncio.TimerHandle | None = None
        if stop is not None:
            stop.add(self)

    @property
    def stopping(self) -> bool:
        """Whether the turn is asked to stop."""
        return self._stopping if self._around is None else self._around.stopping

    def beside(self) -> Watch:
        """A watch for the task that calls this, which does a part of the work."""
        return Watch(None, clocked=self.clocked, around=self)

    def begin(self, seconds: float, reason: CutReason, by: str) -> Deadline | None:
        """The work that begins now may take so long. Gives what `end` needs."""
        around = self._deadline
        if not self.clocked or seconds == inf:
            return around
        at = self.loop.time() + seconds
        if around is None or at < around.at:
            self._set(Deadline(at, reason, by, around))
        return around

    def end(self, around: Deadline | None) -> None:
        """The work is over; `around` is what its beginning gave."""
        if self.cut is None or self.cut is not around:
            self.cut = None  # it was the timer of this work, if any
            self._set(around)

    def pause(self) -> float:
        """Nothing is cut while a person thinks; gives what `go_on` needs."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return self.loop.time()

    def go_on(self, paused: float) -> None:
        """The work goes on with the time that was left."""
        deadline, thought = self._deadline, self.loop.time() - paused
        self.thought += thought
        while deadline is not None:
            deadline.at += thought
            deadline = deadline.around
        self._set(self._deadline)

    @property
    def rang(self) -> Cut | None:
        """The timer's reason for a cancellation that has come; a stop, and work around this, go before it."""
        if self.cut is None or self.stopping or (self._around is not None and self._around.rang):
            return None
        return Cut(self.cut.reason, self.cut.by)

    def again(self) -> None:
        """A cancellation came while an answer was written down, which is never cut: let it come again, soon."""
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        if self.rang is not None and task is self.task:
            # if the work is over before it rings again, then nothing need be cut
            self._deadline, self.cut = self.cut, None
            assert self._deadline is not None
            self._deadline.at = self.loop.time()
            self._arm()
        else:
            self._again = self.loop.call_soon(task.cancel)

    def taken(self) -> bool:
        """A cancellation has been acted upon; False in a task of the turn's, which must pass it on."""
        mine = asyncio.current_task() is self.task
        if mine and self.task is not None and self.task.cancelling():
            self.task.uncancel()
        return mine

    def interrupt(self) -> None:
        self._stopping = True
        if self.task is not None:
            self.task.cancel()

    def close(self) -> None:
        """Nothing is cut or stopped from now on: how the turn was left can be written down."""
        if self._timer is not None:
            self._timer.cancel()
        if self._again is not None and self.stopping:
            self._again.cancel()
        if self.stop is not None:
            self.stop.remove(self)
            self.stop = None

    def _set(self, deadline: Deadline | None) -> None:
        self._deadline = deadline
        if deadline is not None and (self._timer is None or self._timer.when() > deadline.at):
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self._deadline is not None
        self._timer = self.loop.call_at(self._deadline.at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._deadline is None or self.task is None:
            return
        if self.loop.time() < self._deadline.at:
            self._arm()
            return
        self.cut, self._deadline = self._deadline, None
        self.task.cancel()
