"""What a plain YAML scalar means: the core schema of YAML 1.2, and where other readers disagree with it."""

from __future__ import annotations

import re

from agentctl.json import Json

_WORDS: dict[str, Json] = {
    "": None,
    **dict.fromkeys(("~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_MAY_BE_NUMBER = frozenset("0123456789+-.")

_YES_NO = re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+(?:\.[0-9_]*)?")
_UNDERSCORES = re.compile(r"[-+]?(?:0[xb])?[0-9a-fA-F]+_[0-9a-fA-F_]*(?:\.[0-9_]*)?")
_PREFIXED = re.compile(r"[-+]?0b[01_]+|0o[0-7]+|[-+]0x[0-9a-fA-F]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:(?:[Tt]|[ \t]+)[0-9:.]+.*)?")
_BARE_EXPONENT = re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+|[-+]?[0-9.]+[eE][0-9]+")

_LEAST, _MOST = -(2**63), 2**64 - 1
"""The integers that JSON readers and the store keep exactly."""
_LONGEST_INTEGER = 30
"""Characters. Python refuses to read integers of thousands of digits."""


def core_value(text: str) -> Json:
    """The value of a plain scalar by the core schema. An integer beyond 64 bits becomes a float, as in JSON."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _MAY_BE_NUMBER:
        return text
    if _DECIMAL.fullmatch(text):
        return _bounded(int(text)) if len(text) <= _LONGEST_INTEGER else float(text)
    if _OCTAL.fullmatch(text):
        return _bounded(int(text[2:], 8))
    if _HEX.fullmatch(text):
        return _bounded(int(text[2:], 16))
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def doubt(text: str, value: Json) -> str | None:
    """Why readers differ on a plain scalar, or None. `value` is what it means here."""
    if not text or not (text[0] in _MAY_BE_NUMBER or text[0] in "yYnNoO"):
        return None
    if text[0] in "123456789" and isinstance(value, int):
        return None
    if _YES_NO.fullmatch(text):
        return "text here, true or false to other readers"
    if isinstance(value, float) and (_DECIMAL.fullmatch(text) or text[:2] in ("0x", "0o")):
        return "more than 64 bits: its last digits are lost"
    if value in (float("inf"), float("-inf")) or value != value:
        return "no number to JSON"
    for pattern, why in _DOUBTS:
        if pattern.fullmatch(text):
            return why.format(value=value)
    return None


def _bounded(number: int) -> int | float:
    if _LEAST <= number <= _MOST:
        return number
    return float(number) if number.bit_length() < 1000 else float("inf")


_DOUBTS = (
    (_LEADING_ZERO, "{value} here, octal to other readers"),
    (_UNDERSCORES, "text here, a number to other readers"),
    (_PREFIXED, "{value} here, and not the same to other readers"),
    (_SEXAGESIMAL, "text here, a number in base 60 to other readers"),
    (_DATE, "text here, a date to other readers"),
    (_BARE_EXPONENT, "{value} here, text to other readers"),
)
