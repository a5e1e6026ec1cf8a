"""A world whose answers follow from what is asked, so that a run that was cut anywhere must come to the same."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec

from agentctl.errors import ModelError, ToolError
from agentctl.graph.plan import Model
from agentctl.messages import ChatReply, ChatRequest, ToolCall, Usage
from agentctl.models.groups import Hearing, ModelAnswer
from agentctl.tools.call import Call
from tests.engine.desk import Bench, Desk, compiled

Json = Any
LONG = "a text long enough to be referred to rather than kept a second time"


@dataclass
class Oracle(Desk):
    """See Desk; `seed` chooses among worlds."""

    seed: int = 0

    async def chat(self, model: Model, request: ChatRequest, hearing: Hearing) -> ModelAnswer:
        self.asked.append(request)
        drawn = self._drawn(msgspec.json.encode(request))
        for _ in range(drawn % 3):
            await asyncio.sleep(0)
        return ModelAnswer.of(self._reply(drawn // 3, request), model.reference, 0.25)

    async def _work(self, call: Call) -> Json:
        self.worked.append((call.tool.name, call.arguments, call.idempotency_key))
        drawn = self._drawn(msgspec.json.encode([call.tool.name, call.arguments]))
        await asyncio.sleep(0)
        if drawn % 5 == 0:
            raise ToolError("tool_failed", "no", retryable=False)
        return ["short", LONG, 3, [LONG]][drawn % 4]

    def _reply(self, drawn: int, request: ChatRequest) -> ChatReply:
        usage = Usage(input=3, output=2)
        said = sum(message.role == "assistant" for message in request.messages)
        if request.tools and said < 2 and drawn % 2:
            wishes = [self._wish(drawn // 2 + n, n, request) for n in range(1 + drawn // 2 % 3)]
            return ChatReply(calls=tuple(wishes), finish="tool_calls", usage=usage)
        match drawn % 9:
            case 0:
                return ChatReply(text="", usage=usage)
            case 1:
                raise ModelError("server", "down")
            case 2 | 3:
                return ChatReply(text=LONG, usage=usage)
            case _:
                return ChatReply(text=f"x{drawn % 3}", usage=usage)

    def _wish(self, drawn: int, number: int, request: ChatRequest) -> ToolCall:
        tool = request.tools[drawn % len(request.tools)]
        names = tool.parameters.get("properties", {})
        return ToolCall(f"c{number}", tool.name, dict.fromkeys(names, f"w{drawn % 4}"))

    def _drawn(self, asked: bytes) -> int:
        seeded = hashlib.blake2b(asked, digest_size=6, key=self.seed.to_bytes(4, "big"))
        return int.from_bytes(seeded.digest(), "big")


def oracle(text: str, seed: int) -> Bench:
    return Bench(compiled(text), Oracle(seed=seed))
