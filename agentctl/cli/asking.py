"""Questions asked at the terminal: choices numbered, answers checked, the loop never held up."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from agentctl.cli.streams import in_colour, say
from agentctl.sinks.neutral import neutral


class NoMoreInput(Exception):
    """Ctrl-D: whoever was there will not answer now."""


async def ask(text: str, choices: Sequence[str] = ()) -> str:
    """A person's answer: one of the choices, by number or name, or any text. Raises NoMoreInput."""
    _show(text, choices)
    while True:
        line = (await read_line(f"answer [1-{len(choices)}]: " if choices else "answer: ")).strip()
        chosen = choose(line, choices)
        if chosen is not None:
            return chosen
        say(
            f"  `{neutral(line)}` is none of them; type a number or a word of the list"
            if line
            else "  type an answer"
        )


def choose(line: str, choices: Sequence[str]) -> str | None:
    """The choice a line means: itself, its number, or a beginning that only it has. None when it means none."""
    if not line:
        return None
    if not choices or line in choices:
        return line
    if line.isdecimal() and 1 <= int(line) <= len(choices):
        return choices[int(line) - 1]
    begun = [choice for choice in choices if choice.lower().startswith(line.lower())]
    return begun[0] if len(begun) == 1 else None


async def read_line(prompt: str) -> str:
    """One line typed at the terminal, without its newline; can be cancelled. Raises NoMoreInput."""
    sys.stderr.write(prompt)
    sys.stderr.flush()
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[bytes] = loop.create_future()
    descriptor = sys.stdin.fileno()
    parts: list[bytes] = []

    def ready() -> None:
        part = os.read(descriptor, 4096)
        parts.append(part)
        if (not part or part.endswith(b"\n")) and not typed.done():
            typed.set_result(b"".join(parts))

    loop.add_reader(descriptor, ready)
    try:
        line = await typed
    finally:
        loop.remove_reader(descriptor)
    if not line:
        say("")
        raise NoMoreInput
    return line.decode("utf-8", errors="replace").removesuffix("\n")


def confirm(question: str) -> bool:
    """Yes or no, yes when Enter is pressed. Raises KeyboardInterrupt and EOFError."""
    sys.stderr.write(f"{question} [Y/n] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer:
        raise EOFError
    return answer.strip().lower() in ("", "y", "yes")


def _show(text: str, choices: Sequence[str]) -> None:
    bold, plain = ("\x1b[1m", "\x1b[0m") if in_colour(sys.stderr) else ("", "")
    say(f"\n{bold}{neutral(text)}{plain}")
    for number, choice in enumerate(choices, start=1):
        say(f"  {number}) {neutral(choice)}")
