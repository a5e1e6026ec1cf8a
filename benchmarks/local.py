"""How soon the embedded model says its first word, cold and warm, and how soon it stops when told to.

Run it with `python benchmarks/local.py`, where the extra `local` and the model are installed.
"""

from __future__ import annotations

import asyncio
import time
from importlib.util import find_spec
from statistics import median

from side_by_side import Row, show

from agentctl.messages import ChatRequest, Message
from agentctl.models import catalogue
from agentctl.models.local import LocalProvider
from agentctl.models.settings import ModelSettings

COLD_ROUNDS = 3
WARM_ROUNDS = 7


def main() -> None:
    """Measure and print, or say what is missing."""
    if find_spec("xllamacpp") is None or not catalogue.installed(catalogue.LOCAL):
        print(
            "local: skipped, the embedded model is not installed: pip install '.[local]', agentctl models pull"
        )
        return
    show("local: the embedded model", asyncio.run(rows()))


async def rows() -> list[Row]:
    """Cold: the runtime starts and loads. Warm: it has answered before."""
    cold, warm, stops, after = [], [], [], []
    for _ in range(COLD_ROUNDS):
        provider = LocalProvider(ModelSettings(name="default", provider="local"))
        try:
            cold.append(await first_word(provider, "Say hello to Ada."))
            for number in range(WARM_ROUNDS):
                warm.append(await first_word(provider, f"Say hello to guest number {number}."))
                stops.append(await stop(provider))
                after.append(await first_word(provider, f"Say goodbye to guest number {number}."))
        finally:
            await provider.close()
    return [
        Row("first token, cold", median(cold)),
        Row("first token, warm", median(warm), budget=2),
        Row("from a cancel to the end of the call", median(stops), budget=0.2),
        Row("the slowest of them", max(stops), budget=0.2),
        Row("first token of a call right after a cancel", median(after), budget=2),
    ]


async def first_word(provider: LocalProvider, prompt: str) -> float:
    """Seconds to the first text of a reply."""
    heard: list[float] = []
    began = time.perf_counter()
    await provider.chat(_request(prompt), lambda text: heard.append(time.perf_counter()))
    return heard[0] - began


async def stop(provider: LocalProvider) -> float:
    """Seconds from cancelling a call that is under way to its end."""
    speaking = asyncio.Event()
    call = asyncio.create_task(provider.chat(_request("Tell a long story."), lambda text: speaking.set()))
    await speaking.wait()
    began = time.perf_counter()
    call.cancel()
    await asyncio.wait([call])
    return time.perf_counter() - began


def _request(prompt: str) -> ChatRequest:
    said = (Message("system", "You answer in one sentence."), Message("user", prompt))
    return ChatRequest(model="", messages=said, max_output_tokens=200)


if __name__ == "__main__":
    main()
