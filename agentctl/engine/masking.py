"""Secrets are taken out of what comes through the door, and of what is told."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import quote, quote_plus

from agentctl.json import Json

SHORTEST = 8
"""Characters; shorter values stand in too many texts by chance."""


class Mask:
    """Puts `***` in the place of secrets, wherever they stand in plain data.

    A secret is known as it is, a line of it, and as JSON, an address or Base64 spell it; in no other disguise.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        found = {form for secret in secrets if len(secret) >= SHORTEST for form in _forms(secret)}
        # the longest first: one secret may be a part of another
        self._secrets = sorted((form for form in found if len(form) >= SHORTEST), key=len, reverse=True)

    def __call__(self, value: Json) -> Json:
        return self._masked(value) if self._secrets else value

    def begun(self, text: str) -> int:
        """How many characters at the end of a text may be the beginning of a secret."""
        longest = 0
        for secret in self._secrets:
            for length in range(min(len(secret) - 1, len(text)), longest, -1):
                if text.endswith(secret[:length]):
                    longest = length
                    break
        return longest

    def _masked(self, value: Json) -> Json:
        if isinstance(value, str):
            for secret in self._secrets:
                value = value.replace(secret, "***")
            return value
        if isinstance(value, Mapping):
            return {self._masked(key): self._masked(item) for key, item in value.items()}
        if isinstance(value, Sequence):  # a tuple, too: the calls of a reply are one
            return [self._masked(item) for item in value]
        return value


class MaskedStream:
    """Tells a text that comes in pieces, of which no one need hold a whole secret."""

    def __init__(self, mask: Mask, tell: Callable[[str], None]) -> None:
        self._mask = mask
        self._tell = tell
        self._held = ""
        """What may be the beginning of a secret."""

    def add(self, text: str) -> None:
        """Tell what is surely none."""
        self._held = str(self._mask(self._held + text))
        sure = len(self._held) - self._mask.begun(self._held)
        told, self._held = self._held[:sure], self._held[sure:]
        if told:
            self._tell(told)

    def end(self) -> None:
        """Nothing more comes: tell the rest."""
        if self._held:
            self._tell(self._held)
        self._held = ""

    def drop(self) -> None:
        """What was said is void."""
        self._held = ""


def _forms(secret: str) -> Iterator[str]:
    """How a secret is spelled where it is quoted."""
    yield secret
    yield from secret.splitlines()  # a key of several lines is printed line by line
    for is_ascii in (True, False):
        yield json.dumps(secret, ensure_ascii=is_ascii)[1:-1]
    yield quote(secret, safe="", errors="replace")
    yield quote(secret, errors="replace")
    yield quote_plus(secret, errors="replace")
    data = secret.encode(errors="replace")
    for before in range(3):
        # what stands before it, as a name does in a header of basic authentication, moves all that follows
        spelled = base64.b64encode(bytes(before) + data).decode()
        whole = spelled[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
        yield whole
        yield whole.translate(_FOR_ADDRESSES)


_FOR_ADDRESSES = str.maketrans("+/", "-_")
