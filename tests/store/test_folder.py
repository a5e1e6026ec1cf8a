"""Where the store is found and made."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agentctl.errors import UsageError
from agentctl.store.folder import find_store, open_memo, open_thread_store, place_store, prepare_store


def test_a_store_is_found_upward_and_else_placed_in_the_folder_itself(tmp_path: Path) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    assert place_store(deep) == deep / ".agentctl"
    made = prepare_store(tmp_path / "a" / ".agentctl")
    assert find_store(deep) == place_store(deep) == made == tmp_path / "a" / ".agentctl"
    (deep / ".agentctl").write_text("a file, not a folder")
    assert find_store(deep) == made


def test_a_store_is_for_its_owner_alone_and_not_for_git(tmp_path: Path) -> None:
    folder = prepare_store(tmp_path / "new" / ".agentctl")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"
    folder.chmod(0o755)
    prepare_store(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert prepare_store(Path(".agentctl")) == tmp_path / ".agentctl"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_store_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = prepare_store(tmp_path / ".agentctl")
    os.chown(folder, 12345, 12345)
    with pytest.raises(UsageError, match=r"belongs to another user \(uid 12345, you are 0\)"):
        prepare_store(folder)


def test_a_file_in_the_place_of_the_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".agentctl").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        prepare_store(tmp_path / ".agentctl")
    with pytest.raises(UsageError, match="cannot be kept"):
        prepare_store(tmp_path / ".agentctl" / "inner")


def test_opening_and_reading_make_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        store, memo = open_thread_store(tmp_path), open_memo(tmp_path)
        assert await store.heads() == []
        assert await store.head("t") is None
        assert await store.read("t") == []
        assert await store.load_file("d") is None
        assert await memo.get("k") is None
        await store.close()
        await memo.close()

    asyncio.run(work())
    assert list(tmp_path.iterdir()) == []


def test_a_closed_store_leaves_no_write_ahead_log(tmp_path: Path) -> None:
    async def work() -> None:
        store = open_thread_store(tmp_path)
        log = await store.open("t")
        for n in range(100):
            await log.append([{"n": n}])
        await store.close()

    asyncio.run(work())
    assert not list(tmp_path.rglob("*-wal"))
    assert not list(tmp_path.rglob("*-shm"))


def test_stores_in_memory_do_not_load_diskcache() -> None:
    code = "import sys, agentctl.store.memory; sys.exit('diskcache' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
