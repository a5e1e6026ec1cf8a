"""The one path of a tool call, whatever the tool: memo, budget, intent, worker, result, memo."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from agentctl.concurrency import SingleFlight
from agentctl.errors import ToolError
from agentctl.graph.plan import ToolPlan
from agentctl.json import TOO_DEEP, Json, encode, too_deep
from agentctl.retry import Backoff
from agentctl.store.protocols import Memo, MemoEntry
from agentctl.tools.memo_key import key_within, memo_scope


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as the turn hands it over."""

    tool: ToolPlan
    arguments: Json
    tenant: str
    code: str
    """Digest of the tool's code; empty when its answers are not remembered."""
    idempotency_key: str | None
    context: Json
    """Thread, turn, run and tenant, for a tool that takes `context`; None for all others."""
    run: Mapping[str, Json]
    """`run.*` of the templates of a tool."""
    admit: Callable[[], None]
    """Asked before the work is begun: the budgets. Raises ToolError, LimitReached."""
    intend: Callable[[], Awaitable[None]]
    """Run right before the work: the intent of a write is put down."""
    tell: Callable[[str, dict[str, Json]], None]
    """Publishes an event of this call: its type, and its data beside the tool's name."""
    on_retry: Callable[[ToolError, float], None]


class Answered(NamedTuple):
    """A result, and whether it came from the memo: its age and what it saved, in seconds."""

    value: Json
    age: float | None = None
    saved: float | None = None


Work = Callable[[Call], Awaitable[Json]]
"""Runs a tool once. Raises ToolError."""


class ToolCaller:
    """Calls tools: identical ones at the same time once, remembered ones not at all."""

    def __init__(
        self,
        work: Work,
        memo: Memo | None,
        secret: bytes = b"",
        env: Mapping[str, str] | None = None,
        mask: Callable[[Json], Json] = lambda value: value,
    ) -> None:
        """`env` are the variables of the file, of which tools use some; `secret` keeps their values out of keys.

        `mask` takes secrets out of what is remembered.
        """
        self._work = work
        self._memo = memo
        self._secret = secret
        self._env = env or {}
        self._mask = mask
        self._flights: SingleFlight[str, MemoEntry] = SingleFlight()
        self._scopes: dict[tuple[str, str, str], bytes] = {}
        """By tool, its code and tenant."""

    async def call(self, call: Call) -> Answered:
        """The result, checked. Raises ToolError."""
        if self._memo is None or call.tool.cache is None:
            return Answered(await self._run(call))
        key = self._key(call)
        entry = await self._memo.get(key)
        if entry is not None:
            return _remembered(entry)
        return await self._lead_or_follow(key, call, self._memo)

    async def _lead_or_follow(self, key: str, call: Call, memo: Memo) -> Answered:
        led = False

        async def run() -> MemoEntry:
            nonlocal led
            # a run that ended between our look and our flight has left its answer
            entry = await memo.get(key)
            if entry is not None:
                return entry
            led = True
            began = time.perf_counter()
            value = self._mask(await self._run(call))
            entry = MemoEntry(value, time.time(), time.perf_counter() - began)
            cache = call.tool.cache
            await memo.put(key, entry, max_age=None if cache in (None, float("inf")) else cache)
            return entry

        entry = await self._flights.run(key, run)
        return Answered(entry.value) if led else _remembered(entry)

    async def _run(self, call: Call) -> Json:
        tool = call.tool
        call.admit()
        await call.intend()
        backoff = Backoff(attempts=tool.attempts)
        for attempt in range(1, tool.attempts + 1):
            try:
                return _checked(tool, await self._work(call))
            except ToolError as error:
                if attempt == tool.attempts or not error.retryable or error.error_class == "bad_answer":
                    raise
                wait = backoff.wait(attempt, retry_after=error.retry_after)
                call.on_retry(error, wait)
                await asyncio.sleep(wait)
        raise AssertionError("a tool has at least one attempt")

    def _key(self, call: Call) -> str:
        tool = call.tool
        place = (tool.name, call.code, call.tenant)
        scope = self._scopes.get(place)
        if scope is None:
            scope = self._scopes[place] = memo_scope(
                definition=tool.definition,
                code=call.code,
                tenant=call.tenant,
                env={name: self._env[name] for name in tool.env if name in self._env},
                secret=self._secret,
            )
        # what a tool knows of its thread may be in its answer, so no other thread is given it
        known = call.context if call.context is not None else _read(call)
        return key_within(scope, call.arguments if known is None else [call.arguments, known])


def _read(call: Call) -> Json:
    """What the tool's templates read of `run`; None when they read nothing of it."""
    return {name: call.run.get(name) for name in call.tool.run} or None


def _remembered(entry: MemoEntry) -> Answered:
    return Answered(entry.value, max(0.0, time.time() - entry.stored), entry.seconds)


def _checked(tool: ToolPlan, value: Json) -> Json:
    if too_deep(value):
        raise ToolError("tool_failed", f"tool `{tool.name}` returned what cannot be kept: {TOO_DEEP}")
    problem = tool.check_result(value)
    if problem is not None:
        raise ToolError(
            "tool_failed", f"tool `{tool.name}` returned what `returns` does not allow: {problem}"
        )
    size = len(encode(value))
    if size > tool.max_result:
        raise ToolError(
            "tool_failed",
            f"tool `{tool.name}` returned {size:,} bytes, over its max_result of {tool.max_result:,}",
            hint="return less, or raise `max_result`",
        )
    return value
