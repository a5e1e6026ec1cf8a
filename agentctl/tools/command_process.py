"""One command under way: started behind a keeper, read within bounds, ended with whatever came of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agentctl.json import Json, decode, encode
from agentctl.tools.kept import KeptProcess, isolation

_MAIN = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import command_main
command_main.main()
"""
_TAIL = 8192
"""Bytes kept of what it wrote to stderr last."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its wait status, or why it could not be started; neither when its keeper was killed."""

    status: int | None
    errno: int | None
    stdout: bytes
    stderr: bytes
    """The last of it."""


class TooMuch(Exception):
    """It wrote more to stdout than was asked for."""


class CommandProcess:
    """A command that runs. Call `ended` once, and `end` in any case."""

    def __init__(self, order: Json, folder: Path, max_output: int) -> None:
        """Start it in `folder`. Raises OSError."""
        self._most = max_output
        self._stdout = bytearray()
        self._stderr = b""
        self._report = bytearray()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._reads: dict[int, bool] = {}
        """What is read from, and whether its end is the end of the command."""
        given = _file_of(encode(order))
        pipes = [os.pipe() for _ in range(3)]
        (self._out, out), (self._err, err), (self._told, report) = pipes
        try:
            command = [sys.executable, isolation(), "-S", "-c", _MAIN, str(given), str(report)]
            self._process = KeptProcess(
                command, folder, stdout=out, stderr=err, pass_fds=(given, report), env=None
            )
        except OSError:
            for end in (self._out, self._err, self._told):
                os.close(end)
            raise
        finally:
            for end in (given, out, err, report):
                os.close(end)
        for end in (self._out, self._err, self._told):
            os.set_blocking(end, False)
            self._reads[end] = end == self._told
            asyncio.get_running_loop().add_reader(end, self._read, end)

    @property
    def stderr(self) -> bytes:
        """The last of what it wrote there, so far."""
        return self._stderr

    async def ended(self) -> Ended:
        """How it ended, when nothing of it is left. Raises TooMuch."""
        await self._over
        for end in (
            self._out,
            self._err,
        ):  # whatever of it lives on, of another user perhaps, is not waited for
            self._read(end)
        if len(self._stdout) > self._most:
            raise TooMuch
        report = self._reported()
        return Ended(report.get("status"), report.get("errno"), bytes(self._stdout), self._stderr)

    async def end(self) -> None:
        """Kill it with whatever came of it; return when it is gone."""
        await self._process.end()
        self._read(self._told)
        child = self._reported().get("child")
        if child is not None and self._process.returncode == -signal.SIGKILL:
            await _end_orphan(child)  # the keeper was killed, and can end nothing any more
        for end in list(self._reads):
            self._close(end)

    def kill(self) -> None:
        """As `end`, without waiting."""
        self._process.kill()

    def _reported(self) -> dict[str, Json]:
        """What its keeper has said, whole lines of it."""
        whole, _, _ = bytes(self._report).rpartition(b"\n")
        report: dict[str, Json] = {}
        for line in whole.splitlines():
            report |= decode(line)
        return report

    def _read(self, end: int) -> None:
        """Take in what is there now."""
        while end in self._reads:
            try:
                data = os.read(end, 65536)
            except BlockingIOError:
                return
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
                return  # one piece at a time: a flood must not hold everything up

    def _close(self, end: int) -> None:
        if self._reads.pop(end):
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


async def _end_orphan(child: int) -> None:
    """Kill the process group of a child that is no longer anybody's; return when it is gone, a second later at most.

    Until nobody is left in it: what the child has started takes its time to die, too, and we are told of no end.
    """
    deadline = time.monotonic() + 1
    with suppress(ProcessLookupError, PermissionError):  # PermissionError: only another user's are left
        while time.monotonic() < deadline:
            os.killpg(child, signal.SIGKILL)
            await asyncio.sleep(0.002)
