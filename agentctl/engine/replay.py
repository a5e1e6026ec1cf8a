"""Replay: the recorded thread run again from its tape, with no world, compared step by step."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from agentctl.engine.effects import Effects, Mismatch
from agentctl.engine.executor import Executor
from agentctl.engine.history import Pending
from agentctl.engine.session import Request, make_turn
from agentctl.engine.steps import Passage
from agentctl.engine.tape import Tape, arrived, unpacked
from agentctl.engine.turn import Turn
from agentctl.engine.watch import Watch
from agentctl.errors import NodeError, StoreError
from agentctl.events import Sink
from agentctl.graph.plan import Graph
from agentctl.json import Json
from agentctl.state import State

COMPARED = ("node", "visit", "up", "refs", "err", "next", "via", "used", "limit")
"""Keys of a step that must be equal; times may differ."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """A place where the replay and the recording part."""

    code: str
    step: int
    node: str
    message: str
    expected: Json
    actual: Json
    file: str = ""
    line: int = 0

    def as_json(self) -> dict[str, Json]:
        return {
            "code": self.code,
            "step": self.step,
            "node": self.node,
            "message": self.message,
            "expected": self.expected,
            "actual": self.actual,
            "file": self.file,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay found. `live` counts calls to the world: always 0. `open` is a turn that is not over."""

    thread: str
    turns: int
    steps: int
    model_calls: int
    tool_calls: int
    digest: str
    """Of the state at the end."""
    open: bool = False
    divergences: tuple[Divergence, ...] = ()
    live: int = 0

    @property
    def identical(self) -> bool:
        return not self.divergences

    def as_json(self) -> dict[str, Json]:
        """`replay --json` (version 1)."""
        return {
            "v": 1,
            "thread": self.thread,
            "identical": self.identical,
            "turns": self.turns,
            "steps": self.steps,
            "model_calls": self.model_calls,
            "tool_calls": self.tool_calls,
            "live": self.live,
            "open": self.open,
            "state": self.digest,
            "divergences": [divergence.as_json() for divergence in self.divergences],
        }


@dataclass(slots=True)
class RecordedTurn:
    """The records of one turn, sorted by what a replay needs them for."""

    began: Json
    tape: Tape = field(default_factory=Tape)
    steps: list[Json] = field(default_factory=list)
    changes: dict[int, Json] = field(default_factory=dict)
    """By the step that began with it: the `turn` record, with another file or other options."""
    end: Json = None

    @property
    def open_ended(self) -> bool:
        """Whether the turn is not over, or was given up."""
        return self.end is None or self.end["status"] == "abandoned"


class _Diverged(Exception):
    def __init__(self, divergence: Divergence) -> None:
        super().__init__(divergence.message)
        self.divergence = divergence


class _RecordOver(Exception):
    """The replay is past what was recorded of a turn that is not over."""


class _FileChanged(Exception):
    """What follows was run by another file, or with other options."""


class _Comparison:
    """Takes the records of a replay and holds each step against the recorded one."""

    def __init__(self, recorded: RecordedTurn) -> None:
        self.recorded = recorded
        self.at = 0

    async def append(self, records: Sequence[Json], *, sync: bool = False) -> int:
        """See Log. Raises _Diverged at the first step that differs."""
        for record in records:
            if record["kind"] == "step":
                self._step(record)
                if record["n"] + 1 in self.recorded.changes:
                    raise _FileChanged
            elif record["kind"] == "inner":
                self._inner(record)
        return self.at

    def _inner(self, actual: Json) -> None:
        """Hold a nested step against the recorded one."""
        expected = self.recorded.tape.inner.get(actual["path"])
        if expected is None:
            if self.recorded.open_ended and self.at == len(self.recorded.steps):
                raise _RecordOver
            message = f"the replay takes a step that was not recorded, {actual['path']}"
            raise _Diverged(
                Divergence("D20", _step_of(actual), actual["node"], message, None, actual["node"])
            )
        for key in ("node", "up", "err", "next"):
            if expected.get(key) != actual.get(key):
                step = {"n": _step_of(actual), "node": actual["path"]}
                raise _Diverged(_difference(key, expected | step, actual))

    def _step(self, actual: Json) -> None:
        if self.at == len(self.recorded.steps):
            if self.recorded.open_ended:
                raise _RecordOver
            message = "the replay takes a step that was not recorded"
            raise _Diverged(Divergence("D20", actual["n"], actual["node"], message, None, actual["node"]))
        expected = self.recorded.steps[self.at]
        self.at += 1
        for key in COMPARED:
            was, is_now = _plain(expected.get(key)), _plain(actual.get(key))
            if was != is_now:
                raise _Diverged(_difference(key, expected, actual))


