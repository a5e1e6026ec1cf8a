"""What is said to a model and what it says back; provider payloads end here."""

from __future__ import annotations

from typing import Literal

import msgspec

from agentctl.json import Json

Role = Literal["system", "user", "assistant", "tool"]
Finish = Literal["stop", "tool_calls", "length", "refused"]


class ToolCall(msgspec.Struct, frozen=True):
    """A model's wish to call a tool. `arguments` is what it wrote, parsed; a str if it was not JSON."""

    id: str
    name: str
    arguments: Json


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message of a conversation. A `tool` message answers the call whose id is `call_id`."""

    role: Role
    content: str = ""
    calls: tuple[ToolCall, ...] = ()
    call_id: str | None = None
    tokens: int | None = None
    """As the model that wrote it counted; kept where a context policy counts tokens."""


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens of one or several calls; `cached` is part of `input`, `reasoning` part of `output`."""

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.reasoning + other.reasoning,
        )

    @property
    def total(self) -> int:
        return self.input + self.output


class ToolOffer(msgspec.Struct, frozen=True):
    """A tool as a model sees it; `parameters` is a closed JSON Schema of type object."""

    name: str
    description: str
    parameters: Json


class ChatRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One request to one model. `model` is the provider's own name, without the `provider/` prefix.

    `output` is a JSON Schema that the answer's text must satisfy as JSON; with `tools` as well, the model may
    call tools first and answers by the schema when it is done.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolOffer, ...] = ()
    output: Json = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    reasoning: str | None = None
    extra: dict[str, Json] = {}


class ChatReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """A whole reply: text, or tool calls, or both. `model` is the name the server gave."""

    text: str = ""
    calls: tuple[ToolCall, ...] = ()
    finish: Finish = "stop"
    usage: Usage = Usage()
    model: str = ""
