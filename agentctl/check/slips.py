"""Names that are not there, and those that are left over: which of the second the first were meant to be."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from agentctl.spec.nearest import nearest

_GUESSED = 100
"""Strange names that a near one is looked for: each costs up to 2 ms where there are thousands."""


def excused(strange: Iterable[str], known: Collection[str], left_over: Collection[str]) -> set[str]:
    """Of the known names that are left over, those that a strange one may have meant.

    The nearest of each; and all of them, when there are no more than strange names with none near: one of
    another name is then likelier than two slips.
    """
    words = list(strange)
    if not words or not left_over:
        return set()
    near = {word: nearest(word, known) for word in words[:_GUESSED]}
    found = {name for name in near.values() if name is not None}
    rest = [name for name in left_over if name not in found]
    lost = sum(near.get(word) is None for word in words)
    return found | set(rest) if len(rest) <= lost else found
