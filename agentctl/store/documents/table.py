"""The documents of one tenant, in one database: text, index of words and vectors change together or not at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple

import apsw

from agentctl.errors import StoreError
from agentctl.json import Json, canonical, decode, encode
from agentctl.store.documents.database import reading, writing
from agentctl.store.documents.texts import indexed, match_any

SCHEMA = """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE documents (
        n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, digest TEXT NOT NULL, embedded INTEGER NOT NULL,
        created REAL NOT NULL, metadata TEXT NOT NULL, title TEXT, text TEXT NOT NULL
    );
    CREATE INDEX unembedded ON documents (n) WHERE embedded = 0;
    CREATE VIRTUAL TABLE words USING fts5 (
        title, text, content = '', contentless_delete = 1,
        tokenize = "porter unicode61 remove_diacritics 2 categories 'L* N* Co Cn So'"
    );
    CREATE TABLE vectors (
        n INTEGER NOT NULL, start INTEGER NOT NULL, embedding BLOB NOT NULL, PRIMARY KEY (n, start)
    ) WITHOUT ROWID
"""
_COLUMNS = "id, digest, title, text, metadata, created"
_BY_WORDS = """
    SELECT n, 0, -score FROM (SELECT rowid AS n, bm25(words, 2.0, 1.0) AS score FROM words WHERE words MATCH ?)
    JOIN documents USING (n) WHERE {held} ORDER BY score, n LIMIT ?
"""
_BY_WORDS_UNFILTERED = """
    SELECT rowid, 0, -bm25(words, 2.0, 1.0) AS score FROM words WHERE words MATCH ? ORDER BY score DESC, rowid LIMIT ?
"""
_BY_MEANING = """
    SELECT n, start, 1 - min(vec_distance_cosine(embedding, ?)) AS score FROM vectors {held}
    GROUP BY n ORDER BY score DESC, n LIMIT ?
