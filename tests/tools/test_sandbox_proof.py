"""The proof of a profile: it finds what was taken away, is made once, and says what is lacking and how it is mended."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from agentctl.errors import CannotRun
from agentctl.tools.sandbox import filter as filters
from agentctl.tools.sandbox import isolated, proof, trial
from agentctl.tools.sandbox.profiles import GIVEN, CallLimits, Profile

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are Linux's")

Json = Any
GRAPH = """
agentctl: 1
name: g
output: [found]
state: {found: {type: string, default: ""}}
tools:
  it:
    command: [./it.sh]
    sandbox: {time: 2s, memory: 64MB, files: {read: [./notes], write: [.]}}
start: go
nodes:
  go: {tool: it, save: found, then: end}
"""
ISOLATES = asyncio.run(proof.prove("isolated"))
isolates = pytest.mark.skipif(
    not ISOLATES.holds, reason=f"this machine cannot isolate: {ISOLATES.why or dict(ISOLATES.broken)}"
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache in which no proof is kept yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "agentctl"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a").write_text("tea")
    (tmp_path / "graph.yaml").write_text(GRAPH)
    (tmp_path / "it.sh").write_text("#!/bin/sh\ntouch ran\ncat notes/a\n")
    (tmp_path / "it.sh").chmod(0o755)
    return tmp_path


def attacked(profile: Profile) -> set[str]:
    return set(asyncio.run(trial.attack(profile)))


def agentctl(
    project: Path, *words: str, before: tuple[str, ...] = (), **env: str
) -> subprocess.CompletedProcess[str]:
    command = [*before, sys.executable, "-m", "agentctl", *words]
    known = {**os.environ, "NO_COLOR": "1", "XDG_CACHE_HOME": str(project / "cache"), **env}
    return subprocess.run(
        command, cwd=project, env=known, capture_output=True, text=True, check=False, timeout=60
    )


# --- it finds what does not hold --------------------------------------------------------------------------------------


def test_what_a_process_is_promised_holds() -> None:
    assert attacked("process") == set()


@isolates
def test_what_is_isolated_holds() -> None:
    assert attacked("isolated") == set()


@isolates
def test_without_its_root_files_are_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolated, "_system", lambda **_: iter(["--bind", "/", "/", "--dev", "/dev"]))
    monkeypatch.setattr(isolated, "_tmp", lambda _: iter(["--dir", "/tmp"]))
    monkeypatch.setattr(isolated, "_places", lambda *_: {})
    found = attacked("isolated")
    assert "files" in found
    assert "memory" not in found


@isolates
def test_without_its_filter_the_kernel_and_new_namespaces_are_in_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    everything = bytes.fromhex("06000000" + "0000ff7f")  # one instruction: allow
    monkeypatch.setattr(filters, "seccomp_filter", lambda **_: everything)
    found = attacked("isolated")
    assert {"kernel", "namespaces"} <= found
    assert "files" not in found


@isolates
def test_without_its_network_namespace_and_filter_the_network_is_in_reach(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    flags = isolated._flags
    monkeypatch.setattr(isolated, "_flags", lambda **_: flags(network=True))
    assert attacked("isolated") == set(), "the filter alone keeps the socket calls away"
    monkeypatch.setattr(filters, "seccomp_filter", lambda **_: bytes.fromhex("06000000" + "0000ff7f"))
    assert "network" in attacked("isolated")


@pytest.mark.parametrize("profile", ["process", pytest.param("isolated", marks=isolates)])
def test_without_limits_nothing_is_bounded(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CallLimits, "as_json", lambda _: {})
    assert {"memory", "time", "processes"} <= attacked(profile)


# --- it is made once --------------------------------------------------------------------------------------------------


def test_a_proof_is_kept_until_something_changes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials: list[Profile] = []

    async def attack(profile: Profile) -> trial.Broken:
        trials.append(profile)
        return {}

    monkeypatch.setattr(proof, "attack", attack)
    for _ in range(3):
        assert asyncio.run(proof.prove("process")).holds
    assert trials == ["process"]
    [kept] = cache.iterdir()
    kept.write_text('{"v":1,"hol')
    assert asyncio.run(proof.prove("process")).holds
    monkeypatch.setattr(proof, "_version", lambda: "99")
    assert asyncio.run(proof.prove("process")).holds
    assert len(trials) == 3


def test_a_proof_that_was_planted_counts_for_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials: list[Profile] = []

    async def attack(profile: Profile) -> trial.Broken:
        trials.append(profile)
        return {"files": "read"} if profile == "restricted" else {}

    monkeypatch.setattr(proof, "attack", attack)
    monkeypatch.setattr(proof, "_cause", lambda _: ("", ""))
    assert asyncio.run(proof.prove("process")).holds
    [kept] = cache.iterdir()
    aim = kept.with_name(kept.name.replace("process", "restricted"))
    for plant in (aim.symlink_to, aim.hardlink_to):
        plant(kept)
        assert not asyncio.run(proof.prove("restricted")).holds
        aim.unlink()
    os.mkfifo(aim)
    assert not asyncio.run(proof.prove("restricted")).holds
    aim.unlink()
    kept.rename(kept.with_name("elsewhere"))
    kept.symlink_to("elsewhere")
    assert asyncio.run(proof.prove("process")).holds
    assert trials == ["process", *["restricted"] * 3, "process"]


def test_what_does_not_hold_is_tried_again(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[trial.Broken] = [{"memory": "it grew"}, {}]

    async def attack(_: Profile) -> trial.Broken:
        return found.pop(0)

    monkeypatch.setattr(proof, "attack", attack)
    broken = asyncio.run(proof.prove("process"))
    assert (broken.holds, dict(broken.broken)) == (False, {"memory": "it grew"})
    assert not cache.exists()
    assert asyncio.run(proof.prove("process")).holds


def test_where_nothing_can_be_kept_the_trial_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert asyncio.run(proof.prove("process")).holds


# --- a machine that cannot --------------------------------------------------------------------------------------------


def test_without_bubblewrap_it_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "find_bubblewrap", lambda: None)
    with pytest.raises(CannotRun) as raised:
        asyncio.run(proof.require("isolated", "it"))
    assert raised.value.exit_code == 3
    assert "the sandbox of tool `it` cannot be had here" in raised.value.message
    assert "bubblewrap (bwrap) is not installed" in raised.value.message
    assert "apt install bubblewrap" in str(raised.value.hint)
    assert "--sandbox process" in str(raised.value.hint)


def _without_namespaces() -> tuple[str, ...]:
    """A command's prefix under which no user namespace can be made; empty where that cannot be simulated."""
    words = ("unshare", "-Ur", "sh", "-c", 'echo 0 > /proc/sys/user/max_user_namespaces; exec "$@"', "sh")
    if shutil.which("unshare") is None:
        return ()
    tried = subprocess.run([*words, "true"], capture_output=True, check=False)
    return words if tried.returncode == 0 and not tried.stderr else ()


