"""Documents: kept once, found by words, by meaning and by both, each tenant's apart, and never silently wrong."""

from __future__ import annotations

import asyncio
import math
import os
import random
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from agentctl.errors import StoreError, UsageError

pytest.importorskip("apsw", reason="stores need `pip install .[stores]`")
pytest.importorskip("sqlite_vec", reason="stores need `pip install .[stores]`")

from agentctl.store.disk import DamagedStore
from agentctl.store.documents.documents import Charge, Documents, Draft
from agentctl.store.documents.texts import PASSAGE, match_any, passages
from tests.store.letters import Letters

T = TypeVar("T")
ODD = [
    "",
    " ",
    "---",
    '"',
    "* OR NEAR(",
    "a AND NOT",
    "\0",
    "日本",
    "🙂",
    "ไทย",
    "\u0301",
    "col:x",
    "x" * 100_000,
]


def with_documents(
    folder: Path, work: Callable[[Documents], Awaitable[T]], embedder: Letters | None = None, **settings: Any
) -> T:
    async def run() -> T:
        documents = Documents(folder, embedder, **settings)
        try:
            return await work(documents)
        finally:
            await documents.close()

    return asyncio.run(run())


def texts(found: Sequence[Any]) -> list[str]:
    return [one.document.text for one in found]


def test_what_is_added_is_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    draft = Draft("The cat sat on the mat", title="Cats", metadata={"page": 3, "tags": ["a", {"b": None}]})
    [id] = with_documents(tmp_path / "shelf", lambda d: d.add([draft]))
    found = with_documents(tmp_path / "shelf", lambda d: d.get(id))
    assert found is not None
    assert (found.text, found.title, found.metadata) == (draft.text, draft.title, draft.metadata)


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    async def look(documents: Documents) -> None:
        assert await documents.search("cat") == []
        assert await documents.get("x") is None
        assert await documents.delete(["x"]) == 0

    with_documents(tmp_path / "shelf", look)
    assert not (tmp_path / "shelf").exists()


def test_the_same_document_is_kept_once_and_embedded_once(tmp_path: Path) -> None:
    letters = Letters()

    async def twice(documents: Documents) -> int:
        draft = Draft("a cat", metadata={"n": 1})
        first = await documents.add([draft])
        assert await documents.add([draft, draft, Draft("a cat", metadata={"n": 1.0})]) == first * 3
        assert await documents.add([Draft("a cat", metadata={"n": 2})]) != first
        return await documents.count()

    assert with_documents(tmp_path, twice, letters) == 2
    assert letters.texts == ["a cat", "a cat"]


def test_a_document_of_a_given_id_is_replaced_in_text_words_and_vectors(tmp_path: Path) -> None:
    async def replace(documents: Documents) -> None:
        await documents.add([Draft("zebra", id="one"), Draft("other", id="two")])
        await documents.add([Draft("giraffe", id="one")])
        assert await documents.count() == 2
        assert texts(await documents.search("zebra", by="words")) == []
        assert texts(await documents.search("giraffe", by="words")) == ["giraffe"]
        assert texts(await documents.search("giraffe", by="meaning", top=1)) == ["giraffe"]

    with_documents(tmp_path, replace, Letters())


def test_what_is_deleted_is_found_no_more(tmp_path: Path) -> None:
    async def delete(documents: Documents) -> None:
        ids = await documents.add([Draft("one cat"), Draft("two cats")])
        assert await documents.delete([ids[0], ids[0], "no such"]) == 1
        assert await documents.get(ids[0]) is None
        for by in ("words", "meaning", "both"):
            assert texts(await documents.search("cat", by=by)) == ["two cats"]

    with_documents(tmp_path, delete, Letters())


def test_a_failed_batch_leaves_nothing(tmp_path: Path) -> None:
    async def fail(documents: Documents) -> None:
        with pytest.raises(UsageError, match="cannot be kept"):
            await documents.add([Draft("good"), Draft("bad", metadata={"x": math.nan})])
        with pytest.raises(UsageError, match="no Unicode"):
            await documents.add([Draft("good"), Draft("half \ud800 a pair")])
        assert await documents.count() == 0

    with_documents(tmp_path, fail)


