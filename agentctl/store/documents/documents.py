"""A store of documents as its users see it: each tenant's apart, embedded as they come in, searched three ways."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from agentctl.errors import StoreError, UsageError
from agentctl.json import Json, digest, unsayable
from agentctl.messages import Usage
from agentctl.store.documents.files import DocumentFiles
from agentctl.store.documents.table import Document, DocumentTable, Embedding, Hit, Vectors, other_embedding
from agentctl.store.documents.texts import passages
from agentctl.store.documents.vectors import packed

By = Literal["both", "words", "meaning"]
Charge = Callable[[Usage, float | None], None]
"""Told what a call of the embedder took: tokens, and US dollars where the price is known."""
T = TypeVar("T")

REEMBED = "AGENTCTL_REEMBED"
MOST = 1000
"""Documents that one search gives, at most."""
_RANK_CONSTANT = 60
_CANDIDATES = 50
"""Of each ranking, at least so many are merged."""
_EMBEDDED_AT_ONCE = 100
"""Documents: after each so many, what was embedded is kept."""


class Embedder(Protocol):
    """Turns texts into vectors."""

    @property
    def identity(self) -> str:
        """The model, as it tells its vectors from those of others."""

    async def embed(self, texts: Sequence[str], charge: Charge) -> list[Sequence[float]]:
        """A vector for each text, all of the same length. Raises ModelError, CannotRun."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A document to be added. Without an `id` it is known by its content."""

    text: str
    title: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A document that a search found. `start` is where the passage begins that fits best."""

    document: Document
    score: float
    start: int


class Documents:
    """A store in a folder, made when first written. Used from any task of one event loop.

    Writes are synced to disk: what `add` and `delete` came back from survives a power cut.
    """

    def __init__(
        self,
        folder: Path,
        embedder: Embedder | None = None,
        *,
        reembed: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`reembed` lets another embedder than before begin anew, with all the documents there are."""
        self._files = DocumentFiles(folder)
        self._embedder = embedder
        self._reembed = reembed
        self._clock = clock
        # one thread for each connection: a search goes on while another task's add waits for the disk
        self._reader = ThreadPoolExecutor(1, "documents-read")
        self._writer = ThreadPoolExecutor(1, "documents-write")

    @property
    def folder(self) -> Path:
        """Where the databases are."""
        return self._files.folder

    async def add(
        self, drafts: Sequence[Draft], *, tenant: str = "", charge: Charge | None = None
    ) -> list[str]:
        """Put documents in and return their ids; made again, it changes nothing and costs nothing.

        All are added, or none. Raises UsageError for what cannot be kept, StoreError, ModelError.
        """
        documents = [_document(draft, self._clock()) for draft in drafts]
        known = await self._read(tenant, lambda table: table.known(d.id for d in documents), dict[str, str]())
        fresh = [document for document in documents if known.get(document.id) != document.digest]
        if fresh:
            await self._check_embedder(tenant)
            pairs, embedding = await self._embedded(fresh, charge or _for_free)
            await self._write(tenant, lambda table: table.add(pairs, embedding))
        return [document.id for document in documents]

    async def get(self, id: str, *, tenant: str = "") -> Document | None:
        """A document by its id; None when there is none. Raises StoreError."""
        return await self._read(tenant, lambda table: table.get(id), None)

    async def delete(self, ids: Sequence[str], *, tenant: str = "") -> int:
        """Take documents out; how many of them were there. Raises StoreError."""
        known = await self._read(tenant, lambda table: table.known(ids), dict[str, str]())
        return await self._write(tenant, lambda table: table.delete(ids)) if known else 0

    async def count(self, *, tenant: str = "") -> int:
        """How many documents there are. Raises StoreError."""
        return await self._read(tenant, lambda table: table.count(), 0)

    async def search(
        self,
        question: str,
        *,
        top: int = 5,
        by: By = "both",
        metadata: Mapping[str, Json] | None = None,
        tenant: str = "",
        charge: Charge | None = None,
    ) -> list[Found]:
        """The documents that fit a question best, the best first; equal ones in the order they were added.

        By words: any of them, by BM25. By meaning: the cosine of the nearest passage. By both: reciprocal rank
        fusion of the two (Cormack, Clarke and Büttcher, SIGIR 2009, k = 60); without an embedder, by words.
        `metadata` holds values that a document must have under the same names. Raises StoreError, ModelError,
        UsageError for `meaning` without an embedder.
        """
        if by == "meaning" and self._embedder is None:
            raise UsageError(
                "this store has no embeddings to search by meaning", hint="give it `embed: true`"
            )
        most, held = min(max(top, 0), MOST), metadata or {}
        if not most:
            return []
        vector = None
        if by != "words" and self._embedder is not None:
            # a question is paid for only where there is something to find
            if not await self._read(tenant, lambda table: True, False):
                return []
            vector = await self._question(question, tenant, charge or _for_free)
        return await self._read(tenant, lambda table: _search(table, question, vector, by, held, most), [])

    async def close(self) -> None:
        """Let go of the files, once what is under way has ended."""
        await self._on(self._writer, self._files.writers.close)
        await self._on(self._reader, self._files.readers.close)
        self._writer.shutdown()
        self._reader.shutdown()

    async def _question(self, question: str, tenant: str, charge: Charge) -> bytes | None:
        assert self._embedder is not None
        await self._check_embedder(tenant)
        await self._embed_the_rest(tenant, charge)
        if not question.strip():
            return None
        [vector] = await self._embedder.embed([_kept(question)], charge)
        before = await self._read(tenant, lambda table: table.embedding(), None)
        now = Embedding(self._embedder.identity, len(vector))
        if before not in (None, now):
            raise other_embedding(before, now)
        return packed(vector)

    async def _embed_the_rest(self, tenant: str, charge: Charge) -> None:
        """Embed what came in without: before there was an embedder, or with another one."""
        while rest := await self._read(
            tenant, lambda table: table.unembedded(_EMBEDDED_AT_ONCE), list[Document]()
        ):
            pairs, embedding = await self._embedded(rest, charge)
            found = [(document, vectors or ()) for document, vectors in pairs]
            await self._write(tenant, partial(DocumentTable.embed, found=found, embedding=embedding))

    async def _check_embedder(self, tenant: str) -> None:
        """Raises StoreError when the vectors that are there were made by another embedder."""
        if self._embedder is None:
            return
        before = await self._read(tenant, lambda table: table.embedding(), None)
        if before is None or before.model == self._embedder.identity:
            return
        if self._reembed:
            await self._write(tenant, lambda table: table.forget_vectors(before))
            return
        raise StoreError(
            f"the store in {self.folder} was embedded by {before.model} ({before.dimensions} dimensions), "
            f"and the file says {self._embedder.identity}",
            hint=f"go back to that one, or run once with {REEMBED}=1 to embed every document anew",
        )

    async def _embedded(
        self, documents: Sequence[Document], charge: Charge
    ) -> tuple[list[tuple[Document, Vectors | None]], Embedding | None]:
        """The documents with the vectors of their passages, and what made these."""
        if self._embedder is None:
            return [(document, None) for document in documents], None
        pieces = [
            (number, *piece) for number, document in enumerate(documents) for piece in passages(document.text)
        ]
        texts = [_in_context(documents[number], piece) for number, _, piece in pieces]
        vectors = await self._embedder.embed(texts, charge) if texts else []
        found: list[list[tuple[int, bytes]]] = [[] for _ in documents]
        for (number, start, _), vector in zip(pieces, vectors, strict=True):
            if len(vector) != len(vectors[0]):
                raise StoreError(f"{self._embedder.identity} gave vectors of different lengths")
            if (bytes_ := packed(vector)) is not None:
                found[number].append((start, bytes_))
        embedding = Embedding(self._embedder.identity, len(vectors[0])) if vectors else None
        return list(zip(documents, found, strict=True)), embedding

    async def _read(self, tenant: str, ask: Callable[[DocumentTable], T], empty: T) -> T:
        """An answer from the tenant's documents; `empty` while there are none. Cancelled, it is ended."""
        try:
            return await self._on(self._reader, lambda: self._files.readers.ask(tenant, ask, empty))
        except asyncio.CancelledError:
            self._files.readers.interrupt(ask)
            raise

    async def _write(self, tenant: str, change: Callable[[DocumentTable], T]) -> T:
        return await self._on(self._writer, lambda: self._files.writers.change(tenant, change))

    async def _on(self, thread: ThreadPoolExecutor, work: Callable[[], T]) -> T:
        """Do a piece of work in a thread; when it is cancelled, what was begun goes on to its end."""
        return await asyncio.get_running_loop().run_in_executor(thread, work)


