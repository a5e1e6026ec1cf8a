"""A text as it is searched: its words for the index, the words of a question, and passages that are embedded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

PASSAGE = 800
"""Characters that are embedded as one: about 200 tokens, which the small embedder takes whole."""
_MOST_WORDS = 100
"""Words of a question that are looked up."""

# Letters that no space stands between (Thai to Khmer, kana, Han), and pictures: each is a word of its own.
_ALONE = (
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\u00a9\u00ae\u00b0\u2100-\u214f\u2190-\u2bff\U0001f000-\U0001faff\U00020000-\U0003ffff]"
)
_LONE = re.compile(_ALONE)
_RUN = re.compile(f"{_ALONE}+")


def indexed(text: str) -> str:
    """The text as the index takes it: spaces around what stands alone, and no NUL, which would end it."""
    if text.isascii():
        return text.replace("\0", " ")
    return _LONE.sub(r" \g<0> ", text.replace("\0", " "))


def match_any(question: str) -> str:
    """An FTS5 expression for any word of the question; empty when it has none. Nothing in it is syntax."""
    words = dict.fromkeys(_words(question.replace("\0", " ").replace('"', " ")))
    return " OR ".join(f'"{word}"' for word in list(words)[:_MOST_WORDS])


def passages(text: str) -> Iterator[tuple[int, str]]:
    """The pieces of a text that are embedded, each with where it begins; cut between words where there are some."""
    start = 0
    while start < len(text):
        end = start + PASSAGE
        if end < len(text):
            space = max(
                text.rfind(" ", start + PASSAGE // 2, end), text.rfind("\n", start + PASSAGE // 2, end)
            )
            end = space + 1 or end
        piece = text[start:end]
        if piece.strip():
            yield start, piece
        start = end


def _words(question: str) -> Iterator[str]:
    for word in _RUN.sub(" ", question).split():
        if any(letter.isalnum() for letter in word):
            yield word
    for run in _RUN.findall(question):
        # two neighbours say much more than each of them
        yield from (f"{one} {other}" for one, other in pairwise(run)) if len(run) > 1 else [run]
