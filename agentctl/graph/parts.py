"""Small parts that many things of a file have, compiled."""

from __future__ import annotations

from msgspec import UNSET

from agentctl.expressions import Expression, compile_template
from agentctl.json import Json
from agentctl.spec.model import Retry


def template(text: Json) -> Expression | None:
    """A text with `${{ … }}`; None where the file says none."""
    return None if text is UNSET else compile_template(text)


def attempts(retry: Retry | Json, default: int) -> int:
    """Tries in all."""
    return default if retry is UNSET or retry.attempts is UNSET else retry.attempts
