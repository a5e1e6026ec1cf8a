"""Keys as other tools call them, or keep them elsewhere, and what they are here."""

from __future__ import annotations

from collections.abc import Mapping

_OTHER_KEYS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("if", "condition", "case"), ("when",)),
    **dict.fromkeys(("default", "otherwise"), ("else",)),
    **dict.fromkeys(("goto", "next", "target"), ("then", "to")),
    "then": ("to",),
    **dict.fromkeys(("switch", "match", "on"), ("by",)),
    "cases": ("to",),
    **dict.fromkeys(("system", "system_prompt", "prompt", "instruction", "role"), ("instructions",)),
    **dict.fromkeys(("steps", "tasks", "vertices"), ("nodes",)),
    "version": ("agentctl",),
    "entry": ("start",),
    "entrypoint": ("start",),
    **dict.fromkeys(("function", "module"), ("python",)),
    **dict.fromkeys(("cmd", "shell", "run"), ("command",)),
    **dict.fromkeys(("url", "endpoint"), ("http",)),
    **dict.fromkeys(("params", "schema", "inputs", "arguments"), ("parameters", "args", "input")),
    **dict.fromkeys(("with", "kwargs"), ("args", "input")),
    **dict.fromkeys(("response_format", "output_schema", "outputs"), ("output",)),
    **dict.fromkeys(("retries", "max_retries"), ("retry",)),
    **dict.fromkeys(("max_steps", "max_iterations", "iterations"), ("max_turns", "recursion", "max_visits")),
    **dict.fromkeys(("environment", "secrets", "variables"), ("env",)),
    **dict.fromkeys(("max_tokens",), ("max_output_tokens", "tokens")),
    **dict.fromkeys(("input", "question", "user"), ("prompt",)),
    **dict.fromkeys(("output", "assistant", "reply", "response"), ("answer",)),
    "timeout_seconds": ("timeout",),
    "foreach": ("over",),
    "items": ("over",),
    **dict.fromkeys(("stubs", "mock", "mocks"), ("stub",)),
    **dict.fromkeys(("assert", "expected", "asserts"), ("expect",)),
}
"""Words of other tools, and what they are called here."""
_ELSEWHERE = {
    ("Node", "type"): "the verb itself is the key: `agent: …`, `tool: …`, `ask: …`",
    ("Node", "model"): "a model belongs to an agent",
    ("Node", "tools"): "tools belong to an agent",
    ("Node", "instructions"): "instructions belong to an agent",
    ("Agent", "temperature"): "it belongs to a model, under `models:`",
    ("Agent", "timeout"): "it belongs to the node, or to the model",
    ("Agent", "retry"): "it belongs to the node, or to the model",
    ("Agent", "max_output_tokens"): "it belongs to a model, under `models:`",
    ("Map", "agent"): "what is done with each item stands under `do:`",
    ("Map", "tool"): "what is done with each item stands under `do:`",
    ("Map", "graph"): "what is done with each item stands under `do:`",
    ("MapWork", "then"): "an item goes nowhere; `then` belongs to the node",
    ("MapWork", "save"): "the answers are saved together, by the node",
    ("MapWork", "on_error"): "`tolerate` says how many items may fail; `on_error` belongs to the node",
    ("File", "edges"): "each node says where it goes with `then:`, and routers decide",
    ("File", "prompts"): "a prompt stands in its node; long instructions are `{file: …}`",
    ("File", "model"): "an agent's `model:`, or `default` under `models:`",
    ("Limits", "max_turns"): "it belongs to an agent",
    ("Limits", "timeout"): "it is `time:` for the turn, `step_time:` for one step",
}
"""Keys that belong somewhere else."""


def other_key(key: str, known: tuple[str, ...]) -> str | None:
    """What a key of other tools is called here."""
    return next((word for word in _OTHER_KEYS.get(key.lower(), ()) if word in known), None)


def elsewhere(place: str, key: str) -> str | None:
    """Where a key belongs that is none here."""
    return _ELSEWHERE.get((place, key))
