"""Letters in a folder: which there are, what one says, and what all of them come to."""

from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent


def list_letters(folder: str) -> list:
    """The letters of a folder, by path, in the order of their names."""
    found = sorted((HERE / folder).glob("*.txt"))
    if not found:
        raise FileNotFoundError(f"there is no letter (*.txt) in {folder}")
    return [str(path.relative_to(HERE)) if path.is_relative_to(HERE) else str(path) for path in found]


def read_letter(path: str) -> str:
    """The text of one letter; an empty one is an error."""
    text = (HERE / path).read_text(encoding="utf-8").strip()
    if not text:
        raise ValueError(f"{path} is empty")
    return text


def tally(paths: list, read: list) -> dict:
    """How many letters are about what, their wishes, and the letters that could not be read."""
    known = [letter for letter in read if letter is not None]
    return {
        "counts": dict(Counter(letter["subject"] for letter in known)),
        "wishes": [letter["wish"] for letter in known],
        "unread": [path for path, letter in zip(paths, read, strict=True) if letter is None],
    }
