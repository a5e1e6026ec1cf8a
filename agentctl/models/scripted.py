"""A model that answers by a script: for tests and examples, which it makes exact and offline.

`scripted` alone says the last message of the user again. `scripted/FILE.yaml` (or .json) is a list of replies:

    - {when: weather, call: {tool: forecast, args: {city: Oslo}}}
    - {when: "9 degrees", say: It is 9 degrees in Oslo.}
    - {say: Hello!}
    - {error: rate_limited, times: 2}
    - {else: true, say: I do not know.}

A reply with `when` or `system` is a rule: it answers whenever its words are there, in the last message or in the
instructions, at most `times` times. The others are used in order, each once (or `times` times). Rules come
first, `else` last. Counting starts anew with each process.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from agentctl.errors import ErrorClass, ModelError, UsageError
from agentctl.json import TOO_DEEP, Json, decode, encode, too_deep
from agentctl.messages import ChatReply, ChatRequest, Finish, Message, ToolCall, Usage
from agentctl.models.settings import ModelSettings
from agentctl.spec.reading import read_start

LOG_VARIABLE = "AGENTCTL_SCRIPTED_LOG"
"""A file that gets one JSON line for each call, as it begins, from every process."""

_WAITING_HELPS = ("timeout", "rate_limited", "server")


class ScriptedCall(Struct, frozen=True, forbid_unknown_fields=True):
    """A tool call to make."""

    tool: str
    args: dict[str, Json] = {}


class ScriptedReply(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of a script: when it is used, and what then happens."""

    when: str | list[str] | None = None
    """Words of the last message; of a list, all."""
    system: str | None = None
    """Words of the instructions: which agent is asking."""
    fallback: bool = msgspec.field(default=False, name="else")
    times: Annotated[int, Meta(ge=1)] | None = None
    say: str | None = None
    """The text; `{last}` in it is the last message."""
    json: Json = None
    """The text, as JSON."""
    call: ScriptedCall | list[ScriptedCall] = []
    error: ErrorClass | None = None
    retry_after: float | None = None
    delay: float = 0.0
    """Seconds before the first word."""
    pace: float = 0.0
    """Seconds before each word."""
    drop_after: int | None = None
    """Words after which the connection is lost."""
    finish: Finish | None = None

    @property
    def is_rule(self) -> bool:
        return self.when is not None or self.system is not None

    @property
    def calls(self) -> list[ScriptedCall]:
        return self.call if isinstance(self.call, list) else [self.call]

    def fits(self, request: ChatRequest) -> bool:
        """Whether a rule's words are there."""
        words = [self.when] if isinstance(self.when, str) else self.when or []
        last = request.messages[-1].content if request.messages else ""
        told = "\n".join(message.content for message in request.messages if message.role == "system")
        return all(word in last for word in words) and (self.system is None or self.system in told)

    def text(self, last: str) -> str:
        if self.json is not None:
            return encode(self.json).decode()
        return (self.say or "").replace("{last}", last)


