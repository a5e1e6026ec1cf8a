"""The circuit breaker: what keeps failing is not called for a while, and then tried once (Nygard, Release It!).

Closed: calls are made, and failures in a row counted, one for a call with all its retries. Open: calls are refused
until `cooldown` is over. Half-open: one call among all processes is the trial; its success closes the breaker, its
failure opens it again.

| how a call ended | what it says of the tool |
|---|---|
| it succeeded | it works: the count is 0 |
| `timeout` (408 too), `tool_unavailable`, `server` (5xx, broken off) | it fails: counted |
| `rate_limited` (429) | it fails: calling on makes it worse |
| `tool_failed` that a retry may mend (an exception, an exit code, a result that `returns` forbids) | it fails |
| `refused` (404, 401, another 4xx, a redirect elsewhere) | it works: an answer of a healthy server |
| `tool_failed` that no retry mends (arguments that cannot be sent, too large a result, an MCP tool's error) | nothing |
| `bad_answer`, `limit`, cancelled, and what ends the run | nothing; a trial is given up to the next call |
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Literal

from agentctl.errors import BreakerOpen, StoreError, ToolError
from agentctl.expressions import ExpressionError
from agentctl.graph.plan import (
    AgentWork,
    BreakerPlan,
    CommandWork,
    GraphWork,
    McpServerPlan,
    McpWork,
    PythonWork,
    StoreWork,
    ToolPlan,
)
from agentctl.ids import new_uuid
from agentctl.json import Json, canonical
from agentctl.retry import Backoff
from agentctl.store.clock import MachineClock, Moment, seconds_between
from agentctl.store.protocols import CLOSED, Breakers, BreakerState, Trial

Tell = Callable[[str, dict[str, Json]], None]
"""Publishes an event of a call: its type, and its data beside the tool's name."""
_LONGEST = 3600.0
"""Seconds: an agent that is a tool may have no timeout of its own."""
Finding = Literal["works", "fails", "nothing"]

_SLACK = 30.0
"""Seconds that a trial may take beside its tries and the waits between them: starting a worker, loading its module."""


class ToolBreakers:
    """Guards calls of tools that have a breaker. What is wrong with the store is told, and never stops a call."""

    def __init__(
        self,
        store: Breakers,
        key: Callable[[ToolPlan], str],
        clock: Callable[[], Moment] | None = None,
    ) -> None:
        """`key` names what fails: tools of one key share a breaker."""
        self._store = store
        self._key = key
        self._clock = clock or MachineClock()

    async def refusing(self, tools: Sequence[ToolPlan]) -> list[str]:
        """The names of those tools that would not be called now."""
        names = []
        for tool in tools:
            # the call itself meets what is wrong with the store, tells it and mends it
            with suppress(StoreError):
                if self._refusal(tool, await self._store.get(self._key(tool))) is not None:
                    names.append(tool.name)
        return names

    async def guard(self, tool: ToolPlan, tell: Tell, work: Callable[[], Awaitable[Json]]) -> Json:
        """What `work` gives, if the tool may be called. Raises BreakerOpen, and what the work raises."""
        trial = await self._enter(tool, tell)
        try:
            value = await work()
        except ToolError as error:
            await self._leave(tool, tell, trial, finding(error), error.message)
            raise
        except BaseException:
            await self._leave(tool, tell, trial, "nothing")
            raise
        await self._leave(tool, tell, trial, "works")
        return value

    async def close(self) -> None:
        await self._store.close()

    async def _enter(self, tool: ToolPlan, tell: Tell) -> str:
        """The id of the trial that the call is; empty for any other. Raises BreakerOpen."""
        try:
            state = await self._store.get(self._key(tool))
            if state.opened is None:
                return ""
            refusal = self._refusal(tool, state)
            return await self._try(tool, tell) if refusal is None else self._refuse(tell, refusal)
        except StoreError as error:
            await self._troubled(tool, tell, error)
            return ""

    async def _try(self, tool: ToolPlan, tell: Tell) -> str:
        """Become the trial, as one of all that come now."""
        trial = Trial(id=new_uuid(), began=self._clock(), lease=_lease(tool))
        self._store.claim(trial.id)
        mine = False
        try:
            _, state = await self._store.change(self._key(tool), partial(self._with_trial, tool, trial))
            mine = state.trial == trial
        finally:
            if not mine:
                self._store.release(trial.id)
        if mine:
            tell("breaker.half_open", {})
            return trial.id
        # somebody else was first, and may be through with it already
        refusal = self._refusal(tool, state)
        return "" if refusal is None else self._refuse(tell, refusal)

    def _with_trial(self, tool: ToolPlan, trial: Trial, state: BreakerState) -> BreakerState:
        if state.opened is None or self._refusal(tool, state) is not None:
            return state
        return BreakerState(failures=state.failures, opened=state.opened, trial=trial)

    def _refusal(self, tool: ToolPlan, state: BreakerState) -> BreakerOpen | None:
        """Why the tool is not called now; None when it may be."""
        plan, now = _plan(tool), self._clock()
        if state.opened is None:
            return None
        ago = seconds_between(state.opened, now)
        said = f"tool `{tool.name}` is not called: {_failures(state.failures)}, the last {_seconds(ago)} ago"
        if ago < plan.cooldown:
            left = plan.cooldown - ago
            return BreakerOpen(f"{said}; it will be tried again in {_seconds(left)}", left)
        trial = state.trial
        if trial is None or not self._store.is_claimed(trial.id):
            return None
        left = trial.lease - seconds_between(trial.began, now)
        return BreakerOpen(f"{said}; it is being tried again by another call", left) if left > 0 else None

    def _refuse(self, tell: Tell, refusal: BreakerOpen) -> str:
        tell("breaker.refused", {"retry_in": round(refusal.retry_in, 3)})
        raise refusal

    async def _leave(
        self, tool: ToolPlan, tell: Tell, trial: str, found: Finding, error: str | None = None
    ) -> None:
        """Count what a call has shown, in one transaction at most."""
        key = self._key(tool)
        try:
            if not trial and (found == "nothing" or await self._tells_nothing(key, found)):
                return
            to = partial(_after, _plan(tool), self._clock(), trial, found)
            before, after = await self._store.change(key, to)
        except StoreError as trouble:
            await self._troubled(tool, tell, trouble)
            return
        finally:
            if trial:
                self._store.release(trial)
        if after.opened is not None and after.opened != before.opened:
            cooldown = _plan(tool).cooldown
            tell("breaker.opened", {"failures": after.failures, "cooldown": cooldown, "error": error})
        elif before.opened is not None and after.opened is None:
            tell("breaker.closed", {})

    async def _tells_nothing(self, key: str, found: Finding) -> bool:
        """Whether a success changes nothing, as nearly every one: then nothing is written."""
        if found != "works":
            return False
        state = await self._store.get(key)
        return state == CLOSED or state.opened is not None

    async def _troubled(self, tool: ToolPlan, tell: Tell, error: StoreError) -> None:
        said = f"the breaker of `{tool.name}` counts as closed, for its state cannot be kept: {error.message}"
        tell("warning", {"message": said})
        # what cannot be mended is told again by the next call
        with suppress(StoreError):
            await self._store.recover(self._key(tool), error)


