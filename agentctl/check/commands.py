"""What a command's words do: the program, what it is run by, and a text that is run as a program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from msgspec import Struct

TEMPLATE = re.compile(r"\$\{\{.*?\}\}")
_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "fish", "cmd", "cmd.exe", "powershell", "pwsh"))
_OF_SHELL = re.compile(r"-[a-z]*c|/[ck]|-Command|-EncodedCommand")
_INTERPRETERS = re.compile(r"(?:python|node|perl|ruby|php|deno|bun)(?:[\d.]+)?")
_OF_INTERPRETER = re.compile(r"-[ceprE]|--eval|--print")
_WRAPPERS = frozenset(
    ("env", "sudo", "doas", "nohup", "nice", "timeout", "stdbuf", "setsid", "busybox", "time")
)
"""Programs that run the one that is named after them."""
_BEFORE = re.compile(r"-.*|\w+=.*|\d+(?:\.\d+)?[smhd]?")
"""What a wrapper takes before that: options, variables, a time."""


class Script(Struct, frozen=True):
    """A text that is run as a program."""

    runner: str
    """What runs it, as it is written: sh -c."""
    place: int
    """Which of the words it is."""


def script_of(words: tuple[str, ...]) -> Script | None:
    """The script that a shell is told to run; of another interpreter, one that something gets into."""
    start = _start_of_program(words)
    program = _base(words[start]) if start < len(words) else ""
    for place, word in enumerate(islice(words, start + 1, len(words) - 1), start=start + 1):
        runner = f"{words[start].rpartition('/')[2]} {word}"
        if program in _SHELLS and _OF_SHELL.fullmatch(word):
            return Script(runner, place + 1)
        if _INTERPRETERS.fullmatch(program) and _OF_INTERPRETER.fullmatch(word):
            return Script(runner, place + 1) if TEMPLATE.search(words[place + 1]) else None
        if not word.startswith(("-", "/")):
            return None
    return None


def is_one_text(words: tuple[str, ...]) -> bool:
    """Whether the program's name is more than one word, as in a line that is typed into a shell."""
    program = TEMPLATE.sub("", words[0]).strip() if words else ""
    return re.search(r"\s", program) is not None and (len(words) == 1 or "/" not in program)


def _start_of_program(words: tuple[str, ...]) -> int:
    """Where the program stands that is run in the end."""
    starts = _starts(words)
    return next((place for place in starts if _base(words[place]) not in _WRAPPERS), 0)


def _starts(words: tuple[str, ...]) -> Iterator[int]:
    is_wrapped = False
    for place, word in enumerate(words):
        if is_wrapped and _BEFORE.fullmatch(word):
            continue
        yield place
        is_wrapped = _base(word) in _WRAPPERS


def _base(word: str) -> str:
    return word.rpartition("/")[2]
