"""Descriptors between us and a process: none is left where the process could not be started."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentctl.tools.command_process import CommandProcess
from agentctl.tools.command_starter import CommandStarter
from agentctl.tools.mcp_process import ServerProcess
from agentctl.tools.process import WorkerProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")


def descriptors() -> set[int]:
    return {int(each) for each in os.listdir("/proc/self/fd")}


@contextmanager
def at_most(more: int) -> Iterator[None]:
    """So many descriptors can be opened, and no more."""
    free, probes = 0, list[int]()
    while len(probes) < more:
        probes.append(os.open(os.devnull, os.O_RDONLY))
        free = max(free, probes[-1] + 1)
    for probe in probes:
        os.close(probe)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def a_command(starter: CommandStarter, folder: Path) -> object:
    return CommandProcess(starter, {"program": "/bin/true"}, 10)


def a_worker(starter: CommandStarter, folder: Path) -> object:
    return WorkerProcess(folder, {})


def a_server(starter: CommandStarter, folder: Path) -> object:
    return ServerProcess("/bin/true", ["true"], {}, folder, 10)


@pytest.mark.parametrize("started", [a_command, a_worker, a_server])
@pytest.mark.parametrize("more", [1, 2, 3, 5])
def test_what_cannot_be_started_for_want_of_descriptors_leaves_none_open(
    started: Callable[[CommandStarter, Path], object], more: int, tmp_path: Path
) -> None:
    async def tried() -> None:
        starter = CommandStarter()
        starter.start()
        before = descriptors()
        with at_most(more), pytest.raises(OSError, match="Too many open files"):
            started(starter, tmp_path)
        assert descriptors() == before
        await starter.close()

    asyncio.run(tried())
