"""The chunks of a streamed chat completion put together; nothing half is ever handed out."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentctl.errors import ModelError
from agentctl.json import Json, decode
from agentctl.messages import ChatReply, Finish, ToolCall, Usage


@dataclass
class PartialCall:
    """A tool call whose name and arguments come in pieces."""

    id: str = ""
    name: str = ""
    arguments: str = ""

    def whole(self, number: int) -> ToolCall:
        return ToolCall(self.id or f"call_{number}", self.name, _arguments(self.arguments))


@dataclass
class Assembly:
    """A reply as it grows."""

    content_type: str = ""
    chunks: int = 0
    text: list[str] = field(default_factory=list)
    refusal: list[str] = field(default_factory=list)
    calls: list[PartialCall] = field(default_factory=list)
    finish: str | None = None
    model: str = ""
    usage: Usage = field(default_factory=Usage)
    _open: dict[int | None, PartialCall] = field(default_factory=dict)

    def add(self, chunk: Json) -> str:
        """Take a chunk in and return the text it brings. Raises ModelError for one that is malformed."""
        self.chunks += 1
        try:
            text = self._add(chunk)
        except (AttributeError, TypeError, ValueError) as error:
            raise ModelError(
                "server", f"the server sent a malformed chunk: {str(chunk)[:200]}", retryable=True
            ) from error
        if text:
            self.text.append(text)
        return text

    def reply(self) -> ChatReply:
        """The whole reply. Raises ModelError when the stream ended before it was whole."""
        self._check_end()
        calls = tuple(call.whole(number) for number, call in enumerate(self.calls))
        finish: Finish = "tool_calls" if calls else "stop"
        if self.finish == "length":
            calls, finish = (), "length"  # a call that was cut short must not be made
        return ChatReply("".join(self.text), calls, finish, self.usage, self.model)

    def _add(self, chunk: Json) -> str:
        self.model = chunk.get("model") or self.model
        if chunk.get("usage"):
            self.usage = _usage(chunk["usage"])
        return "".join(self._add_choice(choice) for choice in chunk.get("choices") or ())

    def _add_choice(self, choice: Json) -> str:
        delta = choice.get("delta") or {}
        for piece in delta.get("tool_calls") or ():
            self._add_call(piece)
        if delta.get("refusal"):
            self.refusal.append(str(delta["refusal"]))
        if choice.get("finish_reason"):
            self.finish = str(choice["finish_reason"])
        return "" + (delta.get("content") or "")

    def _add_call(self, piece: Json) -> None:
        index, id = piece.get("index"), piece.get("id") or ""
        call = self._open.get(index)
        # Some servers give every call the index 0, so a new id begins a new call too.
        if call is None or (id and call.id and id != call.id):
            call = self._open[index] = PartialCall()
            self.calls.append(call)
        function = piece.get("function") or {}
        call.id = call.id or id
        call.name = call.name or (function.get("name") or "")
        call.arguments += function.get("arguments") or ""

    def _check_end(self) -> None:
        if self.refusal or self.finish == "content_filter":
            words = "".join(self.refusal) or "its content filter stopped the answer"
            raise ModelError("refused", f"the model refused: {words}")
        if self.finish is None:
            raise ModelError("server", self._what_came(), retryable=True)
        if self.finish == "error":
            raise ModelError("server", "the server ended the answer with an error", retryable=True)

    def _what_came(self) -> str:
        if self.chunks:
            return f"the stream ended after {self.chunks} chunks, before the answer was whole"
        kind = self.content_type or "nothing"
        return f"the server answered with no chunk of a reply (its content type: {kind})"


def _arguments(text: str) -> Json:
    if not text.strip():
        return {}
    try:
        return decode(text)
    except ValueError:
        return text


def _usage(usage: Json) -> Usage:
    read = usage.get("prompt_tokens_details") or {}
    written = usage.get("completion_tokens_details") or {}
    return Usage(
        input=int(usage.get("prompt_tokens") or 0),
        output=int(usage.get("completion_tokens") or 0),
        cached=int(read.get("cached_tokens") or 0),
        reasoning=int(written.get("reasoning_tokens") or 0),
    )
