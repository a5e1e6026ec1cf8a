"""A fault: something wrong at a key or a value of the data, before it has a place in a file."""

from __future__ import annotations

import json
from dataclasses import dataclass

from agentctl.json import Json
from agentctl.spec.finding import Keys, Severity


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes a finding once the file is known."""

    code: str
    keys: Keys
    message: str
    hint: str | None = None
    at_key: bool = False
    """Whether it is about the key's word, not the value."""
    severity: Severity = "error"
    fix: str | None = None
    """What certainly belongs in place of the word, or the value."""


def told(value: Json) -> str:
    """A value in backticks, as one writes it, on one line and not too long."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    flat = " ".join(text.split())
    return f"`{flat[:_LONGEST]}…`" if len(flat) > _LONGEST else f"`{flat}`"


_LONGEST = 40
