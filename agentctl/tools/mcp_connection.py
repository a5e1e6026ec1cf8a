"""One session with an MCP server, in a task of its own: greeted, its tools listed, then asked by many at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, suppress
from importlib import metadata
from typing import TYPE_CHECKING

import mcp_types as types
from mcp import ClientSession
from mcp.shared.exceptions import MCPError
from pydantic import TypeAdapter, ValidationError

from agentctl.errors import ErrorClass, ToolError
from agentctl.graph.plan import ServedServer, ServedTool
from agentctl.json import Json
from agentctl.tools.answers import quoted
from agentctl.tools.mcp_faults import NotServed, SessionLost, is_unknown, unknown
from agentctl.tools.mcp_http import FAULT, http_streams
from agentctl.tools.mcp_pipes import Pipes
from agentctl.tools.mcp_process import ServerProcess
from agentctl.tools.mcp_schema import arguments_schema, modern

if TYPE_CHECKING:
    from agentctl.tools.mcp_http import Reads, Writes

_PAGES = 100
"""Pages of a listing of tools."""
_GOODBYE = 0.5
"""Seconds for the words at the end of a session."""
_CALL: TypeAdapter[types.CallToolResult | types.InputRequiredResult] = TypeAdapter(
    types.CallToolResult | types.InputRequiredResult
)
for _name in ("mcp", "client"):
    # what the SDK logs of a server would be printed where nobody set up logging
    logging.getLogger(_name).addHandler(logging.NullHandler())


class McpConnection:
    """A session: `open` it first, `close` it in any case. The server may end it."""

    def __init__(
        self,
        streams: AbstractAsyncContextManager[tuple[Reads, Writes]],
        over: asyncio.Event,
        pipes: Pipes | None = None,
    ) -> None:
        """`over` is set when the streams end."""
        self._streams = streams
        self._pipes = pipes
        self._session: ClientSession | None = None
        self._over = over
        self._ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        self.served = ServedServer("", "", {})
        self.is_listed = False
        """Whether `served` is what the server has; it may say that its tools have changed."""

    @property
    def is_open(self) -> bool:
        return self._task is not None and not self._task.done() and not self._over.is_set()

    @property
    def fault(self) -> str:
        """What the server did that ended it, if it was that."""
        return self._pipes.fault if self._pipes is not None else ""

    @property
    def chatter(self) -> str:
        """What the server wrote among its messages and is none."""
        return self._pipes.chatter.decode(errors="replace") if self._pipes is not None else ""

    async def open(self) -> None:
        """Greet the server and list its tools. Raises NotServed."""
        self._task = asyncio.create_task(self._run())
        await asyncio.shield(self._ready)

    async def list_tools(self) -> None:
        """Learn what the server has now. Raises NotServed."""
        assert self._session is not None
        try:
            self.served = await _listed(self._session)
        except (MCPError, ValidationError, OSError) as error:
            raise NotServed(f"it did not list its tools: {_said(error)}") from error
        self.is_listed = True

    async def call(self, tool: str, arguments: Json, meta: Json) -> types.CallToolResult:
        """Raises ToolError, SessionLost. When the caller is cancelled the server is told so."""
        assert self._session is not None
        params = types.CallToolRequestParams(name=tool, arguments=arguments, _meta=meta)
        try:
            result = await self._session.send_request(types.CallToolRequest(params=params), _CALL)
        except MCPError as error:
            raise self._failure(tool, error) from error
        except ValidationError as error:
            raise ToolError("server", f"it answered what is no result of a tool: {_said(error)}") from error
        if isinstance(result, types.InputRequiredResult):
            message = "it asks for something more before it answers, which is not supported"
            raise ToolError("refused", message, retryable=False)
        return result

    async def is_alive(self, patience: float) -> bool:
        """Whether the server says so within `patience` seconds."""
        assert self._session is not None
        try:
            async with asyncio.timeout(patience):
                await self._session.send_ping()
        except TimeoutError:
            return False
        except (MCPError, ValidationError):
            return self.is_open
        return True

    async def close(self) -> None:
        """End the session; return when it is over."""
        self._over.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=_GOODBYE)
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            async with self._streams as (read, write), _Session(read, write, self) as session:
                self._session = session
                await _greet(session)
                await self.list_tools()
                if not self._ready.done():
                    self._ready.set_result(None)
                await self._over.wait()
        except asyncio.CancelledError:
            self._give_up(NotServed("it was given up"))
            raise
        except (NotServed, Exception) as error:  # noqa: BLE001 - of a group, too; told to who waits
            self._give_up(_first(error))
        finally:
            self._over.set()

    def _give_up(self, error: BaseException) -> None:
        if not self._ready.done():
            lost = isinstance(error, MCPError) and error.code == types.CONNECTION_CLOSED
            words = "it ended before it was ready" if lost else _said(error)
            self._ready.set_exception(error if isinstance(error, NotServed) else NotServed(words))
            self._ready.exception()  # whoever asked may be gone

    def _failure(self, tool: str, error: MCPError) -> ToolError | SessionLost:
        """What an error of the protocol means for the call."""
        code, said = error.code, error.message
        if code == FAULT and isinstance(error.data, dict):
            error_class: ErrorClass = error.data["class"]
            hint = "look at the server's `headers`, and at the variables in them"
            return ToolError(
                error_class,
                said,
                hint=hint if error_class == "refused" else None,
                retryable=error.data["again"],
                retry_after=error.data["wait"],
            )
        if code in (types.CONNECTION_CLOSED, types.INVALID_REQUEST) and "session" in said.lower():
            self._over.set()
            return SessionLost(said)
        if self.fault:
            return ToolError("tool_failed", f"it {self.fault}, so it was ended", retryable=False)
        if code == types.CONNECTION_CLOSED and (not self.is_open or said == "Connection closed"):
            self._over.set()
            return ToolError("tool_unavailable", "it ended before it answered")
        if is_unknown(tool, said) or code == types.METHOD_NOT_FOUND:
            return unknown(tool, said)
        if said.startswith("Redirect to"):
            return ToolError("refused", f"it redirects elsewhere: {said}", retryable=False)
        if code in (types.PARSE_ERROR, types.INTERNAL_ERROR):
            return ToolError("server", f"it failed: {said}")
        return ToolError(
            "tool_failed", f"it refused the call: {said}", retryable=code != types.INVALID_PARAMS
        )


class _Session(ClientSession):
    """The SDK's session; hears that tools changed, and that the server is gone."""

    def __init__(self, read: Reads, write: Writes, connection: McpConnection) -> None:
        info = types.Implementation(name="agentctl", version=metadata.version("agentctl"))
        super().__init__(read, write, client_info=info, message_handler=self._heard)
        self._connection = connection

    async def _heard(self, message: object) -> None:
        if isinstance(message, types.ToolListChangedNotification):
            self._connection.is_listed = False


