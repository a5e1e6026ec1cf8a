"""The descriptors between us and a process that is about to start."""

from __future__ import annotations

import os
import socket


class Ends:
    """Makes pairs of ends, ours first. After `with` theirs are closed, and ours too where the process did not start.

    Each method raises OSError.
    """

    def __init__(self) -> None:
        self._ours: list[int] = []
        self._theirs: list[int] = []

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, failure: type[BaseException] | None, *_: object) -> None:
        for end in self._theirs if failure is None else (*self._theirs, *self._ours):
            os.close(end)

    def reading(self) -> tuple[int, int]:
        """A pipe that we read."""
        ours, theirs = os.pipe()
        return self._kept(ours, theirs)

    def writing(self) -> tuple[int, int]:
        """A pipe that we write."""
        theirs, ours = os.pipe()
        return self._kept(ours, theirs)

    def talking(self) -> tuple[int, int]:
        """Two sockets."""
        ours, theirs = socket.socketpair()
        return self._kept(ours.detach(), theirs.detach())

    def lent(self, end: int) -> int:
        """An end that is theirs alone."""
        self._theirs.append(end)
        return end

    def _kept(self, ours: int, theirs: int) -> tuple[int, int]:
        self._ours.append(ours)
        self._theirs.append(theirs)
        return ours, theirs
