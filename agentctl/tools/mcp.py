"""Tools of MCP servers, whatever the transport. The `mcp` package is imported when a server is first needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from agentctl.errors import ToolError
from agentctl.graph.plan import McpServerPlan, McpWork, Served, ServedServer, ToolPlan
from agentctl.json import Json
from agentctl.tools.call import Call
from agentctl.tools.mcp_faults import Unreachable
from agentctl.tools.mcp_server import McpServer

LONGEST = 16 * 1024 * 1024
"""Bytes of one message of a server; twice the longest result that one of its tools may have, when that is more."""

PATIENCE = 60.0
"""Seconds for a server to start, to greet and to list its tools; one that is downloaded first takes a while."""


class McpTools:
    """Calls the tools of MCP servers, each started once. `mask` takes secrets out of what is quoted of them.

    For one event loop.
    """

    def __init__(
        self, env: Mapping[str, str], mask: Callable[[Json], Json], *, patience: float = PATIENCE
    ) -> None:
        """`env` are the variables of the file, which the templates of a server read."""
        self._patience = patience
        self._env = dict(env)
        self._mask = mask
        self._servers: dict[tuple[Path, str], McpServer] = {}
        self._served: Served = {}

    async def served(self, tools: Iterable[ToolPlan]) -> Served:
        """What the servers of some tools say of themselves; the same value while they say the same.

        Servers that do not run are started. One that cannot be used is left out where the file says what its tools
        take, as a call of them is then soon enough to fail. Raises CannotRun for any other.
        """
        servers, untold = {}, set()
        for tool in tools:
            if isinstance(tool.work, McpWork):
                key = tool.work.server.key
                servers[key] = self._server(tool.work.server, 2 * tool.max_result)
                if not tool.work.is_told:
                    untold.add(key)
        answers = await asyncio.gather(*(each.served() for each in servers.values()), return_exceptions=True)
        found: dict[tuple[Path, str], ServedServer] = {}
        for key, answer in zip(servers, answers, strict=True):
            if not isinstance(answer, BaseException):
                found[key] = answer
            elif not isinstance(answer, Unreachable) or key in untold:
                raise answer
        if found != self._served:
            self._served = found
        return self._served

    async def call(self, work: McpWork, call: Call) -> Json:
        """What the server's tool answers, in the form that `returns` asks for. Raises ToolError."""
        server, timeout = self._server(work.server, 2 * call.tool.max_result), call.tool.timeout
        try:
            async with asyncio.timeout(timeout):
                return await server.call(work, call)
        except TimeoutError:
            said = server.after_silence()
            message = f"MCP server `{work.server.name}`: no answer within {timeout:g}s{said}"
            raise ToolError("timeout", message) from None

    async def close(self) -> None:
        """End all sessions and servers."""
        servers, self._servers = list(self._servers.values()), {}
        await asyncio.gather(*(server.close() for server in servers))

    def _server(self, plan: McpServerPlan, longest: int) -> McpServer:
        server = self._servers.get(plan.key)
        if server is None:
            server = self._servers[plan.key] = McpServer(plan, self._env, self._mask, LONGEST, self._patience)
        server.longest = max(server.longest, longest)
        return server
