"""A server that does one thing wrong, which its first word names; by hand, as no SDK would do it.

A `changes.json` beside the graph changes its version, and the schema and description of its tool.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

WRONG = sys.argv[1]
SCHEMA: Any = {"type": "object", "properties": {"n": {"type": "integer"}}}
CHANGES: Any = {}
if os.path.exists("changes.json"):
    with open("changes.json") as file:
        CHANGES = json.load(file)


def send(message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(id: Any, result: Any) -> None:
    send({"jsonrpc": "2.0", "id": id, "result": result})


def told(id: Any, text: str, **more: Any) -> None:
    answer(id, {"content": [{"type": "text", "text": text}], **more})


def call(id: Any) -> None:
    with open("called", "a") as file:
        file.write(f"{WRONG}\n")
    match WRONG:
        case "unknown-raised":
            send({"jsonrpc": "2.0", "id": id, "error": {"code": -32602, "message": "Unknown tool: it"}})
        case "unknown-flagged":
            told(id, "MCP error -32602: Tool it not found", isError=True)
        case "unknown-said":
            told(id, "Unknown tool: it")
        case "hangs":
            time.sleep(600)
        case "deaf":
            pass
        case "garbage":
            sys.stdout.write('{"jsonrpc": "2.0", "id": 3, "result": {"content": [\n')
            sys.stdout.flush()
        case "chatter":
            sys.stdout.write("DEBUG got a call\n")
            sys.stdout.flush()
            told(id, "fine")
        case "chatter-only":
            sys.stdout.write("DEBUG got a call\n")
            sys.stdout.flush()
        case "malformed":
            answer(id, {"content": 5})
        case "endless":
            while True:
                sys.stdout.write("x" * 65536)
        case "flood":
            while True:
                send(
                    {
                        "jsonrpc": "2.0",
                        "method": "notifications/message",
                        "params": {"level": "info", "data": "x" * 900},
                    }
                )
        case "leaves":
            subprocess.Popen(["sleep", "604.25"], start_new_session=True)
            told(id, "left one behind")
        case "nan":
            answer(id, {"content": [], "structuredContent": {"a": float("nan")}})
        case "untrue":
            told(id, "{}", structuredContent={"n": "five"})
        case _:
            told(id, "fine")


def main() -> None:
    if WRONG == "exits":
        print("cannot find my settings", file=sys.stderr)
        sys.exit(3)
    if WRONG == "mute":
        time.sleep(600)
    with open("started", "a") as file:
        file.write(f"{WRONG}\n")
    tool: Any = {"name": "it", "inputSchema": CHANGES.get("schema", SCHEMA), "description": "Does it."}
    if WRONG == "untrue":
        tool["outputSchema"] = {"type": "object", "properties": {"n": {"type": "integer"}}}
    if WRONG == "fetches":
        tool["inputSchema"] = {"type": "object", "properties": {"n": {"$ref": "http://127.0.0.1:1/n"}}}
    if WRONG == "old":
        tool["inputSchema"] = {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "type": "object",
            "definitions": {"pair": {"type": "array", "items": [{"type": "integer"}, {"type": "string"}]}},
            "properties": {"n": {"$ref": "#/definitions/pair"}, "when": {"type": "string", "format": "date"}},
            "required": ["n"],
        }
    for line in sys.stdin:
        message = json.loads(line)
        id, method = message.get("id"), message["method"]
        if method == "initialize":
            version = message["params"]["protocolVersion"]
            info = {"name": "faulty", "version": CHANGES.get("version", "0")}
            answer(id, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})
        elif method == "tools/list":
            if WRONG == "pages" and not message.get("params", {}).get("cursor"):
                answer(id, {"tools": [{"name": "first", "inputSchema": SCHEMA}], "nextCursor": "2"})
            else:
                answer(id, {"tools": [tool]})
        elif method == "tools/call":
            call(id)
        elif method == "ping":
            answer(id, {})


main()
