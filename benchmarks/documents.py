"""What stores of documents cost, against bare SQLite: adding and searching, beside each other in one run.

The bare table has the same text, FTS5 index, vectors and synced commits, without checksums, ids, passages and threads.
Run it with `python benchmarks/documents.py [DOCUMENTS]`.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import sqlite_vec
from side_by_side import Row, show, take_turns

from agentctl.store.documents.documents import By, Charge, Documents, Draft

DOCUMENTS = 10_000
DIMENSIONS = 64
BATCH = 500
SEARCHES = 10
ROUNDS = 7
WORDS = [f"word{n}" for n in range(3000)]
SCHEMA = """
    PRAGMA journal_mode = wal; PRAGMA synchronous = full;
    CREATE TABLE documents (n INTEGER PRIMARY KEY, text TEXT);
    CREATE VIRTUAL TABLE words USING fts5 (text, content = '', tokenize = 'porter unicode61');
    CREATE TABLE vectors (n INTEGER PRIMARY KEY, embedding BLOB);
"""


class Drawn:
    """An embedder that costs next to nothing: what is measured is the store."""

    identity = "drawn"

    def __init__(self) -> None:
        chance = random.Random(2)
        self._known = [[chance.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in range(997)]

    async def embed(self, texts: Sequence[str], charge: Charge) -> list[Sequence[float]]:
        return [self._known[len(text) * 31 % 997] for text in texts]


class Bare:
    """The same rows in plain SQLite."""

    def __init__(self, path: Path) -> None:
        self.connection = apsw.Connection(str(path))
        self.connection.enable_load_extension(True)
        self.connection.load_extension(sqlite_vec.loadable_path())
        self.connection.execute(SCHEMA).fetchall()
        self.vector = array("f", [0.1] * DIMENSIONS).tobytes()

    def add(self, texts: Sequence[str]) -> None:
        with self.connection:
            for text in texts:
                self.connection.execute("INSERT INTO documents (text) VALUES (?)", (text,))
                n = self.connection.last_insert_rowid()
                self.connection.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", (n, text))
                self.connection.execute("INSERT INTO vectors VALUES (?, ?)", (n, self.vector))

    def by_words(self, question: str) -> None:
        match = " OR ".join(f'"{word}"' for word in question.split())
        found = "SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT 5"
        self._fetch(self.connection.execute(found, (match,)))

    def by_meaning(self) -> None:
        near = "SELECT n FROM vectors ORDER BY vec_distance_cosine(embedding, ?) LIMIT 5"
        self._fetch(self.connection.execute(near, (self.vector,)))

    def _fetch(self, numbers: apsw.Cursor) -> None:
        for row in numbers.fetchall():
            self.connection.execute("SELECT text FROM documents WHERE n = ?", row).fetchone()


def main() -> None:
    """Measure and print."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else DOCUMENTS
    with TemporaryDirectory() as folder, asyncio.Runner() as runner:
        ours, bare = Documents(Path(folder) / "ours", Drawn()), Bare(Path(folder) / "bare.db")
        fresh = _texts()
        for _ in range(size // BATCH):
            texts = [next(fresh) for _ in range(BATCH)]
            runner.run(ours.add([Draft(text) for text in texts]))
            bare.add(texts)

        def searched(by: By) -> Callable[[], float]:
            async def search() -> None:
                for n in range(SEARCHES):
                    await ours.search(f"word{n} word{n + 100}", by=by)

            return lambda: _timed(lambda: runner.run(search()), SEARCHES)

        def found(work: Callable[[str], None]) -> Callable[[], float]:
            return lambda: _timed(lambda: [work(f"word{n} word{n + 100}") for n in range(SEARCHES)], SEARCHES)

        def batch() -> list[str]:
            return [next(fresh) for _ in range(BATCH)]

        cost = take_turns(
            {
                "add": lambda: _timed(lambda: runner.run(ours.add([Draft(t) for t in batch()])), BATCH),
                "bare add": lambda: _timed(lambda: bare.add(batch()), BATCH),
                "one": lambda: _timed(lambda: runner.run(ours.add([Draft(next(fresh))])), 1),
                "bare one": lambda: _timed(lambda: bare.add([next(fresh)]), 1),
                "words": searched("words"),
                "bare words": found(bare.by_words),
                "meaning": searched("meaning"),
                "bare meaning": found(lambda question: bare.by_meaning()),
                "both": searched("both"),
                "bare both": found(lambda question: (bare.by_words(question), bare.by_meaning())[0]),
            },
            ROUNDS,
        )
        runner.run(ours.close())
        bare.connection.close()
    rows = [
        Row(f"a document, {BATCH} at once", cost["add"], cost["bare add"], "bare SQLite", 3),
        Row("one document", cost["one"], cost["bare one"], "bare SQLite", 3),
        Row("search by words", cost["words"], cost["bare words"], "bare SQLite", 3),
        Row("search by meaning", cost["meaning"], cost["bare meaning"], "bare SQLite", 3),
        Row("search by both", cost["both"], cost["bare both"], "bare SQLite", 3),
    ]
    show(f"stores of documents: {size:,} texts with vectors of {DIMENSIONS} dimensions", rows)


def _texts() -> Iterator[str]:
    chance = random.Random(1)
    return (f"{n} " + " ".join(chance.choices(WORDS, k=30)) for n in count())


def _timed(work: Callable[[], object], operations: int) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) / operations


if __name__ == "__main__":
    main()
