"""The one path of a tool call, whatever the tool: memo, budget, breaker, intent, worker, result, memo."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from agentctl.concurrency import SingleFlight
from agentctl.errors import ToolError
from agentctl.expressions import Expression, ExpressionError
from agentctl.graph.plan import McpWork, StoreWork, ToolPlan
from agentctl.json import TOO_DEEP, Json, encode, too_deep
from agentctl.messages import Usage
from agentctl.retry import Backoff
from agentctl.store.protocols import Memo, MemoEntry
from agentctl.tools.breaker import ToolBreakers
from agentctl.tools.granted_files import GrantedFiles
from agentctl.tools.memo_key import MARK_SIZE, Marks, Scope, call_marks, key_within, mark, memo_scope

MARKS = ("definition", "code", "env", "sandbox", "server", "args", "known", "files")
"""Parts of a key, as `cache why` names them."""
LARGEST_SHOWN = 2_000
"""Bytes: larger arguments are not kept beside the answer, only their marks."""


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
    charge: Callable[[Usage, float | None], None] = lambda usage, cost: None
    """Told what the work takes of a model by itself: tokens, and US dollars where the price is known."""
    nested: Callable[[], Awaitable[Json]] | None = None
    """The work of a tool that is a graph or an agent, which the engine does itself."""


class Answered(NamedTuple):
    """A result, and whether it came from the memo: its age and what it saved, in seconds."""

    value: Json
    age: float | None = None
    saved: float | None = None
    key: str = ""
    """Of a hit, as `stored` is: Unix seconds."""
    stored: float = 0.0
    missed: Marks | None = None
    """Of a call that was made though it might have been remembered: what `agentctl cache why` needs."""

    @property
    def beside(self) -> dict[str, Json]:
        """What the tape keeps beside the value."""
        if self.age is not None:
            saved = round(self.saved or 0.0, 4)
            stored = round(self.stored, 3)
            return {"memo": {"age": round(self.age, 3), "saved": saved, "key": self.key, "stored": stored}}
        return {} if self.missed is None else {"missed": self.missed}


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
        code_files: Callable[[ToolPlan], Mapping[str, str]] = lambda tool: {},
        *,
        breakers: ToolBreakers | None = None,
        store: Path | None = None,
        sandboxed: bool = True,
    ) -> None:
        """`env` are the variables of the file, of which tools use some; `secret` keeps their values out of keys.

        `mask` takes secrets out of what is remembered; `code_files` gives the digests of the files of a tool's code;
        `store` is agentctl's own folder, of which no tool sees anything. Not `sandboxed`: tools with a `sandbox` are
        kept to its limits only, and no answer of one of these runs is given to a run of the other kind.
        """
        self._work = work
        self._memo = memo
        self._secret = secret
        self._breakers = breakers
        self._env = env or {}
        self._mask = mask
        self._code_files = code_files
        self._granted = GrantedFiles(store)
        self._sandboxed = sandboxed
        self._flights: SingleFlight[str, MemoEntry] = SingleFlight()
        self._scopes: dict[tuple[object, ...], tuple[ToolPlan, Scope]] = {}
        """By the tool itself, its code and tenant: two files may each have one of that name."""
        self._details: dict[tuple[int, str], Mapping[str, Json]] = {}

    async def call(self, call: Call) -> Answered:
        """The result, checked. Raises ToolError."""
        if call.tool.cache is None:
            return Answered(await self._run(call))
        if self._memo is None:
            return Answered(await self._run(call), missed={"off": "memo"})
        sandbox = call.tool.sandbox
        # what it may write it may read
        granted = (*sandbox.read, *sandbox.write) if sandbox is not None else ()
        files = await self._granted.digest(granted) if granted else ""
        if files is None:
            return Answered(await self._run(call), missed={"off": "files"})
        key = self._key(call, files)
        entry = await self._memo.get(key)
        if entry is not None:
            return _remembered(entry, key)
        return await self._lead_or_follow(key, call, files, self._memo)

    async def _lead_or_follow(self, key: str, call: Call, files: str, memo: Memo) -> Answered:
        missed: Marks | None = None

        async def run() -> MemoEntry:
            nonlocal missed
            async with memo.leading(key, call.tool.timeout):
                # a run that ended between our look and our flight, or in another process, has left its answer
                entry = await memo.get(key)
                if entry is not None:
                    return entry
                missed = {"key": key, "at": round(time.time(), 3), **self._marks(call, files)}
                missed |= await memo.lost(key)
                began = time.perf_counter()
                value = self._mask(await self._run(call))
                entry = MemoEntry(value, time.time(), time.perf_counter() - began)
                await self._remember(key, entry, call, missed, memo)
                return entry

        entry = await self._flights.run(key, run)
        return _remembered(entry, key) if missed is None else Answered(entry.value, missed=missed)

    async def _remember(self, key: str, entry: MemoEntry, call: Call, missed: Marks, memo: Memo) -> None:
        cache = call.tool.cache
        marks = {name: value for name, value in missed.items() if name in MARKS}
        arguments = self._mask(call.arguments)
        about = {
            "tool": call.tool.name,
            "tenant": call.tenant,
            "thread": call.run.get("thread", ""),
            "turn": call.run.get("turn", 0),
            "arguments": arguments if len(encode(arguments)) <= LARGEST_SHOWN else None,
            "marks": marks,
        }
        max_age = None if cache in (None, float("inf")) else cache
        await memo.put(key, entry, max_age=max_age, about=about, details=self._details_of(call, marks))

    def _details_of(self, call: Call, marks: Marks) -> Mapping[str, Json]:
        """The keys of the tool and the files of its code, under their marks; read once, as the code is."""
        place = (id(call.tool), call.code)
        known = self._details.get(place)
        if known is None:
            files = self._code_files(call.tool)
            known = self._details[place] = {
                marks["definition"]: {name: mark(value) for name, value in call.tool.definition.items()},
                marks["code"]: {file: found[: 2 * MARK_SIZE] for file, found in files.items()},
            }
        return known

    async def _run(self, call: Call) -> Json:
        call.admit()
        if call.tool.breaker is None or self._breakers is None:
            return await self._try(call)
        return await self._breakers.guard(call.tool, call.tell, partial(self._try, call))

    async def _try(self, call: Call) -> Json:
        """Begin the work, and again as often as the tool allows."""
        tool = call.tool
        await call.intend()
        attempts = tool.attempts if _may_be_repeated(call) else 1
        backoff = Backoff(attempts=attempts)
        for attempt in range(1, attempts + 1):
            try:
                return checked(tool, await (self._work(call) if call.nested is None else call.nested()))
            except ToolError as error:
                if attempt == attempts or not error.retryable or error.error_class == "bad_answer":
                    raise
                wait = backoff.wait(attempt, retry_after=error.retry_after)
                call.on_retry(error, wait)
                await asyncio.sleep(wait)
        raise AssertionError("a tool has at least one attempt")

    def _key(self, call: Call, files: str) -> str:
        return key_within(self._scope(call), call.arguments, known=_known(call), files=files)

    def _marks(self, call: Call, files: str) -> Marks:
        return call_marks(self._scope(call), call.arguments, known=_known(call), files=files)

    def _scope(self, call: Call) -> Scope:
        tool = call.tool
        # a server that is started anew may be another version of itself
        version = tool.work.identity if isinstance(tool.work, McpWork) else None
        place = (id(tool), call.code, call.tenant, version)
        known = self._scopes.get(place)
        if known is None:
            scope = memo_scope(
                definition=tool.definition,
                code=call.code,
                tenant=call.tenant,
                env={name: self._env[name] for name in tool.env if name in self._env},
                secret=self._secret,
                sandbox=_sandbox(tool, sandboxed=self._sandboxed),
                server=self._server(tool),
            )
            # kept with the tool, so that its id stays its own
            known = self._scopes[place] = tool, scope
        return known[1]

    def _server(self, tool: ToolPlan) -> Json:
        """The MCP server of a tool: who answers, and as whom it is asked."""
        if not isinstance(tool.work, McpWork):
            return None
        server = tool.work.server
        names = {"env": dict(self._env)}
        reached = [*server.headers, *server.env]
        return {
            "name": server.name,
            "identity": list(tool.work.identity),
            "command": list(server.command),
            "url": None if server.url is None else _filled(server.url, names),
            "with": {name: _filled(text, names) for name, text in reached},
        }


def _filled(text: Expression, names: Mapping[str, Json]) -> Json:
    try:
        return text(names)
    except ExpressionError:
        return None  # a variable is not set, which is a value of its own here


def _sandbox(tool: ToolPlan, *, sandboxed: bool) -> Json:
    """What the sandbox allows; the files that it names are in the definition, and their bytes beside the arguments."""
    plan = tool.sandbox
    if plan is None:
        return None
    allowed = {"time": plan.time, "memory": plan.memory, "network": plan.network}
    return allowed if sandboxed else {**allowed, "profile": "process"}


def _known(call: Call) -> Json:
    """What the tool knows of its thread: its `context`, and what its templates read of `run`; None for nothing."""
    return call.context if call.context is not None else _read(call)


def _read(call: Call) -> Json:
    """What the tool's templates read of `run`; None when they read nothing of it."""
    return {name: call.run.get(name) for name in call.tool.run} if call.tool.run else None


def _may_be_repeated(call: Call) -> bool:
    """Whatever the file says: a write that failed may have been made, and only its key tells the other side."""
    is_safe = call.tool.effect != "write" or call.idempotency_key is not None
    return is_safe or isinstance(call.tool.work, StoreWork)


def _remembered(entry: MemoEntry, key: str) -> Answered:
    return Answered(entry.value, max(0.0, time.time() - entry.stored), entry.seconds, key, entry.stored)


def checked(tool: ToolPlan, value: Json) -> Json:
    """A result that can be kept and that its tool may give. Raises ToolError for one that is neither."""
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
