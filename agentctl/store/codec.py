"""How a value lies in a row: JSON bytes, compressed when large, behind a checksum that names its place."""

from __future__ import annotations

import hashlib

import zstandard

from agentctl.errors import DamagedRecord
from agentctl.json import Json, decode, encode

CHECK_SIZE = 12
"""Bytes of the checksum: BLAKE2b over (place, format, payload)."""
_PLAIN = b"\x01"
_ZSTD = b"\x02"
_COMPRESS_FROM = 512
"""Bytes; below it zstd gains little and costs a call."""
_HEAD_SIZE = 1 + CHECK_SIZE


class Codec:
    """Seals values and opens them again. For one thread at a time: zstd contexts are not shared.

    `place` is what the checksum is seeded with: a row's key, or in a log the checksum of the record before,
    so that a row that was moved, or a record whose forerunner was removed, does not match.
    """

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=3)
        self._decompressor = zstandard.ZstdDecompressor()

    def pack(self, value: Json) -> bytes:
        """Format byte and payload, not yet sealed. Raises TypeError for what JSON cannot say."""
        data = encode(value)
        if len(data) >= _COMPRESS_FROM:
            small = self._compressor.compress(data)
            if len(small) < len(data):
                return _ZSTD + small
        return _PLAIN + data

    def seal(self, value: Json, place: bytes) -> bytes:
        """The bytes of a row."""
        return seal_packed(self.pack(value), place)

    def unseal(self, blob: object, place: bytes) -> Json:
        """The value of a row's bytes. Raises DamagedRecord when they are not what was sealed at this place."""
        if type(blob) is not bytes or len(blob) <= _HEAD_SIZE:
            raise DamagedRecord("the row does not hold what agentctl writes")
        packed = blob[CHECK_SIZE:]
        if _check(packed, place) != blob[:CHECK_SIZE]:
            raise DamagedRecord("the bytes do not match their checksum")
        return self._unpack(packed)

    def _unpack(self, packed: bytes) -> Json:
        if packed[:1] == _PLAIN:
            return decode(packed[1:])
        if packed[:1] == _ZSTD:
            return decode(self._decompressor.decompress(packed[1:]))
        raise DamagedRecord(
            f"format {packed[0]} is unknown to this agentctl; a newer one may have written it"
        )


def seal_packed(packed: bytes, place: bytes) -> bytes:
    """The bytes of a row, of what `Codec.pack` gave."""
    return _check(packed, place) + packed


def check_of(blob: bytes) -> bytes:
    """The checksum of sealed bytes: the place of the next record of a log."""
    return blob[:CHECK_SIZE]


def place_of(key: str) -> bytes:
    """The place of a row that stands for itself."""
    return key.encode() + b"\0"


def _check(packed: bytes, place: bytes) -> bytes:
    return hashlib.blake2b(place + packed, digest_size=CHECK_SIZE).digest()
