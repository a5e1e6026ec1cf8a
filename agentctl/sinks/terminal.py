"""Progress for a person at a terminal: what runs now, its words as they come, and what it came to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

from agentctl.events import Event
from agentctl.sinks.block import Block, Line
from agentctl.sinks.calls import OpenCalls
from agentctl.sinks.neutral import neutral
from agentctl.sinks.sentences import error_text, first_bit, sentence, tool_call, warning, whole
from agentctl.sinks.tally import Tally
from agentctl.sinks.wording import duration

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_TAIL_LINES = 6
_TAIL_CHARACTERS = 4000
_NARROWEST = 20
_INDENT = "    "
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
_TO_NOTICE = ("limit.reached", "tool.retry", "tool.refused", "breaker.refused")


class TerminalProgress:
    """A live view on stderr. What streams shows while it comes; what stays is a line for each step and tool call.

    The answer itself goes to stdout when the turn is over, and is not said twice. `verbose` keeps the words, whole
    results and what tools print; `named` says the thread's id at the end.
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
        self._block: Block | None = None
        self._console: Console | None = None
        self._live: Live | None = None

    def wants(self, type: str) -> bool:
        return self.verbose or type != "tool.output"

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

    # --- what happens ---

    def _step_started(self, event: Event) -> None:
        if self._block is None:
            self._block = Block.of(event)
        else:
            self._block.inside[event.path] = event

    def _step_ended(self, event: Event) -> None:
        block, data = self._block, event.data
        if block is None:
            return
        mark, style = _MARKS.get(data["status"], ("·", ""))
        if event.path != block.path:
            self._step_inside_ended(block, event, mark)
            return
        self._block = None
        self._print_styled((f"{mark} ", style), *block.facts(data["seconds"], data.get("next")))
        for line in block.lines:
            self._screen().print(self._fitted(line), soft_wrap=True)
        if self.verbose:
            self._print_words(block)
        if data.get("error"):
            self._print(f"{_INDENT}{error_text(data['error'])}", "red")

    def _step_inside_ended(self, block: Block, event: Event, mark: str) -> None:
        """A step of a nested graph: a line of the outer one."""
        data = event.data
        block.inside.pop(event.path, None)
        failed = f": {error_text(data['error'])}" if data.get("error") else ""
        text = f"{mark} {block.within(event.path)}{data['kind']} · {duration(data['seconds'])}{failed}"
        block.lines.append(Line(text, "yellow" if failed else "dim"))

    def _happened(self, event: Event) -> None:
        if said := warning(event):
            self._print_styled(("warning: ", "bold yellow"), (said, ""))
        elif event.type.startswith("model."):
            self._model(event)
        elif event.type in ("tool.started", "memo.hit", "tool.ended"):
            self._call(event)
        elif event.type == "tool.output":
            self._output(event)
        elif event.type in ("route.decided", "sandbox.downgraded") and not self.verbose:
            return
        elif said := sentence(event):
            self._note(event, said, "yellow" if event.type in _TO_NOTICE else "dim")

    def _model(self, event: Event) -> None:
        block, data = self._block, event.data
        if block is None:
            return
        match event.type:
            case "model.delta":
                block.hear(event.path, str(data["text"]))
            case "model.started":
                block.model = str(data["model"])
                block.forget(event.path)
            case "model.ended":
                block.tokens += data["usage"].get("input", 0) + data["usage"].get("output", 0)
                if not self.verbose:
                    block.forget(event.path)
            case "model.retry":
                # The next try begins its answer anew.
                block.forget(event.path)
                self._note(event, sentence(event) or "", "yellow")

    def _call(self, event: Event) -> None:
        width = self._width()
        ended = self.calls.add(event, max(12, width // 3))
        if ended is None:
            return
        style = "dim" if ended.is_good else "yellow"
        if self.verbose:
            self._note(event, ended.said, style)
            self._note_whole(whole(ended.result), style)
        else:
            bit = first_bit(ended.result, width)
            self._note(event, f"{ended.said} → {bit}" if bit else ended.said, style)

    def _output(self, event: Event) -> None:
        tool, text = event.data["tool"], str(event.data["text"])
        for line in text.rstrip("\n").split("\n"):
            self._note(event, f"{tool} prints: {line}", "dim", cut=False)

    def _note(self, event: Event, text: str, style: str, *, cut: bool = True) -> None:
        """A line under the step that runs, or on its own between steps."""
        if self._block is None:
            self._print(f"  {text}", style)
        else:
            self._block.lines.append(Line(self._block.within(event.path) + text, style, cut))

    def _note_whole(self, text: str, style: str) -> None:
        if self._block is not None:
            self._block.lines += [
                Line(f"  {line}", style, cut=False, is_live=False)
                for line in text.split("\n")
                if line.strip()
            ]

    def _end(self, event: Event) -> None:
        self.stop()
        mark, style = _MARKS.get(event.data["status"], ("·", ""))
        said = self.tally.summary(event, named=self.named)
        said = "\n  ".join(_folded(said, self._width() - 2))
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

    def _width(self) -> int:
        return max(_NARROWEST, self._screen().width)

    def _print(self, text: str, style: str = "") -> None:
        self._print_styled((text, style))

    def _print_styled(self, *parts: tuple[str, str]) -> None:
        self._screen().print(self._text(*parts), soft_wrap=True)

    def _text(self, *parts: tuple[str, str]) -> Text:
        from rich.text import Text

        return Text.assemble(*((neutral(text), style) for text, style in parts))

    def _fitted(self, line: Line) -> Text:
        text = self._text((_INDENT + line.text, line.style))
        if line.cut:
            text.truncate(self._width(), overflow="ellipsis")
        return text

    def _print_words(self, block: Block) -> None:
        for path in block.words:
            where = block.within(path)
            for line in neutral(block.said(path)).strip().splitlines():
                self._print(f"{_INDENT}{where}{line}", "dim")

    def _picture(self) -> RenderableType:
        """What is live: the step, its newest lines, what is under way inside it and the end of its words."""
        from rich.console import Group

        block = self._block
        if block is None:
            return Group()
        frame = _FRAMES[int(time.monotonic() * 10) % len(_FRAMES)]
        rows = [self._text((f"{frame} ", "cyan"), *block.facts(time.monotonic() - block.began, None))]
        newest = [line for line in block.lines if line.is_live][-_TAIL_LINES:]
        rows += [self._text((_INDENT + line.text, line.style)) for line in newest]
        rows += [
            self._text((f"{_INDENT}{frame} {said}", "")) for said in self._under_way(block)[-_TAIL_LINES:]
        ]
        for row in rows:
            row.no_wrap, row.overflow = True, "ellipsis"
        return Group(*rows, *self._tail(block))

    def _under_way(self, block: Block) -> list[str]:
        steps = [f"{block.within(step.path)}{step.data['kind']}" for step in list(block.inside.values())]
        longest, now = max(12, self._width() // 2), time.time()
        return steps + [
            f"{block.within(call.path)}{tool_call(call.data, longest)} · {duration(now - call.time)}"
            for call in self.calls.under_way()
        ]

    def _tail(self, block: Block) -> list[Text]:
        """The last lines of what a model has said so far, as wide as the screen."""
        words = block.said(block.speaking)[-_TAIL_CHARACTERS:].strip()
        if not words:
            return []
        lines = self._text((words, "dim")).wrap(self._screen(), max(_NARROWEST, self._screen().width - 4))
        return [self._text((_INDENT, "")).append_text(line) for line in list(lines)[-_TAIL_LINES:]]


def _folded(said: str, width: int) -> list[str]:
    """Lines of a summary, broken between its parts; a thread's id broken in two could not be copied."""
    lines = [""]
    for part in said.split(" · "):
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if lines[-1] and len(longer) > width:
            lines.append(part)
        else:
            lines[-1] = longer
    return lines
