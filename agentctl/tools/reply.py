"""What became of a Python tool's call, as JSON: its result or its failure; imported by path in a worker.

With nothing of agentctl, as the calls that run inside agentctl use it, too.
"""

from __future__ import annotations

import json
import os
import re

TYPE_CHECKING = False  # `typing` itself would take 5 ms of every start
if TYPE_CHECKING:
    from agentctl.json import Json

LONGEST_MESSAGE = 2_000
"""Characters of an exception's message."""
_FRAMES = 8
_HERE = os.path.dirname(__file__)
_LONG_NUMBER = re.compile(rb"\d{19}")


class Unsaid(Exception):
    """A result that cannot be sent: no JSON, or too much of it."""


def encode_result(value: Json, limit: int) -> bytes:
    """A result as JSON in UTF-8, at most `limit` bytes. Raises Unsaid."""
    try:
        body = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise Unsaid("the result holds text that is no Unicode (a lone surrogate)") from None
    except RecursionError:
        raise Unsaid("the result is nested too deeply for JSON") from None
    except ValueError as error:
        reason = "it contains itself" if "ircular" in str(error) else "it holds NaN or an infinity"
        raise Unsaid(f"the result is no JSON: {reason}") from None
    except TypeError as error:
        raise Unsaid(f"the result is no JSON: {error}; return texts, numbers, lists and dicts") from None
    if len(body) > limit:
        raise Unsaid(f"the result is {len(body):,} bytes, over its max_result of {limit:,}")
    if _LONG_NUMBER.search(body) and _has_long_integer(value):
        raise Unsaid("the result holds an integer of more than 64 bits; return it as a text")
    return body


def _has_long_integer(value: Json) -> bool:
    if isinstance(value, int):
        return not -(2**63) <= value < 2**64
    if isinstance(value, dict):
        return any(map(_has_long_integer, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_has_long_integer, value))


def failure(kind: str, error: BaseException) -> bytes:
    """A failure as JSON. `kind`: load, missing, raised or unsaid."""
    said = str(error) if kind in ("unsaid", "missing") else describe(error)
    return json.dumps(
        {"kind": kind, "message": said, "traceback": frames(error), "cause": _cause(error)}
    ).encode()


def _cause(error: BaseException) -> Json:
    """The first failure of the machine behind an error: what it is, and the path that it is about."""
    step: BaseException | None = error
    for _ in range(_FRAMES):
        if isinstance(step, MemoryError):
            return {"type": "MemoryError"}
        if isinstance(step, OSError) and step.errno is not None:
            path = step.filename if isinstance(step.filename, str) else None
            return {"type": "OSError", "errno": step.errno, "path": path}
        step = step.__cause__ or step.__context__ if step is not None else None
    return None


def describe(error: BaseException) -> str:
    """`ValueError: no such page`"""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - an exception's own __str__ can fail, too
        text = ""
    name = type(error).__name__
    said = f"{name}: {text}" if text else name
    if len(said) <= LONGEST_MESSAGE:
        return said
    # between words where there are any: a secret that is cut in two is not recognised
    cut = said[:LONGEST_MESSAGE]
    words = cut.rsplit(None, 1)[0]
    return f"{words} …" if len(words) > LONGEST_MESSAGE // 2 else cut


def frames(error: BaseException) -> str:
    """The tool's own frames, the innermost last, a line each. By hand: `traceback` takes 5 ms to import."""
    lines = []
    step = error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        ours = os.path.dirname(code.co_filename) == _HERE or code.co_filename.startswith("<frozen")
        if not ours and f"{os.sep}asyncio{os.sep}" not in code.co_filename:
            lines.append(f"{code.co_filename}:{step.tb_lineno} in {code.co_name}")
        step = step.tb_next
    return "\n".join(lines[-_FRAMES:])
