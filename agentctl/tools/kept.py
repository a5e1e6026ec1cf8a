"""A process whose keeper ends it with whatever came of it, daemons with a session of their own among them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_GRACE = 0.5
"""Seconds in which a keeper must be gone before its whole group is killed."""
_PATIENCE = 5.0
"""Seconds in which what was killed must be gone."""


class KeptProcess:
    """A keeper (keeper.keep), which stands between us and what it runs: a byte on its stdin ends it all."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        *,
        stdout: int,
        stderr: int,
        pass_fds: Sequence[int],
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start it in `folder`. Raises OSError."""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
            start_new_session=True,  # Ctrl-C in the terminal is for agentctl alone
            cwd=folder,
            env=env,
            bufsize=0,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def kill(self) -> None:
        """Tell the keeper to end everything, and do not wait."""
        stdin = self._process.stdin
        if stdin is not None and not stdin.closed:
            with suppress(BrokenPipeError):  # the keeper is gone already
                stdin.write(b"x")
            stdin.close()

    async def end(self) -> None:
        """Kill it and whatever came of it; return when it is gone."""
        self.kill()
        if not await self.gone(_GRACE) or self._process.returncode == -signal.SIGKILL:
            # The keeper was stopped or killed: its session's group is what can still be reached.
            await self._kill_group()

    async def gone(self, patience: float) -> bool:
        """Whether the process ends within `patience` seconds."""
        return await reaped(self._process, patience)

    async def _kill_group(self) -> None:
        """SIGKILL until nobody is left who is not dead: the dead are of the group until init has reaped them."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        with suppress(ProcessLookupError, PermissionError):  # none left, or none of ours
            while loop.time() < deadline:
                self._process.poll()
                os.killpg(self._process.pid, signal.SIGKILL)
                if not _has_living(self._process.pid):
                    break
                await asyncio.sleep(0.005)
        await self.gone(_GRACE)


async def reaped(process: subprocess.Popen[bytes], patience: float) -> bool:
    """Whether it ends within `patience` seconds. Polled: a kill takes a few milliseconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    wait = 0.001
    while process.poll() is None:
        if loop.time() > deadline:
            return False
        await asyncio.sleep(wait)
        wait = min(wait * 2, 0.02)
    return True


def _has_living(group: int) -> bool:
    """Whether some process of a group is neither dead nor dying; without /proc nobody can say."""
    for pid in filter(str.isdigit, os.listdir("/proc") if os.path.isdir("/proc") else ()):
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        state, _, its_group = stat.rpartition(b")")[2].split()[:3]
        if int(its_group) == group and state not in (b"Z", b"X"):
            return True
    return False


def isolation() -> str:
    """-P: our own folder is not for tools to import from. -I where agentctl itself runs so."""
    return "-I" if sys.flags.isolated else "-P"


def signal_name(number: int) -> str | None:
    """`SIGSEGV`"""
    return next((each.name for each in signal.Signals if each.value == number), None)
