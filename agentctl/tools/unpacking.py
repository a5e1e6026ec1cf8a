"""Packed answers (gzip, deflate) unpacked piece by piece: never more than asked for, and whole or not at all."""

from __future__ import annotations

import zlib

PACKINGS = ("", "identity", "gzip", "deflate")
"""Values of Content-Encoding that can be read."""
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_BARE = -zlib.MAX_WBITS
"""What some servers send as `deflate`, against RFC 9110, 8.4.1.2."""


class Broken(Exception):
    """What came is not packed as it says."""


class Unpacker:
    """Takes the pieces of a body; at most `most` + 1 bytes come out of it, so that too much can be told."""

    def __init__(self, packing: str, most: int) -> None:
        self._left = most + 1
        self._packing = packing if packing in ("gzip", "deflate") else ""
        self._stream = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._has_begun = False
        self._head = b""

    def take(self, piece: bytes) -> bytes:
        """What a piece holds. Raises Broken."""
        if not self._packing:
            return self._counted(piece[: self._left])
        if not self._has_begun:
            # two bytes say whether it has a header
            piece = self._head = self._head + piece
            if len(piece) < 2:
                return b""
        found = b""
        while piece and self._left > 0:
            if self._stream.eof:
                # gzip allows another one after the first (RFC 1952, 2.2)
                self._stream = zlib.decompressobj(_GZIP_OR_ZLIB)
            found += self._counted(self._unpacked(piece))
            piece = self._stream.unused_data
        return found

    def end(self) -> None:
        """Raises Broken for a body that ended in the middle: a stream that is cut short looks like a shorter one."""
        if self._head and not self._stream.eof:
            raise Broken("it is not there to its end")

    def _unpacked(self, piece: bytes) -> bytes:
        try:
            return self._begun(piece)
        except zlib.error as error:
            raise Broken(str(error)) from error

    def _begun(self, piece: bytes) -> bytes:
        is_first, self._has_begun = not self._has_begun, True
        try:
            return self._stream.decompress(piece, self._left)
        except zlib.error:
            if not is_first or self._packing != "deflate":
                raise
            self._stream = zlib.decompressobj(_BARE)
            return self._stream.decompress(piece, self._left)

    def _counted(self, found: bytes) -> bytes:
        self._left -= len(found)
        return found
