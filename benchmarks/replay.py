"""What the replay of a long thread costs above starting up.

Run it with `python benchmarks/replay.py`.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from commands import AGENTCTL, make_thread, seconds
from side_by_side import Row, show, take_turns

STEPS = 1000
ROUNDS = 15


def main() -> None:
    """Measure and print."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        make_thread(folder, "one", 1)
        make_thread(folder, "many", STEPS)
        cost = take_turns(
            {
                thread: lambda thread=thread: seconds((*AGENTCTL, "replay", thread), folder)
                for thread in ("one", "many")
            },
            ROUNDS,
        )
    rows = [
        Row(f"replay of {STEPS:,} steps", cost["many"], cost["one"], "replay of 1 step"),
        Row("what it takes above start-up", cost["many"] - cost["one"], budget=0.2),
    ]
    show("replay: a long thread against a short one", rows)


if __name__ == "__main__":
    main()
