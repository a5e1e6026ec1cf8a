"""What runs of one graph at the same time share: opened by the first of them, closed by the last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from agentctl.assembly.world import LiveWorld
from agentctl.events import Sink
from agentctl.store.protocols import ThreadStore


@dataclass(frozen=True, slots=True)
class Open:
    """A store, a world and the file's own sinks, in use."""

    store: ThreadStore
    jobs: ThreadStore
    """The logs of background jobs."""
    world: LiveWorld
    sinks: tuple[Sink, ...]

    async def close(self) -> None:
        """End the workers, then let go of the files: of each, whatever becomes of the others."""
        async with AsyncExitStack() as parts:
            parts.push_async_callback(self.store.close)
            parts.push_async_callback(self.jobs.close)
            for sink in reversed(self.sinks):
                parts.push_async_callback(sink.close)
            parts.push_async_callback(self.world.close)


@dataclass(slots=True)
class _Users:
    open: Open
    count: int = 0


@dataclass(slots=True)
class Sharing:
    """Counts the runs of each event loop, so that a hundred of them write through one store."""

    _in_use: dict[int, _Users] = field(default_factory=dict)

    @asynccontextmanager
    async def use(self, opening: Callable[[], Open]) -> AsyncIterator[Open]:
        """What is open in this loop already, or what `opening` opens."""
        loop = id(asyncio.get_running_loop())
        users = self._in_use.get(loop)
        if users is None:
            users = self._in_use[loop] = _Users(opening())
        users.count += 1
        try:
            yield users.open
        finally:
            users.count -= 1
            if not users.count:
                del self._in_use[loop]
                await users.open.close()
