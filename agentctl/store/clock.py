"""The machine's clock: moments that another process, or a later one, can measure from."""

from __future__ import annotations

import math
import time

import msgspec

from agentctl.store.wal import boot_id


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """A point in time, by the clock that nobody sets and by the one that people read."""

    boot: str
    """Which boot of the machine; empty where the system does not say."""
    uptime: float
    """Seconds since that boot, sleep included."""
    wall: float
    """Unix seconds."""


class MachineClock:
    """Says what moment it is."""

    def __init__(self) -> None:
        self._boot = boot_id()
        self._uptime = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def __call__(self) -> Moment:
        return Moment(boot=self._boot, uptime=time.clock_gettime(self._uptime), wall=time.time())


def seconds_between(earlier: Moment, later: Moment) -> float:
    """Seconds from one moment to another, >= 0; within one boot, a wall clock that was set changes nothing.

    Over a reboot the wall clock is all there is. Where it was set back since, nobody can tell: infinity, so that
    nothing is waited for longer than it should be.
    """
    if earlier.boot and earlier.boot == later.boot and later.uptime >= earlier.uptime:
        return later.uptime - earlier.uptime
    elapsed = later.wall - earlier.wall
    return elapsed if elapsed >= 0 else math.inf
