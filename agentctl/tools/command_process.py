"""One command under way: started behind a keeper, read within bounds, ended with whatever came of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from contextlib import suppress
from dataclasses import dataclass

from agentctl.json import Json, decode
from agentctl.tools.command_starter import CommandStarter
from agentctl.tools.ends import Ends

_TAIL = 8192
"""Bytes kept of what it wrote to stderr last."""
_PATIENCE = 1.0
"""Seconds in which a keeper that is told to must have ended everything."""
_PIECE = 65536
_MOST_PIECES = 64
"""Of what may be left in a pipe, whose size a program can raise to more than one piece."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its wait status, or why it could not be started; neither when its keeper was killed."""

    status: int | None
    errno: int | None
    stdout: bytes
    stderr: bytes
    """The last of it."""
    exit: int | None = None
    """The exit code that bubblewrap saw; None when it could not start the program."""
    over: str | None = None
    """The limit for which its keeper ended it."""
    memory: int = 0
    """Bytes of the largest of its processes."""
    time: float = 0.0
    """Seconds of processor time of all of them."""


class TooMuch(Exception):
    """It wrote more to stdout than was asked for."""


class CommandProcess:
    """A command that runs. Call `ended` once, and `end` in any case."""

    def __init__(self, starter: CommandStarter, order: Json, max_output: int) -> None:
        """Start it. Raises OSError."""
        self._starter = starter
        self._most = max_output
        self._stdout = bytearray()
        self._stderr = b""
        self._report = bytearray()
        loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = loop.create_future()
        self._gone = asyncio.Event()
        self._reads: dict[int, bool] = {}
        """What is read from, and whether its end is the end of the command."""
        with Ends() as ends:
            given = ends.lent(_file_of(json.dumps(order).encode()))
            (self._out, out), (self._err, err), (self._told, report) = (ends.reading() for _ in range(3))
            self._control, control = ends.writing()
            starter.hand((given, out, err, report, control))
        for end in (self._out, self._err, self._told):
            os.set_blocking(end, False)
            self._reads[end] = end == self._told
            loop.add_reader(end, self._read, end)

    @property
    def stderr(self) -> bytes:
        """The last of what it wrote there, so far."""
        return self._stderr

    async def ended(self) -> Ended:
        """How it ended, when nothing of it is left. Raises TooMuch."""
        await self._over
        for end in (self._out, self._err):
            for _ in range(
                _MOST_PIECES
            ):  # whatever of it lives on, of another user perhaps, is not waited for
                if not self._read(end):
                    break
        if len(self._stdout) > self._most:
            raise TooMuch
        report = self._reported()
        return Ended(
            status=report.get("status"),
            errno=report.get("errno"),
            stdout=bytes(self._stdout),
            stderr=self._stderr,
            exit=report.get("exit"),
            over=report.get("over"),
            memory=report.get("memory", 0),
            time=report.get("time", 0.0),
        )

    async def end(self) -> None:
        """Kill it with whatever came of it; return when it is gone."""
        self.kill()
        if not await self._is_gone():
            await self._end_by_force()
        for end in list(self._reads):
            self._close(end)

    def kill(self) -> None:
        """As `end`, without waiting."""
        if self._control >= 0:
            with suppress(BrokenPipeError):  # the keeper is gone already
                os.write(self._control, b"x")
            os.close(self._control)
            self._control = -1

    async def _is_gone(self) -> bool:
        """Whether the end of its report comes within a second: then nothing is left of it."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), _PATIENCE)
        return self._gone.is_set()

    async def _end_by_force(self) -> None:
        """Its keeper was stopped, and the starter perhaps: kill both with the group that can still be reached."""
        report = self._reported()
        for group in ("keeper", "child"):
            if group in report:
                with suppress(ProcessLookupError):
                    os.killpg(report[group], signal.SIGKILL)
        if not await self._is_gone():
            self._starter.abandon()
            await self._is_gone()

    def _reported(self) -> dict[str, Json]:
        """What its keeper has said, whole lines of it."""
        whole, _, _ = bytes(self._report).rpartition(b"\n")
        report: dict[str, Json] = {}
        for line in whole.splitlines():
            report |= decode(line)
        return report

    def _read(self, end: int) -> bool:
        """Take in one piece of what is there: a flood must not hold everything up. Whether there was one."""
        if end not in self._reads:
            return False
        try:
            data = os.read(end, _PIECE)
        except BlockingIOError:
            return False
        if not data:
            self._close(end)
        elif end == self._told:
            self._report += data
        elif end == self._err:
            self._stderr = (self._stderr + data)[-_TAIL:]
        else:
            self._stdout += data
            if len(self._stdout) > self._most:
                self._close(end)
                self._finish()
        return bool(data)

    def _close(self, end: int) -> None:
        if self._reads.pop(end):
            self._gone.set()
            self._finish()
        asyncio.get_running_loop().remove_reader(end)
        os.close(end)

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)


def _file_of(data: bytes) -> int:
    """A file that holds the data and has no name; its descriptor."""
    if hasattr(os, "memfd_create"):
        end = os.memfd_create("order")
    else:
        with tempfile.TemporaryFile() as file:
            end = os.dup(file.fileno())
    view = memoryview(data)
    while view:
        view = view[os.write(end, view) :]
    os.lseek(end, 0, os.SEEK_SET)
    return end
