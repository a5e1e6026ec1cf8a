"""A process that calls a tool with a breaker, for tests that race and kill it. Each line of stdin is an order.

`call FOLDER` calls it and says `made`, or `refused: …`; the work then takes until `works` or `fails`, which is
answered with `done`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from agentctl.errors import BreakerOpen, ToolError
from agentctl.graph.plan import BreakerPlan, ToolPlan
from agentctl.store.clock import Moment
from agentctl.store.folder import open_breakers
from agentctl.tools.breaker import ToolBreakers


def guarded(name: str = "look", *, failures: int = 2, cooldown: float = 60.0, **more: Any) -> ToolPlan:
    """A tool that has a breaker and, for all the breaker knows, no work."""
    plan: dict[str, Any] = {
        "work": None,
        "description": "",
        "parameters": {"type": "object"},
        "check_arguments": lambda arguments: [],
        "check_result": lambda result: None,
        "effect": "read",
        "cache": None,
        "timeout": 5.0,
        "attempts": 1,
        "idempotency_key": None,
        "max_result": 1000,
        "max_calls": None,
        "definition": {},
        **more,
    }
    return ToolPlan(name=name, breaker=BreakerPlan(failures, cooldown), **plan)


class SetClock:
    """A clock that tests set: `now` is its moment, `pass_by` lets time go on, `set_wall` does what people do."""

    def __init__(self) -> None:
        self.now = Moment(boot="one", uptime=1000.0, wall=1_000_000.0)

    def __call__(self) -> Moment:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now = Moment(boot=self.now.boot, uptime=self.now.uptime + seconds, wall=self.now.wall + seconds)

    def set_wall(self, seconds: float) -> None:
        self.now = Moment(boot=self.now.boot, uptime=self.now.uptime, wall=self.now.wall + seconds)

    def reboot(self, seconds: float, *, wall: float | None = None) -> None:
        wall = self.now.wall + (seconds if wall is None else wall)
        self.now = Moment(boot=self.now.boot + "+", uptime=0.5, wall=wall)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def work() -> None:
    """What the test says it does."""
    say("made")
    if sys.stdin.readline().strip() == "fails":
        raise ToolError("timeout", "no answer")


async def obey() -> None:
    for line in sys.stdin:
        _, folder = line.split()
        breakers = ToolBreakers(open_breakers(Path(folder)), lambda tool: tool.name)
        try:
            await breakers.guard(guarded(), lambda type, data: None, work)
        except BreakerOpen as error:
            say(f"refused: {error}")
        except ToolError:
            say("done")
        else:
            say("done")
        await breakers.close()


if __name__ == "__main__":
    asyncio.run(obey())
