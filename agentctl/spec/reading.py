"""A project's files, read without waiting and no further than is wanted."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_start(path: Path, most: int = -1) -> bytes:
    """The first `most` bytes of a regular file, or all of it. Raises OSError.

    A pipe or a device is refused: it could keep a check waiting for ever, or never end.
    """
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise OSError(errno.EINVAL, "a pipe, a socket or a device is no file to read", str(path))
            return file.read(most)
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, f"no file has such a name: {error}", str(path)) from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)