class Script:
    """The replies of one file, and how often each was used."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.replies = _read(path)
        self._used = [0] * len(self.replies)

    def next(self, request: ChatRequest) -> ScriptedReply:
        """The reply to a request. Raises ModelError when the script has none."""
        for number, reply in self._in_order_of_asking:
            once = not reply.is_rule and not reply.fallback
            allowed = reply.times or (1 if once else None)
            if (allowed is None or self._used[number] < allowed) and reply.fits(request):
                self._used[number] += 1
                return reply
        raise ModelError(
            "refused",
            f"{self.path.name} has no reply left for {_last(request.messages)[:80]!r}",
            hint="add one with `when:` to match it, or with `else: true` for all the rest",
        )

    @cached_property
    def _in_order_of_asking(self) -> list[tuple[int, ScriptedReply]]:
        def rank(numbered: tuple[int, ScriptedReply]) -> int:
            return 0 if numbered[1].is_rule else 2 if numbered[1].fallback else 1

        return sorted(enumerate(self.replies), key=rank)


class ScriptedProvider:
    """Plays scripts; each file goes on where its last reply was."""

    def __init__(self, settings: ModelSettings) -> None:
        self._scripts: dict[str, Script] = {}

    def check(self, model: str) -> None:
        if model:
            _read(Path(model))

    async def chat(self, request: ChatRequest, on_delta: Callable[[str], None]) -> ChatReply:
        _log(request)
        last = _last(request.messages)
        reply = self._reply(request)
        text = reply.text(last)
        await asyncio.sleep(reply.delay)
        if reply.error is not None:
            raise _scripted_error(reply, reply.error)
        await _stream(text, reply, on_delta)
        calls = _tool_calls(reply, request)
        read = sum(_words(message.content) for message in request.messages)
        written = _words(text) + sum(1 + _words(encode(call.arguments).decode()) for call in calls)
        finish = reply.finish or ("tool_calls" if calls else "stop")
        return ChatReply(text, calls, finish, Usage(input=read, output=written), "scripted")

    async def close(self) -> None:
        self._scripts.clear()

    def _reply(self, request: ChatRequest) -> ScriptedReply:
        if not request.model:
            said = [message.content for message in request.messages if message.role == "user"]
            return ScriptedReply(say=said[-1] if said else "")
        if request.model not in self._scripts:
            self._scripts[request.model] = Script(Path(request.model))
        return self._scripts[request.model].next(request)


async def _stream(text: str, reply: ScriptedReply, on_delta: Callable[[str], None]) -> None:
    """Say the text word by word, as far as the connection holds."""
    for number, word in enumerate(re.findall(r"\s*\S+\s*$|\s*\S+|\s+", text)):
        if number == reply.drop_after:
            break
        await asyncio.sleep(reply.pace)
        on_delta(word)
    if reply.drop_after is not None:
        raise ModelError("server", "the connection was lost (by the script)", retryable=True)


def _scripted_error(reply: ScriptedReply, error_class: ErrorClass) -> ModelError:
    return ModelError(
        error_class,
        reply.say or f"the script says: {error_class}",
        retryable=error_class in _WAITING_HELPS,
        retry_after=reply.retry_after,
    )


def _tool_calls(reply: ScriptedReply, request: ChatRequest) -> tuple[ToolCall, ...]:
    """The calls, with ids that are new in the conversation and the same every time."""
    first = sum(len(message.calls) for message in request.messages)
    return tuple(
        ToolCall(f"call_{number}", call.tool, call.args) for number, call in enumerate(reply.calls, first)
    )


def _last(messages: tuple[Message, ...]) -> str:
    return messages[-1].content if messages else ""


def _words(text: str) -> int:
    return len(text.split())


def _read(path: Path) -> list[ScriptedReply]:
    """The replies in a file. Raises UsageError."""
    try:
        text = read_start(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the script {path} cannot be read: {error}") from error
    try:
        data = decode(text) if path.suffix == ".json" else _yaml(path, text)
        if too_deep(data):
            raise ValueError(TOO_DEEP)
        return msgspec.convert(data, list[ScriptedReply])
    except ValueError as error:
        raise UsageError(
            f"{path} is no script: {error}", hint="a script is a list of replies: `- {when: text, say: text}`"
        ) from error


def _yaml(path: Path, text: str) -> Json:
    from agentctl.spec.source import read_source

    source, findings = read_source(path, text)
    if findings:
        raise ValueError(findings[0].message)
    return source.data


def _log(request: ChatRequest) -> None:
    """Append a line in one write, which no other process can tear apart."""
    name = os.environ.get(LOG_VARIABLE)
    if not name:
        return
    line = {
        "pid": os.getpid(),
        "model": request.model,
        "messages": len(request.messages),
        "last": _last(request.messages),
        "tools": [tool.name for tool in request.tools],
        "output": request.output is not None,
    }
    with open(name, "ab", buffering=0) as log:
        log.write(encode(line) + b"\n")
