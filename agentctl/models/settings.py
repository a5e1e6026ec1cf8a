"""A model as the file sets it: which provider, how it is reached, and what a call may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agentctl.errors import UsageError
from agentctl.json import Json
from agentctl.messages import ChatRequest, Message, ToolOffer
from agentctl.spec.model import Price

RESERVED = ("local", "scripted")
"""Providers that are a model by themselves: `local`, as well as `local/FILE.gguf`."""


@dataclass(frozen=True)
class ModelSettings:
    """One model of `models:`, or one named in passing as `provider/model`."""

    name: str
    """What the file calls it."""
    provider: str
    model: str = ""
    """The provider's own name for it; empty for the model a provider brings along."""
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    """None takes the provider's environment variable; `none` sends no key."""
    temperature: float | None = None
    max_output_tokens: int | None = None
    reasoning: str | None = None
    timeout: float = 60.0
    """Seconds, for one try."""
    attempts: int = 3
    """Tries in all, >= 1."""
    price: Price | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)

    @classmethod
    def named(cls, reference: str) -> ModelSettings:
        """The settings of a `provider/model` that no entry of `models:` describes."""
        provider, model = split_name(reference)
        return cls(name=reference, provider=provider, model=model)

    def request(
        self, messages: tuple[Message, ...], tools: tuple[ToolOffer, ...] = (), output: Json = None
    ) -> ChatRequest:
        """A request to this model, with everything the settings say about a call."""
        return ChatRequest(
            model=self.model,
            messages=messages,
            tools=tools,
            output=output,
            temperature=self.temperature,
            max_output_tokens=self.max_output_tokens,
            reasoning=self.reasoning,
            extra=dict(self.extra),
        )


def split_name(reference: str) -> tuple[str, str]:
    """`openai/gpt-5-mini` as ("openai", "gpt-5-mini"), `local` as ("local", ""). Raises UsageError."""
    provider, _, model = reference.partition("/")
    if provider and (model or provider in RESERVED):
        return provider, model
    raise UsageError(
        f"`{reference}` names no model",
        hint="write `provider/model` (openai/gpt-5-mini), `local`, or a name of `models:`",
    )
