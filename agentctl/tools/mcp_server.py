"""One MCP server of a file: started or connected to when first needed, and again at the next call after it died."""

from __future__ import annotations

import asyncio
import importlib
import os
import re
import shutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, cast

from agentctl.errors import CannotRun, ErrorClass, ToolError
from agentctl.expressions import Expression, ExpressionError
from agentctl.graph.plan import McpServerPlan, McpWork, ServedServer
from agentctl.graph.served import agreed
from agentctl.json import Json
from agentctl.spec.fits import first_problem
from agentctl.tools.answers import quoted
from agentctl.tools.call import Call
from agentctl.tools.command import INHERITED
from agentctl.tools.mcp_faults import NotServed, SessionLost, Unreachable, is_unknown, unknown
from agentctl.tools.mcp_process import ServerProcess

if TYPE_CHECKING:
    from mcp_types import CallToolResult

    from agentctl.tools.mcp_connection import McpConnection

KEY_META = "agentctl/idempotency_key"
"""Where the `_meta` of a request holds the idempotency key of a call."""
_PING = 2.0
"""Seconds, at most, in which a server that was silent once must say that it is there."""
_LONGEST_ERROR = 2_000
"""Characters kept of what a tool says of its failure."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class McpServer:
    """See McpTools."""

    def __init__(
        self,
        plan: McpServerPlan,
        env: Mapping[str, str],
        mask: Callable[[Json], Json],
        longest: int,
        patience: float,
    ) -> None:
        """No message may have more than `longest` bytes. `patience`: seconds to start, to greet and to list tools."""
        self._patience = patience
        self.longest = longest
        self._plan = plan
        self._names: Mapping[str, Json] = {"env": env}
        self._mask = mask
        self._connection: McpConnection | None = None
        self._process: ServerProcess | None = None
        self._opening: asyncio.Task[McpConnection] | None = None
        self._under_way = 0
        self._was_silent = False

    async def served(self) -> ServedServer:
        """What it says of itself and its tools. Raises Unreachable, and CannotRun without the package."""
        try:
            connection = await self._connected()
            if not connection.is_listed:
                async with asyncio.timeout(self._patience):
                    await connection.list_tools()
        except (NotServed, TimeoutError) as error:
            said = str(error) or f"it did not list its tools within {self._patience:g}s"
            raise Unreachable(f"mcp.{self._plan.name} cannot be used: {said}", hint=self._hint()) from error
        return connection.served

    async def call(self, work: McpWork, call: Call) -> Json:
        """Raises ToolError. When the caller is cancelled the server is told so."""
        self._under_way += 1
        try:
            result = await self._answer(work, call)
        except (SessionLost, NotServed) as error:
            again = not isinstance(error, NotServed) or error.again
            raise self._named(ToolError("tool_unavailable", str(error), retryable=again)) from error
        except CannotRun as error:
            raise ToolError("tool_unavailable", error.message, hint=error.hint, retryable=False) from error
        except ToolError as error:
            died = error.error_class == "tool_unavailable" and not self._is_open
            raise self._named(error, await self._last_words() if died else "") from error
        finally:
            self._under_way -= 1
        return self._read(work, call, result)

    def after_silence(self) -> str:
        """What may explain that a call had no answer. The server is looked at before the next one."""
        self._was_silent = True
        chatter = self._connection.chatter if self._connection is not None else ""
        return f"; it prints what is no message: {self._shown(chatter)}" if chatter else ""

    async def close(self) -> None:
        """End the session and the process, whatever they do."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait([self._opening])
        await self._end()

    async def _answer(self, work: McpWork, call: Call) -> CallToolResult:
        await self._end_if_stuck(min(_PING, call.tool.timeout / 4))
        try:
            return await self._ask(work, call)
        except SessionLost:  # refused before it was looked at, so it may be asked again
            return await self._ask(work, call)

    async def _ask(self, work: McpWork, call: Call) -> CallToolResult:
        connection = await self._connected()
        known = work if work.is_agreed else _agreed(work, call, connection.served)
        arguments, meta, key = call.arguments, None, call.idempotency_key
        if key is not None:
            meta = {KEY_META: key}
            arguments = {**arguments, "idempotency_key": key} if known.accepts_key else arguments
        return await connection.call(work.tool, arguments, meta)

    def _read(self, work: McpWork, call: Call, result: CallToolResult) -> Json:
        from agentctl.tools.mcp_result import plain_result, text_of

        text = text_of(result)
        if is_unknown(work.tool, text):
            raise self._named(unknown(work.tool, text))
        if result.is_error:
            # masked while it is whole: a secret that is cut in two is not recognised
            said = self._masked(text.strip())[:_LONGEST_ERROR] or "it failed, and did not say why"
            # an answer of a healthy server, which no retry mends and no breaker counts
            raise ToolError("tool_failed", said, retryable=False)
        if work.output is not None and result.structured_content is not None:
            problem = first_problem(work.output)(result.structured_content)
            if problem is not None:
                message = f"it answered what its own output schema does not allow: {problem}"
                raise self._named(ToolError("server", message))
        return plain_result(call.tool, result)

    # --- the connection -------------------------------------------------------------------------------------------

    @property
    def _is_open(self) -> bool:
        return self._connection is not None and self._connection.is_open

    async def _connected(self) -> McpConnection:
        """The open connection. Raises NotServed, CannotRun."""
        if self._opening is None or self._opening.done():
            if self._connection is not None and self._connection.is_open:
                return self._connection
            # a task: two first calls start one server, and one that is given up does not take the other along
            self._opening = asyncio.create_task(self._start())
            self._opening.add_done_callback(_seen)
        return await asyncio.shield(self._opening)

    async def _start(self) -> McpConnection:
        await self._end()
        try:
            module = await asyncio.to_thread(importlib.import_module, "agentctl.tools.mcp_connection")
        except ImportError as error:
            raise CannotRun(
                f"mcp.{self._plan.name} needs the package `{error.name or 'mcp'}`, which is not installed",
                hint="pip install 'agentctl[mcp]'",
            ) from error
        if self._plan.url is None:
            self._process = await self._started()
            connection = module.stdio_connection(self._process, self.longest)
        else:
            url, headers = self._address()
            connection = module.http_connection(url, headers, self.longest)
        self._connection = connection
        try:
            async with asyncio.timeout(self._patience):
                await connection.open()
        except BaseException as error:
            words = (
                f"it did not answer within {self._patience:g}s"
                if isinstance(error, TimeoutError)
                else str(error)
            )
            words += await self._last_words()
            await self._end()
            if isinstance(error, NotServed | TimeoutError):
                raise NotServed(self._masked(words)) from error
            raise
        self._was_silent = False
        return connection  # type: ignore[no-any-return]

    async def _started(self) -> ServerProcess:
        plan = self._plan
        kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
        env = {"PATH": os.defpath, **kept, **{name: self._filled(value) for name, value in plan.env}}
        name = plan.command[0]
        program = str(plan.folder / name) if "/" in name else shutil.which(name, path=env["PATH"])
        if program is None or not os.path.exists(program):
            raise NotServed(f"there is no program `{name}` on this machine", again=False)
        try:
            process = ServerProcess(program, plan.command, env, plan.folder, self.longest)
        except (OSError, ValueError) as error:
            raise NotServed(f"`{name}` cannot be started: {error}") from error
        try:
            await process.connect()
        except BaseException:
            await process.end()
            raise
        return process

    def _address(self) -> tuple[str, dict[str, str]]:
        assert self._plan.url is not None
        url = self._filled(self._plan.url).strip()
        if not url.lower().startswith(("http://", "https://")):
            raise NotServed("its `url` is no http or https address", again=False)
        headers = {name: self._filled(value).strip() for name, value in self._plan.headers}
        for name, value in headers.items():
            if _CONTROL.search(value) or not value.isascii():
                raise NotServed(f"its header `{name}` holds what no header can", again=False)
        return url, headers

    def _filled(self, value: Expression) -> str:
        try:
            return str(value(self._names))
        except ExpressionError as error:
            raise NotServed(error.message, again=False) from error

    async def _end_if_stuck(self, patience: float) -> None:
        """A server of ours that was silent, and says nothing now either, is ended, to be started again."""
        is_starting = self._opening is not None and not self._opening.done()
        if not self._was_silent or self._process is None or self._under_way > 1 or is_starting:
            return
        if not self._is_open:
            return
        assert self._connection is not None
        if await self._connection.is_alive(patience):
            self._was_silent = False
        else:
            await self._end()

    async def _end(self) -> None:
        connection, self._connection = self._connection, None
        process, self._process = self._process, None
        if connection is not None:
            await connection.close()
        if process is not None:
            await process.end()

    # --- words ----------------------------------------------------------------------------------------------------

    async def _last_words(self) -> str:
        """How a process of ours ended, and what it wrote last."""
        process, connection = self._process, self._connection
        if process is None:
            return ""
        how = ""
        if not self._is_open:
            fault = connection.fault if connection is not None else ""
            # meanwhile another call may have it started anew
            how = f" (it {fault or await process.how_it_ended()})"
        said = self._shown(process.last_words)
        return how + (f"; it said last: {said}" if said else "")

    def _named(self, error: ToolError, more: str = "") -> ToolError:
        words = f"MCP server `{self._plan.name}`: {error.message}{more}"
        return ToolError(
            cast(ErrorClass, error.error_class),
            self._masked(words),
            hint=error.hint,
            retryable=error.retryable,
            retry_after=error.retry_after,
        )

    def _masked(self, text: str) -> str:
        return str(self._mask(text))

    def _shown(self, text: str) -> str:
        return quoted(self._masked(text), last=True)

    def _hint(self) -> str:
        if self._plan.url is not None:
            return "is the server running, and are its `url` and `headers` right?"
        return f"try it by hand: {' '.join(self._plan.command)}"


def _agreed(work: McpWork, call: Call, server: ServedServer) -> McpWork:
    """What is checked before a run begins is checked now, of a server that was not there then. Raises ToolError."""
    tool, has_key = call.tool, call.idempotency_key is not None
    try:
        known, _, _ = agreed(tool.name, work, server, tool.parameters, "", tool.effect, has_key=has_key)
    except CannotRun as error:
        raise ToolError("refused", error.message, hint=error.hint, retryable=False) from error
    return known


def _seen(task: asyncio.Task[McpConnection]) -> None:
    """Whoever asked for it may be gone: its failure is not one that nobody looked at."""
    if not task.cancelled():
        task.exception()
