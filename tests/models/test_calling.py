"""A call's retries, its time, its price; and the providers behind it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agentctl.errors import CannotRun, ModelError, UsageError
from agentctl.messages import ChatReply, ChatRequest, Usage
from agentctl.models.calling import LONGEST_WAIT, ModelSettings, ProviderPool, call_model, cost_of, split_name
from agentctl.retry import Backoff
from agentctl.spec.model import Price

REQUEST = ChatRequest(model="m", messages=())
BUSY = ModelError("rate_limited", "busy", retryable=True, retry_after=3.0)
DOWN = ModelError("server", "down", retryable=True)
NO = ModelError("refused", "no")


class Faulty:
    """Fails as told, then answers."""

    def __init__(self, *faults: ModelError) -> None:
        self.faults = list(faults)
        self.tries = 0

    async def chat(self, request: ChatRequest, on_delta: Callable[[str], None]) -> ChatReply:
        self.tries += 1
        if self.faults:
            raise self.faults.pop(0)
        on_delta("yes")
        return ChatReply("yes")

    async def close(self) -> None:
        pass


class Slow(Faulty):
    """Takes turns, and never answers while it has one."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = 0

    @asynccontextmanager
    async def turn(self, request: ChatRequest) -> AsyncIterator[None]:
        await asyncio.sleep(0.2)
        yield

    async def chat(self, request: ChatRequest, on_delta: Callable[[str], None]) -> ChatReply:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.cancelled += 1
        raise AssertionError("not reached")


def call(provider: Faulty, attempts: int = 3, timeout: float = 5.0) -> tuple[ChatReply, list[float]]:
    waits: list[float] = []

    async def note(seconds: float) -> None:
        waits.append(seconds)

    backoff = Backoff(attempts=attempts)
    reply = asyncio.run(
        call_model(
            provider,
            REQUEST,
            timeout=timeout,
            backoff=backoff,
            on_delta=lambda text: None,
            on_retry=lambda error, wait: None,
            sleep=note,
        )
    )
    return reply, waits


def test_a_passing_fault_is_waited_out() -> None:
    reply, waits = call(Faulty(DOWN, DOWN))
    assert reply.text == "yes"
    assert len(waits) == 2
    assert all(0 <= wait <= 1.0 for wait in waits)


def test_a_server_is_never_asked_sooner_than_it_said() -> None:
    assert call(Faulty(BUSY))[1] == [3.0]


def test_the_last_try_gives_its_error() -> None:
    provider = Faulty(DOWN, DOWN, BUSY)
    with pytest.raises(ModelError) as caught:
        call(provider)
    assert caught.value is BUSY
    assert provider.tries == 3


def test_a_refusal_is_final() -> None:
    provider = Faulty(NO)
    with pytest.raises(ModelError, match="no"):
        call(provider)
    assert provider.tries == 1


def test_a_wait_of_an_hour_is_given_up() -> None:
    provider = Faulty(ModelError("rate_limited", "later", retryable=True, retry_after=LONGEST_WAIT + 1))
    with pytest.raises(ModelError, match="later"):
        call(provider)
    assert provider.tries == 1


def test_a_try_that_takes_too_long_is_cancelled_and_counts_as_a_try() -> None:
    provider = Slow()
    with pytest.raises(ModelError, match=r"no whole answer within 0\.05s") as caught:
        call(provider, attempts=2, timeout=0.05)
    assert caught.value.error_class == "timeout"
    assert provider.cancelled == 2


def test_waiting_for_a_turn_is_no_time_of_the_call() -> None:
    class Quick(Slow):
        async def chat(self, request: ChatRequest, on_delta: Callable[[str], None]) -> ChatReply:
            return ChatReply("quick")

    assert call(Quick(), timeout=0.1)[0].text == "quick"


def test_cancelling_a_call_is_not_retried() -> None:
    provider = Slow()

    async def cancel() -> None:
        call = call_model(
            provider,
            REQUEST,
            timeout=60,
            backoff=Backoff(),
            on_delta=lambda text: None,
            on_retry=lambda error, wait: pytest.fail("retried"),
        )
        task = asyncio.create_task(call)
        await asyncio.sleep(0.3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert provider.cancelled == 1


def test_cost_counts_cached_tokens_at_their_own_price() -> None:
    usage = Usage(input=1_000_000, output=500_000, cached=400_000)
    assert cost_of(usage, Price(input=2.0, output=10.0, cached=0.5)) == pytest.approx(1.2 + 0.2 + 5.0)
    assert cost_of(usage, Price(input=2.0, output=10.0)) == pytest.approx(2.0 + 5.0)


def test_an_unknown_price_is_not_nought() -> None:
    assert cost_of(Usage(input=10), None) is None


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("openai/gpt-5-mini", ("openai", "gpt-5-mini")),
        ("openai/org/model", ("openai", "org/model")),
        ("local", ("local", "")),
        ("local/own.gguf", ("local", "own.gguf")),
        ("scripted", ("scripted", "")),
    ],
)
def test_a_model_is_named_by_its_provider(reference: str, parts: tuple[str, str]) -> None:
    assert split_name(reference) == parts


@pytest.mark.parametrize("reference", ["gpt-5-mini", "openai", "openai/", "/x", ""])
def test_a_name_without_a_provider_is_refused(reference: str) -> None:
    with pytest.raises(UsageError, match="names no model"):
        split_name(reference)


def test_a_key_is_not_shown() -> None:
    assert "sk-1" not in repr(ModelSettings("m", "openai", api_key="sk-1"))


def test_an_unknown_provider_is_told_the_known_ones() -> None:
    with pytest.raises(
        UsageError,
        match=r"no model provider `opnai`; write PROVIDER/MODEL with one of .*`local`.*`openai`.*`scripted`",
    ):
        asyncio.run(ProviderPool().get(ModelSettings.named("opnai/x")))


def test_one_provider_serves_all_models_of_an_address() -> None:
    async def both() -> None:
        pool = ProviderPool()
        first = await pool.get(ModelSettings("a", "openai", model="x", base_url="http://h/v1"))
        assert first is await pool.get(ModelSettings("b", "openai", model="y", base_url="http://h/v1"))
        assert first is not await pool.get(ModelSettings("c", "openai", model="x", base_url="http://i/v1"))
        await pool.close()

    asyncio.run(both())


def test_a_provider_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[agentctl.providers]\nother = no_such_package:Provider\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(CannotRun, match="`other` cannot be loaded"):
        asyncio.run(ProviderPool().get(ModelSettings.named("other/x")))


def test_calling_imports_no_library_of_a_provider() -> None:
    code = (
        "import sys, agentctl.models.calling, agentctl.models.catalogue, agentctl.models.openai, agentctl.models.local;"
        "print(sorted({'openai', 'httpx2', 'xllamacpp', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
