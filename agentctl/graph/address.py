"""The address of an http tool: what an argument puts into it stays where the file puts it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote, unquote

from agentctl.errors import ToolError
from agentctl.expressions import compile_text
from agentctl.json import Json

Address = Callable[[Mapping[str, Json]], str]
"""The whole address for the names `args`, `run` and `env`. Raises ToolError, ExpressionError."""

_MARK = "\0"
"""Around what was filled in and is not the file's own; in no text that is percent-encoded."""
_PARTS = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]+)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?:#.*)?", re.I
)
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_REST_OF_HOST = re.compile(r"[A-Za-z0-9-]*\.[^@]*[A-Za-z][^@]*")


def compile_address(text: str) -> Address:
    """An address whose arguments are percent-encoded, each within its place.

    What reads `env` alone is the file's own, and may be a whole beginning: `${{ env.URL }}/orders`. Any other value
    can be no more than one part of the path that is there, one value of the query, or one label of a host.
    Raises ExpressionError.
    """
    filled = compile_text(text, _kept, frozenset({"env"}))
    return lambda names: _checked(str(filled(names)).strip())


def _kept(value: str) -> str:
    return f"{_MARK}{quote(value, safe='')}{_MARK}"


def _checked(marked: str) -> str:
    parts = _PARTS.fullmatch(marked)
    if parts is None:
        raise _refused("it is no address that begins with http:// or https:// and a host")
    _check_host(parts["authority"])
    for segment in parts["path"].split("/"):
        _check_segment(segment)
    whole = f"{parts['scheme']}://{parts['authority']}{parts['path']}{parts['query'] or ''}"
    return whole.replace(_MARK, "")


def _check_host(authority: str) -> None:
    """An argument in the host is one label, or the beginning of one, before a host that the file says."""
    *filled, rest = authority.split(_MARK)
    for label in filled[1::2]:
        if not _LABEL.fullmatch(label):
            raise _refused(f"`{unquote(label)}` is no part of a host name")
    if filled and not _REST_OF_HOST.fullmatch(rest):
        raise _refused("an argument would choose its host")


def _check_segment(segment: str) -> None:
    """No argument makes a part of the path vanish, or means the one above."""
    if _MARK not in segment:
        return
    said = unquote(segment.replace(_MARK, ""))
    if said in ("", ".", ".."):
        raise _refused(f"an argument would make a part of its path {f'`{said}`' if said else 'empty'}")


def _refused(why: str) -> ToolError:
    return ToolError("tool_failed", f"the address cannot be used: {why}", retryable=False)
