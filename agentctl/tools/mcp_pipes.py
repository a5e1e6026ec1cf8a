"""The stdio transport of an MCP session over the pipes of a server behind our keeper: one line, one message."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import mcp_types as types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from agentctl.json import Json
from agentctl.tools.mcp_process import ServerProcess

Reads = MemoryObjectReceiveStream[SessionMessage | Exception]
Writes = MemoryObjectSendStream[SessionMessage]


class Pipes:
    """What goes to and fro between a session and a server. `fault` says what the server did that ends it."""

    def __init__(self, process: ServerProcess, longest: int, over: asyncio.Event) -> None:
        """`over` is set when the server's output ends."""
        self._over = over
        self._process = process
        self._longest = longest
        self._asked: set[types.RequestId] = set()
        """Requests that have no answer yet."""
        self.fault = ""
        self.chatter = b""
        """The last line that was no message: what a server prints there by mistake."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[tuple[Reads, Writes]]:
        """The streams of a session. The first ends when the server does."""
        heard, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        # without a bound: a server that does not read must not hold up who gives up waiting for it
        write, said = anyio.create_memory_object_stream[SessionMessage](math.inf)
        async with heard, read, write, said, anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear, heard)
            tasks.start_soon(self._say, said)
            yield read, write
            tasks.cancel_scope.cancel()

    async def _hear(self, heard: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        async with heard:
            while line := await self._line():
                for message in self._messages(line):
                    await heard.send(SessionMessage(message))
        self._over.set()

    async def _line(self) -> bytes:
        """The next line, nothing at the end."""
        try:
            return await self._process.lines.readline()
        except ValueError:
            self.fault = f"sent a line of more than {self._longest:,} bytes"
            self._process.kill()
            return b""

    def _messages(self, line: bytes) -> list[types.JSONRPCMessage]:
        """The message of a line; of a broken one, a failure for each who waits, as it may have been the answer."""
        try:
            message = types.jsonrpc_message_adapter.validate_json(line, by_name=False)
        except ValueError:
            if not line.lstrip().startswith(b"{"):
                self.chatter = line.strip() or self.chatter
                return []
            said = line[:400].decode(errors="replace").strip()
            error = types.ErrorData(code=types.PARSE_ERROR, message=f"it sent what is no message: {said}")
            asked, self._asked = self._asked, set()
            return [types.JSONRPCError(jsonrpc="2.0", id=id, error=error) for id in asked]
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError):
            self._asked.discard(message.id)
        return [message]

    async def _say(self, said: MemoryObjectReceiveStream[SessionMessage]) -> None:
        async for item in said:
            message = item.message
            if isinstance(message, types.JSONRPCRequest):
                self._asked.add(message.id)
            elif isinstance(message, types.JSONRPCNotification):
                self._forget(message.params)
            try:
                self._process.write(message.model_dump_json(by_alias=True, exclude_unset=True).encode())
            except BlockingIOError as error:
                self.fault = str(error)
                self._process.kill()

    def _forget(self, params: Json) -> None:
        """A request that is given up waits no more."""
        self._asked.discard((params or {}).get("requestId"))
