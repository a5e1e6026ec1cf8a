"""What comes back from a server or a program, as plain data or a text; and a piece of it to quote."""

from __future__ import annotations

import json
import re

from agentctl.json import Json, decode

QUOTED = 400
"""Characters quoted of what a server or a program says of a failure."""
_LONG_NUMBER = re.compile(rb"\d{19}")


class Unreadable(Exception):
    """Bytes that are not what they should be, in words that follow `it answered`."""


def read_text(data: bytes, charset: str = "utf-8") -> str:
    """Raises Unreadable."""
    try:
        return data.decode(charset)
    except LookupError:
        raise Unreadable(f"a text in `{charset}`, which is not known") from None
    except ValueError:
        raise Unreadable(f"{len(data):,} bytes that are no text in {charset}") from None


def read_json(data: bytes) -> Json:
    """Raises Unreadable, also for an integer of more than 64 bits, which would come out as another number."""
    try:
        value = decode(data)
        if _LONG_NUMBER.search(data):
            json.loads(data, parse_int=_checked_int)
    except ValueError as error:
        said = str(error) if isinstance(error, _LongInteger) else "what is no JSON"
        raise Unreadable(said) from None
    return value


def quoted(text: str, *, last: bool = False) -> str:
    """A piece of a text to put into a message, on one line: its beginning, or its end."""
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if len(shown) <= QUOTED:
        return shown
    return f"… {shown[-QUOTED:].lstrip()}" if last else f"{shown[:QUOTED]} …"


class _LongInteger(ValueError):
    pass


def _checked_int(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise _LongInteger("an integer of more than 64 bits; let it be a text")
    return int(digits)