def stdio_connection(process: ServerProcess, longest: int) -> McpConnection:
    """A connection to a server of ours, not yet open."""
    over = asyncio.Event()
    pipes = Pipes(process, longest, over)
    return McpConnection(pipes.opened(), over, pipes)


def http_connection(url: str, headers: Mapping[str, str], longest: int) -> McpConnection:
    """A connection to a server at an address, not yet open."""
    return McpConnection(http_streams(url, headers, longest), asyncio.Event())


async def _greet(session: ClientSession) -> None:
    """The handshake that nearly every server knows; of those that know it no more, the one that came after it."""
    try:
        await session.initialize()
    except MCPError as error:
        if error.code not in (types.UNSUPPORTED_PROTOCOL_VERSION, types.METHOD_NOT_FOUND):
            raise
        with suppress(MCPError):
            await session.discover()
            return
        raise


async def _listed(session: ClientSession) -> ServedServer:
    info = session.server_info
    name, version = (info.name, info.version) if info is not None else ("", "")
    tools: dict[str, ServedTool] = {}
    cursor: str | None = None
    for _ in range(_PAGES):
        page = await session.list_tools(
            params=types.PaginatedRequestParams(cursor=cursor) if cursor else None
        )
        tools |= {tool.name: _served(tool) for tool in page.tools}
        cursor = page.next_cursor
        if not cursor:
            return ServedServer(name, version, tools)
    raise NotServed(f"it lists its tools on more than {_PAGES} pages")


def _served(tool: types.Tool) -> ServedTool:
    hints = tool.annotations
    return ServedTool(
        parameters=arguments_schema(tool.input_schema),
        description=tool.description or tool.title or "",
        output=None if tool.output_schema is None else modern(tool.output_schema),
        read_only=None if hints is None else hints.read_only_hint,
        destructive=None if hints is None else hints.destructive_hint,
    )


def _first(error: BaseException) -> BaseException:
    """The error, or the first of a group of them."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _said(error: BaseException) -> str:
    """An error in one line."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return quoted(f"{place}: {first['msg']}")
    return quoted(str(error) or type(error).__name__)
