"""How long commands take to start, against `import typer`, which none of them can do without.

Run it with `python benchmarks/startup.py`.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from commands import AGENTCTL, HELLO, IMPORT_TYPER, make_thread, seconds
from side_by_side import Row, show, take_turns

ROUNDS = 21


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_thread(folder, "small", 5)
        works = {
            "typer": IMPORT_TYPER,
            "help": (*AGENTCTL, "--help"),
            "validate": (*AGENTCTL, "validate", str(HELLO)),
            "replay": (*AGENTCTL, "replay", "small"),
        }
        cost = take_turns(
            {name: lambda command=command: seconds(command, folder) for name, command in works.items()},
            ROUNDS,
        )
    rows = [
        Row("agentctl --help", cost["help"], cost["typer"], "import typer", 1.5),
        Row("agentctl validate, one file", cost["validate"], cost["typer"], "import typer", 3),
        Row("agentctl replay, a small thread", cost["replay"], cost["typer"], "import typer"),
    ]
    show("startup: processes, from their start to their end", rows)


if __name__ == "__main__":
    main()
