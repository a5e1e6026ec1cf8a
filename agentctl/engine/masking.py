"""Secrets are taken out of what comes through the door, and of what is told."""

from __future__ import annotations

from collections.abc import Sequence

from agentctl.json import Json

SHORTEST = 8
"""Characters; shorter values stand in too many texts by chance."""


class Mask:
    """Puts `***` in the place of secrets, wherever they stand in plain data."""

    def __init__(self, secrets: Sequence[str]) -> None:
        # the longest first: one secret may be a part of another
        long = {secret for secret in secrets if len(secret) >= SHORTEST}
        self._secrets = sorted(long, key=len, reverse=True)

    def __call__(self, value: Json) -> Json:
        return self._masked(value) if self._secrets else value

    def _masked(self, value: Json) -> Json:
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, "***")
            return value
        if isinstance(value, dict):
            return {self._masked(key): self._masked(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._masked(item) for item in value]
        return value
