"""`run --each`: a turn for every line of a file, side by side, their outcomes in the order of the lines."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from agentctl.cli.answer import print_json
from agentctl.cli.inputs import text_of
from agentctl.cli.stopping import stop_on_signals
from agentctl.cli.streams import on_terminal, say
from agentctl.cli.turns import Console, open_events
from agentctl.errors import AgentctlError, UsageError
from agentctl.events import Sink
from agentctl.json import Json
from agentctl.sinks.wording import count, duration

if TYPE_CHECKING:
    from agentctl.assembly.loading import LoadedGraph
    from agentctl.engine.watch import Stop

_WORST_FIRST = (70, 3, 4, 5, 6)
"""Our own fault, could not be done, failed, a limit was met, waits for a person."""


@dataclass(frozen=True, slots=True)
class Line:
    """The inputs of one turn, and where they stand."""

    number: int
    inputs: dict[str, Json]


def read_lines(
    file: str, graph: LoadedGraph, below: Mapping[str, Json], above: Mapping[str, Json]
) -> list[Line]:
    """The inputs of each line that is not blank, over those `below` and under those `above`. Raises UsageError."""
    text = sys.stdin.read() if file == "-" else text_of(Path(file))
    found = []
    # at newlines only: JSON may hold the other characters that end a line in Unicode
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        inputs = {**below, **_object(line, f"--each {file}:{number}"), **above}
        try:
            graph.check_inputs(inputs, new=True)
        except UsageError as error:
            raise UsageError(f"--each {file}:{number}: {error.message}", hint=error.hint) from error
        found.append(Line(number, inputs))
    if not found:
        raise UsageError(
            f"--each {file}: there is no line in it", hint='write an object a line: {"key": "value"}'
        )
    return found


def _object(line: str, place: str) -> dict[str, Json]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UsageError(
            f"{place}: no JSON: {error}", hint='write an object a line: {"key": "value"}'
        ) from error
    if not isinstance(value, dict):
        raise UsageError(f"{place}: an object of inputs is wanted, not `{line.strip()[:40]}`")
    return value


@dataclass(slots=True)
class Board:
    """The one line of progress, rewritten on a terminal; and a stream for what else is said above it."""

    total: int
    quiet: bool
    running: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    _live: bool = field(init=False)

    def __post_init__(self) -> None:
        self._live = not self.quiet and on_terminal(sys.stderr)

    def write(self, text: str) -> None:
        """Lasting lines on stderr."""
        self.clear()
        sys.stderr.write(text)
        self.show()

    def flush(self) -> None:
        sys.stderr.flush()

    def clear(self) -> None:
        """Take the live line away before something is printed."""
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def show(self) -> None:
        if self._live:
            sys.stderr.write(f"\r\x1b[K{self.words()} · {self.running} running")
            sys.stderr.flush()

    def leave(self) -> None:
        self.clear()
        self._live = False

    def words(self) -> str:
        """`12 of 100 turns · 11 done · 1 failed`."""
        parts = [f"{number:,} {status}" for status, number in sorted(self.ended.items())]
        return " · ".join([f"{self.ended.total():,} of {count(self.total, 'turn')}", *parts])


class Batch:
    """The turns of one file of inputs, and what came of them."""

    def __init__(
        self, graph: LoadedGraph, lines: Sequence[Line], console: Console, *, tenant: str, cache: bool
    ) -> None:
        self.graph, self.lines, self.console = graph, lines, console
        self.tenant, self.cache = tenant, cache
        self.board = Board(len(lines), console.quiet)
        self.results: list[Json] = [None] * len(lines)
        self.codes: list[int] = []
        self.printed = 0

    async def run(self, concurrency: int) -> int:
        """All of them, at most `concurrency` at a time; the exit code."""
        from agentctl.concurrency import side_by_side
        from agentctl.engine.watch import Stop

        began, stop, events = time.monotonic(), Stop(), self.console.events
        shared = [open_events(events)] if events is not None else []
        try:
            with stop_on_signals(stop.set, self.board.leave) as signals:
                self.board.show()
                works = [partial(self._turn, index, shared, stop) for index in range(len(self.lines))]
                async with self.graph.opened():
                    results = await side_by_side(works, concurrency)
        finally:
            self.board.leave()
            for sink in shared:
                await sink.close()
        for result in results:
            if isinstance(result, BaseException):
                raise result
        if not self.board.quiet:
            say(f"{self.board.words()} · {duration(time.monotonic() - began)}")
        if signals.got is not None:
            self._say_how_to_go_on()
            return signals.exit_code
        return worst(self.codes)

    async def _turn(self, index: int, shared: Sequence[Sink], stop: Stop) -> None:
        """One turn; nothing once a stop is asked for."""
        from agentctl.sinks.lines import LineProgress

        if stop.requested:
            return
        line = self.lines[index]
        sinks = list(shared)
        if not self.board.quiet:
            sinks.append(
                LineProgress(self.board, verbose=self.console.verbose, label=f"line {line.number}: ")
            )
        self.board.running += 1
        self.board.show()
        try:
            outcome = await self.graph.arun(
                line.inputs, tenant=self.tenant, sinks=sinks, cache=self.cache, stop=stop
            )
        except AgentctlError as failure:
            self._ended(index, "failed", failure.exit_code, _failed(failure))
        else:
            self._ended(index, outcome.status, outcome.exit_code, outcome.as_json())

    def _ended(self, index: int, status: str, code: int, result: dict[str, Json]) -> None:
        self.board.running -= 1
        self.board.ended[status] += 1
        self.codes.append(code)
        self.results[index] = {**result, "line": self.lines[index].number}
        self.board.clear()
        while self.printed < len(self.results) and self.results[self.printed] is not None:
            print_json(self.results[self.printed])
            self.results[self.printed] = ()
            self.printed += 1
        sys.stdout.flush()
        self.board.show()

    def _say_how_to_go_on(self) -> None:
        suspended = self.board.ended["interrupted"]
        left = len(self.lines) - self.board.ended.total()
        said = f"{count(suspended, 'turn')} can be resumed, {left:,} not begun"
        say(f"stopped: {said}; go on with: agentctl resume THREAD, for the `thread` of each interrupted line")


def worst(codes: Sequence[int]) -> int:
    """The exit code of many turns: 0 when all are done, else the worst of theirs."""
    ranked = [code for code in _WORST_FIRST if code in codes]
    return ranked[0] if ranked else max(codes, default=0)


def _failed(failure: AgentctlError) -> dict[str, Json]:
    """What stands in place of an outcome where a turn could not be begun."""
    error = {"message": failure.message, "hint": failure.hint}
    return {
        "v": 1,
        "thread": None,
        "run": None,
        "turn": None,
        "status": "failed",
        "output": {},
        "error": error,
    }
