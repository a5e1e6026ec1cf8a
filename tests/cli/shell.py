"""Runs the command line as its users do: as a process, through pipes or at a terminal."""

from __future__ import annotations

import codecs
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path

import pytest

from agentctl.cli.main import run

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "agentctl"]
OURS = ("AGENTCTL_", "OPENAI_", "NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS")
"""How the names of variables begin that change what a command answers."""
PATIENCE = 120.0
"""Seconds: only a test that fails waits so long, and a machine with other work does not make one fail."""


def environment(**more: str) -> dict[str, str]:
    """The environment of a child: ours, without what would change its answers."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **more}


def agentctl(
    *args: str | Path, cwd: Path | None = None, stdin: str = "", **env: str
) -> subprocess.CompletedProcess[str]:
    """One command through pipes."""
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        cwd=cwd,
        env=environment(**env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def here(
    capsys: pytest.CaptureFixture[str], *args: str | Path, cwd: Path, stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """One command in this process, with texts for its pipes: without the second a new interpreter takes."""
    before, typed = Path.cwd(), sys.stdin
    os.chdir(cwd)
    sys.stdin = StringIO(stdin)
    try:
        code = run([str(arg) for arg in args])
    finally:
        os.chdir(before)
        sys.stdin = typed
    out, err = capsys.readouterr()
    return subprocess.CompletedProcess(list(args), code, out, err)


class Running:
    """One command through pipes that is still going on."""

    def __init__(self, *args: str | Path, cwd: Path, **env: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, args)],
            cwd=cwd,
            env=environment(**env),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self) -> tuple[int, str, str]:
        """Its exit code, stdout and stderr, once it has ended."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


def wait_until(happens: Callable[[], bool]) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


class Terminal:
    """One command at a terminal of 100 columns; `seen` is all it has written."""

    def __init__(
        self, *args: str | Path, cwd: Path, stdout: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.screen, theirs = pty.openpty()
        out = stdout.open("w") if stdout else None
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, args)],
            cwd=cwd,
            env=environment(COLUMNS="100", **(env or {})),
            stdin=theirs,
            stdout=out or theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        if out:
            out.close()
        self.seen = ""
        self._at = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def type(self, text: str) -> None:
        os.write(self.screen, text.encode())

    def wait_for(self, text: str) -> str:
        """Everything seen, once `text` has come after what was waited for before."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.seen.find(text, self._at)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} never came; seen: {self.seen!r}")
        self._at = found + len(text)
        return self.seen

    def exit_code(self) -> int:
        """How the process ended, all of its output read."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            pass
        os.close(self.screen)
        return self.process.wait(PATIENCE)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self.screen], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"nothing more came; seen: {self.seen!r}")
        try:
            part = os.read(self.screen, 65536)
        except OSError:
            # Linux says EIO when the other side of the terminal is closed.
            return False
        self.seen += self._decoder.decode(part)
        return bool(part)
