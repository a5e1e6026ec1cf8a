"""What looks like a secret: where one stands in a text, and the text with it starred out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from math import log2

_SHAPED = r"""
    \b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{12,}            # OpenAI, Stripe
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}                # Slack
    | \bA(?:KIA|SIA)[A-Z0-9]{16}\b                  # AWS
    | \bAIza[A-Za-z0-9_-]{30,} | \bhf_[A-Za-z0-9]{20,} | \bglpat-[\w-]{16,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    | (?<=://)[^\s/:@]+:[^\s/@]+(?=@)               # user:password@
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----
    """
_NAMED = r"""(?ix) \b \w* (?:api[_-]?key|secret|token|passw(?:or)?d|authorization) \b ["']? \s* : \s*
    (?:[|>][-+\d]*\s+)? ["']? (?:(?:bearer|basic|token)\s+)? ["']? (?P<value> (?!\$\{\{|none\b|true\b|false\b|[\[{]) (?=[^\s"',}]*\d) [^\s"',}]{8,} )"""
_TELLING, _MOST_NAMED = 12, 1000
_RANDOM = 2.7
"""Bits for each character, from which on a text reads like chance."""
_RUN = re.compile(r"(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{8,}")
"""Letters and digits mixed: what names and versions have not."""


@lru_cache(maxsize=64)  # of a long line with many findings each would go through it again
def masked(text: str) -> str:
    """The text with what may be a secret starred out, as long as before. Rather too much than too little."""
    pieces, done = [], 0
    for start, end in sorted(_places(text)):
        start = max(start, done - 3)
        if end > done:
            pieces += [text[done : start + 3], "*" * (end - start - 3)]
            done = end
    return "".join([*pieces, text[done:]])


def named_secrets(text: str) -> re.Pattern[str] | None:
    """What finds the values that a text calls a key, a token or a password, wherever they are said without that name.

    Told of in a message they may be cut short, so that their beginnings are looked for.
    """
    beginnings = {match["value"][:_TELLING] for match in re.finditer(_NAMED, text)}
    if not beginnings or len(beginnings) > _MOST_NAMED:
        return None
    return re.compile(f"(?:{'|'.join(map(re.escape, sorted(beginnings)))})[^\\s\"'`,}}]*")


def starred(found: re.Match[str]) -> str:
    """What was found, starred out but for its beginning."""
    return f"{found[0][:3]}{'*' * (len(found[0]) - 3)}"


def secrets_in(text: str) -> Iterator[tuple[int, int]]:
    """Where a text surely looks like a secret: start and end. Names, words and templates do not."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(_places(text)):
        value = text[start:end]
        if kept and start < kept[-1][1]:
            continue
        if "PRIVATE KEY" in value or (_is_random(value) and "${{" not in value):
            kept.append((start, end))
    yield from kept


def _places(text: str) -> set[tuple[int, int]]:
    shaped = {match.span() for match in re.finditer(_SHAPED, text, flags=re.VERBOSE)}
    return shaped | {match.span("value") for match in re.finditer(_NAMED, text)}


def _is_random(value: str) -> bool:
    """Whether it has letters and digits in an order that says nothing."""
    if _RUN.search(value) is None:
        return False
    counts = [value.count(char) for char in set(value)]
    return -sum(count / len(value) * log2(count / len(value)) for count in counts) >= _RANDOM
