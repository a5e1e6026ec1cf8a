"""The embedded model itself: real weights, in a real process."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agentctl.errors import CannotRun, ModelError
from agentctl.messages import ChatRequest, Message, ToolOffer
from agentctl.models import catalogue
from agentctl.models.local import LocalProvider, model_file
from agentctl.models.local_process import WorkerProcess
from agentctl.models.settings import ModelSettings
from tests.models.talk import Asking

needs_runtime = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None, reason="the extra `local` is not installed"
)
needs_model = pytest.mark.skipif(
    importlib.util.find_spec("xllamacpp") is None or catalogue.installed(catalogue.LOCAL) is None,
    reason="the embedded model is not here: install the extra `local` and run `agentctl models pull`",
)

LONG_STORY = ChatRequest(model="", messages=(Message("user", "Write a very long story about a fox."),))
LONG_PROMPT = ChatRequest(model="", messages=(Message("user", "the cat and the dog " * 1000),))


@pytest.fixture(scope="module")
def provider() -> Iterator[LocalProvider]:
    """One provider for all tests here, so that the model is loaded once, though each test has its own loop."""
    provider = LocalProvider(ModelSettings.named("local"))
    yield provider
    asyncio.run(provider.close())


def worker_of(provider: LocalProvider) -> WorkerProcess:
    (worker,) = provider._workers.values()
    return worker


def until(true: Callable[[], bool], seconds: float) -> float:
    """How long it took to become true; fails after `seconds`."""
    begin = time.monotonic()
    while not true():
        assert time.monotonic() - begin < seconds, "it never happened"
        time.sleep(0.005)
    return time.monotonic() - begin


@needs_model
def test_it_greets_by_name_and_streams(provider: LocalProvider, ask: Asking) -> None:
    talk = (Message("system", "You write one friendly sentence."), Message("user", "Greet Ada."))
    heard = ask(provider, talk, model="")
    assert "Ada" in heard.answer.text
    assert "".join(heard.deltas) == heard.answer.text
    assert len(heard.deltas) > 3
    assert heard.answer.finish == "stop"
    assert heard.answer.usage.input > 10
    assert heard.answer.usage.output > 3
    assert "Qwen" in heard.answer.model


@needs_model
def test_a_structured_answer_fits_its_schema(provider: LocalProvider, ask: Asking) -> None:
    schema = {
        "type": "object",
        "properties": {
            "intent": {"enum": ["question", "complaint", "praise"]},
            "urgent": {"type": "boolean"},
        },
        "required": ["intent", "urgent"],
        "additionalProperties": False,
    }
    answer = ask(provider, "The parcel is broken. I want my money back!", model="", output=schema).answer
    value = json.loads(answer.text)
    assert value.keys() == {"intent", "urgent"}
    assert value["intent"] == "complaint"


@needs_model
def test_it_calls_a_tool_and_answers_from_the_result(
    provider: LocalProvider, ask: Asking, weather: ToolOffer
) -> None:
    question = Message("user", "What is the weather in Paris?")
    first = ask(provider, (question,), model="", tools=(weather,))
    assert [(call.name, call.arguments) for call in first.answer.calls] == [
        ("get_weather", {"city": "Paris"})
    ]
    assert first.answer.finish == "tool_calls"
    assert first.deltas == []
    call = Message("assistant", calls=first.answer.calls)
    result = Message("tool", '{"sky":"rain","celsius":9}', call_id=first.answer.calls[0].id)
    second = ask(provider, (question, call, result), model="", tools=(weather,))
    assert second.answer.calls == ()
    assert "rain" in second.answer.text or "9" in second.answer.text
    assert "".join(second.deltas) == second.answer.text


@needs_model
def test_it_needs_no_tool_to_say_hello(provider: LocalProvider, ask: Asking, weather: ToolOffer) -> None:
    answer = ask(provider, "Hello!", model="", tools=(weather,)).answer
    assert answer.calls == ()
    assert answer.text


@needs_model
def test_a_cut_answer_is_an_error(provider: LocalProvider, ask: Asking) -> None:
    heard = ask(provider, "Write a poem about the sea.", model="", max_output_tokens=5)
    assert heard.error is not None
    assert heard.error.error_class == "bad_answer"
    assert "cut short at 5 tokens" in heard.error.message
    assert "max_output_tokens" in (heard.error.hint or "")


@needs_model
def test_a_prompt_that_is_too_long_is_refused_with_its_size(provider: LocalProvider, ask: Asking) -> None:
    heard = ask(provider, "word " * 9000, model="", attempts=3)
    assert heard.error is not None
    assert heard.error.error_class == "refused"
    assert "9030 tokens; the embedded model holds 8192" in heard.error.message
    assert heard.retries == []


@needs_model
def test_calls_at_once_take_turns(provider: LocalProvider, ask: Asking) -> None:
    async def three() -> list[str]:
        async def one(name: str) -> str:
            request = ChatRequest(model="", messages=(Message("user", f"Say only this name: {name}"),))
            async with provider.turn(request):
                return (await provider.chat(request, lambda text: None)).text

        return await asyncio.gather(*(one(name) for name in ("Ada", "Bob", "Cleo")))

    for name, text in zip(("Ada", "Bob", "Cleo"), asyncio.run(three()), strict=True):
        assert name in text


@needs_model
@pytest.mark.parametrize(("request_", "wait_for_text"), [(LONG_STORY, True), (LONG_PROMPT, False)])
def test_a_cancelled_call_ends_soon_and_the_model_stays(
    provider: LocalProvider, ask: Asking, request_: ChatRequest, wait_for_text: bool
) -> None:
    ask(provider, model="")  # loaded before the clock runs

    async def cancel() -> float:
        begun = asyncio.Event()
        task = asyncio.create_task(provider.chat(request_, lambda text: begun.set()))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(begun.wait(), 30 if wait_for_text else 0.3)
        begin = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return time.monotonic() - begin

    pid = worker_of(provider)._process.pid
    assert asyncio.run(cancel()) < 0.2
    # The call is over for us at once; the worker is free again soon after, on a busy machine too.
    assert until(lambda: not worker_of(provider)._stopping, 2.0) < 2.0
    assert ask(provider, "Say hello.", model="").answer.text
    assert worker_of(provider)._process.pid == pid


@needs_model
def test_a_killed_worker_is_a_fault_that_a_retry_mends(provider: LocalProvider, ask: Asking) -> None:
    ask(provider, model="")
    os.kill(worker_of(provider)._process.pid, signal.SIGKILL)
    assert ask(provider, "Say hello.", model="", attempts=2).answer.text

    def kill(text: str) -> None:
        os.kill(worker_of(provider)._process.pid, signal.SIGKILL)

    with pytest.raises(ModelError, match=r"process died \(signal 9\)") as caught:
        asyncio.run(provider.chat(LONG_STORY, kill))
    assert (caught.value.error_class, caught.value.retryable) == ("server", True)


@needs_model
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_opens_no_port(provider: LocalProvider, ask: Asking) -> None:
    ask(provider, model="")
    fds = Path(f"/proc/{worker_of(provider)._process.pid}/fd")
    sockets = {link.readlink().name for link in fds.iterdir() if "socket:" in str(link.readlink())}
    listening = "0A"
    for table in ("tcp", "tcp6"):
        rows = [line.split() for line in Path("/proc/net", table).read_text().splitlines()[1:]]
        assert not {f"socket:[{row[9]}]" for row in rows if row[3] == listening} & sockets
    ours = [line for line in Path("/proc/net/unix").read_text().splitlines() if "agentctl-" in line]
    assert not any(Path(line.split()[-1]).exists() for line in ours)


@needs_model
@pytest.mark.parametrize("loading", [True, False], ids=["while it loads", "while it writes"])
def test_a_killed_parent_takes_its_worker_along(loading: bool) -> None:
    code = """
