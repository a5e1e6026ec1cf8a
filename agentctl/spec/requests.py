"""What an http tool may ask: its method and address, and the headers that are a file's to say."""

from __future__ import annotations

import re

WITH_BODY = ("POST", "PUT", "PATCH")
METHODS = ("GET", "HEAD", *WITH_BODY, "DELETE", "OPTIONS")
_REQUEST = re.compile(r"\s*(?P<method>[A-Za-z]+)\s+(?P<address>\S.*?)\s*", re.DOTALL)
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FRAMING = ("content-length", "transfer-encoding", "connection", "upgrade")
"""Headers that say where a message ends: not for a file to say."""


def request_of(text: str) -> tuple[str, str] | None:
    """The method, in capitals, and the address of `GET https://…`; None when it is no request."""
    asked = _REQUEST.fullmatch(text)
    if asked is None or asked["method"].upper() not in METHODS:
        return None
    return asked["method"].upper(), asked["address"]


def can_send(header: str) -> bool:
    """Whether a header of this name can be sent, and is a file's to say."""
    return _HEADER.fullmatch(header) is not None and header.lower() not in _FRAMING
