"""What an MCP tool answered, as plain data."""

from __future__ import annotations

from collections.abc import Iterator

import mcp_types as types

from agentctl.errors import ToolError
from agentctl.graph.plan import ToolPlan
from agentctl.json import Json, decode
from agentctl.tools.answers import Unreadable, read_json
from agentctl.tools.reply import Unsaid, encode_result


def plain_result(tool: ToolPlan, result: types.CallToolResult) -> Json:
    """The form of a result that `returns` allows; without it structured content, or else the texts.

    Raises ToolError for what cannot be kept.
    """
    forms = list(_forms(result))
    found = next((form for form in forms if tool.check_result(form) is None), forms[0])
    try:
        return decode(encode_result(found, tool.max_result))
    except Unsaid as error:
        raise ToolError("tool_failed", f"tool `{tool.name}`: {error}", retryable=False) from None


def text_of(result: types.CallToolResult) -> str:
    """The texts of a result, and a word on each thing that is none."""
    return "\n".join(_text(block) for block in result.content)


def _forms(result: types.CallToolResult) -> Iterator[Json]:
    """What a result may stand for, the likeliest first."""
    text, structured = text_of(result), result.structured_content
    if structured is not None:
        if isinstance(structured, dict) and list(structured) == ["result"] and _is_wrapped(structured, text):
            yield structured["result"]
        yield structured
    yield text
    if not text:
        yield None
        return
    try:
        yield read_json(text.encode())
    except (Unreadable, UnicodeEncodeError):
        return


def _is_wrapped(structured: dict[str, Json], text: str) -> bool:
    """Whether `{"result": …}` is only how an SDK sends what is no object: its text is that of what is inside."""
    inner = structured["result"]
    if isinstance(inner, str):
        return text == inner
    try:
        return bool(read_json(text.encode()) == inner)
    except (Unreadable, UnicodeEncodeError):
        return isinstance(inner, list)  # sent as a text for each item


def _text(block: types.ContentBlock) -> str:
    match block:
        case types.TextContent(text=text):
            return text
        case types.ImageContent(data=data, mime_type=kind):
            return f"[an image, {kind}, {_size(data)}]"
        case types.AudioContent(data=data, mime_type=kind):
            return f"[audio, {kind}, {_size(data)}]"
        case types.ResourceLink(uri=uri, name=name):
            return f"[a resource: {name}, {uri}]"
        case types.EmbeddedResource(resource=types.TextResourceContents(text=text)):
            return text
        case types.EmbeddedResource(resource=types.BlobResourceContents(uri=uri, blob=blob, mime_type=kind)):
            return f"[a resource: {uri}, {kind or 'of unknown kind'}, {_size(blob)}]"
        case _:
            return f"[{type(block).__name__}]"


def _size(data: str) -> str:
    """Of what base64 holds."""
    return f"{len(data.rstrip('=')) * 3 // 4:,} bytes"
