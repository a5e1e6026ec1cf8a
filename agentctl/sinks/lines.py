"""Progress as plain lines, for stderr that is no terminal: a log, a CI run."""

from __future__ import annotations

from typing import Protocol

from agentctl.events import Event
from agentctl.json import Json
from agentctl.sinks.calls import OpenCalls
from agentctl.sinks.neutral import neutral
from agentctl.sinks.sentences import error_text, first_bit, sentence, warning
from agentctl.sinks.tally import Tally
from agentctl.sinks.wording import duration, tokens

_WHOLE = 1024 * 1024
"""Characters: results are told whole to those who want to know more."""


_ALWAYS = (
    "warning",
    "checkpoint.fallback",
    "sink.lost",
    "sandbox.violation",
    "breaker.opened",
    "job.lost",
)
"""What a person must hear of, however quiet things are."""


class Lines(Protocol):
    """What takes the lines: a text stream, or what stands before one."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> None: ...


class LineProgress:
    """Writes what happens as short lines, each after the `label`; only warnings unless `verbose`."""

    def __init__(self, stream: Lines, *, verbose: bool, label: str = "") -> None:
        self.stream = stream
        self.verbose = verbose
        self.label = label
        self.tally = Tally()
        self.calls = OpenCalls()

    def wants(self, type: str) -> bool:
        if type in _ALWAYS:
            return True
        return self.verbose and type != "model.delta"

    def emit(self, event: Event) -> None:
        self.tally.add(event)
        if said := warning(event):
            self._write(f"warning: {said}")
        elif self.verbose and (said := self._says(event)):
            self._write(f"{event.path}: {said}" if event.path else said)

    async def settle(self) -> None:
        self.stream.flush()

    async def close(self) -> None:
        self.stream.flush()

    def _says(self, event: Event) -> str | None:
        data = event.data
        match event.type:
            case "run.started" | "run.resumed":
                begun = "started" if event.type == "run.started" else "resumed"
                return f"{event.facts.graph}: turn {event.facts.turn} of thread {event.facts.thread} {begun}"
            case "step.started":
                return f"{data['node']} ({data['kind']})"
            case "step.ended":
                return self._step(data)
            case "model.ended":
                said = "from the tape" if data.get("recorded") else duration(data["seconds"])
                return f"model {data['model']}: {tokens(data['usage'])}, {said}"
            case "tool.started" | "memo.hit" | "tool.ended":
                return self._call(event)
            case "tool.output":
                return f"{data['tool']} prints: {data['text'].rstrip()}"
            case "run.ended":
                return self.tally.summary(event)
            case _:
                return sentence(event)

    def _call(self, event: Event) -> str | None:
        ended = self.calls.add(event)
        if ended is None:
            return None
        result = first_bit(ended.result, _WHOLE)
        return f"{ended.said} → {result}" if result else ended.said

    def _step(self, data: Json) -> str:
        went = f", then {data['next']}" if data.get("next") else ""
        failed = f": {error_text(data['error'])}" if data.get("error") else ""
        return f"{data['node']} {data['status']}{failed}, {duration(data['seconds'])}{went}"

    def _write(self, line: str) -> None:
        self.stream.write(self.label + neutral(line).replace("\n", " ") + "\n")
