"""Did you mean: the word nearest to one that is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

_MANY = 100
"""Words that are looked at one by one: a file of thousands of slips must not take their square."""

_ENOUGH = 1_000
"""Words that share a pair of letters, after which commoner pairs are not looked at."""

_SURE = 4
"""Letters of a word whose slip is no chance."""


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The word of `words` that `word` most likely stands for, or None when none is near.

    Near is at most one slip (a letter too many, too few, wrong, or two swapped) for every three letters;
    case, `-` and `_` count for nothing.
    """
    known = tuple(words)
    return _nearest(word, known if len(known) <= _MANY else _likely(word, known))


def clearly_nearest(word: str, words: Iterable[str]) -> str | None:
    """The nearest word when no other is near: then it is what was meant."""
    known = tuple(words)
    best = nearest(word, known)
    return best if nearest(word, (other for other in known if other != best)) is None else None


def sure_word(word: str, words: Iterable[str]) -> str | None:
    """The nearest of the words of a closed list, when it is long enough to be told from a word of another kind."""
    return clearly_nearest(word, words) if len(word) >= _SURE else None


def _likely(word: str, words: tuple[str, ...]) -> tuple[str, ...]:
    """Of very many words, in their order, those that share the most pairs of letters with this one."""
    index, shared = _pair_index(words), Counter[int]()
    found = sorted((index[pair] for pair in _pairs(word) if pair in index), key=len)
    looked_at = 0
    for places in found:
        # what most words have tells none of them apart; the rarest pair is always looked at
        if looked_at and (looked_at > _ENOUGH or len(places) >= len(words) // 4):
            break
        shared.update(places)
        looked_at += len(places)
    return tuple(words[at] for at, _ in sorted(shared.most_common(_MANY // 5)))


@lru_cache(maxsize=8)
def _pair_index(words: tuple[str, ...]) -> dict[str, list[int]]:
    index: dict[str, list[int]] = {}
    for at, word in enumerate(words):
        for pair in _pairs(word):
            index.setdefault(pair, []).append(at)
    return index


def _pairs(word: str) -> set[str]:
    """The pairs of neighbouring letters, those with either end too."""
    plain = f" {_plain(word)} "
    return {plain[at : at + 2] for at in range(len(plain) - 1)}


@lru_cache(maxsize=1024)
def _nearest(word: str, words: tuple[str, ...]) -> str | None:
    plain = _plain(word)
    allowed = max(1, len(plain) // 3)
    best, fewest, letters = None, allowed + 1, frozenset(plain)
    for candidate in words:
        other = _plain(candidate)
        if candidate == word or abs(len(other) - len(plain)) > allowed:
            continue
        if len(letters.symmetric_difference(other)) > 2 * allowed:
            continue  # one slip changes at most two letters of the set; this spares most of the work
        slips = _slips(plain, other, allowed)
        if slips > allowed or slips >= max(len(plain), len(other)):
            continue
        # Of equally near words the longer one: letters are left out more often than they are mistaken.
        if slips < fewest or (best is not None and len(other) > len(_plain(best))):
            best, fewest, allowed = candidate, slips, slips
    return best


def _plain(word: str) -> str:
    return word.lower().replace("-", "_").strip("_")


def _slips(left: str, right: str, allowed: int) -> int:
    """The optimal string alignment distance (Damerau 1964); any number over `allowed` when it is more."""
    same = 0
    while same < min(len(left), len(right)) and left[same] == right[same]:
        same += 1
    left, right = left[same:], right[same:]
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > allowed < min(before):
            break
    return min(row[-1], allowed + 1) if len(row) > 1 else len(left)
