"""A reply as it can be kept: what a server may write that JSON, a tape and a budget cannot hold is taken out."""

from __future__ import annotations

from msgspec.structs import replace

from agentctl.json import unsayable
from agentctl.messages import ChatReply, ToolCall, Usage

_MOST_TOKENS = 2**53


def kept(reply: ChatReply) -> ChatReply:
    """The reply without lone surrogates, impossible counts, and arguments that nothing could keep."""
    return replace(
        reply,
        text=kept_text(reply.text),
        calls=tuple(_kept_call(call) for call in reply.calls),
        usage=_kept_usage(reply.usage),
        model=kept_text(reply.model),
    )


def kept_text(text: str) -> str:
    """The text as Unicode: two surrogates that belong together are one character, a lone one is U+FFFD."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _kept_call(call: ToolCall) -> ToolCall:
    written = call.arguments
    if isinstance(written, str):
        written = kept_text(written)
    # no tool takes a text for its arguments, and the model is told what is wrong with it
    return ToolCall(kept_text(call.id), kept_text(call.name), unsayable(written) or written)


def _kept_usage(usage: Usage) -> Usage:
    input, output, cached, reasoning = (
        min(max(count, 0), _MOST_TOKENS)
        for count in (usage.input, usage.output, usage.cached, usage.reasoning)
    )
    return Usage(input, output, cached, reasoning)
