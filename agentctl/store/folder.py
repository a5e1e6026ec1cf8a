"""Where a project keeps its threads, its memo and its breakers: the folder `.agentctl`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from agentctl import units
from agentctl.errors import StoreError, UsageError
from agentctl.store.breakers import DiskBreakers
from agentctl.store.memo import DiskMemo
from agentctl.store.threads import DiskThreadStore, Durability

NAME = ".agentctl"
JOBS = "jobs"
"""The folder of the background jobs, in a store's."""
MEMO_SIZE = 256 * 1024**2
"""Bytes, unless MEMO_SIZE_VARIABLE says otherwise."""
MEMO_SIZE_VARIABLE = "AGENTCTL_MEMO_SIZE"
SMALLEST_MEMO = 1024**2


def find_store(start: Path) -> Path | None:
    """The nearest `.agentctl` in a folder or above it, as git finds `.git`; None when there is none."""
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / NAME).is_dir():
            return folder / NAME
    return None


def place_store(start: Path) -> Path:
    """The store found from a folder, or where it would be made: in the folder itself."""
    return find_store(start) or start.absolute() / NAME


def prepare_store(folder: Path) -> Path:
    """Make a store's folder if it is not there, for nobody else to read, and see to it that it is ours.

    Returns it as an absolute path. Raises UsageError when it is another user's, or no folder.
    """
    folder = folder.absolute()
    try:
        if not folder.exists():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
        _check_owner(folder, found.st_uid)
        if not folder.is_dir():
            raise UsageError(f"{folder} is a file, so the store cannot be kept in it", hint="move it away")
        if found.st_mode & 0o077:
            folder.chmod(0o700)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise UsageError(
            f"the store cannot be kept in {folder}: {error.strerror}", hint="name another folder with --store"
        ) from error
    return folder


def open_thread_store(folder: Path, *, durability: Durability = "normal") -> DiskThreadStore:
    """The threads kept in a store's folder. Nothing is made before something is written."""
    return DiskThreadStore(folder.absolute(), durability=durability)


def open_jobs(folder: Path, *, durability: Durability = "normal") -> DiskThreadStore:
    """The logs of the background jobs kept in a store's folder; to be written, after `prepare_jobs`."""
    return DiskThreadStore(folder.absolute() / JOBS, durability=durability)


def prepare_jobs(folder: Path) -> None:
    """Make the place of the jobs in a store's folder. Raises UsageError."""
    try:
        (folder / JOBS).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UsageError(f"jobs cannot be kept in {folder / JOBS}: {error.strerror}") from error


def open_memo(
    folder: Path, *, size_limit: int | None = None, on_trouble: Callable[[StoreError], None] | None = None
) -> DiskMemo:
    """The memo kept in a store's folder; `on_trouble` hears when its files fail, which is never a run's end."""
    return DiskMemo(folder.absolute(), size_limit=size_limit or memo_size(), on_trouble=on_trouble)


def memo_size() -> int:
    """The bytes that a memo may take: AGENTCTL_MEMO_SIZE, as in `1GB`, or 256 MB. Raises UsageError."""
    said = os.environ.get(MEMO_SIZE_VARIABLE)
    if not said:
        return MEMO_SIZE
    try:
        size = units.size(said)
    except ValueError as error:
        raise UsageError(f"{MEMO_SIZE_VARIABLE}: {error}") from error
    if size < SMALLEST_MEMO:
        raise UsageError(f"{MEMO_SIZE_VARIABLE}: `{said}` is too small for a memo; write 1MB or more")
    return size


def open_breakers(folder: Path) -> DiskBreakers:
    """The breakers kept in a store's folder. Nothing is made before a tool fails."""
    return DiskBreakers(folder.absolute())


def _check_owner(folder: Path, owner: int) -> None:
    if owner != os.geteuid():
        raise UsageError(
            f"the store in {folder} belongs to another user (uid {owner}, you are {os.geteuid()})",
            hint="name a folder of your own with --store or AGENTCTL_STORE",
        )
