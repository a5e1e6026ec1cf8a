"""What a report may show: no secret, and no character that a terminal would obey."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from agentctl.spec.finding import Finding, Fix

_SECRETS = r"""
    \b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{12,}            # OpenAI, Stripe
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,}
    | \bxox[abprs]-[A-Za-z0-9-]{10,}                # Slack
    | \bA(?:KIA|SIA)[A-Z0-9]{16}\b                  # AWS
    | \bAIza[A-Za-z0-9_-]{30,} | \bhf_[A-Za-z0-9]{20,} | \bglpat-[\w-]{16,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*
    | (?<=://)[^\s/:@]+:[^\s/@]+(?=@)               # user:password@
    """
"""Compiled when a line is first shown, as the next one is: most runs show none."""
_NAMED_SECRET = r"""(?ix) \b \w* (?:api_?key|secret|token|passw(?:or)?d|authorization) \b ["']? \s* : \s*
    (?P<value> (?:bearer\s+)? ["']? (?!\$\{\{|none\b|true\b|false\b|[\[{]) (?=[^\s"',}]*\d) [^\s"',}]{8,} )"""


@lru_cache(maxsize=64)  # of a long line with many findings each would go through it again
def masked(text: str) -> str:
    """The text with what looks like a secret starred out, as long as before."""
    text = re.sub(_SECRETS, lambda match: _starred(match[0]), text, flags=re.VERBOSE)
    return re.sub(
        _NAMED_SECRET,
        lambda match: match[0][: match.start("value") - match.start()] + _starred(match["value"]),
        text,
    )


def plain(text: str) -> str:
    """Text without control characters, which a terminal would obey, and lone surrogates, which nothing can write."""
    return "".join(char if char == "\t" or char.isprintable() else "\ufffd" for char in text)


def fit_to_show(text: str) -> str:
    """Text on one line, without secrets and control characters."""
    return plain(masked(text))


def shown_path(file: Path, base: Path) -> str:
    """A path as people write it: relative where it lies below the base, with `/`."""
    return plain((file.relative_to(base) if file.is_relative_to(base) else file).as_posix())


def shown_fix(finding: Finding) -> Fix | None:
    """The finding's mend, unless it holds what may not be shown: a mend that was altered would do harm."""
    fix = finding.fix
    if fix is None or masked(fix.text) != fix.text:
        return None
    return fix if all(char in "\t\n" or char.isprintable() for char in fix.text) else None


def _starred(secret: str) -> str:
    return secret[:3] + "*" * (len(secret) - 3)
