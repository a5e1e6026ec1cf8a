"""The models of a graph as the live world asks them: one of them, or several as one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import assert_never

import msgspec

from agentctl.errors import AgentctlError, CannotRun, ModelError
from agentctl.expressions import Expression, ExpressionError
from agentctl.graph.plan import Graph, Model, ModelChoice, ModelGroup, ModelPlan
from agentctl.messages import ChatRequest, Usage
from agentctl.models.calling import ModelSettings, ProviderPool, call_model, cost_of
from agentctl.models.groups import Hearing, ModelAnswer, OnDelta, agreed, first_good, first_up
from agentctl.models.provider import Checkable, Provider, Warmable
from agentctl.models.rate import PacedProvider, RateLimit
from agentctl.nodes.agent import addressed
from agentctl.retry import Backoff


@dataclass(frozen=True)
class Models:
    """Makes the clients of models when they are first asked for, and asks them."""

    graph: Graph
    env: Mapping[str, str]
    providers: ProviderPool
    paced: dict[str, PacedProvider] = field(default_factory=dict)
    """Those with a `rate`, by name; for one event loop."""
    warming: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """Those that are made ready, or were, by name."""

    async def prepare(self, model: Model) -> None:
        """Make its client; of a group, those that can be made. Raises CannotRun when none can, UsageError."""
        await self._with_any(model, self._client)

    async def check(self, model: Model) -> None:
        """Raises CannotRun or UsageError where a call would: for a missing key, file or package."""
        await self._with_any(model, self._check)

    async def ask(self, model: Model, request: ChatRequest, hearing: Hearing) -> ModelAnswer:
        """The answer of a model whose choices are made. Raises ModelError, CannotRun."""
        return await _Asking(self, request, hearing).ask(model, hearing.on_delta)

    async def close(self) -> None:
        """Stop making models ready."""
        for task in self.warming.values():
            task.cancel()
        await asyncio.gather(*self.warming.values(), return_exceptions=True)

    def settings(self, model: ModelPlan) -> ModelSettings:
        """The model as its provider is given it. Raises CannotRun for a variable that is not set."""
        return ModelSettings(
            name=model.name,
            provider=model.provider,
            model=str(model.file) if model.file else model.model,
            base_url=self._filled(model, "base_url", model.base_url),
            api_key=self._filled(model, "api_key", model.api_key),
            temperature=model.temperature,
            max_output_tokens=model.max_output_tokens,
            timeout=model.timeout,
            attempts=model.attempts,
            price=model.price,
            extra=model.extra,
        )

    async def provider(self, model: ModelPlan, settings: ModelSettings) -> Provider:
        """Who is asked, at the pace that the file allows."""
        provider = await self.providers.get(settings)
        if model.requests_a_minute is None and model.tokens_a_minute is None:
            return provider
        if model.name not in self.paced:
            limit = RateLimit(model.requests_a_minute, model.tokens_a_minute)
            self.paced[model.name] = PacedProvider(provider, limit)
        return self.paced[model.name]

    async def _with_any(self, model: Model, look: Callable[[ModelPlan], Awaitable[None]]) -> None:
        """Look at a model; of a group, at its members until one of them will do."""
        if isinstance(model, ModelPlan):
            await look(model)
            return
        if isinstance(model, ModelChoice):
            # which one it will be is not known yet, so each has to be there
            for member in model.among.values():
                await self._with_any(member, look)
            return
        problems: list[AgentctlError] = []
        for member in model.members:
            try:
                await self._with_any(member, look)
            except CannotRun as problem:
                problems.append(problem)
        able = len(model.members) - len(problems)
        if able < (model.agree if model.kind == "vote" else 1):
            raise problems[0]

    async def _client(self, model: ModelPlan) -> None:
        settings = self.settings(model)
        provider = await self.providers.get(settings)
        if model.warm and isinstance(provider, Warmable) and model.name not in self.warming:
            # beside the first steps: who asks before it is ready waits no longer than without it
            self.warming[model.name] = asyncio.create_task(_warm(provider, settings.model))

    async def _check(self, model: ModelPlan) -> None:
        settings = self.settings(model)
        provider = await self.providers.get(settings)
        if isinstance(provider, Checkable):
            provider.check(settings.model)

    def _filled(self, model: ModelPlan, key: str, text: Expression | None) -> str | None:
        """A model's address or key with its variables filled in. Raises CannotRun for one that is not set."""
        if text is None:
            return None
        try:
            return str(text({"env": dict(self.env)}))
        except ExpressionError as error:
            said = str(self.graph.data.get("models", {}).get(model.name, {}).get(key))
            declared = self.graph.data.get("env", {})
            missing = [name for name in declared if name in said and name not in self.env]
            raise CannotRun(
                f"models.{model.name}.{key} needs {', '.join(missing) or error.message}, which is not set",
                hint="set it in the environment or in --env-file FILE; the embedded model needs no key: "
                f"--model {model.name}=local",
            ) from error


@dataclass(frozen=True)
class _Asking:
    """See models.groups.Asking: one request, put to whichever model."""

    models: Models
    request: ChatRequest
    hearing: Hearing

    def name(self, member: Model) -> str:
        return member.reference

    def cost(self, member: Model, usage: Usage) -> float | None:
        return cost_of(usage, member.price) if isinstance(member, ModelPlan) else None

    async def ask(self, member: Model, on_delta: OnDelta) -> ModelAnswer:
        hearing = self.hearing
        match member:
            case ModelPlan():
                return await self._one(member, on_delta)
            case ModelGroup(kind="fallback", members=members):
                return await first_up(self, members, on_delta, hearing.on_failed)
            case ModelGroup(kind="race", members=members):
                return await first_good(self, members, hearing.is_good, on_delta, hearing.on_failed)
            case ModelGroup(members=members, agree=agree):
                return await agreed(self, members, agree, hearing.is_good, on_delta, hearing.on_failed)
            case ModelChoice():
                raise AssertionError("the node that asks has made the choice")
            case _:
                assert_never(member)

    async def _one(self, model: ModelPlan, on_delta: OnDelta) -> ModelAnswer:
        settings = self.models.settings(model)
        request = addressed(self.request, model)
        if model.file is not None:
            request = msgspec.structs.replace(request, model=str(model.file))
        reply = await call_model(
            await self.models.provider(model, settings),
            request,
            timeout=settings.timeout,
            backoff=Backoff(attempts=settings.attempts),
            on_delta=on_delta,
            on_retry=self.hearing.on_retry,
        )
        return ModelAnswer.of(reply, model.reference, cost_of(reply.usage, settings.price))


async def _warm(provider: Warmable, model: str) -> None:
    with suppress(ModelError, CannotRun):  # the first call meets the same, and tells it with its retries
        await provider.warm(model)
