"""Text from models, tools and files made harmless for a terminal."""

from __future__ import annotations

import re

# C0 but for tab and newline, DEL, C1, and what turns the reading direction around (CVE-2021-42574).
_HOSTILE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


def neutral(text: str) -> str:
    """The text with every character that could steer a terminal replaced by a picture of it."""
    return _HOSTILE.sub(_picture, text.replace("\r\n", "\n"))


def one_line(text: str, longest: int = 100) -> str:
    """The text on one line, harmless, cut to `longest` characters."""
    line = " ".join(neutral(text[: 4 * longest]).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "�"
