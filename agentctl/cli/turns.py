"""One turn on the command line: its sinks, its stop, its questions, and what is said when it is over."""

from __future__ import annotations

import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agentctl.cli.answer import print_answer, print_json
from agentctl.cli.asking import NoMoreInput, ask
from agentctl.cli.stopping import Signals, stop_on_signals
from agentctl.cli.streams import can_ask, complain, in_colour, on_terminal, say
from agentctl.errors import UsageError
from agentctl.events import Sink
from agentctl.json import Json
from agentctl.sinks.sentences import error_text

if TYPE_CHECKING:
    from agentctl.engine.outcome import Outcome
    from agentctl.engine.signals import Question
    from agentctl.engine.watch import Stop
    from agentctl.sinks.terminal import TerminalProgress

Ask = Callable[["Question"], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class Turn:
    """What the command line gives to one turn."""

    sinks: list[Sink]
    stop: Stop
    ask: Ask | None
    signals: Signals


@dataclass(slots=True)
class Console:
    """How the turns of one command are shown, and where its threads are kept."""

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    events: Path | None = None
    store: Path | None = None
    named: bool = True
    """Whether each turn says its thread's id; a chat says it once."""
    live: TerminalProgress | None = field(default=None, init=False)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn]:
        """What one turn is given. Ctrl-C and SIGTERM stop it; its sinks are closed when it is over."""
        from agentctl.engine.watch import Stop

        stop, sinks = Stop(), self._sinks()
        try:
            with stop_on_signals(stop.set, self._leave) as signals:
                yield Turn(sinks, stop, self._ask if can_ask() else None, signals)
        finally:
            for sink in sinks:
                await sink.close()

    def _sinks(self) -> list[Sink]:
        found: list[Sink] = []
        if self.events is not None:
            found.append(open_events(self.events))
        if self.quiet:
            return found
        if on_terminal(sys.stderr):
            from agentctl.sinks.terminal import TerminalProgress

            colour = in_colour(sys.stderr)
            self.live = TerminalProgress(sys.stderr, verbose=self.verbose, colour=colour, named=self.named)
            return [*found, self.live]
        from agentctl.sinks.lines import LineProgress

        return [*found, LineProgress(sys.stderr, verbose=self.verbose)]

    async def _ask(self, question: Question) -> Json:
        from agentctl.engine.signals import Waiting

        try:
            return await ask(question.text, question.choices)
        except NoMoreInput:
            raise Waiting(question) from None

    def _leave(self) -> None:
        """Give the screen back."""
        if self.live is not None:
            self.live.stop()


def finish(outcome: Outcome, console: Console, signals: Signals, *, resumable: bool = True) -> int:
    """Print the answer and, where it is `resumable`, how to go on; the exit code, which says which signal came."""
    if console.json:
        print_json(outcome.as_json())
    elif outcome.status == "done" or (outcome.status == "limit" and outcome.output != _nothing(outcome)):
        print_answer(outcome.output)
    sys.stdout.flush()
    for warning in outcome.warnings:
        # Said when it happened as well: what was lost on the way must not scroll by.
        complain("warning", error_text(warning))
    if outcome.error is not None:
        complain("error", error_text(outcome.error))
        if isinstance(outcome.error, dict) and outcome.error.get("hint"):
            complain("hint", str(outcome.error["hint"]))
    for line in next_steps(outcome, console.store) if resumable else ():
        say(line)
    return signals.exit_code if outcome.exit_code == 130 else outcome.exit_code


def _nothing(outcome: Outcome) -> dict[str, Json]:
    """What the output is when the limit came before any of it was saved."""
    return dict.fromkeys(outcome.output)


def next_steps(outcome: Outcome, store: Path | None) -> list[str]:
    """The command that goes on with a suspended turn."""
    if outcome.status not in ("waiting", "interrupted") and outcome.exit_code != 3:
        return []
    resume = f"agentctl resume {shlex.quote(outcome.thread)}"
    if store is not None:
        resume += f" --store {shlex.quote(str(store))}"
    question = outcome.question
    if question is None:
        return [f"go on with: {resume}"]
    asked = f"waiting: {error_text(question.text)}"
    id = shlex.quote(question.id)
    if question.kind == "outcome":
        return [
            asked,
            f"it was done:   {resume} --assume done {id}   (--result JSON says what it gave)",
            f"do it again:   {resume} --assume retry {id}",
        ]
    answers = [shlex.quote(f"{question.id}={choice}") for choice in question.choices]
    return [asked, *(f"answer with: {resume} --answer {answer}" for answer in answers or [f"{id}=…"])]


def open_events(path: Path) -> Sink:
    """The sink of `--events FILE`. Raises UsageError, CannotRun."""
    from agentctl.sinks.jsonl import JsonLinesSink

    if not path.parent.is_dir():
        raise UsageError(f"--events {path}: there is no folder {path.parent}")
    sink = JsonLinesSink(path)
    sink.open()
    return sink