import asyncio, sys
from agentctl.messages import ChatRequest, Message
from agentctl.models.local import LocalProvider
from agentctl.models.settings import ModelSettings

async def main():
    provider = LocalProvider(ModelSettings.named("local"))
    request = ChatRequest(model="", messages=(Message("user", "Write a very long story."),))
    task = asyncio.create_task(provider.chat(request, lambda text: print("text", flush=True)))
    await asyncio.sleep(0)
    print(next(iter(provider._workers.values()))._process.pid, flush=True)
    await task

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if not loading:
            assert parent.stdout.readline() == "text\n"
        parent.kill()
    assert until(lambda: is_gone(pid), 5.0) < 5.0


def is_gone(pid: int) -> bool:
    """Whether a process has ended; where nobody collects orphans, it stays as a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


@needs_runtime
def test_a_file_that_is_no_model_is_named(ask: Asking, tmp_path: Path) -> None:
    path = tmp_path / "own.gguf"
    path.write_text("no model")
    with pytest.raises(CannotRun, match=r"cannot load .*own\.gguf"):
        ask(LocalProvider(ModelSettings.named("local")), model=str(path))


@needs_runtime
def test_a_missing_model_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTCTL_MODELS", str(tmp_path))
    with pytest.raises(CannotRun, match="not on this machine") as caught:
        model_file("")
    assert "agentctl models pull" in (caught.value.hint or "")
    with pytest.raises(CannotRun, match=r"no model file .*mine\.gguf"):
        model_file("/nowhere/mine.gguf")


@needs_runtime
def test_a_model_of_ones_own_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.gguf"
    own.write_text("")
    monkeypatch.setenv("AGENTCTL_LOCAL_MODEL", str(own))
    assert model_file("") == own


def test_a_missing_runtime_says_what_to_install() -> None:
    code = """
import sys
from agentctl.errors import CannotRun, ModelError
from agentctl.models.local import model_file
sys.modules["xllamacpp"] = None
try:
    model_file("")
except CannotRun as error:
    print(error.message, "|", error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'agentctl[local]'" in done.stdout, done.stderr
