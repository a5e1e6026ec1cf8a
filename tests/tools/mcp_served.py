"""A server of the SDK for the tests: `stdio`, or `http PORT`. It writes down what it was asked and told."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TypedDict

import anyio
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations

server = MCPServer("served", version="1.2.3")
READ = ToolAnnotations(read_only_hint=True)


class Point(TypedDict):
    x: int
    y: int


def note(**said: Any) -> None:
    with open("heard.jsonl", "a") as file:
        file.write(json.dumps(said) + "\n")


@server.tool(annotations=READ, structured_output=False)
def echo(text: str) -> str:
    return text


@server.tool(annotations=READ)
def wrapped(text: str) -> str:
    """A text, which the SDK sends as structured content too."""
    return text


@server.tool(annotations=READ)
def point(x: int, y: int = 2) -> Point:
    return {"x": x, "y": y}


@server.tool(annotations=READ, structured_output=False)
def picture() -> list[Any]:
    return ["Look:", Image(data=b"\x89PNG" * 100, format="png")]


@server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=True))
def pay(amount: int, idempotency_key: str, context: Context[Any, Any]) -> str:
    meta = context.request_context.meta or {}
    note(amount=amount, key=idempotency_key, meta=dict(meta))
    return "paid"


@server.tool(annotations=READ)
def environment() -> dict[str, str]:
    return dict(os.environ) | {"cwd": os.getcwd()}


@server.tool(annotations=READ, structured_output=False)
def fails(secret: str) -> str:
    print(f"about to fail with {secret}", file=sys.stderr, flush=True)
    raise ToolError(f"no luck with {secret}")


@server.tool(annotations=READ, structured_output=False)
async def wait(seconds: float) -> str:
    note(began=seconds)
    try:
        await anyio.sleep(seconds)
    except BaseException:
        note(cancelled=seconds)
        raise
    return "waited"


@server.tool(annotations=READ, structured_output=False)
def dies(secret: str) -> str:
    print(f"my last words: {secret}", file=sys.stderr, flush=True)
    os.kill(os.getpid(), 9)
    return "never"


@server.tool(annotations=READ, structured_output=False)
def long(size: int) -> str:
    return "x" * size


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run(
            "streamable-http", host="127.0.0.1", port=int(sys.argv[2]), json_response="json" in sys.argv
        )
