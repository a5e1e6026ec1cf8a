"""Did you mean: the word nearest to one that is not known."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The word of `words` that `word` most likely stands for, or None when none is near.

    Near is at most one slip (a letter too many, too few, wrong, or two swapped) for every three letters;
    case, `-` and `_` count for nothing.
    """
    plain = _plain(word)
    allowed = max(1, len(plain) // 3)
    best: tuple[int, int, str] | None = None
    for position, candidate in enumerate(words):
        other = _plain(candidate)
        if candidate == word or abs(len(other) - len(plain)) > allowed:
            continue
        slips = _slips(plain, other)
        if slips <= allowed and slips < max(len(plain), len(other)):
            best = min(best or (slips, position, candidate), (slips, position, candidate))
    return best[2] if best else None


def _plain(word: str) -> str:
    return word.lower().replace("-", "_").strip("_")


def _slips(left: str, right: str) -> int:
    """The optimal string alignment distance (Damerau 1964)."""
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]
