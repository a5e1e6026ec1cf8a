"""MCP tools as a run has them: a file's text becomes a plan, completed by a real server, and is called."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any
from zlib import crc32

from agentctl.check.check import check_file
from agentctl.graph.compile import compile_graph
from agentctl.graph.plan import ToolNode, ToolPlan
from agentctl.spec.document import read_document
from agentctl.tools.mcp import McpTools
from tests.tools.kinds import SECRET, call_of, mask

Json = Any
HERE = Path(__file__).parent
SERVED = f"command: [{sys.executable}, {HERE / 'mcp_served.py'}, stdio]"


def faulty(wrong: str) -> str:
    return f"command: [{sys.executable}, -S, {HERE / 'mcp_faulty.py'}, {wrong}]"


class Desk:
    """Servers that live as long as the desk; `close` it."""

    def __init__(self, folder: Path, env: dict[str, str] | None = None, patience: float = 60) -> None:
        self.folder = folder
        self.runner = asyncio.Runner()
        self.tools = McpTools({"TOKEN": SECRET} if env is None else env, mask, patience=patience)

    def plan(self, server: str, tool: str, *, ask: bool = True) -> ToolPlan:
        """The tool `it` of the server `server`, as the texts say them; completed by the server, or not yet."""
        # one file for each server: a file's server is started once
        file = self.folder / f"graph-{crc32(server.encode())}.yaml"
        file.write_text(
            f"agentctl: 1\nname: kinds\nenv: {{TOKEN: {{secret: true}}}}\nmcp:\n  server: {{{server}}}\n"
            f"tools:\n  it: {{{tool}}}\nstart: go\nnodes:\n  go: {{tool: it, then: end}}\n"
        )
        document = read_document(file)
        errors = [finding for finding in check_file(file) if finding.code[0] in "YS"]
        assert not errors, errors
        first = _tool(compile_graph(document))
        if not ask:
            return first
        served = self.runner.run(self.tools.served([first]))
        return _tool(compile_graph(document, served=served))

    def call(self, tool: ToolPlan, arguments: Json = None, key: str | None = None) -> Json:
        return self.runner.run(self.acall(tool, arguments, key))

    async def acall(self, tool: ToolPlan, arguments: Json = None, key: str | None = None) -> Json:
        work: Any = tool.work
        return await self.tools.call(work, call_of(tool, arguments, key))

    def close(self) -> None:
        self.runner.run(self.tools.close())
        self.runner.close()


def _tool(graph: Json) -> ToolPlan:
    node = graph.nodes["go"]
    assert isinstance(node, ToolNode)
    return node.tool
