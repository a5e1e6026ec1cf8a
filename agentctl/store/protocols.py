"""What the engine asks of a store; nothing here assumes one process or one machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal, Protocol

import msgspec

from agentctl.errors import StoreError
from agentctl.json import Json
from agentctl.store.clock import Moment

Status = Literal["running", "done", "failed", "limit", "waiting", "interrupted"]


class Head(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a thread without reading its log. An index: where the log goes further, the log is right."""

    thread: str
    graph: str = ""
    digest: str = ""
    tenant: str = ""
    status: Status = "running"
    seq: int = 0
    """The last record when this head was written."""
    snapshot_seq: int = 0
    """The record that holds the newest snapshot of the state; 0 when there is none."""
    turn_seq: int = 0
    """The record that began the current turn."""
    turns: int = 0
    steps: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = 0.0
    """US dollars; None when some call had no price."""
    created: float = 0.0
    """Unix seconds."""
    updated: float = 0.0
    variants: dict[str, str] = {}
    of: str = ""
    """The thread that started this one, where this is a background job."""


class ThreadLog(Protocol):
    """The one writer of one thread. Records are JSON objects, numbered 1, 2, ... without gaps."""

    @property
    def thread(self) -> str: ...

    @property
    def seq(self) -> int:
        """The number of the last record; 0 for a new thread."""

    async def append(self, records: Sequence[Json], *, sync: bool = False) -> int:
        """Add records in one transaction and return the number of the last.

        When it returns, they survive SIGKILL; with `sync` they survive a power cut too. A cancelled append is
        still made, before any later one. Raises StoreError.
        """

    async def read(self, first: int = 1, last: int | None = None) -> list[tuple[int, Json]]:
        """Records `first` to `last`, both included, each with its number. Raises DamagedRecord."""

    async def save_head(self, head: Head) -> None: ...

    async def close(self) -> None:
        """Give the thread up to the next writer."""


class ThreadStore(Protocol):
    """Threads, each an append-only log with a head, and the texts of the files they ran."""

    async def open(self, thread: str) -> ThreadLog:
        """Become the one writer of a thread, new or old. Raises ThreadBusy, naming the holder."""

    async def heads(self) -> list[Head]:
        """Every thread, the one written last first."""

    async def head(self, thread: str) -> Head | None: ...

    async def read(self, thread: str, first: int = 1, last: int | None = None) -> list[tuple[int, Json]]:
        """As ThreadLog.read, for a reader beside the writer: it never waits for it and never writes."""

    async def save_file(self, digest: str, text: Json) -> None:
        """Keep a file's text under its digest, once."""

    async def load_file(self, digest: str) -> Json | None: ...

    async def remove(self, thread: str) -> None:
        """Forget a thread. Raises ThreadBusy."""

    async def close(self) -> None: ...


class MemoEntry(msgspec.Struct, frozen=True):
    """A remembered tool result."""

    value: Json
    stored: float
    """Unix seconds."""
    seconds: float
    """What the call took."""


class Memo(Protocol):
    """Results of identical tool calls, shared by the threads of a project, bounded in size."""

    async def get(self, key: str) -> MemoEntry | None:
        """The entry, or None when there is none or its age is over the one it was put with."""

    async def put(
        self,
        key: str,
        entry: MemoEntry,
        *,
        max_age: float | None,
        about: Mapping[str, Json] | None = None,
        details: Mapping[str, Json] | None = None,
    ) -> None:
        """Remember; `max_age` in seconds, None for as long as there is room.

        `about` is kept beside it: what `agentctl cache` says of it. `details` are kept under names that say all of
        them (a digest), for all entries at once.
        """

    def leading(self, key: str, patience: float) -> AbstractAsyncContextManager[None]:
        """Within it nobody else, in this process or another, works out the answer of the key.

        Waits for whoever does, for `patience` seconds; then it goes on all the same: one that is stopped would be
        waited for for ever.
        """

    async def lost(self, key: str) -> dict[str, Json]:
        """Why an answer that was remembered is not given any more: `expired` (seconds ago), `evicted` or `clock`
        (when it was stored), `too_large` (bytes); nothing when none is known."""

    async def close(self) -> None: ...


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """The one call that finds out whether a tool works again."""

    id: str
    began: Moment
    lease: float
    """Seconds after which another call may be the trial, though the process of this one lives."""


class BreakerState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a tool with a breaker."""

    failures: int = 0
    """In a row."""
    opened: Moment | None = None
    """None while it is closed."""
    trial: Trial | None = None


CLOSED = BreakerState()
"""Of a tool that has not failed; nothing is kept of it."""


class Breakers(Protocol):
    """The state of breakers, shared by the processes of a project."""

    async def get(self, key: str) -> BreakerState:
        """As it is now; never waits for a writer. Raises StoreError."""

    async def change(
        self, key: str, to: Callable[[BreakerState], BreakerState]
    ) -> tuple[BreakerState, BreakerState]:
        """Change the state in one transaction; what it was and what it is now. Raises StoreError.

        A change that changes nothing writes nothing. A cancelled change is still made.
        """

    async def recover(self, key: str, error: StoreError) -> None:
        """After an error: begin anew with what is damaged. Raises StoreError."""

    def claim(self, trial: str) -> None:
        """Say that the trial of this id is under way, for as long as this process lives. Raises StoreError."""

    def release(self, trial: str) -> None: ...

    def is_claimed(self, trial: str) -> bool:
        """Whether the process that has claimed it lives, and has not released it. Raises StoreError."""

    async def close(self) -> None: ...
