"""What a raw server says, byte by byte, and what was heard of a call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from agentctl.errors import ModelError
from agentctl.messages import ChatReply


def head(
    length: int | None, status: str = "200 OK", type: str = "text/event-stream", more: str = ""
) -> bytes:
    size = "" if length is None else f"content-length: {length}\r\n"
    return f"HTTP/1.1 {status}\r\ncontent-type: {type}\r\n{size}{more}connection: close\r\n\r\n".encode()


def whole(body: bytes, **options: str) -> bytes:
    return head(len(body), **options) + body


def events(*chunks: str) -> bytes:
    return whole("".join(f"data: {chunk}\n\n" for chunk in chunks).encode())


@dataclass
class RawServer:
    """Answers the n-th request with the n-th of `answers`, the last one again and again."""

    url: str
    answers: list[bytes] = field(default_factory=list)
    requests: list[bytes] = field(default_factory=list)
    hold: bool = False
    """Leave the connection open after the answer, until the other side closes it."""
    gone: threading.Event = field(default_factory=threading.Event)


@dataclass
class Heard:
    """What came of one call."""

    reply: ChatReply | None = None
    error: ModelError | None = None
    deltas: list[str] = field(default_factory=list)
    retries: list[tuple[str, float]] = field(default_factory=list)

    @property
    def answer(self) -> ChatReply:
        assert self.reply is not None, self.error
        return self.reply


Asking = Callable[..., Heard]
