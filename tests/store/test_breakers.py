"""What every store of breakers does, and what the one on disk does when its files are damaged or its users die."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from agentctl.errors import StoreError
from agentctl.store.breakers import DiskBreakers
from agentctl.store.clock import MachineClock, Moment, seconds_between
from agentctl.store.folder import open_breakers
from agentctl.store.memory import MemoryBreakers
from agentctl.store.protocols import CLOSED, Breakers, BreakerState, Trial

ROOT = Path(__file__).parent.parent.parent
NOW = Moment(boot="b", uptime=7.5, wall=1e9)
OPEN = BreakerState(failures=3, opened=NOW)
TRIED = BreakerState(failures=3, opened=NOW, trial=Trial(id="t", began=NOW, lease=35.0))

OpenBreakers = Callable[[], Breakers]


@pytest.fixture(params=["disk", "memory"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> OpenBreakers:
    """Opens the breakers of one project, as the next process would."""
    if request.param == "disk":
        return lambda: open_breakers(tmp_path)
    kept = MemoryBreakers()
    return lambda: kept


@pytest.mark.parametrize("state", [BreakerState(failures=2), OPEN, TRIED], ids=["counting", "open", "tried"])
def test_the_next_process_knows_the_state(open_store: OpenBreakers, state: BreakerState) -> None:
    async def work() -> None:
        one = open_store()
        assert await one.get("look") == CLOSED
        assert await one.change("look", lambda before: state) == (CLOSED, state)
        await one.close()
        other = open_store()
        assert await other.get("look") == state
        assert await other.get("dig") == CLOSED
        assert await other.change("look", lambda before: CLOSED) == (state, CLOSED)
        assert await open_store().get("look") == CLOSED

    asyncio.run(work())


def test_a_trial_is_claimed_until_it_is_released(open_store: OpenBreakers) -> None:
    one, other = open_store(), open_store()
    assert not other.is_claimed("t")
    one.claim("t")
    assert one.is_claimed("t")
    assert other.is_claimed("t")
    assert not other.is_claimed("u")
    one.release("t")
    assert not other.is_claimed("t")
    one.release("t")


def test_changes_of_two_stores_are_made_one_after_the_other(tmp_path: Path) -> None:
    async def work() -> None:
        stores = [open_breakers(tmp_path) for _ in range(2)]
        for _ in range(50):
            for store in stores:
                await store.change("look", lambda state: BreakerState(failures=state.failures + 1))
        assert await stores[0].get("look") == BreakerState(failures=100)

    asyncio.run(work())


def test_nothing_is_made_on_disk_while_nothing_is_kept(tmp_path: Path) -> None:
    async def work() -> None:
        store = open_breakers(tmp_path)
        await store.get("look")
        await store.change("look", lambda state: state)
        assert not (tmp_path / "breakers").exists()
        await store.change("look", lambda state: OPEN)
        kept = (tmp_path / "breakers" / "cache.db-wal").stat().st_mtime_ns
        await store.change("look", lambda state: state)
        await store.get("look")
        assert (tmp_path / "breakers" / "cache.db-wal").stat().st_mtime_ns == kept

    asyncio.run(work())


def test_a_byte_flipped_anywhere_is_found_or_harmless_and_can_be_recovered_from(tmp_path: Path) -> None:
    chance = random.Random(5)

    async def work(folder: Path) -> str:
        store = open_breakers(folder)
        await store.change("look", lambda state: OPEN)
        await store.close()
        database = folder / "breakers" / "cache.db"
        data = bytearray(database.read_bytes())
        row = data.find(b"look")  # flips near it are the dangerous ones
        place = chance.randrange(len(data)) if chance.random() < 0.5 else row + chance.randrange(-20, 120)
        data[place] ^= 1 << chance.randrange(8)
        database.write_bytes(data)
        damaged = DiskBreakers(folder)
        try:
            found = await damaged.get("look")
        except StoreError as error:
            await damaged.recover("look", error)
            assert await damaged.get("look") == CLOSED
            found = None
        with_new = await _changed(damaged)
        assert with_new == BreakerState(failures=1)
        await damaged.close()
        assert found in (None, OPEN, CLOSED)
        return "found" if found is None else "harmless"

    async def _changed(store: DiskBreakers) -> BreakerState:
        for _ in range(2):
            try:
                _, after = await store.change("look", lambda state: BreakerState(failures=1))
            except StoreError as error:
                await store.recover("look", error)
            else:
                return after
        raise AssertionError("it is still damaged")

    ended = []
    for number in range(30):
        folder = tmp_path / str(number)
        folder.mkdir()
        ended.append(asyncio.run(work(folder)))
    assert "found" in ended


@pytest.mark.parametrize("damage", ["empty", "garbage", "gone", "another row"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: str) -> None:
    async def work() -> None:
        store = open_breakers(tmp_path)
        await store.change("look", lambda state: OPEN)
        if damage == "another row":
            blob = store._table.codec.seal([1, 2], b"look\0")
            store._table.write(put=[("look", blob)])
        await store.close()
        database = tmp_path / "breakers" / "cache.db"
        match damage:
            case "empty":
                database.write_bytes(b"")
            case "garbage":
                database.write_bytes(random.Random(1).randbytes(40_000))
            case "gone":
                database.unlink()
        store = open_breakers(tmp_path)
        with pytest.raises(StoreError) as raised:
            await store.get("look")
        await store.recover("look", raised.value)
        assert await store.get("look") == CLOSED
        assert await store.change("look", lambda state: OPEN) == (CLOSED, OPEN)
        await store.close()

    asyncio.run(work())


def test_moments_of_one_boot_are_told_apart_by_its_uptime_alone() -> None:
    later = Moment(boot="b", uptime=17.5, wall=NOW.wall - 86_400)
    assert seconds_between(NOW, later) == 10
    assert seconds_between(NOW, Moment(boot="b", uptime=17.5, wall=NOW.wall + 86_400)) == 10


def test_over_a_reboot_the_wall_clock_counts_unless_it_was_set_back() -> None:
    assert seconds_between(NOW, Moment(boot="c", uptime=1.0, wall=NOW.wall + 40)) == 40
    assert seconds_between(NOW, Moment(boot="c", uptime=90.0, wall=NOW.wall - 1)) == float("inf")
    nameless = Moment(boot="", uptime=7.5, wall=NOW.wall)
    assert seconds_between(nameless, Moment(boot="", uptime=8.5, wall=NOW.wall + 40)) == 40


def test_the_machines_clock_goes_on() -> None:
    clock = MachineClock()
    first, second = clock(), MachineClock()()
    assert first.boot == second.boot
    assert 0 <= seconds_between(first, second) < 60


# --- processes ----------------------------------------------------------------------------------------------------


@dataclass
class Caller:
    """See tests.tools.breaking."""

    process: subprocess.Popen[str]

    def order(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def says(self, text: str) -> str:
        self.order(text)
        return self.answer()


@contextmanager
def callers(number: int) -> Iterator[list[Caller]]:
    command = [sys.executable, "-m", "tests.tools.breaking"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    started = [Caller(subprocess.Popen(command, cwd=ROOT, text=True, **pipes)) for _ in range(number)]
    try:
        yield started
    finally:
        for caller in started:
            caller.process.kill()
            caller.process.wait()


def open_look(folder: Path, ago: float) -> None:
    """The breaker of `look` has opened some seconds ago."""
    now = MachineClock()()
    opened = Moment(boot=now.boot, uptime=now.uptime - ago, wall=now.wall - ago)

    async def work() -> None:
        store = open_breakers(folder)
        await store.change("look", lambda state: BreakerState(failures=2, opened=opened))
        await store.close()

    asyncio.run(work())


def state_in(folder: Path) -> BreakerState:
    return asyncio.run(open_breakers(folder).get("look"))


def test_what_one_process_has_seen_fail_another_does_not_call(tmp_path: Path) -> None:
    with callers(2) as (one, other):
        for _ in range(2):
            assert one.says(f"call {tmp_path}") == "made"
            assert one.says("fails") == "done"
        assert other.says(f"call {tmp_path}").startswith(
            "refused: tool `look` is not called: its last 2 calls failed, the last "
        )


def test_after_the_cooldown_exactly_one_of_two_processes_makes_the_trial(tmp_path: Path) -> None:
    with callers(2) as pair:
        for number in range(50):
            folder = tmp_path / str(number)
            folder.mkdir()
            open_look(folder, ago=61)
            for caller in pair:
                caller.order(f"call {folder}")
            said = {caller.answer(): caller for caller in pair}
            (refusal,) = said.keys() - {"made"}
            assert refusal.endswith("it is being tried again by another call")
            ending = "works" if number % 2 else "fails"
            assert said["made"].says(ending) == "done"
            state = state_in(folder)
            assert (state.opened is None, state.failures) == ((True, 0) if number % 2 else (False, 3))
            assert state.trial is None


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_trial_whose_process_is_killed_is_given_up_to_the_next(tmp_path: Path, how: signal.Signals) -> None:
    open_look(tmp_path, ago=61)
    with callers(2) as (one, other):
        assert one.says(f"call {tmp_path}") == "made"
        assert other.says(f"call {tmp_path}").startswith("refused: ")
        os.kill(one.process.pid, how)
        one.process.wait()
        assert other.says(f"call {tmp_path}") == "made"
        assert other.says("works") == "done"
        assert state_in(tmp_path) == CLOSED