"""

Vectors = Sequence[tuple[int, bytes]]
"""Of each passage of a text: where it begins, and its vector."""


@dataclass(frozen=True, slots=True)
class Document:
    """A text with what is known of it. `created` is in Unix seconds."""

    id: str
    digest: str
    """Of title, text and metadata."""
    title: str | None
    text: str
    metadata: Mapping[str, Json]
    created: float


class Hit(NamedTuple):
    """A document that a search found, by its number; the higher the score, the better."""

    n: int
    start: int
    """Where in the text the passage begins that is nearest to the question."""
    score: float


@dataclass(frozen=True, slots=True)
class Embedding:
    """What made the vectors of a database."""

    model: str
    dimensions: int


class DocumentTable:
    """Documents by id. For one thread at a time; every method raises apsw.Error."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def close(self) -> None:
        self._connection.close()

    def interrupt(self) -> None:
        """End the question under way, from another thread."""
        self._connection.interrupt()

    # reading

    def view(self) -> AbstractContextManager[None]:
        """One view for several questions; writers are not held up."""
        return reading(self._connection)

    def known(self, ids: Iterable[str]) -> dict[str, str]:
        """The digests of those that are there."""
        rows = (self._one("SELECT id, digest FROM documents WHERE id = ?", id) for id in ids)
        return {row[0]: row[1] for row in rows if row is not None}

    def get(self, id: str) -> Document | None:
        row = self._one(f"SELECT {_COLUMNS} FROM documents WHERE id = ?", id)
        return None if row is None else _document(row)

    def count(self) -> int:
        return int(self._one("SELECT count(*) FROM documents")[0])

    def fact(self, name: str) -> str | None:
        """What the database says of itself."""
        row = self._one("SELECT value FROM meta WHERE name = ?", name)
        return None if row is None else str(row[0])

    def embedding(self) -> Embedding | None:
        """What made its vectors; None while there are none."""
        said = self.fact("embedding")
        return None if said is None else Embedding(**decode(said))

    def unembedded(self, most: int) -> list[Document]:
        """Documents that have no vectors yet, the oldest first."""
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM documents WHERE embedded = 0 ORDER BY n LIMIT ?", (most,)
        )
        return [_document(row) for row in rows]

    def by_words(self, question: str, held: Mapping[str, Json], most: int) -> list[Hit]:
        """Those that have any of the words, the best first (BM25; a word in the title counts twice)."""
        match = match_any(question)
        if not match:
            return []
        if not held:
            return [Hit(*row) for row in self._connection.execute(_BY_WORDS_UNFILTERED, (match, most))]
        condition, values = _holding(held)
        rows = self._connection.execute(_BY_WORDS.format(held=condition), (match, *values, most))
        return [Hit(*row) for row in rows]

    def by_meaning(self, vector: bytes, held: Mapping[str, Json], most: int) -> list[Hit]:
        """Those whose nearest passage is nearest, by the cosine; every vector is looked at."""
        condition, values = _holding(held)
        among = f"WHERE n IN (SELECT n FROM documents WHERE {condition})" if held else ""
        rows = self._connection.execute(_BY_MEANING.format(held=among), (vector, *values, most))
        return [Hit(*row) for row in rows]

    def documents(self, numbers: Iterable[int]) -> list[Document]:
        """Documents by number, which a search within the same `reading` gave."""
        rows = (self._one(f"SELECT {_COLUMNS} FROM documents WHERE n = ?", n) for n in numbers)
        return [_document(row) for row in rows]

    # writing

    def begin(self, facts: Mapping[str, str]) -> None:
        """Put down what is said of the database, where nothing is said yet."""
        with writing(self._connection):
            self._connection.executemany(
                "INSERT OR IGNORE INTO meta (name, value) VALUES (?, ?)", facts.items()
            )

    def add(self, documents: Sequence[tuple[Document, Vectors | None]], embedding: Embedding | None) -> None:
        """Put documents in, all or none; one that is there as it is stays, another of its id is replaced.

        Without vectors (None) a document is embedded later. Raises StoreError where others made the vectors.
        """
        with writing(self._connection):
            self._claim(embedding)
            for document, vectors in documents:
                row = self._one("SELECT n, digest, embedded FROM documents WHERE id = ?", document.id)
                if row is not None and row[1] == document.digest and (row[2] or vectors is None):
                    continue
                if row is not None:
                    self._remove(row[0])
                self._insert(document, vectors)

    def embed(self, found: Sequence[tuple[Document, Vectors]], embedding: Embedding | None) -> None:
        """Give documents their vectors; one that changed meanwhile waits for its own."""
        with writing(self._connection):
            self._claim(embedding)
            for document, vectors in found:
                row = self._one(
                    "SELECT n FROM documents WHERE id = ? AND digest = ? AND embedded = 0",
                    document.id,
                    document.digest,
                )
                if row is not None:
                    self._connection.execute("UPDATE documents SET embedded = 1 WHERE n = ?", row)
                    self._put_vectors(row[0], vectors)

    def forget_vectors(self, of: Embedding) -> None:
        """Take out the vectors that an embedder made, so that another can begin; others are left alone."""
        with writing(self._connection):
            if self.embedding() == of:
                self._connection.execute(
                    "DELETE FROM vectors; UPDATE documents SET embedded = 0; DELETE FROM meta WHERE name = 'embedding'"
                )

    def delete(self, ids: Iterable[str]) -> int:
        """How many were there."""
        with writing(self._connection):
            rows = [self._one("SELECT n FROM documents WHERE id = ?", id) for id in dict.fromkeys(ids)]
            numbers = [row[0] for row in rows if row is not None]
            for n in numbers:
                self._remove(n)
        return len(numbers)

    def _claim(self, embedding: Embedding | None) -> None:
        if embedding is None:
            return
        before = self.embedding()
        if before is None:
            said = encode({"model": embedding.model, "dimensions": embedding.dimensions}).decode()
            self._connection.execute("INSERT INTO meta (name, value) VALUES ('embedding', ?)", (said,))
        elif before != embedding:
            raise other_embedding(before, embedding)

    def _insert(self, document: Document, vectors: Vectors | None) -> None:
        self._connection.execute(
            "INSERT INTO documents (id, digest, embedded, created, metadata, title, text) VALUES (?,?,?,?,?,?,?)",
            (
                document.id,
                document.digest,
                vectors is not None,
                document.created,
                canonical(document.metadata).decode(),
                document.title,
                document.text,
            ),
        )
        n = self._connection.last_insert_rowid()
        self._connection.execute(
            "INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)",
            (n, indexed(document.title or ""), indexed(document.text)),
        )
        self._put_vectors(n, vectors or ())

    def _put_vectors(self, n: int, vectors: Vectors) -> None:
        self._connection.executemany(
            "INSERT INTO vectors (n, start, embedding) VALUES (?, ?, ?)",
            ((n, start, vector) for start, vector in vectors),
        )

    def _remove(self, n: int) -> None:
        for table, key in (("words", "rowid"), ("vectors", "n"), ("documents", "n")):
            self._connection.execute(f"DELETE FROM {table} WHERE {key} = ?", (n,))

    def _one(self, question: str, *values: apsw.SQLiteValue) -> Json:
        """The first row, or None."""
        return self._connection.execute(question, values).fetchone()


def other_embedding(before: Embedding, now: Embedding) -> StoreError:
    """What to raise when vectors of two kinds would meet."""
    return StoreError(
        f"the vectors of the store are of {before.model} ({before.dimensions} dimensions), "
        f"and {now.model} gave {now.dimensions}",
        hint="go back to the settings they were made with, or move the store away to begin anew",
    )


def _document(row: Sequence[Json]) -> Document:
    id, digest, title, text, metadata, created = row
    return Document(id, digest, title, text, decode(metadata), created)


def _holding(held: Mapping[str, Json]) -> tuple[str, list[apsw.SQLiteValue]]:
    """A condition for metadata that has these values under these names, and its parameters."""
    conditions: list[str] = []
    values: list[apsw.SQLiteValue] = []
    for name, value in held.items():
        conditions.append(
            "EXISTS (SELECT 1 FROM json_each(documents.metadata) AS one, json_each(?) AS wanted "
            "WHERE one.key = ? AND one.value IS wanted.value AND (one.type = wanted.type "
            "OR one.type IN ('integer', 'real') AND wanted.type IN ('integer', 'real')))"
        )
        # both are canonical, so that lists and objects compare as texts, and 12.0 is 12
        values += [canonical([value]).decode(), name]
    return " AND ".join(conditions) or "1", values
