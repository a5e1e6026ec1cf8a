"""Times, sizes, money and shares, as people write them."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB)?")
_BYTES = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_MONEY = re.compile(r"\$?(\d+(?:\.\d+)?)")
_TOKENS = re.compile(r"([1-9]\d*) tokens")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def seconds(text: str) -> float:
    """Seconds in `30s`, `500ms`, `1h30m`. Raises ValueError."""
    if not re.fullmatch(f"(?:{_DURATION.pattern})+", text):
        raise ValueError(f"`{text}` is no duration; write it like 500ms, 30s, 10m, 2h or 7d")
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(text))


def size(text: str | int) -> int:
    """Bytes in `64KB` (1 KB = 1,024 bytes), or a plain number of bytes. Raises ValueError."""
    match = _SIZE.fullmatch(str(text))
    if match is None:
        raise ValueError(f"`{text}` is no size; write 64KB, 1MB, or a number of bytes")
    return int(float(match[1]) * _BYTES[match[2] or "B"])


def dollars(text: str | float) -> float:
    """US dollars in `$0.05`, `0.05` or a number. Raises ValueError."""
    match = _MONEY.fullmatch(str(text))
    if match is None:
        raise ValueError(f"`{text}` is no amount of money; write it like $0.05")
    return float(match[1])


def share_of(text: str | int, whole: int) -> int:
    """How many of `whole` `20%` is, rounded down; a plain number is itself. Raises ValueError."""
    if isinstance(text, int):
        return text
    match = _SHARE.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is no share; write 20% or a count")
    return int(whole * float(match[1]) / 100)


def tokens(text: str) -> int:
    """Tokens in `6000 tokens`. Raises ValueError."""
    match = _TOKENS.fullmatch(text)
    if match is None:
        raise ValueError(f"`{text}` is no number of tokens; write 6000 tokens, or a number of messages: 24")
    return int(match[1])
