"""Fetching a model with its progress shown: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from agentctl.cli.streams import in_colour, on_terminal, say
from agentctl.errors import UsageError

if TYPE_CHECKING:
    from agentctl.models.catalogue import KnownModel
    from agentctl.models.pull import Progress

OnProgress = Callable[["Progress"], None]

_SAID_EVERY = 0.1
"""Share of the file between two lines."""


def known_model(name: str) -> KnownModel:
    """A model by name. Raises UsageError."""
    from agentctl.models.catalogue import MODELS

    if name not in MODELS:
        raise UsageError(
            f"there is no embedded model `{name}`", hint=f"the embedded models are: {', '.join(MODELS)}"
        )
    return MODELS[name]


def fetch(name: str, *, quiet: bool = False) -> None:
    """Fetch a model, and go on where an earlier pull stopped. Raises CannotRun."""
    from agentctl.models.pull import pull

    model = known_model(name)
    shown = _silent if quiet else _bar if on_terminal(sys.stderr) else _lines
    try:
        with shown(model) as on_progress:
            pull(model, on_progress=on_progress)
    except KeyboardInterrupt:
        say(f"stopped; `agentctl models pull {name}` goes on from here")
        raise
    if not quiet:
        say(f"{model.title} is here")


@contextmanager
def _silent(model: KnownModel) -> Iterator[OnProgress]:
    yield lambda progress: None


@contextmanager
def _bar(model: KnownModel) -> Iterator[OnProgress]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    console = Console(
        file=sys.stderr, force_terminal=True, color_system="auto" if in_colour(sys.stderr) else None
    )
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=16),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(model.name, total=model.size)

        def advance(progress: Progress) -> None:
            bar.update(task, completed=progress.done, description=f"{model.name} from {progress.source}")

        yield advance


@contextmanager
def _lines(model: KnownModel) -> Iterator[OnProgress]:
    source, next_share = "", 0.0

    def advance(progress: Progress) -> None:
        nonlocal source, next_share
        share = progress.done / progress.total
        if progress.source == source and share < next_share:
            return
        source, next_share = progress.source, share + _SAID_EVERY
        done, total = progress.done / 1e6, progress.total / 1e6
        say(f"{model.name}: {done:,.0f} of {total:,.0f} MB from {source}")

    yield advance
