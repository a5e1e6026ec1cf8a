"""A thread as its log tells it: the state, and the turn that is not over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agentctl.engine.signals import LimitReached
from agentctl.engine.tape import Tape, arrived, called_tool, unpacked
from agentctl.graph.plan import END
from agentctl.json import Json, encode
from agentctl.state import FieldPlan, State
from agentctl.store.protocols import Head, ThreadStore


@dataclass(slots=True)
class Pending:
    """A turn that was begun and not ended."""

    began: Json
    """Its `turn` record."""
    next: str
    tape: Tape = field(default_factory=Tape)
    visits: dict[str, int] = field(default_factory=dict)
    calls_of: dict[str, int] = field(default_factory=dict)
    used: Json = None
    elapsed: float = 0.0
    limit: LimitReached | None = None
    failure: Json = None
    """The error of its last step, when that one ended it."""
    options: Json = None
    """The options of the passage that was left."""
    suspended: Json = None
    """Its `suspend` record, when the turn was left in order."""

    @property
    def deadline(self) -> float | None:
        """Until when the question it waits at may be answered, in Unix seconds."""
        open = (asked for key, asked in self.tape.asked.items() if key not in self.tape.effects)
        return next((asked["deadline"] for asked in open), None)


Types = Mapping[str, FieldPlan]
"""The fields of a file."""


@dataclass(slots=True)
class History:
    """What folding a log gives: state after the last checkpoint, counters, and the pending turn.

    Updates are folded by the types of the file that made them, and their state is then put into the next one's.
    """

    state: State
    files: Mapping[str, Types] = field(default_factory=dict)
    """The fields of other files, by digest; a file that is not here has those of `state`."""
    file: str = ""
    """The digest of the file that made the last update."""
    steps: int = 0
    turns: int = 0
    updates: int = 0
    """Bytes of updates since the last snapshot, about."""
    turn_seq: int = 0
    snapshot_seq: int = 0
    pending: Pending | None = None
    jobs: dict[str, str] = field(default_factory=dict)
    """Background jobs whose results have not arrived, and their nodes."""

    def take(self, seq: int, record: Json) -> None:
        """Fold one record in."""
        match record["kind"]:
            case "turn":
                self._begin(seq, record)
            case "step":
                self._step(record)
            case "snapshot":
                self._restore(seq, record)
            case "suspend":
                if self.pending is not None:
                    self.pending.suspended = record
                    self.pending.elapsed = max(self.pending.elapsed, record["t"])
            case "resume":
                self._go_on_with(record["digest"])
                if self.pending is not None:
                    self.pending.tape.take(record)
                    self.pending.options, self.pending.suspended = record["options"], None
            case "end":
                self.pending = None
            case "effect" | "intent" | "asked" | "inner":
                if self.pending is not None:
                    self.pending.tape.take(record)
                if record.get("of") == "job" and "res" in record:
                    self._hear_of(record["res"])

    def _hear_of(self, job: Json) -> None:
        if job["state"] == "done":
            self.jobs.pop(job["job"], None)
        elif job["applies"]:
            self.jobs[job["job"]] = job["at"]

    def _go_on_with(self, file: str) -> None:
        fields = self.files.get(file, self.state.fields)
        if fields is not self.state.fields:
            self.state = State.restored(fields, self.state.values, self.state.digest)
        self.file = file

    def _restore(self, seq: int, record: Json) -> None:
        self.file = record["file"]
        fields = self.files.get(self.file, self.state.fields)
        self.state = State.restored(fields, record["values"], record["digest"])
        self.steps, self.snapshot_seq, self.updates = record["n"], seq, 0
        self.jobs = dict(record.get("jobs", {}))
        inside = record.get("turn")
        if inside is None:
            self.turns, self.pending = record["turns"], None
        else:
            # without its beginning at hand, it is a turn that ends further on in the log
            pending = self.pending = self.pending or Pending(None, END)
            pending.next, pending.used, pending.elapsed = inside["next"], inside["used"], inside["t"]
            pending.visits, pending.calls_of = inside["visits"], inside["calls_of"]
            pending.limit = LimitReached(*inside["limit"]) if inside.get("limit") else None
            pending.failure = inside.get("failure")

    def _begin(self, seq: int, record: Json) -> None:
        self._go_on_with(record["digest"])
        self.turns, self.turn_seq = record["n"], seq
        self.steps = record["steps"]
        self.pending = Pending(record, record["start"], options=record["options"])
        self.state.begin(record["reset"], record["inputs"], arrived(record))
        for job in record.get("jobs", ()):
            self.jobs.pop(job["job"], None)

    def _step(self, record: Json) -> None:
        pending = self.pending
        assert pending is not None
        self.steps = record["n"]
        writes = unpacked(record, pending.tape)
        if writes:
            self.state.apply(writes)
            self.updates += len(encode(writes))
        pending.visits[record["node"]] = pending.visits.get(record["node"], 0) + 1
        pending.next = record.get("next", END)
        pending.failure = None if "next" in record else record["err"]
        pending.used, pending.elapsed = record["used"], record["t"]
        if "limit" in record:
            pending.limit = LimitReached(*record["limit"])
        for effect in pending.tape.effects.values():
            if tool := called_tool(effect):
                pending.calls_of[tool] = pending.calls_of.get(tool, 0) + 1
        # what lies behind a checkpoint is never asked for again
        pending.tape = Tape()


async def read_history(
    store: ThreadStore,
    head: Head | None,
    thread: str,
    fields: Types,
    types_of: Callable[[str], Awaitable[Types]] | None = None,
) -> History:
    """Fold a thread's log from its newest snapshot on; without one, from the beginning.

    The state comes in `fields`; `types_of` gives those of the file with a digest. Raises NodeError when what is
    stored does not fit.
    """
    rows = await store.read(thread, head.snapshot_seq if head is not None and head.snapshot_seq else 1)
    files = {file: await types_of(file) for file in _files(rows)} if types_of is not None else {}
    history = History(State.fresh({} if files else fields), files)
    if head is not None and head.turn_seq and head.turn_seq < head.snapshot_seq:
        [(seq, began)] = await store.read(thread, head.turn_seq, head.turn_seq)
        history.turns, history.turn_seq = began["n"], seq
        history.pending = Pending(began, began["start"], options=began["options"])
    for seq, record in rows:
        history.take(seq, record)
    if history.state.fields is not fields:
        history.state = State.restored(fields, history.state.values, history.state.digest)
    return history


def _files(rows: Sequence[tuple[int, Json]]) -> set[str]:
    """Digests of the files that made these records."""
    kept = {"turn": "digest", "resume": "digest", "snapshot": "file"}
    return {record[kept[record["kind"]]] for _, record in rows if record["kind"] in kept}