def split(rows: Sequence[tuple[int, Json]]) -> list[RecordedTurn]:
    """The turns of a thread's log. Raises StoreError when it does not begin with one."""
    turns: list[RecordedTurn] = []
    for seq, record in rows:
        if record["kind"] == "turn":
            turns.append(RecordedTurn(record))
        elif not turns:
            if record["kind"] != "snapshot":
                raise StoreError(f"record {seq} stands before any turn: the log is damaged")
        elif record["kind"] == "step":
            turns[-1].steps.append(record)
        elif record["kind"] == "end":
            turns[-1].end = record
        else:
            turns[-1].tape.take(record)
            if record["kind"] == "resume" and record["changed"]:
                others = {key: record[key] for key in ("path", "digest", "options")}
                turns[-1].changes[record["step"]] = turns[-1].began | others
    return turns


async def replay(
    thread: str,
    rows: Sequence[tuple[int, Json]],
    graph_of: Callable[[Mapping[str, Json]], Graph],
    sinks: Sequence[Sink] = (),
) -> ReplayReport:
    """Replay a whole thread; `graph_of` gives the graph for a `turn` record. Stops at the first divergence."""
    state: State | None = None
    steps = model_calls = tool_calls = 0
    turns = split(rows)
    for recorded in turns:
        state = _carried(state, graph_of(recorded.began))
        comparison = _Comparison(recorded)
        replayed = _ReplayedTurn(recorded, comparison, graph_of, sinks)
        # a turn that is not over may be replayed a step too far: what the records say is what counts
        known = replayed.as_recorded(state) if recorded.open_ended else None
        divergence, state = await replayed.divergence(state)
        state = known or state
        steps += comparison.at
        model_calls += sum(e["of"] == "model" for e in recorded.tape.effects.values())
        tool_calls += sum(e["of"] == "tool" for e in recorded.tape.effects.values())
        if divergence is not None:
            return ReplayReport(
                thread, len(turns), steps, model_calls, tool_calls, state.digest, divergences=(divergence,)
            )
    digest = state.digest if state else ""
    over = not turns or not turns[-1].open_ended
    return ReplayReport(thread, len(turns), steps, model_calls, tool_calls, digest, open=not over)