@pytest.mark.parametrize("question", ODD)
def test_a_question_is_text_and_never_syntax(tmp_path: Path, question: str) -> None:
    async def ask(documents: Documents) -> None:
        await documents.add([Draft("a plain cat"), Draft(f"before {question} after")])
        for by in ("words", "meaning", "both"):
            for one in await documents.search(question, by=by):
                assert one.document.text

    with_documents(tmp_path, ask, Letters())


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("The Cats sat", "cat"),
        ("Crème brûlée", "creme"),
        ("東京は日本の首都です", "首都"),
        ("a refund 🙂 was paid", "🙂"),
        ("C'est l'été", "ÉTÉ"),
        ("ключ от двери", "Ключ"),
        ("no space🤖here", "🤖"),
    ],
)
def test_words_are_found_in_any_script(tmp_path: Path, text: str, question: str) -> None:
    async def ask(documents: Documents) -> list[str]:
        await documents.add([Draft(text), Draft("entirely other")])
        return texts(await documents.search(question))

    assert with_documents(tmp_path, ask) == [text]


def test_a_neighbourhood_of_han_letters_counts_and_not_each_of_them() -> None:
    assert match_any("東京 tower") == '"tower" OR "東 京"'


def test_any_word_finds_and_more_of_them_rank_higher(tmp_path: Path) -> None:
    async def ask(documents: Documents) -> list[str]:
        await documents.add([Draft("a dog"), Draft("a cat and a dog"), Draft("a bird")])
        return texts(await documents.search("cat dog"))

    assert with_documents(tmp_path, ask) == ["a cat and a dog", "a dog"]


def test_equal_documents_come_in_the_order_they_were_added(tmp_path: Path) -> None:
    async def ask(documents: Documents) -> None:
        ids = await documents.add([Draft("same words", metadata={"n": n}) for n in range(20)])
        for by in ("words", "meaning", "both"):
            found = await documents.search("same words", by=by, top=10)
            assert [one.document.id for one in found] == ids[:10]

    with_documents(tmp_path, ask, Letters())


def test_both_ranks_first_what_words_and_meaning_find(tmp_path: Path) -> None:
    async def ask(documents: Documents) -> None:
        await documents.add([Draft("tac"), Draft("cat"), Draft("zzz cat zzzzzz")])
        found = await documents.search("cat")
        assert texts(found)[0] == "cat"
        assert set(texts(found)) == {"tac", "cat", "zzz cat zzzzzz"}
        scores = [one.score for one in found]
        assert scores == sorted(scores, reverse=True)

    with_documents(tmp_path, ask, Letters())


def test_metadata_narrows_a_search_before_the_limit(tmp_path: Path) -> None:
    async def ask(documents: Documents) -> None:
        await documents.add([Draft("a cat", metadata={"n": n, "even": n % 2 == 0}) for n in range(100)])
        for by in ("words", "meaning", "both"):
            for held, expected in [
                ({"n": 97}, [97]),
                ({"n": 97.0}, [97]),
                ({"n": "97"}, []),
                ({"n": 1, "even": True}, []),
                ({"even": 1}, []),
                ({"missing": None}, []),
            ]:
                found = await documents.search("cat", by=by, metadata=held)
                assert [one.document.metadata["n"] for one in found] == expected, (by, held)
        odd = {'a"]': [1, {"b": 2.0}], "$.x": "it's"}
        await documents.add([Draft("odd cat", metadata=odd)])
        assert texts(await documents.search("cat", metadata=odd)) == ["odd cat"]

    with_documents(tmp_path, ask, Letters())


def test_tenants_find_nothing_of_each_other(tmp_path: Path) -> None:
    async def ask(documents: Documents) -> None:
        [id] = await documents.add([Draft("secret plan")], tenant="acme")
        for tenant in ("", "acm", "ACME", "../acme"):
            assert await documents.search("secret", tenant=tenant) == []
            assert await documents.get(id, tenant=tenant) is None
            assert await documents.delete([id], tenant=tenant) == 0
        assert texts(await documents.search("secret", tenant="acme")) == ["secret plan"]

    with_documents(tmp_path, ask, Letters())


def test_more_tenants_than_are_kept_open(tmp_path: Path) -> None:
    async def ask(documents: Documents) -> None:
        for n in [*range(40), *range(40)]:
            await documents.add([Draft(f"the plan of {n}")], tenant=f"t{n}")
        for n in range(40):
            assert texts(await documents.search("plan", tenant=f"t{n}")) == [f"the plan of {n}"]

    with_documents(tmp_path, ask)