WITHOUT_NAMESPACES = _without_namespaces()
simulates = pytest.mark.skipif(
    not WITHOUT_NAMESPACES, reason="no user namespace can be made to switch them off in"
)


@simulates
def test_a_machine_without_namespaces_refuses_before_the_tool_runs(project: Path) -> None:
    done = agentctl(project, "run", "graph.yaml", before=WITHOUT_NAMESPACES)
    assert (done.returncode, done.stdout) == (3, "")
    assert "`reads no file that is not granted` is not guaranteed" in done.stderr
    assert "user namespaces are switched off (user.max_user_namespaces is 0)" in done.stderr
    assert "sudo sysctl user.max_user_namespaces=" in done.stderr
    assert not (project / "ran").exists()
    rehearsed = agentctl(project, "run", "graph.yaml", "--dry-run", before=WITHOUT_NAMESPACES)
    assert rehearsed.returncode == 3
    assert "user namespaces are switched off" in rehearsed.stderr + rehearsed.stdout


@simulates
def test_the_downgrade_is_said_told_and_recorded(project: Path) -> None:
    words = ("run", "graph.yaml", "--thread", "t", "--sandbox", "process", "--events", "events.jsonl")
    done = agentctl(project, *words, before=WITHOUT_NAMESPACES)
    assert (done.returncode, done.stdout) == (0, "tea\n")
    assert "--sandbox process: `it` is kept to the limits of its sandbox only" in done.stderr
    events = [json.loads(line) for line in (project / "events.jsonl").read_text().splitlines()]
    [told] = [event["data"] for event in events if event["type"] == "sandbox.downgraded"]
    assert (told["tool"], told["from"], told["to"]) == ("it", "isolated", "process")
    assert agentctl(project, "replay", "t").returncode == 0


@simulates
def test_a_resumed_turn_keeps_the_downgrade_that_it_was_begun_with(project: Path) -> None:
    asked = GRAPH.replace("start: go", "start: ask").replace(
        "nodes:\n", "nodes:\n  ask: {ask: May I?, choices: [yes, no], then: go}\n"
    )
    (project / "graph.yaml").write_text(asked)
    begun = agentctl(
        project, "run", "graph.yaml", "--thread", "t", "--sandbox", "process", before=WITHOUT_NAMESPACES
    )
    assert begun.returncode == 6, begun.stderr
    done = agentctl(project, "resume", "t", "--answer", "ask=yes", before=WITHOUT_NAMESPACES)
    assert (done.returncode, done.stdout) == (0, "tea\n"), done.stderr
    assert "--sandbox process" in done.stderr


@isolates
def test_no_answer_of_an_unprotected_run_is_given_to_a_protected_one_nor_the_other_way(project: Path) -> None:
    read = GRAPH.replace(
        "files: {read: [./notes], write: [.]}}", "files: {read: [./notes]}}\n    effect: read\n    cache: 10m"
    )
    (project / "graph.yaml").write_text(read)
    (project / "it.sh").write_text("#!/bin/sh\ncat notes/a\n")
    os.utime(project / "notes" / "a", (1, 1))

    def hits(thread: str, *more: str) -> int:
        done = agentctl(
            project, "run", "graph.yaml", "--thread", thread, "--events", f"{thread}.jsonl", *more
        )
        assert (done.returncode, done.stdout) == (0, "tea\n"), done.stderr
        return (project / f"{thread}.jsonl").read_text().count('"memo.hit"')

    assert [hits("a", "--sandbox", "process"), hits("b")] == [0, 0]
    assert [hits("c"), hits("d", "--sandbox", "process")] == [1, 1]
    assert "another sandbox" in agentctl(project, "cache", "why", "b:1").stdout


@isolates
def test_a_run_that_can_be_isolated_is(project: Path) -> None:
    done = agentctl(project, "run", "graph.yaml")
    assert (done.returncode, done.stdout) == (0, "tea\n")
    assert any((project / "cache" / "agentctl").iterdir())


def test_every_guarantee_is_of_some_profile() -> None:
    assert set(GIVEN["process"]) < set(GIVEN["isolated"]) == set(GIVEN["restricted"])
