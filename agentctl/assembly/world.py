"""The live world: providers, tool workers, the memo and the person at the terminal, put together."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Collection, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Self, assert_never

from agentctl.assembly.models import Models
from agentctl.assembly.stores import Stores
from agentctl.engine.masking import Mask
from agentctl.engine.world import Ask
from agentctl.errors import CannotRun, StoreError
from agentctl.graph.plan import (
    AgentWork,
    CommandWork,
    Graph,
    GraphWork,
    HttpWork,
    McpWork,
    Model,
    PythonWork,
    Served,
    StoreWork,
    ToolPlan,
    Work,
)
from agentctl.json import Json, digest
from agentctl.messages import ChatRequest
from agentctl.models.calling import ProviderPool
from agentctl.models.groups import Hearing, ModelAnswer
from agentctl.spec.functions import PythonFunction, read_function
from agentctl.spec.reading import read_start
from agentctl.store.protocols import Breakers, Memo
from agentctl.tools.breaker import ToolBreakers, breaker_key
from agentctl.tools.call import Answered, Call, ToolCaller
from agentctl.tools.code_digest import code_digest, code_files, files_digest, named_files
from agentctl.tools.command import CommandTools
from agentctl.tools.http import HttpTools
from agentctl.tools.in_process import InProcessTools
from agentctl.tools.mcp import McpTools
from agentctl.tools.printed import told
from agentctl.tools.python_call import PythonCall
from agentctl.tools.sandbox.profiles import profile_of
from agentctl.tools.store import StoreTools
from agentctl.tools.worker import WorkerPool


class LiveWorld:
    """See engine.World. Workers are started when first used and kept until `close`; providers outlive it."""

    def __init__(
        self,
        graph: Graph,
        env: Mapping[str, str],
        providers: ProviderPool,
        memo: Memo | None,
        secret: bytes,
        secrets: Sequence[str] = (),
        breakers: Breakers | None = None,
        folder: Path | None = None,
        *,
        sandboxed: bool = True,
    ) -> None:
        """`secret` is for memo keys; `secrets` are masked in what is quoted of servers and programs.

        `folder` is the project's `.agentctl`, for stores that name no folder of their own. Not `sandboxed`: tools
        with a `sandbox` are kept to its limits only, which each of their calls tells.
        """
        self._graph = graph
        self._names = {"env": dict(env)}
        self._models = Models(graph, env, providers)
        self._workers = WorkerPool(store=folder)
        self._in_process = InProcessTools()
        mask = Mask(secrets)
        self._breakers = None if breakers is None else ToolBreakers(breakers, self._breaker_key)
        self._http = HttpTools(env, mask)
        self._commands = CommandTools(env, mask, isolate=sandboxed, store=folder)
        self._sandboxed = sandboxed
        self.stores = Stores(folder, providers, self._models.settings)
        self._store_tools = StoreTools(self.stores.get)
        self._mcp = McpTools(env, mask)
        self._caller = ToolCaller(
            self._work,
            memo,
            secret,
            env,
            mask,
            self._code_files,
            breakers=self._breakers,
            store=folder,
            sandboxed=sandboxed,
        )
        self._memo = memo
        self._secret = secret
        self._code: dict[int, tuple[ToolPlan, str]] = {}
        """By the tool itself: two files may each have one of that name."""
        self._breaker_keys: dict[int, tuple[ToolPlan, str]] = {}
        self.ask: Ask | None = None

    def seen_by(self, ask: Ask | None, *, cache: bool) -> Self:
        """This world for one run: with its own person to ask, and with the memo or without."""
        seen = copy(self)
        seen.ask = ask
        if not cache:
            seen._caller = ToolCaller(self._work, None, breakers=self._breakers)
        return seen

    async def prepare(self) -> None:
        """Make the clients of the graph's models. Raises CannotRun for a missing key or variable, UsageError."""
        for tool in self._graph.tools.values():
            self.check_tool(tool)
            await self.check_sandbox(tool)
        for model in self._graph.models.values():
            await self._models.prepare(model)

    async def served(self) -> Served:
        """What the MCP servers of the graph's tools say; those that do not run are started. Raises CannotRun."""
        return await self._mcp.served(self._graph.tools.values())

    async def check_model(self, model: Model) -> None:
        """Raises CannotRun or UsageError where a call would: for a missing key, file or package."""
        await self._models.check(model)

    async def check_sandbox(self, tool: ToolPlan) -> None:
        """Raises CannotRun where this machine cannot keep a tool to its sandbox."""
        profile = profile_of(tool)
        if profile is not None and self._sandboxed:
            from agentctl.tools.sandbox.proof import require

            await require(profile, tool.name)
        if isinstance(tool.work, CommandWork):
            self._commands.prepare(tool)
        elif tool.sandbox is not None:
            self._workers.prepare(tool.sandbox)

    def check_tool(self, tool: ToolPlan) -> None:
        """Raises CannotRun where a call would, for a variable that is not set, or a package."""
        missing = [name for name in tool.needs if name not in self._names["env"]]
        if missing:
            raise CannotRun(
                f"tools.{tool.name} needs {', '.join(missing)}, which is not set",
                hint="set it in the environment or in --env-file FILE",
            )
        if isinstance(tool.work, StoreWork):
            self.stores.check(tool.work.store)

    async def chat(self, model: Model, request: ChatRequest, hearing: Hearing) -> ModelAnswer:
        """See engine.World."""
        return await self._models.ask(model, request, hearing)

    async def call_tool(self, call: Call) -> Answered:
        """See engine.World."""
        return await self._caller.call(call)

    async def open_breakers(self, tools: Sequence[ToolPlan]) -> Collection[str]:
        """See engine.World."""
        return () if self._breakers is None else await self._breakers.refusing(tools)

    def code_digest(self, tool: ToolPlan) -> str:
        """See engine.World; read once, as a worker reads the code once."""
        known = self._code.get(id(tool))
        if known is None:
            # kept with the tool, so that its id stays its own
            known = self._code[id(tool)] = tool, self._digest(tool.work)
        return known[1]

    def now(self) -> float:
        """See engine.World."""
        return time.time()

    async def close(self) -> None:
        """End the workers and commands, hang up, and close memo and breakers: each, whatever becomes of the others."""
        async with contextlib.AsyncExitStack() as parts:
            for part in (self._breakers, self._memo):
                if part is not None:
                    parts.push_async_callback(part.close)
            parts.push_async_callback(self.stores.close)
            parts.push_async_callback(self._http.close)
            parts.push_async_callback(self._mcp.close)
            parts.push_async_callback(self._commands.close)
            parts.push_async_callback(self._in_process.close)
            parts.push_async_callback(self._workers.close)
            parts.push_async_callback(self._models.close)

    def _breaker_key(self, tool: ToolPlan) -> str:
        known = self._breaker_keys.get(id(tool))
        if known is None:
            key = breaker_key(tool, self._names["env"], self._secret, self._graph.path)
            known = self._breaker_keys[id(tool)] = tool, key
        return known[1]

    def _digest(self, work: Work | None) -> str:
        project = self._graph.path.parent
        match work:
            case PythonWork(function=function, setup=setup):
                functions = [function, *_set_up(function, setup)]
                return digest([code_digest(f.file, f.name, project, f.folder) for f in functions])
            case StoreWork():
                return ""  # the code is agentctl's own
            case CommandWork():
                return files_digest(work.folder, work.files, project)
            case HttpWork() | McpWork():
                return ""  # a server's code is its own
            case GraphWork() | AgentWork():
                raise AssertionError("the engine does what is nested")
            case None:
                raise AssertionError("a replay calls nothing")
            case _:
                assert_never(work)

    def _code_files(self, tool: ToolPlan) -> Mapping[str, str]:
        """The digest of each file of a tool's code."""
        work, project = tool.work, self._graph.path.parent
        if isinstance(work, CommandWork):
            return named_files(work.folder, work.files, project)
        if not isinstance(work, PythonWork):
            return {}
        found: dict[str, str] = {}
        for function in (work.function, *_set_up(work.function, work.setup)):
            found |= code_files(function.file, project, function.folder)
        return found

    async def _work(self, call: Call) -> Json:
        work = call.tool.work
        if call.tool.sandbox is not None and not self._sandboxed:
            call.tell("sandbox.downgraded", {"from": profile_of(call.tool), "to": "process"})
        match work:
            case PythonWork():
                return await self._python(work, call)
            case HttpWork():
                return await self._http.call(work, call)
            case CommandWork():
                return await self._commands.call(work, call)
            case StoreWork():
                return await self._store_tools.call(work, call)
            case McpWork():
                return await self._mcp.call(work, call)
            case GraphWork() | AgentWork():
                raise AssertionError("the engine does what is nested")
            case None:
                raise AssertionError("a replay calls nothing")
            case _:
                assert_never(work)

    async def _python(self, work: PythonWork, call: Call) -> Json:
        tool, function = call.tool, work.function
        spec = PythonCall(
            function.file,
            function.name,
            function.folder,
            work.setup,
            self.code_digest(tool),
            tool.sandbox,
            bounded_only=not self._sandboxed,
        )
        pool = self._in_process if work.in_process else self._workers
        printed = told(call.tell)
        try:
            return await pool.call(
                spec,
                call.arguments,
                timeout=tool.timeout,
                max_result=tool.max_result,
                idempotency_key=call.idempotency_key if function.accepts_key else None,
                context=call.context,
                on_output=printed.add,
                tell=call.tell,
            )
        finally:
            printed.end()


def _set_up(function: PythonFunction, setup: str | None) -> tuple[PythonFunction, ...]:
    """The function that a worker runs once, where there is one."""
    return () if setup is None else (read_function(function.folder, setup),)


def memo_secret(folder: Path) -> bytes:
    """The store's own key for hashing secrets into memo keys; made once, readable by its owner only."""
    path = folder / "memo.key"
    try:
        if not path.exists():
            _make_secret(path)
        return read_start(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read or made: {error.strerror}") from error


def _make_secret(path: Path) -> None:
    fresh = path.with_name(f".memo.key.{secrets.token_hex(4)}")
    fresh.touch(mode=0o600)
    try:
        fresh.write_bytes(secrets.token_bytes(32))
        # a link is made by exactly one of the processes that start at the same time
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(fresh)
    finally:
        fresh.unlink()