def test_by_meaning_gives_what_an_exact_search_gives(tmp_path: Path) -> None:
    chance = random.Random(5)
    points = [[chance.gauss(0, 1) for _ in range(64)] for _ in range(10_000)]
    asked = [[chance.gauss(0, 1) for _ in range(64)] for _ in range(20)]

    class Given(Letters):
        async def embed(self, texts: Sequence[str], charge: Charge) -> list[Sequence[float]]:
            return [(points if text[0] == "d" else asked)[int(text[1:])] for text in texts]

    async def ask(documents: Documents) -> list[list[int]]:
        await documents.add([Draft(f"d{n}") for n in range(len(points))])
        found = [await documents.search(f"q{n}", by="meaning", top=10) for n in range(len(asked))]
        return [[int(text[1:]) for text in texts(one)] for one in found]

    found = with_documents(tmp_path, ask, Given())
    lengths = [math.hypot(*point) for point in points]
    for question, numbers in zip(asked, found, strict=True):
        cosines = [
            math.sumprod(question, p) / n
            if hasattr(math, "sumprod")
            else sum(a * b for a, b in zip(question, p, strict=True)) / n
            for p, n in zip(points, lengths, strict=True)
        ]
        assert numbers == sorted(range(len(points)), key=lambda n: -cosines[n])[:10]


def test_a_long_text_is_found_by_the_passage_that_fits(tmp_path: Path) -> None:
    text = "word " * 100_000 + "zzz " * 200 + "word " * 100_000

    async def ask(documents: Documents) -> None:
        await documents.add([Draft(text), Draft("nothing like it")])
        [best] = await documents.search("zzz", by="meaning", top=1)
        assert best.document.text == text
        assert "zzz" in text[best.start : best.start + PASSAGE]
        assert texts(await documents.search("zzz", by="words")) == [text]

    with_documents(tmp_path, ask, Letters())


@pytest.mark.parametrize(
    "text", ["", "short", "x" * 5000, "a b " * 2000, "a\n" * 3000, "日" * 2500, " " * 3000]
)
def test_passages_leave_nothing_out(text: str) -> None:
    found = list(passages(text))
    assert all(piece == text[start : start + len(piece)] and len(piece) <= PASSAGE for start, piece in found)
    assert "".join(piece for _, piece in found).split() == text.split() or not text.strip()


def test_a_store_begun_without_embeddings_is_embedded_when_it_gets_an_embedder(tmp_path: Path) -> None:
    with_documents(tmp_path, lambda d: d.add([Draft(f"text {n}") for n in range(250)]))
    letters = Letters()

    async def ask(documents: Documents) -> list[str]:
        await documents.add([Draft("the newest")])
        return texts(await documents.search("newest", by="meaning", top=1))

    assert with_documents(tmp_path, ask, letters) == ["the newest"]
    assert sorted(t for t in letters.texts if t != "newest") == sorted(
        [*(f"text {n}" for n in range(250)), "the newest"]
    )


def test_another_embedder_is_refused_until_it_may_begin_anew(tmp_path: Path) -> None:
    with_documents(tmp_path, lambda d: d.add([Draft("a cat"), Draft("a dog")]), Letters())
    other = Letters("other/model", dimensions=5)
    for work in (lambda d: d.search("cat"), lambda d: d.add([Draft("new")])):
        with pytest.raises(
            StoreError, match=r"embedded by letters \(26 dimensions\).*other/model"
        ) as refused:
            with_documents(tmp_path, work, other)
        assert "AGENTCTL_REEMBED=1" in str(refused.value.hint)
    assert other.texts == []
    assert texts(with_documents(tmp_path, lambda d: d.search("cat", by="words"), other)) == ["a cat"]
    with_documents(tmp_path, lambda d: d.search("cat", by="meaning"), other, reembed=True)
    assert sorted(other.texts) == ["a cat", "a dog", "cat"]
    assert with_documents(tmp_path, lambda d: d.search("cat", by="meaning", top=1), other)
    with pytest.raises(StoreError, match="embedded by other/model"):
        with_documents(tmp_path, lambda d: d.search("cat"), Letters())


