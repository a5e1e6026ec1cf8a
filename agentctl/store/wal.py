"""SQLite's write-ahead log, looked at before SQLite does: it drops what follows a damaged frame without a word.

Format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_HEADER = struct.Struct(">IIIIIIII")
_FRAME = struct.Struct(">IIIIII")
_LITTLE_ENDIAN = 0x377F0682
_LOOKS = 3
_BETWEEN_LOOKS = 0.003
"""Seconds: a writer at work makes the file look torn for a moment, a flipped byte for good."""

Sums = tuple[int, int]


class _Frame(NamedTuple):
    sound: bool
    """Its checksum follows from the one stored before it."""
    commits: bool


def boot_id() -> str:
    """What tells this boot of the machine from others; empty where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        return ""


def is_damaged(wal: Path) -> bool:
    """True when transactions stand behind a frame that does not match its checksum.

    A killed process never leaves that, for frames are written in their order; a power cut may, so this is to
    be asked only of a log that was written since the last boot. A flip in the very last frame looks like a
    kill in the midst of writing it, and is not seen.
    """
    before: bytes | None = None
    for look in range(_LOOKS):
        if look:
            time.sleep(_BETWEEN_LOOKS)
        try:
            data = wal.read_bytes()
        except FileNotFoundError:
            return False
        if data != before and not _is_torn(data):
            return False
        before = data
    return True


def _is_torn(data: bytes) -> bool:
    if len(data) <= _HEADER.size:
        return False
    magic, _, page_size, _, _, _, *sums = _HEADER.unpack_from(data)
    if not 512 <= page_size <= 65536 or _sums(data[:24], (0, 0), magic) != tuple(sums):
        return True
    broken = False
    for frame in _frames(data, magic, page_size):
        if broken and frame.sound and frame.commits:
            return True
        broken = broken or not frame.sound
    return False


def _frames(data: bytes, magic: int, page_size: int) -> Iterator[_Frame]:
    """The frames of this generation of the log: those that bear either of its two salts."""
    salts, before = data[16:24], _HEADER.unpack_from(data)[6:8]
    size = _FRAME.size + page_size
    for start in range(_HEADER.size, len(data) - size + 1, size):
        _, commit, _, _, *stored = _FRAME.unpack_from(data, start)
        found = data[start + 8 : start + 16]
        if found[:4] != salts[:4] and found[4:] != salts[4:]:
            return
        sums = _sums(data[start : start + 8], before, magic)
        sums = _sums(data[start + _FRAME.size : start + size], sums, magic)
        yield _Frame(found == salts and sums == tuple(stored), commit != 0)
        before = (stored[0], stored[1])


def _sums(data: bytes, before: Sums, magic: int) -> Sums:
    order = "<" if magic == _LITTLE_ENDIAN else ">"
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    first, second = before
    for one, other in zip(words[::2], words[1::2], strict=True):
        first = (first + one + second) & 0xFFFFFFFF
        second = (second + other + first) & 0xFFFFFFFF
    return first, second
