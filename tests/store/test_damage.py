"""Stores that were flipped, cut, planted, filled or removed: a clear error, never a wrong value in silence."""

from __future__ import annotations

import asyncio
import pickle
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agentctl.errors import DamagedRecord, StoreError, ThreadBusy
from agentctl.json import Json
from agentctl.store.disk import SafeDisk, create_cache, open_cache
from agentctl.store.folder import open_memo, open_thread_store
from agentctl.store.protocols import Head, MemoEntry
from agentctl.store.threads import DiskThreadStore

WAL_FRAME = 24 + 4096
ROOT = Path(__file__).parent.parent.parent


async def fill(store: DiskThreadStore, rounds: int = 12) -> None:
    """Three threads written in turns, with heads, and a file's text."""
    chance = random.Random(1)
    await store.save_file("digest", {"graph.yaml": "text " * 300})
    for n in range(rounds):
        for name in "abc":
            log = await store.open(name)
            text = "".join(chance.choices("abcdefgh ", k=chance.choice([20, 200, 900])))
            await log.append([{"n": log.seq, "text": text}, {"n": log.seq + 1}], sync=n == rounds - 1)
            if n % 4 == 3 or n == rounds - 1:
                await log.save_head(Head(thread=name, seq=log.seq, turns=n))
            await log.close()


async def read_everything(folder: Path) -> list[Json]:
    store = open_thread_store(folder)
    try:
        seen: list[Json] = [await store.heads(), await store.load_file("digest")]
        for name in "abc":
            seen += [await store.head(name), await store.read(name), await store.read(name, 5, 9)]
            seen.append((await store.open(name)).seq)
        return seen
    finally:
        await store.close()


async def refusal_or_value(folder: Path) -> list[Json] | StoreError:
    try:
        return await read_everything(folder)
    except StoreError as error:
        return error


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that was closed."""
    folder = tmp_path_factory.mktemp("sound")

    async def work() -> None:
        store = open_thread_store(folder)
        await fill(store)
        await store.close()

    asyncio.run(work())
    return folder


@pytest.fixture(scope="module")
def abandoned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store as a killed process leaves it: what it wrote last is in the WAL alone."""
    folder = tmp_path_factory.mktemp("abandoned")

    async def work() -> None:
        store = open_thread_store(folder / "living")
        (folder / "living").mkdir()
        await fill(store, 2)
        shutil.copytree(folder / "living", folder / "left", ignore=shutil.ignore_patterns("*-shm"))
        await store.close()

    asyncio.run(work())
    return folder / "left"


