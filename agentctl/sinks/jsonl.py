"""Events as JSON Lines in a file that is appended to."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from agentctl.errors import CannotRun
from agentctl.events import Event

_FLUSH_AT = 256 * 1024


class JsonLinesSink:
    """Appends the envelope of every event to a file, which is made when the first one is written.

    Lines are written whole, in one `write` with O_APPEND, so that two processes may share a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: list[bytes] = []
        self._size = 0
        self._descriptor: int | None = None

    def wants(self, type: str) -> bool:
        return True

    def emit(self, event: Event) -> None:
        line = orjson.dumps(event.envelope(), option=orjson.OPT_APPEND_NEWLINE)
        self._lines.append(line)
        self._size += len(line)
        if self._size >= _FLUSH_AT:
            self._write()

    async def settle(self) -> None:
        self._write()

    async def close(self) -> None:
        self._write()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def open(self) -> None:
        """Open the file now. Raises CannotRun, which a first event would raise otherwise."""
        if self._descriptor is None:
            try:
                self._descriptor = os.open(
                    self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
                )
            except OSError as failure:
                raise CannotRun(f"cannot write events to {self.path}: {failure.strerror}") from failure

    def _write(self) -> None:
        if not self._lines:
            return
        self.open()
        assert self._descriptor is not None
        left = memoryview(b"".join(self._lines))
        self._lines, self._size = [], 0
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
        except OSError as failure:
            raise CannotRun(f"cannot write events to {self.path}: {failure.strerror}") from failure
