"""Tools of a file, compiled as a run compiles them, and calls of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agentctl.engine.masking import Mask
from agentctl.graph.compile import compile_graph
from agentctl.graph.plan import ToolNode, ToolPlan
from agentctl.spec.document import read_document
from agentctl.tools.call import Call

Json = Any
SECRET = "a-very-secret-token"
mask = Mask([SECRET])


def tool_of(folder: Path, text: str, env: str = "") -> ToolPlan:
    """The plan of the tool that `text` says, in a graph file of the folder."""
    folder.mkdir(exist_ok=True)
    (folder / "graph.yaml").write_text(
        f"agentctl: 1\nname: kinds\nenv: {{{env}}}\ntools:\n  it: {{{text}}}\n"
        "start: go\nnodes:\n  go: {tool: it, then: end}\n"
    )
    node = compile_graph(read_document(folder / "graph.yaml")).nodes["go"]
    assert isinstance(node, ToolNode)
    return node.tool


def call_of(tool: ToolPlan, arguments: Json = None, key: str | None = None, run: Json = None) -> Call:
    async def nothing() -> None: ...

    return Call(
        tool=tool,
        arguments=arguments or {},
        tenant="",
        code="",
        idempotency_key=key,
        context=None,
        run=run or {},
        admit=lambda: None,
        intend=nothing,
        tell=lambda type, data: None,
        on_retry=lambda error, wait: None,
    )
