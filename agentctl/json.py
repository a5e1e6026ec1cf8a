"""JSON as one type, one encoder, one canonical form and one digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

import orjson

Json = Any
"""Plain data: None, bool, int, float, str, list of Json, dict of str to Json."""


MAX_DEPTH = 100
"""Lists and objects inside each other, as in a file: what is written around a value must still fit the encoder."""
TOO_DEEP = f"it is nested deeper than {MAX_DEPTH} levels"

_NESTING = (dict, list, tuple)


def too_deep(value: Json) -> bool:
    """Whether the value passes MAX_DEPTH. What comes from outside is asked before it is kept."""
    level = [value] if isinstance(value, _NESTING) else []
    for _ in range(MAX_DEPTH):
        level = [item for outer in level for item in _inside(outer) if isinstance(item, _NESTING)]
        if not level:
            return False
    return True


def unsayable(value: Json) -> str | None:
    """Why a value from outside cannot be kept as JSON, in a sentence; None when it can."""
    if too_deep(value):
        return TOO_DEEP
    try:
        json.dumps(value, allow_nan=False)
        encode(value)
    except ValueError:
        return "it holds NaN or an infinity, which JSON does not have"
    except TypeError as error:
        return f"it is no JSON: {error}"
    return None


def _inside(outer: Json) -> Iterable[Json]:
    return outer.values() if isinstance(outer, dict) else outer


def encode(value: Json) -> bytes:
    """JSON bytes in UTF-8, as given: keys keep their order. Raises TypeError for what JSON cannot say."""
    return orjson.dumps(value)


def decode(data: bytes | str) -> Json:
    """The value of JSON text. Raises ValueError."""
    return orjson.loads(data)


def canonical(value: Json) -> bytes:
    """Canonical JSON in the manner of RFC 8785: sorted keys, and 12.0 is written as 12."""
    return orjson.dumps(_plain_numbers(value), option=orjson.OPT_SORT_KEYS)


def digest(value: Json) -> str:
    """BLAKE2b of the canonical form, 32 hex digits."""
    return hashlib.blake2b(canonical(value), digest_size=16).hexdigest()


def _plain_numbers(value: Json) -> Json:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, dict):
        # nearly all is text, which need not be asked
        return {key: item if type(item) is str else _plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_numbers(item) for item in value]
    return value


def type_name(value: Json) -> str:
    """The JSON Schema type name of a value; a whole number is an `integer`."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
