"""A request in the form of the chat completions API."""

from __future__ import annotations

from agentctl.json import Json, encode
from agentctl.messages import ChatRequest, Message, ToolCall, ToolOffer

_STRICT_KEYS = frozenset(
    [
        *("type", "properties", "required", "additionalProperties", "items", "enum", "const", "anyOf"),
        *("description", "title", "pattern", "format", "multipleOf", "minItems", "maxItems"),
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
    ]
)
"""What strict mode of structured outputs takes; a schema with more is sent as a wish."""


def request_body(request: ChatRequest, *, official: bool) -> dict[str, Json]:
    """The keys of a chat completion. `official` is OpenAI's own server, which renamed `max_tokens`."""
    body: dict[str, Json] = {
        "model": request.model,
        "messages": [_message(message) for message in request.messages],
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [_tool(offer) for offer in request.tools]
    if request.output is not None:
        body["response_format"] = _response_format(request.output)
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_output_tokens is not None:
        body["max_completion_tokens" if official else "max_tokens"] = request.max_output_tokens
    if request.reasoning is not None:
        body["reasoning_effort"] = request.reasoning
    return body


def is_strict(schema: Json) -> bool:
    """Whether every object in a schema is closed with all its fields required, as strict mode demands."""
    if not isinstance(schema, dict) or not schema or not schema.keys() <= _STRICT_KEYS:
        return False
    if schema.get("type") == "object" and not _is_closed(schema):
        return False
    inner = [*schema.get("properties", {}).values(), *schema.get("anyOf", [])]
    if "items" in schema:
        inner.append(schema["items"])
    return all(is_strict(part) for part in inner)


def _is_closed(schema: Json) -> bool:
    properties = schema.get("properties", {})
    return schema.get("additionalProperties") is False and set(schema.get("required", ())) == set(properties)


def _message(message: Message) -> Json:
    match message.role:
        case "assistant" if message.calls:
            return {
                "role": "assistant",
                "content": message.content or None,
                "tool_calls": [_call(call) for call in message.calls],
            }
        case "tool":
            return {"role": "tool", "tool_call_id": message.call_id, "content": message.content}
        case role:
            return {"role": role, "content": message.content}


def _call(call: ToolCall) -> Json:
    arguments = call.arguments if isinstance(call.arguments, str) else encode(call.arguments).decode()
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _tool(offer: ToolOffer) -> Json:
    function = {"name": offer.name, "description": offer.description, "parameters": offer.parameters}
    if is_strict(offer.parameters):
        function["strict"] = True
    return {"type": "function", "function": function}


def _response_format(schema: Json) -> Json:
    wish = {"name": "answer", "schema": schema, "strict": is_strict(schema)}
    return {"type": "json_schema", "json_schema": wish}
