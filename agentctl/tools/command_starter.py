"""The warm process that starts commands: one for each event loop, started by exec when first used."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from agentctl.tools.kept import isolation, reaped

_MAIN = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import command_main
command_main.main()
"""
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONHOME")
"""All of our environment that it is given: what it holds, a command may read in /proc."""
_GRACE = 1.0


class CommandStarter:
    """Hands orders to the process, which is started anew when it was killed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._door: socket.socket | None = None

    def start(self) -> None:
        """Start the process, if there is none; it warms up by itself. Raises OSError."""
        if self._process is not None and self._process.poll() is None:
            return
        self._let_go()
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, isolation(), "-S", "-c", _MAIN, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # Ctrl-C in the terminal is for agentctl alone
                cwd="/",
                env={name: os.environ[name] for name in _KEPT if name in os.environ},
            )
        self._door = ours

    def hand(self, files: Sequence[int]) -> None:
        """Give it an order, and what its command writes to and is ended by. Raises OSError."""
        self.start()
        try:
            self._send(files)
        except (BrokenPipeError, ConnectionResetError):  # it was killed just now
            self._end()
            self.start()
            self._send(files)

    async def close(self) -> None:
        """Let it end. It does when every command has."""
        self._let_go()
        if self._process is not None and not await reaped(self._process, _GRACE):
            self._end()
        self._process = None

    def abandon(self) -> None:
        """Kill it: a command has stopped it, or killed it. What is under way has lost its second keeper."""
        if self._process is not None:
            self._end()

    def _send(self, files: Sequence[int]) -> None:
        assert self._door is not None
        socket.send_fds(self._door, [b"x"], files)

    def _end(self) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()

    def _let_go(self) -> None:
        if self._door is not None:
            self._door.close()
            self._door = None