@pytest.mark.parametrize("state", ["sound", "abandoned"])
def test_no_flipped_byte_reads_back_as_a_wrong_value(
    state: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    whole: Path = request.getfixturevalue(state)
    shutil.copytree(whole, tmp_path / "whole")
    right = asyncio.run(read_everything(tmp_path / "whole"))
    files = [path for path in whole.rglob("cache.db*") if path.stat().st_size]
    chance, refused = random.Random(2), 0
    for trial in range(200):
        folder = tmp_path / str(trial)
        shutil.copytree(whole, folder)
        chosen = chance.choices(files, [path.stat().st_size for path in files])[0]
        damaged = folder / chosen.relative_to(whole)
        data = bytearray(damaged.read_bytes())
        # a flip in a WAL's last frame is not to be told from a kill in the midst of writing it
        reach = len(data) - WAL_FRAME if damaged.name.endswith("-wal") else len(data)
        data[chance.randrange(reach)] ^= chance.randrange(1, 256)
        damaged.write_bytes(data)
        said = asyncio.run(refusal_or_value(folder))
        if isinstance(said, StoreError):
            refused += 1
            assert re.search("damaged|missing|lost", said.message)
        else:
            assert said == right, f"trial {trial}: {damaged}"
    assert refused > 20, "the flips hit nothing: the test has no teeth"


def test_no_flip_in_a_key_hides_a_record_or_makes_up_a_thread(sound: Path, tmp_path: Path) -> None:
    """Keys stand in the rows and in their index; SQLite notices neither a wrong one nor a wrong order."""
    whole = tmp_path / "whole"
    shutil.copytree(sound, whole)
    right = asyncio.run(read_everything(whole))
    database = Path("threads") / "logs" / "cache.db"
    data = (sound / database).read_bytes()
    keys = keys_of_a(sound)
    places = [
        found.start() + offset
        for key in ("=a", keys[0], keys[-1])
        for found in re.finditer(re.escape(key.encode()), data)
        for offset in (-3, -2, -1, 0, len(key) - 1)
    ]
    assert len(places) == 3 * 2 * 5
    folder = tmp_path / "flipped"
    for place in places:
        for flip in (0x01, 0x05, 0x10, 0x80):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(sound, folder)
            damaged = bytearray(data)
            damaged[place] ^= flip
            (folder / database).write_bytes(damaged)
            said = asyncio.run(refusal_or_value(folder))
            assert isinstance(said, StoreError) or said == right, (place, flip)


def edit(folder: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(folder / "threads" / "logs" / "cache.db")
    assert connection.execute(statement, values).rowcount > 0
    connection.commit()
    connection.close()


def keys_of_a(folder: Path) -> list[str]:
    connection = sqlite3.connect(folder / "threads" / "logs" / "cache.db")
    [(some,)] = connection.execute("SELECT key FROM Cache WHERE key NOT GLOB '[=@]*' ORDER BY rowid LIMIT 1")
    keys = connection.execute("SELECT key FROM Cache WHERE key GLOB ? ORDER BY key", (some[:10] + "*",))
    found = [key for (key,) in keys]
    connection.close()
    return found


def remove_record(folder: Path) -> None:
    edit(folder, "DELETE FROM Cache WHERE key = ?", keys_of_a(folder)[6])


def remove_last_record(folder: Path) -> None:
    edit(folder, "DELETE FROM Cache WHERE key = ?", keys_of_a(folder)[-1])


def remove_all_records(folder: Path) -> None:
    edit(folder, "DELETE FROM Cache WHERE key GLOB ?", keys_of_a(folder)[0][:10] + "*")


def swap_records(folder: Path) -> None:
    one, other = keys_of_a(folder)[6:8]
    edit(folder, "UPDATE Cache SET key = 'aside' WHERE key = ?", one)
    edit(folder, "UPDATE Cache SET key = ? WHERE key = ?", one, other)
    edit(folder, "UPDATE Cache SET key = ? WHERE key = 'aside'", other)


def forge_record(folder: Path) -> None:
    blob = SafeDisk(str(folder)).store({"n": 6, "text": "forged"}, False)[3]
    edit(folder, "UPDATE Cache SET value = ? WHERE key = ?", blob, keys_of_a(folder)[6])


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (remove_record, "record 7 of thread `a` is missing"),
        (remove_last_record, "thread `a` ends at record 23, but record 24 was written"),
        (remove_all_records, "thread `a` ends at record 0, but record 24 was written"),
        (swap_records, "record 7 of thread `a` is damaged"),
        (forge_record, "record 7 of thread `a` is damaged"),
    ],
)
def test_a_record_that_was_tampered_with_is_named(
    sound: Path, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    harm(tmp_path)

    async def work() -> None:
        store = open_thread_store(tmp_path)
        with pytest.raises(DamagedRecord, match=said):
            await store.read("a")
        assert len(await store.read("b")) == 24
        await store.remove("a")
        assert await store.read("a") == []
        assert [head.thread for head in await store.heads()] == ["c", "b"]
        await store.close()

    asyncio.run(work())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def scribble(path: Path) -> None:
    path.write_bytes(b"this is no database\n" * 1000)


@pytest.mark.parametrize("harm", [cut, empty, scribble, Path.unlink], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("which", ["logs", "heads"])
def test_a_store_that_cannot_be_read_is_an_error_and_no_new_store(
    sound: Path, tmp_path: Path, harm: Callable[[Path], None], which: str
) -> None:
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "threads" / which / "cache.db"
    harm(path)
    left = path.read_bytes() if path.exists() else None

    async def work() -> None:
        store = open_thread_store(tmp_path)
        with pytest.raises(StoreError, match="damaged"):
            await store.heads()
        with pytest.raises(StoreError, match="damaged"):
            await (await store.open("a")).append([{"n": 1}])
        await store.close()

    asyncio.run(work())
    assert (path.read_bytes() if path.exists() else None) == left, "the evidence was written over"


class Planted:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("statement", [
    "UPDATE Cache SET mode = 4, value = :payload",
    "UPDATE Cache SET mode = 4, value = NULL, filename = :file",
    "UPDATE Cache SET raw = 0, key = CAST(:payload AS BLOB) || rowid",
    "UPDATE Cache SET value = :payload",
    "INSERT INTO Cache (key, raw, mode, value) VALUES (:payload, 0, 4, :payload)",
    "UPDATE Settings SET value = :payload WHERE key = 'eviction_policy'",
    "INSERT INTO Settings VALUES ('disk_fetch', :payload), ('_disk', :payload), ('sqlite_x', :payload)",
])  # fmt: skip
@pytest.mark.parametrize("database", ["threads/logs", "threads/heads", "memo"])
def test_a_planted_pickle_never_runs_and_no_other_file_is_touched(
    tmp_path: Path, statement: str, database: str
) -> None:
    async def work() -> None:
        store, memo = open_thread_store(tmp_path), open_memo(tmp_path, on_trouble=troubles.append)
        for _ in range(2):
            for act in (
                fill(store, 4), store.heads(), store.head("a"), store.read("a"), store.load_file("digest"),
                store.remove("a"), memo.get("k"), memo.put("k", MemoEntry("v", 0.0, 0.0), max_age=None),
            ):  # fmt: skip
                try:
                    await act
                except (StoreError, ThreadBusy):
                    errors.append(act)
        await store.close()
        await memo.close()

    errors: list[object] = []
    troubles: list[StoreError] = []
    asyncio.run(work())
    assert errors == troubles == []
    mark, bystander = tmp_path / "it ran", tmp_path / "bystander"
    payload = pickle.dumps(Planted(mark))
    bystander.write_bytes(payload)
    connection = sqlite3.connect(tmp_path / database / "cache.db")
    values = {"payload": payload, "file": "../../bystander" if database != "memo" else "../bystander"}
    assert connection.execute(statement, values).rowcount > 0
    connection.commit()
    connection.close()
    asyncio.run(work())
    assert not mark.exists(), "the pickle was loaded"
    assert bystander.read_bytes() == payload, "a file that a row names was touched"


def test_the_disk_alone_reads_no_row_that_is_not_ours(tmp_path: Path) -> None:
    create_cache(tmp_path / "c")
    cache = open_cache(tmp_path / "c", 1.0)
    cache.set("good", {"a": [1, None, "ä" * 1000]})
    assert cache.get("good") == {"a": [1, None, "ä" * 1000]}
    assert list(cache) == ["good"]
    mark = tmp_path / "it ran"
    connection = sqlite3.connect(tmp_path / "c" / "cache.db")
    payload = pickle.dumps(Planted(mark))
    connection.execute("INSERT INTO Cache (key, raw, mode, value) VALUES ('bad', 1, 4, ?)", (payload,))
    connection.execute("INSERT INTO Cache (key, raw, mode, value) VALUES (?, 0, 16, 'x')", (payload,))
    connection.commit()
    connection.close()
    for read in (
        lambda: cache.get("bad"), lambda: cache["bad"], lambda: cache.pop("bad"), lambda: list(cache),
        lambda: list(cache.iterkeys()), lambda: cache.peekitem(), lambda: cache.read("good"),
    ):  # fmt: skip
        with pytest.raises(DamagedRecord):
            read()
    for write in (lambda: cache.set(("a", 1), 1), lambda: cache.set("k", object())):
        with pytest.raises(TypeError):
            write()
    cache.close()
    assert not mark.exists()
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["cache.db"]


def test_threads_are_never_evicted(tmp_path: Path) -> None:
    async def work() -> None:
        store = open_thread_store(tmp_path)
        log = await store.open("t")
        chance = random.Random(3)
        large = [{"n": n, "text": chance.randbytes(150_000).hex()} for n in range(20)]
        for record in large:
            await log.append([record])
        for n in range(0, 3000, 100):
            await log.append([{"n": n + k} for k in range(100)])
        await store.close()
        store = open_thread_store(tmp_path)
        records = [record for _, record in await store.read("t")]
        assert records == large + [{"n": n} for n in range(3000)]
        assert not list(tmp_path.rglob("*.val")), "a value lies outside of its row"
        await store.close()

    asyncio.run(work())


@pytest.mark.parametrize("how", ["removed", "moved away", "replaced"])
def test_a_store_that_goes_away_in_mid_run_is_noticed(tmp_path: Path, how: str) -> None:
    folder = tmp_path / ".agentctl"
    folder.mkdir()

    async def work() -> None:
        store = open_thread_store(folder)
        log = await store.open("t")
        await log.append([{"n": 1}])
        if how == "moved away":
            folder.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(folder)
        if how == "replaced":
            folder.mkdir()
            other = open_thread_store(folder)
            await (await other.open("t")).append([{"other": 1}])
            await other.close()
        for act in (log.append([{"n": 2}]), log.read(), store.heads(), log.save_head(Head(thread="t"))):
            with pytest.raises(StoreError, match=r"removed|replaced|cannot be used"):
                await act
        assert log.seq == 1
        await log.close()
        await store.close()

    asyncio.run(work())
    assert folder.exists() == (how == "replaced"), "the store was made anew behind its back"


def test_a_full_disk_is_said_and_what_was_acknowledged_stays(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk; SQLite meets it at the same place."""
    code = f"""
import asyncio, signal, resource
from pathlib import Path
from agentctl.errors import StoreError
from agentctl.store.folder import open_thread_store

async def work():
    store = open_thread_store(Path({str(tmp_path)!r}))
    log = await store.open("t")
    await log.append([{{"n": 1}}])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    try:
        while True:
            await log.append([{{"n": log.seq + 1, "text": "x" * 300}}, {{"n": log.seq + 2}}], sync=True)
    except StoreError as error:
        print(error.message)
    print(log.seq)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await log.append([{{"n": log.seq + 1}}])
    print(log.seq)
    await store.close()

asyncio.run(work())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    message, acknowledged, last = done.stdout.splitlines()
    assert "the store in" in message, done.stderr
    assert "damaged" not in message
    assert int(last) == int(acknowledged) + 1

    async def read() -> list[tuple[int, Json]]:
        store = open_thread_store(tmp_path)
        try:
            return await store.read("t")
        finally:
            await store.close()

    assert [(seq, record["n"]) for seq, record in asyncio.run(read())] == [
        (n, n) for n in range(1, int(last) + 1)
    ]


def test_a_database_that_another_program_locks_is_an_error_in_bounds(sound: Path, tmp_path: Path) -> None:
    shutil.copytree(sound, tmp_path, dirs_exist_ok=True)
    other = sqlite3.connect(tmp_path / "threads" / "logs" / "cache.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    async def work() -> None:
        store = DiskThreadStore(tmp_path, patience=0.2)
        log = await store.open("a")
        with pytest.raises(StoreError, match="locked by another program"):
            await log.append([{"n": 1}])
        assert len(await log.read()) == 24
        other.execute("ROLLBACK")
        assert await log.append([{"n": 1}]) == 25
        await store.close()

    asyncio.run(work())
    other.close()


@pytest.mark.parametrize("harm", [cut, empty, scribble, Path.unlink], ids=lambda harm: harm.__name__)
def test_a_memo_that_is_damaged_is_begun_anew(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    async def work() -> None:
        troubles: list[StoreError] = []
        memo = open_memo(tmp_path)
        for n in range(50):
            await memo.put(f"k{n}", MemoEntry("v" * 300, 0.0, 0.0), max_age=None)
        await memo.close()
        harm(tmp_path / "memo" / "cache.db")
        memo = open_memo(tmp_path, on_trouble=troubles.append)
        for _ in range(2):
            for n in range(50):
                found = await memo.get(f"k{n}")
                assert found is None or found.value == "v" * 300
        assert troubles
        await memo.put("k", MemoEntry("again", 0.0, 0.0), max_age=None)
        assert await memo.get("k") == MemoEntry("again", 0.0, 0.0)
        await memo.close()

    asyncio.run(work())


def test_a_damaged_row_of_a_memo_is_a_miss_and_goes(tmp_path: Path) -> None:
    async def work() -> None:
        memo = open_memo(tmp_path)
        await memo.put("k", MemoEntry("v", 0.0, 0.0), max_age=None)
        await memo.put("sound", MemoEntry("v", 0.0, 0.0), max_age=None)
        await memo.close()
        connection = sqlite3.connect(tmp_path / "memo" / "cache.db")
        connection.execute("UPDATE Cache SET value = x'00112233445566778899aabbccddeeff' WHERE key = 'k'")
        connection.commit()
        memo = open_memo(tmp_path, on_trouble=pytest.fail)
        assert await memo.get("k") is None
        assert connection.execute("SELECT key FROM Cache").fetchall() == [("sound",)]
        connection.close()
        assert await memo.get("sound") is not None
        await memo.close()

    asyncio.run(work())


def test_a_memo_keeps_within_its_bounds_and_drops_the_oldest(tmp_path: Path) -> None:
    async def work() -> None:
        memo = open_memo(tmp_path, size_limit=400_000)
        chance = random.Random(4)
        for n in range(300):
            await memo.put(f"k{n}", MemoEntry(chance.randbytes(2000).hex(), 0.0, 0.0), max_age=None)
        assert await memo.get("k0") is None
        assert await memo.get("k299") is not None
        await memo.put("too large", MemoEntry(chance.randbytes(200_000).hex(), 0.0, 0.0), max_age=None)
        assert await memo.get("too large") is None
        assert await memo.get("k299") is not None
        await memo.close()

    asyncio.run(work())
    assert (tmp_path / "memo" / "cache.db").stat().st_size < 500_000


def test_a_disk_too_full_to_begin_on_is_said_and_left_as_it_was(tmp_path: Path) -> None:
    code = f"""
import asyncio, signal, resource
from pathlib import Path
from agentctl.errors import StoreError
from agentctl.store.folder import open_memo, open_thread_store
from agentctl.store.protocols import MemoEntry

async def work():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
    store = open_thread_store(Path({str(tmp_path)!r}))
    log = await store.open("t")
    try:
        await log.append([{{"n": 1}}])
    except StoreError as error:
        print(error.message)
    memo = open_memo(Path({str(tmp_path)!r}), on_trouble=lambda error: print(error.message))
    await memo.put("k", MemoEntry(1, 0.0, 0.0), max_age=None)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await log.append([{{"n": 1}}])
    await store.close()
    await memo.close()
    print("healed")

asyncio.run(work())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    threads, memo, healed = done.stdout.splitlines()
    assert "the store in" in threads, done.stderr
    assert "the store in" in memo
    assert healed == "healed"
    assert not list(tmp_path.glob("*.new"))


def test_what_a_killed_process_began_to_make_is_in_nobody_s_way(tmp_path: Path) -> None:
    (tmp_path / "threads.new" / "logs").mkdir(parents=True)
    (tmp_path / "threads.new" / "logs" / "cache.db").write_bytes(b"half")

    async def work() -> list[tuple[int, Json]]:
        store = open_thread_store(tmp_path)
        try:
            await (await store.open("t")).append([{"n": 1}])
            return await store.read("t")
        finally:
            await store.close()

    assert asyncio.run(work()) == [(1, {"n": 1})]
    assert not (tmp_path / "threads.new").exists()
