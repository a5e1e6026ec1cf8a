"""The one path of a tool call, whatever the tool: memo, budget, intent, worker, result, memo."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from agentctl.concurrency import SingleFlight
from agentctl.errors import ToolError
from agentctl.graph.plan import ToolPlan
from agentctl.json import Json, encode
from agentctl.retry import Backoff
from agentctl.store.protocols import Memo, MemoEntry
from agentctl.tools.memo_key import memo_key


class Work(Protocol):
    """Runs a tool once. Raises ToolError."""

    async def __call__(self, tool: ToolPlan, arguments: Json, idempotency_key: str | None) -> Json: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as the turn hands it over."""

    tool: ToolPlan
    arguments: Json
    tenant: str
    code: str
    """Digest of the tool's code; empty when its answers are not remembered."""
    idempotency_key: str | None
    before: Callable[[], Awaitable[None]]
    """Run right before the work is begun: the budget, and for a write the intent."""
    on_retry: Callable[[ToolError, float], None]


@dataclass(frozen=True, slots=True)
class Answered:
    """A result, and whether it came from the memo: its age and what it saved, in seconds."""

    value: Json
    age: float | None = None
    saved: float | None = None


class ToolCaller:
    """Calls tools: identical ones at the same time once, remembered ones not at all."""

    def __init__(self, work: Work, memo: Memo | None, secret: bytes = b"") -> None:
        self._work = work
        self._memo = memo
        self._secret = secret
        self._flights: SingleFlight[str, tuple[Json, float]] = SingleFlight()

    async def call(self, call: Call) -> Answered:
        """The result, checked. Raises ToolError."""
        if self._memo is None or call.tool.cache is None:
            return Answered(await self._run(call))
        key = self._key(call)
        entry = await self._memo.get(key)
        if entry is not None:
            return Answered(entry.value, max(0.0, time.time() - entry.stored), entry.seconds)
        return await self._lead_or_follow(key, call, self._memo)

    async def _lead_or_follow(self, key: str, call: Call, memo: Memo) -> Answered:
        led = False

        async def run() -> tuple[Json, float]:
            nonlocal led
            led = True
            began = time.perf_counter()
            value = await self._run(call)
            return value, time.perf_counter() - began

        value, seconds = await self._flights.run(key, run)
        if not led:
            return Answered(value, 0.0, seconds)
        cache = call.tool.cache
        max_age = None if cache in (None, float("inf")) else cache
        await memo.put(key, MemoEntry(value, time.time(), seconds), max_age=max_age)
        return Answered(value)

    async def _run(self, call: Call) -> Json:
        tool = call.tool
        await call.before()
        backoff = Backoff(attempts=tool.attempts)
        for attempt in range(1, tool.attempts + 1):
            try:
                return _checked(tool, await self._work(tool, call.arguments, call.idempotency_key))
            except ToolError as error:
                if attempt == tool.attempts or error.error_class == "bad_answer":
                    raise
                wait = backoff.wait(attempt)
                call.on_retry(error, wait)
                await asyncio.sleep(wait)
        raise AssertionError("a tool has at least one attempt")

    def _key(self, call: Call) -> str:
        tool = call.tool
        return memo_key(
            definition=tool.definition,
            code=call.code,
            arguments=call.arguments,
            tenant=call.tenant,
            env={},
            secret=self._secret,
            sandbox=None,
        )


def _checked(tool: ToolPlan, value: Json) -> Json:
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