def _search(
    table: DocumentTable, question: str, vector: bytes | None, by: By, held: Mapping[str, Json], most: int
) -> list[Found]:
    # what is merged must reach further than what is asked for: the best of both may be second in each
    deep = most if by != "both" or vector is None else max(_CANDIDATES, 2 * most)
    with table.view():
        rankings = []
        if by != "meaning":
            rankings.append(table.by_words(question, held, deep))
        if vector is not None:
            rankings.append(table.by_meaning(vector, held, deep))
        hits = (
            _fused(rankings)[:most] if len(rankings) > 1 else [hit for ranking in rankings for hit in ranking]
        )
        documents = table.documents(hit.n for hit in hits)
    return [
        Found(document, round(hit.score, 6), hit.start) for document, hit in zip(documents, hits, strict=True)
    ]


def _fused(rankings: Sequence[Sequence[Hit]]) -> list[Hit]:
    """Reciprocal rank fusion: what stands at rank r of a ranking gets 1 / (60 + r) of it."""
    scores: dict[int, float] = {}
    starts: dict[int, int] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, 1):
            scores[hit.n] = scores.get(hit.n, 0.0) + 1 / (_RANK_CONSTANT + rank)
            starts[hit.n] = starts.get(hit.n) or hit.start
    return sorted(
        (Hit(n, starts[n], score) for n, score in scores.items()), key=lambda hit: (-hit.score, hit.n)
    )


def _document(draft: Draft, now: float) -> Document:
    metadata = dict(draft.metadata)
    problem = unsayable(metadata)
    if problem is not None:
        raise UsageError(f"the metadata of a document cannot be kept: {problem}")
    text, title = _kept(draft.text), None if draft.title is None else _kept(draft.title)
    content = digest([title, text, metadata])
    return Document(_kept(draft.id or content), content, title, text, metadata, now)


def _kept(text: str) -> str:
    """Raises UsageError for half a surrogate pair, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"a text of a document is no Unicode: {error.reason}") from error
    return text


def _in_context(document: Document, passage: str) -> str:
    return f"{document.title}\n{passage}" if document.title else passage


def _for_free(usage: Usage, cost: float | None) -> None:
    """Nobody counts."""
