"""The embedded model: answers on this machine, with no key and no network."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from agentctl.errors import CannotRun, ModelError
from agentctl.json import Json
from agentctl.messages import ChatReply, ChatRequest, Finish, Usage
from agentctl.models import catalogue
from agentctl.models.local_process import WorkerProcess
from agentctl.models.local_prompt import Dialogue
from agentctl.models.settings import ModelSettings


class LocalProvider:
    """Runs model files in processes of their own, one for each file, kept loaded between calls."""

    def __init__(self, settings: ModelSettings) -> None:
        self._workers: dict[Path, WorkerProcess] = {}
        self._turns: dict[Path, tuple[asyncio.AbstractEventLoop, asyncio.Lock]] = {}

    @asynccontextmanager
    async def turn(self, request: ChatRequest) -> AsyncIterator[None]:
        """One call at a time: a model that fills the machine gains nothing from two."""
        async with self._lock(model_file(request.model)):
            yield

    def check(self, model: str) -> None:
        model_file(model)

    async def warm(self, model: str) -> None:
        self._worker(model_file(model))

    async def chat(self, request: ChatRequest, on_delta: Callable[[str], None]) -> ChatReply:
        path = model_file(request.model)
        dialogue = Dialogue(request)
        stream = dialogue.stream()

        def on_text(text: str) -> None:
            if answer := stream.add(text):
                on_delta(answer)

        line = await self._worker(path).ask(dialogue.body(), on_text)
        if "error" in line:
            raise _refusal(line["error"])
        return _reply(line["done"], dialogue, catalogue.title(path))

    async def close(self) -> None:
        workers, self._workers = self._workers, {}
        for worker in workers.values():
            worker.close()

    def _worker(self, path: Path) -> WorkerProcess:
        worker = self._workers.get(path)
        if worker is None or not worker.is_usable:
            if worker is not None:
                worker.close()
            worker = self._workers[path] = WorkerProcess(path)
        return worker

    def _lock(self, path: Path) -> asyncio.Lock:
        """The lock of a file in the running event loop: a lock does not move from one loop to another."""
        loop = asyncio.get_running_loop()
        known = self._turns.get(path)
        if known is None or known[0] is not loop:
            known = self._turns[path] = (loop, asyncio.Lock())
        return known[1]


def model_file(model: str) -> Path:
    """The file behind `local` ("") or `local/FILE.gguf`. Raises CannotRun when it or the runtime is missing."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise CannotRun(
            "the embedded model needs the package xllamacpp, which is not installed",
            hint="run: pip install 'agentctl[local]'",
        )
    named = model or os.environ.get(catalogue.FILE_VARIABLE, "")
    if not named:
        return catalogue.required(catalogue.LOCAL)
    path = Path(named).expanduser().absolute()
    if not path.is_file():
        raise CannotRun(f"there is no model file {path}", hint="name a GGUF file, or use `local` alone")
    return path


def _reply(done: Json, dialogue: Dialogue, model: str) -> ChatReply:
    if done["finish"] == "length":
        raise ModelError(
            "bad_answer",
            f"the answer was cut short at {dialogue.max_output} tokens",
            hint="raise the model's `max_output_tokens`, or ask for less",
        )
    if done["finish"] is None:
        raise ModelError("server", "the embedded model stopped before its answer was whole", retryable=True)
    try:
        text, calls = dialogue.read(done["text"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            "bad_answer", f"the embedded model wrote no valid choice: {done['text'][:200]}"
        ) from error
    finish: Finish = "tool_calls" if calls else "stop"
    return ChatReply(text, calls, finish, _usage(done["usage"]), model)


def _usage(usage: Json) -> Usage:
    return Usage(
        input=usage.get("prompt_tokens", 0),
        output=usage.get("completion_tokens", 0),
        cached=usage.get("prompt_tokens_details", {}).get("cached_tokens", 0),
    )


def _refusal(error: Json) -> ModelError:
    if error.get("type") == "exceed_context_size_error":
        return ModelError(
            "refused",
            f"the prompt has {error['n_prompt_tokens']} tokens; the embedded model holds {error['n_ctx']}",
            hint="send less (`context:` keeps the history short), or use a larger model",
        )
    return ModelError("refused", f"the embedded model refused the request: {error.get('message', error)}")
