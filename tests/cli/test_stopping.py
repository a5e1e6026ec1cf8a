"""Two signals: the first asks, the second leaves."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.cli.shell import PATIENCE, environment

SCRIPT = """
import asyncio, time
from agentctl.cli.stopping import stop_on_signals

async def main():
    heard = asyncio.Event()
    with stop_on_signals(heard.set, lambda: print("left", flush=True)):
        print("ready", flush=True)
        await heard.wait()
        print("heard", flush=True)
        time.sleep(60)  # what holds the loop up holds a second signal up no longer

asyncio.run(main())
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_exits_at_once_even_when_the_loop_does_not_run(
    number: signal.Signals, code: int
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], env=environment(), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for word in ("ready", "heard"):
        assert process.stdout.readline() == f"{word}\n"
        process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (code, "left\n")
