"""One worker process as agentctl sees it: started, asked, and ended with whatever it left."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import sys
from codecs import getincrementaldecoder
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from agentctl.json import Json, encode
from agentctl.tools.ends import Ends
from agentctl.tools.kept import KeptProcess, isolation, signal_name

_MAIN = f"""
import json, os, re, select, signal, sys, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
import worker_main
del sys.path[0]
for name in ("worker_main", "keeper", "reply"):
    sys.modules["_agentctl_" + name] = sys.modules.pop(name)
worker_main.main()
"""
"""Imported rather than run as a script, which Python would compile anew each time: 4 ms of 24."""
_GRACE = 0.5
"""Seconds in which a worker that is let go must have ended by itself."""
_TAIL = 4096
"""Bytes kept of what a worker printed last."""
_PIECES = 64
"""Pieces of output that are read at a time."""
_FAILURE = 64 * 1024
"""Bytes a reply may be longer than a result: room for a failure's message."""


class WorkerDied(Exception):
    """The worker ended, or broke the protocol, before it answered."""


class WorkerProcess:
    """A running worker. It takes one call at a time."""

    def __init__(
        self,
        folder: Path,
        order: Json,
        env: Mapping[str, str] | None = None,
        on_output: Callable[[str], None] | None = None,
        *,
        program: str = _MAIN,
        most_output: int | None = None,
        private: TemporaryDirectory[str] | None = None,
    ) -> None:
        """Start a process in `folder`; `connect` to it next. Raises OSError.

        `program` is what its interpreter runs. It is cut off when one call prints more than `most_output` bytes.
        `private` is removed when it is gone.
        """
        with Ends() as ends:
            self._output, printed = ends.reading()
            channel, theirs = ends.talking()
            command = [sys.executable, isolation(), "-c", program, str(theirs), encode(order).decode()]
            self._process = KeptProcess(
                command, folder, stdout=printed, stderr=printed, pass_fds=(theirs,), env=env
            )
        self._ours = socket.socket(fileno=channel)
        os.set_blocking(self._output, False)
        self.on_output = on_output
        self.on_refusal: Callable[[bytes], None] | None = None
        """Given what a sandbox refused."""
        self._most_output = most_output
        self._private = private
        self._printed = 0
        self._text = getincrementaldecoder("utf-8")("replace")
        self._tail = b""
        self._channel = _Channel()
        asyncio.get_running_loop().add_reader(self._output, self._read_output)

    async def connect(self) -> None:
        """Its first reply then says whether the module could be loaded."""
        await asyncio.get_running_loop().create_connection(lambda: self._channel, sock=self._ours)

    @property
    def is_ready(self) -> bool:
        """It is alive, and has said nothing that nobody asked for."""
        return self._channel.is_ready and not _is_readable(self._ours)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """That of its keeper; None while it is there."""
        return self._process.returncode

    @property
    def has_flooded(self) -> bool:
        """Whether it was cut off because of what it printed."""
        return self._most_output is not None and self._printed > self._most_output

    @property
    def last_words(self) -> str:
        """What it printed last."""
        return self._tail.decode(errors="replace").strip()

    async def ask(self, request: Json, max_result: int) -> tuple[bytes, bytes]:
        """Send a request; the reply's letter and body. Raises WorkerDied."""
        self._printed = 0
        self._channel.send(encode(request))
        return await self.reply(max_result)

    async def reply(self, max_result: int) -> tuple[bytes, bytes]:
        """The next reply. Raises WorkerDied."""
        while True:
            frame = await self._channel.next(max_result + _FAILURE)
            if frame[:1] != b"V":
                break
            if self.on_refusal is not None:
                self.on_refusal(frame[1:])
        self._read_output()  # what the call printed is there before its reply is
        if self.has_flooded:
            raise WorkerDied
        return frame[:1], frame[1:]

    def kill(self) -> None:
        """Tell the keeper to end everything, and do not wait."""
        self._process.kill()

    async def end(self) -> None:
        """Kill the worker and whatever came of it; return when it is gone."""
        await self._process.end()
        self._let_go()

    async def retire(self) -> None:
        """Let an idle worker end by itself, with its atexit handlers; then `end`."""
        self._channel.close()
        await self._process.gone(_GRACE)
        await self.end()

    async def how_it_ended(self) -> str:
        """`was killed by SIGSEGV`, after WorkerDied."""
        await self._process.gone(_GRACE)
        self._read_output()
        code = self._process.returncode
        if code is None:
            return "stopped answering"
        if code == 0:
            return "exited"
        name = signal_name(-code if code < 0 else code - 128)
        return f"was killed by {name}" if name else f"exited with code {code}"

    def _read_output(self) -> None:
        if self._output < 0:
            return
        try:
            # not for ever: one that prints faster than we read must not hold everything up
            for _ in range(_PIECES):
                data = os.read(self._output, 65536)
                if not data:
                    self._close_output()
                    return
                self._take_output(data)
                if self.has_flooded:
                    self._close_output()
                    self._channel.close()
                    return
        except BlockingIOError:
            return

    def _take_output(self, data: bytes) -> None:
        self._printed += len(data)
        self._tail = (self._tail + data)[-_TAIL:]
        if self.on_output is not None:
            self.on_output(self._text.decode(data))

    def _close_output(self) -> None:
        if self._output >= 0:
            asyncio.get_running_loop().remove_reader(self._output)
            os.close(self._output)
            self._output = -1

    def _let_go(self) -> None:
        self._read_output()
        self._close_output()
        self._channel.close()
        self._ours.close()  # when it was never connected
        if self._private is not None:
            self._private.cleanup()


def _is_readable(end: socket.socket) -> bool:
    """Whether something, its end perhaps, has come that the event loop has not seen yet."""
    poll = select.poll()
    poll.register(end, select.POLLIN)
    return bool(poll.poll(0))


class _Channel(asyncio.Protocol):
    """Frames over the socket: four bytes of length, then that many. One is awaited at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._awaited: asyncio.Future[bytes] | None = None
        self._most = 0
        self._is_open = False

    @property
    def is_ready(self) -> bool:
        # what nobody asked for could be taken for the answer of the next call
        return self._is_open and not self._received

    def send(self, body: bytes) -> None:
        if self._transport is not None and self._is_open:
            self._transport.writelines((len(body).to_bytes(4, "big"), body))

    async def next(self, most: int) -> bytes:
        """The next frame, at most `most` bytes. Raises WorkerDied."""
        self._awaited = asyncio.get_running_loop().create_future()
        self._most = most
        self._deliver()
        try:
            return await self._awaited
        finally:
            self._awaited = None

    def close(self) -> None:
        self._is_open = False
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._is_open = True

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._deliver()

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_open = False
        self._deliver()

    def _deliver(self) -> None:
        awaited = self._awaited
        if awaited is None or awaited.done():
            return
        length = int.from_bytes(self._received[:4], "big") if len(self._received) >= 4 else None
        if length is not None and length > self._most:
            self.close()
            awaited.set_exception(WorkerDied)
        elif length is not None and len(self._received) >= 4 + length:
            awaited.set_result(bytes(self._received[4 : 4 + length]))
            del self._received[: 4 + length]
        elif not self._is_open:
            awaited.set_exception(WorkerDied)
