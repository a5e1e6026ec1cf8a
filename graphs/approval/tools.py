"""The one thing that changes the world here: a line on a notice board."""

from pathlib import Path

BOARD = Path(__file__).parent / "board.txt"


def publish(text: str, idempotency_key: str) -> bool:
    """Add a notice to the board, once for each key."""
    line = f"{idempotency_key}\t{' '.join(text.split())}\n"
    lines = BOARD.read_text().splitlines(keepends=True) if BOARD.exists() else []
    if not any(known.startswith(f"{idempotency_key}\t") for known in lines):
        BOARD.write_text("".join([*lines, line]))
    return True
