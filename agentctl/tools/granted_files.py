"""What the files hold that a sandboxed tool may look at: its answer may depend on them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from agentctl.json import digest

MOST_FILES = 5_000
"""More are not looked through before a call."""
MOST_BYTES = 256 * 1024**2
_SETTLED = 2.0
"""Seconds: a file changed more recently than that may change again and keep its times."""

Signature = tuple[int, int, int, int]


class GrantedFiles:
    """Digests of files and folders. What was hashed once is only looked at again, while it keeps size and times."""

    def __init__(self, store: Path | None = None) -> None:
        """`store` is agentctl's own folder, of which no tool sees anything."""
        self._store = None if store is None else Path(os.path.realpath(store))
        self._known: dict[Path, tuple[Signature, str]] = {}

    async def digest(self, paths: Sequence[Path]) -> str | None:
        """Equal exactly when names and bytes are; None when that cannot be told: too much, no files, or unreadable."""
        return await asyncio.to_thread(self._digest, paths)

    def _digest(self, paths: Sequence[Path]) -> str | None:
        found: list[list[str]] = []
        room = MOST_BYTES
        try:
            for number, path in enumerate(paths):
                for file in _files(path, self._store):
                    seen = file.stat()
                    is_folder = stat.S_ISDIR(seen.st_mode)
                    room -= 0 if is_folder else seen.st_size
                    if len(found) >= MOST_FILES or room < 0 or not (is_folder or stat.S_ISREG(seen.st_mode)):
                        return None
                    said = _lead(file) if is_folder else self._hash(file, seen)
                    found.append([str(number), str(file.relative_to(path)), said])
        except OSError:
            return None
        return digest(found)

    def _hash(self, file: Path, seen: os.stat_result) -> str:
        signature = (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        known = self._known.get(file)
        if known is not None and known[0] == signature:
            return known[1]
        with file.open("rb") as opened:
            hashed = hashlib.file_digest(opened, "sha256").hexdigest()
        if time.time() - max(seen.st_mtime, seen.st_ctime) > _SETTLED:
            self._known[file] = (signature, hashed)
        return hashed


def _lead(folder: Path) -> str:
    """Where a link to a folder leads: what is there counts where it stands, and beyond the grant it is not there."""
    return os.readlink(folder) if folder.is_symlink() else ""


def _files(path: Path, hidden: Path | None) -> Iterator[Path]:
    """The file, or all that is below the folder in the order of the names; of what is not there, nothing."""
    if not path.is_dir():
        if path.exists():
            yield path
        return
    for folder, folders, names in os.walk(path):
        if hidden is not None and hidden.name in folders and Path(os.path.realpath(folder)) == hidden.parent:
            folders.remove(hidden.name)
        folders.sort()
        for name in (*folders, *sorted(names)):
            file = Path(folder, name)
            if file.exists():  # a link may lead nowhere
                yield file