def finding(error: ToolError) -> Finding:
    """What a failed call says of its tool: the table above."""
    match error.error_class:
        case "timeout" | "tool_unavailable" | "server" | "rate_limited":
            return "fails"
        case "tool_failed":
            return "fails" if error.retryable else "nothing"
        case "refused":
            return "works"
        case _:
            return "nothing"


def breaker_key(tool: ToolPlan, env: Mapping[str, str], secret: bytes, home: Path) -> str:
    """What tools have in common that fail together, in every graph and for every tenant.

    Name and definition; where its code, program or server is (of an agent or graph the file that runs, `home`); and
    the variables it uses, which may hold the address of the service. The hash is keyed with `secret`, so that the
    store does not betray a short password to guessing.
    """
    at: Json = None
    match tool.work:
        case PythonWork(function=function):
            at = str(function.file)
        case CommandWork(folder=folder):
            at = str(folder)
        case McpWork(server=server):
            at = [server.name, list(server.command), str(server.folder), _address(server, env)]
        case StoreWork(store=store):
            at = [store.name, str(store.folder or "")]
        case AgentWork() | GraphWork():
            at = str(home)
    used = {name: env[name] for name in tool.env if name in env}
    key = hashlib.blake2b(secret).digest()  # of any length, to the 64 bytes that the keyed hash takes
    said = canonical([tool.definition, at, used])
    return f"{tool.name}/{hashlib.blake2b(said, key=key, digest_size=16).hexdigest()}"


def _address(server: McpServerPlan, env: Mapping[str, str]) -> Json:
    try:
        return None if server.url is None else server.url({"env": dict(env)})
    except ExpressionError:
        return None  # a variable is not set, and no call will get further than that


def _after(plan: BreakerPlan, now: Moment, trial: str, found: Finding, state: BreakerState) -> BreakerState:
    """The state after a call. One that was overtaken (its breaker opened meanwhile, its lease ran out) is nothing."""
    if (state.trial.id if state.trial else "") != trial or (not trial and state.opened is not None):
        return state
    if found == "works":
        return CLOSED
    if found == "nothing":
        return BreakerState(failures=state.failures, opened=state.opened)
    failures = state.failures + 1
    return BreakerState(failures=failures, opened=now if trial or failures >= plan.failures else None)


def _lease(tool: ToolPlan) -> float:
    """Seconds that a call takes at most, or nearly: a server may ask for a longer wait."""
    waits = (tool.attempts - 1) * Backoff().ceiling
    return min(tool.attempts * tool.timeout + waits + _SLACK, _LONGEST)


def _plan(tool: ToolPlan) -> BreakerPlan:
    assert tool.breaker is not None, "only tools with a breaker are guarded"
    return tool.breaker


def _failures(number: int) -> str:
    return "its last call failed" if number == 1 else f"its last {number} calls failed"


def _seconds(number: float) -> str:
    return f"{number:.1f}s" if number < 10 else f"{number:,.0f}s"
