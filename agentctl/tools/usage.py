"""What a process and all that came of it use together, from /proc; imported by path, with the keeper alone."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from agentctl.json import Json
    from agentctl.tools import keeper
else:
    import keeper

_CLOCK = os.sysconf("SC_CLK_TCK")


def over_limit(root: int, limits: dict[str, Json]) -> str | None:
    """The limit that a process and all that came of it are over: `processes`, `memory` or `time`."""
    every = []
    for pid in descendants(root):
        every.append(pid)
        if len(every) > limits["processes"]:
            return "processes"
    # what processes share counts once for each in the quick sum, so that the exact one, which is slow, is rare
    most = limits["memory"] // 1024
    if sum(_memory(pid, "status", ("RssAnon", "RssShmem")) for pid in every) > most and (
        sum(_memory(pid, "smaps_rollup", ("Pss_Anon", "Pss_Shmem")) for pid in every) > most
    ):
        return "memory"
    return "time" if sum(map(_ticks, every)) / _CLOCK > limits["time"] else None


def descendants(root: int) -> Iterator[int]:
    """A process and all that came of it."""
    stack = [root]
    while stack:
        pid = stack.pop()
        yield pid
        stack += keeper.children(pid)


def _memory(pid: int, file: str, names: tuple[str, ...]) -> int:
    """Some fields of a file of /proc, added up, in KiB."""
    found = 0
    try:
        with open(f"/proc/{pid}/{file}") as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name in names:
                    found += int(value.split()[0])
    except OSError:
        return found
    return found


def _ticks(pid: int) -> int:
    """Processor time, that of its ended children too, in ticks of the clock."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return sum(int(field) for field in file.read().rpartition(b")")[2].split()[11:15])
    except OSError:
        return 0