def test_an_embedder_that_changes_its_length_is_refused(tmp_path: Path) -> None:
    with_documents(tmp_path, lambda d: d.add([Draft("a cat")]), Letters())
    for work in (lambda d: d.search("cat"), lambda d: d.add([Draft("new")])):
        with pytest.raises(StoreError, match=r"26 dimensions.*gave 5"):
            with_documents(tmp_path, work, Letters(dimensions=5))


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    async def look(documents: Documents) -> None:
        await documents.add([Draft("a secret")])
        for path in (tmp_path / "shelf").iterdir():
            assert path.stat().st_mode & 0o077 == 0, path

    before = os.umask(0)
    try:
        with_documents(tmp_path / "shelf", look)
    finally:
        os.umask(before)
    assert (tmp_path / "shelf").stat().st_mode & 0o777 == 0o700
    (tmp_path / "shelf" / "documents.db").chmod(0o644)
    with_documents(tmp_path / "shelf", lambda d: d.count())
    assert (tmp_path / "shelf" / "documents.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_store_is_refused(tmp_path: Path) -> None:
    with_documents(tmp_path, lambda d: d.add([Draft("x")]))
    os.chown(tmp_path / "documents.db", 12345, -1)
    with pytest.raises(UsageError, match="belongs to another user"):
        with_documents(tmp_path, lambda d: d.search("x"))


def test_flipped_bytes_are_an_error_and_never_another_answer(tmp_path: Path) -> None:
    drafts = [Draft(f"document {n} says " + "something long " * 20, metadata={"n": n}) for n in range(60)]
    with_documents(tmp_path, lambda d: d.add(drafts), Letters())
    path = tmp_path / "documents.db"
    sound = path.read_bytes()

    async def everything(documents: Documents) -> list[Any]:
        answers: list[Any] = [await documents.count()]
        for by in ("words", "meaning"):
            found = await documents.search("document long", by=by, top=100)
            answers.append([(one.document, one.score, one.start) for one in found])
        return answers

    expected = with_documents(tmp_path, everything, Letters())
    chance = random.Random(3)
    refused = 0
    for _ in range(60):
        data = bytearray(sound)
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        try:
            assert with_documents(tmp_path, everything, Letters()) == expected
        except StoreError:
            refused += 1
        finally:
            for beside in tmp_path.glob("documents.db-*"):
                beside.unlink()
    assert refused > 30


@pytest.mark.parametrize("size", [0, 100, 4096, 20_000])
def test_a_file_cut_short_is_an_error(tmp_path: Path, size: int) -> None:
    with_documents(tmp_path, lambda d: d.add([Draft(f"text {n} " * 50) for n in range(100)]))
    os.truncate(tmp_path / "documents.db", size)
    with pytest.raises(DamagedStore, match="damaged"):
        with_documents(tmp_path, lambda d: d.search("text", top=1000))


def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "documents.db")
    other.execute("CREATE TABLE mine (x)")
    other.commit()
    other.close()
    before = (tmp_path / "documents.db").read_bytes()
    with pytest.raises(StoreError):
        with_documents(tmp_path, lambda d: d.add([Draft("x")]))
    assert (tmp_path / "documents.db").read_bytes() == before


def test_a_store_of_a_newer_agentctl_is_refused(tmp_path: Path) -> None:
    import apsw

    from agentctl.store.documents.database import connect

    with_documents(tmp_path, lambda d: d.add([Draft("x")]))
    connection: apsw.Connection = connect(tmp_path / "documents.db")
    connection.pragma("user_version", 2)
    connection.close()
    with pytest.raises(StoreError, match="has format 2, and this agentctl knows 1"):
        with_documents(tmp_path, lambda d: d.search("x"))


def test_a_store_removed_while_in_use_is_an_error(tmp_path: Path) -> None:
    async def remove(documents: Documents) -> None:
        await documents.add([Draft("x")])
        assert await documents.count() == 1
        (tmp_path / "documents.db").unlink()
        with pytest.raises(StoreError, match="removed or replaced"):
            await documents.search("x")

    with_documents(tmp_path, remove)


def test_a_full_disk_is_an_error_and_leaves_what_was_there(tmp_path: Path) -> None:
    import resource

    async def fill(documents: Documents) -> None:
        await documents.add([Draft("first")])
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))
        try:
            with pytest.raises(StoreError, match="cannot be"):
                await documents.add([Draft(f"{n} " + "long text " * 10_000) for n in range(20)])
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert texts(await documents.search("first long text")) == ["first"]
        await documents.add([Draft("second")])
        assert await documents.count() == 2

    with_documents(tmp_path, fill)


def test_a_cancelled_search_leaves_the_store_usable(tmp_path: Path) -> None:
    async def cancel(documents: Documents) -> None:
        await documents.add([Draft(f"the cat {n}") for n in range(3000)])
        for _ in range(5):
            task = asyncio.create_task(documents.search("the cat", top=1000))
            await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await documents.count() == 3000

    with_documents(tmp_path, cancel)


def test_a_cancelled_search_ends_no_other(tmp_path: Path) -> None:
    async def cancel(documents: Documents) -> None:
        await documents.add([Draft(f"the cat {n}") for n in range(3000)])
        for _ in range(5):
            stays = asyncio.create_task(documents.search("the cat", top=1000))
            waits = asyncio.create_task(documents.search("the cat", top=1000))
            await asyncio.sleep(0.001)
            waits.cancel()
            assert len(await stays) == 1000
            with pytest.raises(asyncio.CancelledError):
                await waits

    with_documents(tmp_path, cancel)
