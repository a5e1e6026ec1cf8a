"""Progress for a person at a terminal: what runs now, its words as they come, and what it came to."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from agentctl.events import Event
from agentctl.sinks.calls import OpenCalls
from agentctl.sinks.neutral import neutral, one_line
from agentctl.sinks.sentences import error_text, sentence, tool_call, warning
from agentctl.sinks.tally import Tally
from agentctl.sinks.wording import count, duration

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TAIL_LINES = 6
_TAIL_CHARACTERS = 4000
_MARKS = {
    "ok": ("✓", "green"),
    "done": ("✓", "green"),
    "error": ("✗", "red"),
    "failed": ("✗", "red"),
    "limit": ("!", "yellow"),
    "waiting": ("?", "cyan"),
    "interrupted": ("■", "yellow"),
    "skipped": ("-", "dim"),
}


@dataclass(slots=True)
class _Block:
    """What is shown of the step that runs."""

    node: str
    kind: str
    began: float
    model: str = ""
    tokens: int = 0
    lines: list[tuple[str, str]] = field(default_factory=list)
    """Text and style."""
    words: list[str] = field(default_factory=list)
    """What the model has streamed so far."""


class TerminalProgress:
    """A live view on stderr. Streamed words show while they come; what stays is a line for each step.

    The answer itself goes to stdout when the turn is over, and is not said twice. `verbose` keeps the words;
    `named` says the thread's id at the end.
    """

    def __init__(
        self, stream: TextIO, *, verbose: bool = False, colour: bool = True, named: bool = True
    ) -> None:
        self.stream = stream
        self.named = named
        self.verbose = verbose
        self.colour = colour
        self.tally = Tally()
        self.calls = OpenCalls()
        self._block: _Block | None = None
        self._console: Console | None = None
        self._live: Live | None = None

    def wants(self, type: str) -> bool:
        return True

    def emit(self, event: Event) -> None:
        self.tally.add(event)
        match event.type:
            case "run.started" | "run.resumed":
                self._begin(event)
            case "step.started":
                self._step_started(event)
            case "step.ended":
                self._step_ended(event)
            case "run.ended":
                self._end(event)
            case "ask.waiting":
                # The screen is the prompt's until the answer is there.
                self.stop()
            case "ask.answered":
                self._happened(event)
                self._start_live()
            case _:
                self._happened(event)

    async def settle(self) -> None:
        """Nothing: what is taken is on the screen within a tenth of a second."""

    async def close(self) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the screen as a prompt expects it: the cursor shown, nothing live."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def _begin(self, event: Event) -> None:
        facts = event.facts
        resumed = "resumed · " if event.type == "run.resumed" else ""
        self._print(f"{facts.graph} · {resumed}turn {facts.turn}", "dim")
        self._start_live()

    def _step_started(self, event: Event) -> None:
        if self._block is not None:
            # A step inside a step: a line of the outer one.
            self._block.lines.append((f"{one_line(event.path)} {event.data['kind']}", "dim"))
            return
        self._block = _Block(str(event.data["node"]), str(event.data["kind"]), time.monotonic())

    def _step_ended(self, event: Event) -> None:
        block, data = self._block, event.data
        if block is None or data["node"] != block.node:
            return
        self._block = None
        mark, style = _MARKS.get(data["status"], ("·", ""))
        self._print_styled((f"{mark} ", style), *self._facts(block, data["seconds"], data.get("next")))
        for text, line_style in block.lines:
            self._print(f"    {text}", line_style)
        if self.verbose and block.words:
            self._print_words(block)
        if data.get("error"):
            self._print(f"    {error_text(data['error'])}", "red")

    def _facts(self, block: _Block, seconds: float, next: str | None) -> list[tuple[str, str]]:
        parts = [block.kind]
        if block.model:
            parts.append(one_line(block.model, 40))
        if block.tokens:
            parts.append(count(block.tokens, "token"))
        parts.append(duration(seconds))
        went = f" → {next}" if next and next != "end" else ""
        return [(block.node, "bold"), ("  " + " · ".join(parts) + went, "dim")]

    def _happened(self, event: Event) -> None:
        block = self._block
        if said := warning(event):
            self._print_styled(("warning: ", "bold yellow"), (said, ""))
        elif event.type == "model.delta":
            if block is not None:
                block.words.append(str(event.data["text"]))
        elif event.type == "model.started" and block is not None:
            block.model = str(event.data["model"])
            block.words = []
        elif event.type == "model.ended" and block is not None:
            block.tokens += event.data["usage"].get("input", 0) + event.data["usage"].get("output", 0)
            if not self.verbose:
                block.words = []
        elif ended := self.calls.add(event):
            self._note(ended, "dim" if event.data.get("ok", True) else "yellow")
        elif event.type == "model.retry" and block is not None:
            # The next try begins its answer anew.
            block.words = []
            self._note(sentence(event) or "", "yellow")
        elif event.type == "route.decided" and not self.verbose:
            return
        elif said := sentence(event):
            self._note(
                said, "yellow" if event.type in ("limit.reached", "tool.retry", "tool.refused") else "dim"
            )

    def _note(self, text: str, style: str) -> None:
        """A line under the step that runs, or on its own between steps."""
        if self._block is None:
            self._print(f"  {text}", style)
        else:
            self._block.lines.append((text, style))

    def _end(self, event: Event) -> None:
        self.stop()
        mark, style = _MARKS.get(event.data["status"], ("·", ""))
        said = self.tally.summary(event, named=self.named)
        if len(said) + 2 > self._screen().width:
            # A thread's id broken in two cannot be copied.
            said = said.replace(" · thread ", "\n  thread ")
        self._screen().print(self._text((f"{mark} ", style), (said, "dim")))

    # --- the screen ---

    def _start_live(self) -> None:
        from rich.live import Live

        self._live = Live(
            console=self._screen(),
            get_renderable=self._picture,
            refresh_per_second=10,
            transient=True,
            redirect_stdout=False,
        )
        self._live.start()

    def _screen(self) -> Console:
        if self._console is None:
            from rich.console import Console

            # No colour system at all: rich keeps bold under NO_COLOR.
            self._console = Console(
                file=self.stream,
                force_terminal=True,
                color_system="auto" if self.colour else None,
                highlight=False,
                markup=False,
                emoji=False,
            )
        return self._console

    def _print(self, text: str, style: str = "") -> None:
        self._print_styled((text, style))

    def _print_styled(self, *parts: tuple[str, str]) -> None:
        self._screen().print(self._text(*parts), soft_wrap=True)

    def _text(self, *parts: tuple[str, str]) -> Text:
        from rich.text import Text

        return Text.assemble(*((neutral(text), style) for text, style in parts))

    def _print_words(self, block: _Block) -> None:
        for line in neutral("".join(block.words)).strip().splitlines():
            self._print(f"    {line}", "dim")

    def _picture(self) -> RenderableType:
        """What is live: the step, its newest lines, its calls under way and the end of its words."""
        from rich.console import Group

        block = self._block
        if block is None:
            return Group()
        now = time.monotonic()
        frame = _FRAMES[int(now * 10) % len(_FRAMES)]
        rows = [self._text((f"{frame} ", "cyan"), *self._facts(block, now - block.began, None))]
        rows += [self._text((f"    {text}", style)) for text, style in block.lines[-_TAIL_LINES:]]
        rows += [
            self._text((f"    {frame} {tool_call(call.data)} · {duration(time.time() - call.time)}", ""))
            for call in self.calls.under_way()[-_TAIL_LINES:]
        ]
        for row in rows:
            row.no_wrap, row.overflow = True, "ellipsis"
        return Group(*rows, *self._tail(block))

    def _tail(self, block: _Block) -> list[Text]:
        """The last lines of what the model has said so far, as wide as the screen."""
        words = "".join(block.words)[-_TAIL_CHARACTERS:].strip()
        if not words:
            return []
        console = self._screen()
        lines = self._text((words, "dim")).wrap(console, max(20, console.width - 4))
        return [self._text(("    ", "")).append_text(line) for line in list(lines)[-_TAIL_LINES:]]
