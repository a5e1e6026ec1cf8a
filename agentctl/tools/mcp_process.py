"""The process of an MCP server: started behind a keeper, spoken to in lines, ended with whatever came of it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from agentctl.json import Json, decode
from agentctl.tools.ends import Ends
from agentctl.tools.kept import KeptProcess, signal_name

_MAIN = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import mcp_main
mcp_main.main()
"""
_TAIL = 8192
"""Bytes kept of what it wrote to stderr last."""
_GRACE = 0.5
"""Seconds in which a server whose stdin was closed may end by itself."""


class ServerProcess:
    """A server that runs. `connect` to it first, and `end` it in any case."""

    def __init__(
        self, program: str, words: Sequence[str], env: Mapping[str, str], folder: Path, longest: int
    ) -> None:
        """Start it in `folder`; no line of it may have more than `longest` bytes. Raises OSError."""
        with Ends() as ends:
            self._in, given = ends.writing()
            (self._out, out), (self._err, err), (self._told, report) = (ends.reading() for _ in range(3))
            # -I: the environment is the server's, and nothing in it is for the keeper's Python
            command = [sys.executable, "-I", "-S", "-c", _MAIN, str(given), str(report), program, *words]
            self._process = KeptProcess(
                command, folder, stdout=out, stderr=err, pass_fds=(given, report), env=env
            )
        self._longest = longest
        self.lines = asyncio.StreamReader(limit=longest)
        """What it writes to stdout."""
        self._stderr = b""
        self._report = b""
        self._told_all = asyncio.Event()
        self._transports: list[asyncio.BaseTransport] = []
        self._writing: asyncio.WriteTransport | None = None
        self._ending: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Open our ends of its pipes."""
        loop = asyncio.get_running_loop()
        for end, taking in (
            (self._err, _Taking(self._take_stderr)),
            (self._told, _Taking(self._take_report, self._told_all)),
        ):
            transport, _ = await loop.connect_read_pipe(partial(_same, taking), os.fdopen(end, "rb", 0))
            self._transports.append(transport)
        reading, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self.lines), os.fdopen(self._out, "rb", 0)
        )
        self._writing, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(self._in, "wb", 0))
        self._transports += [reading, self._writing]

    def write(self, line: bytes) -> None:
        """Send it a line; nothing happens when it is gone. Raises BlockingIOError when it has long not read."""
        writing = self._writing
        if writing is None or writing.is_closing():
            return
        if writing.get_write_buffer_size() > self._longest:
            raise BlockingIOError("it does not read what it is sent")
        writing.write(line + b"\n")

    @property
    def last_words(self) -> str:
        """What it wrote to stderr last."""
        return self._stderr.decode(errors="replace").strip()

    async def how_it_ended(self) -> str:
        """`was killed by SIGKILL`; `stopped answering` when it did not end."""
        await self._process.gone(_GRACE)
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await self._told_all.wait()
        report = self._reported()
        if "errno" in report:
            return f"cannot be started: {os.strerror(report['errno'])}"
        if "status" not in report:
            return "was killed together with its keeper" if self._process.returncode else "closed its stdout"
        code = os.waitstatus_to_exitcode(report["status"])
        if code < 0:
            return f"was killed by {signal_name(-code) or f'signal {-code}'}"
        return f"exited with code {code}" if code else "exited"

    def kill(self) -> None:
        """Tell the keeper to end everything, and do not wait."""
        self._process.kill()

    async def end(self) -> None:
        """Close its stdin, give it a moment, then kill it and whatever came of it; return when it is gone."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end())
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        if self._writing is not None and not self._writing.is_closing():
            self._writing.abort()
        await self._process.gone(_GRACE)
        await self._process.end()
        child = self._reported().get("child")
        if child is not None and self._process.returncode == -signal.SIGKILL:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)  # the keeper was killed, and can end nothing any more
        for transport in self._transports:
            transport.close()

    def _reported(self) -> dict[str, Json]:
        """What its keeper has said, whole lines of it."""
        whole, _, _ = self._report.rpartition(b"\n")
        report: dict[str, Json] = {}
        for line in whole.splitlines():
            report |= decode(line)
        return report

    def _take_stderr(self, data: bytes) -> None:
        self._stderr = (self._stderr + data)[-_TAIL:]

    def _take_report(self, data: bytes) -> None:
        self._report += data


def _same(protocol: _Taking) -> _Taking:
    return protocol


class _Taking(asyncio.Protocol):
    """Hands over what it receives."""

    def __init__(self, take: Callable[[bytes], None], over: asyncio.Event | None = None) -> None:
        self._take = take
        self._over = over

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._over is not None:
            self._over.set()