@dataclass(slots=True)
class _ReplayedTurn:
    """One turn run again from its records."""

    recorded: RecordedTurn
    comparison: _Comparison
    graph_of: Callable[[Mapping[str, Json]], Graph]
    sinks: Sequence[Sink]

    def as_recorded(self, before: State) -> State:
        """The state as the records leave it."""
        state = State.restored(before.fields, before.values, before.digest)
        began = self.recorded.began
        state.begin(began["reset"], began["inputs"], arrived(began))
        for step in self.recorded.steps:
            if (changed := self.recorded.changes.get(step["n"])) is not None:
                state = _carried(state, self.graph_of(changed))
            state.apply(unpacked(step, self.recorded.tape))
        return state

    async def divergence(self, state: State) -> tuple[Divergence | None, State]:
        """The first divergence, and the state at the end."""
        recorded, began = self.recorded, self.recorded.began
        try:
            state.begin(began["reset"], began["inputs"], arrived(began))
        except (NodeError, KeyError) as error:
            message = f"the inputs do not fit: {error}"
            return Divergence("D30", began["steps"], "", message, began["inputs"], None), state
        effects = Effects(recorded.tape, self.comparison, Watch(None, clocked=False), live=False)
        turn = self._turn(self.graph_of(began), state, effects, Pending(began, began["start"]))
        turn.step = began["steps"]
        passage = Passage(turn.graph.start)
        try:
            ended = None
            while ended is None:
                if (changed := recorded.changes.get(turn.step + 1)) is not None:
                    turn = self._taken_up(turn, passage, self.graph_of(changed))
                try:
                    ended = await Executor(turn, passage).drive()
                except _FileChanged:
                    continue
        except _RecordOver:
            return None, turn.state
        except _Diverged as diverged:
            return diverged.divergence, turn.state
        except Mismatch as mismatch:
            over = mismatch.code == "D10" and self.comparison.at == len(recorded.steps)
            if recorded.open_ended and over:
                return None, turn.state
            return _from_mismatch(mismatch, turn.step, turn.node), turn.state
        return _compare_end(recorded, self.comparison, ended.status, turn.state), turn.state

    def _taken_up(self, turn: Turn, passage: Passage, graph: Graph) -> Turn:
        """The turn as another file goes on with it."""
        budget = turn.budget
        pending = Pending(self.recorded.began, passage.next, limit=passage.limit)
        pending.used, pending.visits, pending.calls_of = budget.as_json(), budget.visits, budget.calls_of
        going_on = self._turn(graph, _carried(turn.state, graph), turn.effects, pending)
        going_on.step = turn.step
        return going_on

    def _turn(self, graph: Graph, state: State, effects: Effects, pending: Pending) -> Turn:
        return make_turn(graph, state, effects, pending, Request(), None, self.sinks)


def _compare_end(
    recorded: RecordedTurn, comparison: _Comparison, status: str, state: State
) -> Divergence | None:
    if comparison.at < len(recorded.steps):
        step = recorded.steps[comparison.at]
        return Divergence(
            "D21", step["n"], step["node"], "the replay ends before this step", step["node"], None
        )
    end = recorded.end
    if end is None or end["status"] == "abandoned":
        return None
    if end["status"] != status:
        return Divergence("D22", end["n"], "", "the turn ends otherwise", end["status"], status)
    if end["digest"] != state.digest:
        return Divergence("D23", end["n"], "", "the state at the end differs", end["digest"], state.digest)
    return None


def _carried(state: State | None, graph: Graph) -> State:
    """The state a turn begins with: what the one before left, in the types of this turn's file."""
    if state is None:
        return State.fresh(graph.fields)
    if state.fields is graph.fields:
        return state
    return State.restored(graph.fields, state.values, state.digest)


def _plain(value: Json) -> Json:
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _step_of(inner: Json) -> int:
    """The root step that a nested one is inside of."""
    number = re.match(r"\d+", inner["path"])
    assert number is not None
    return int(number.group())


def _difference(key: str, expected: Json, actual: Json) -> Divergence:
    code, what = {
        "node": ("D01", "another node runs"),
        "next": ("D02", "the route differs"),
        "via": ("D02", "the route differs"),
        "up": ("D03", "what is written differs"),
        "refs": ("D03", "what is written differs"),
        "err": ("D04", "the error differs"),
        "used": ("D05", "the budgets used differ"),
        "visit": ("D05", "the visits differ"),
        "limit": ("D06", "the limit differs"),
    }[key]
    return Divergence(code, expected["n"], expected["node"], what, expected.get(key), actual.get(key))


def _from_mismatch(mismatch: Mismatch, step: int, node: str) -> Divergence:
    path = mismatch.place.path.removesuffix("/approve").removesuffix("/breakers")
    if not path.isdigit():
        node = path  # somewhere inside the step
    return Divergence(mismatch.code, step, node, mismatch.message, mismatch.expected, mismatch.actual)
