"""The one timer of a turn, and its stop: both cancel what is in flight."""

from __future__ import annotations

import asyncio

from agentctl.engine.signals import CutReason


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


class Watch:
    """Cancels the turn's task when the time of a step is over, or when it is asked to stop.

    One timer serves all steps: it is armed once and, when it rings too early for the step now running, armed
    again; arming one for every step costs more than a step does.
    """

    def __init__(self, stop: Stop | None, *, clocked: bool = True) -> None:
        self.loop = asyncio.get_running_loop()
        self.task = asyncio.current_task()
        self.stop = stop
        self.clocked = clocked
        """False in a replay, where no clock may matter."""
        self.cut: CutReason | None = None
        """Why the timer rang, until what it cut short is over."""
        self.stopping = stop is not None and stop.requested
        self._again: asyncio.Handle | None = None
        self._deadline: float | None = None
        self._reason: CutReason = "time"
        self._timer: asyncio.TimerHandle | None = None
        if stop is not None:
            stop.add(self)

    def begin(self, seconds: float, reason: CutReason) -> None:
        """The work that begins now may take so long."""
        if not self.clocked:
            return
        self.cut = None
        self._deadline = self.loop.time() + seconds
        self._reason = reason
        if self._timer is None or self._timer.when() > self._deadline:
            self._arm()

    def end(self) -> None:
        """The work is over; nothing is cut until the next begins."""
        self._deadline = self.cut = None

    def pause(self) -> float | None:
        """Nothing is cut while a person thinks; gives what `go_on` needs, the seconds that are left."""
        left = None if self._deadline is None else self._deadline - self.loop.time()
        self._deadline = None
        return left

    def go_on(self, left: float | None) -> None:
        """The work goes on with the time that was left."""
        if left is not None:
            self._deadline = self.loop.time() + left
            if self._timer is None or self._timer.when() > self._deadline:
                self._arm()

    @property
    def rang(self) -> CutReason | None:
        """The timer's reason for a cancellation that has come; a stop goes before it."""
        return None if self.stopping else self.cut

    def again(self) -> None:
        """A cancellation came while an answer was written down, which is never cut: let it come again, soon."""
        task = asyncio.current_task()
        assert task is not None
        task.uncancel()
        if self.rang is not None and task is self.task:
            # if the work is over before it rings again, then nothing need be cut
            self.cut, self._deadline = None, self.loop.time()
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
        self.stopping = True
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

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        assert self._deadline is not None
        self._timer = self.loop.call_at(self._deadline, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._deadline is None or self.task is None:
            return
        if self.loop.time() < self._deadline:
            self._arm()
            return
        self._deadline = None
        self.cut = self._reason
        self.task.cancel()
