"""The trial of a profile: each of its guarantees attacked, in throw-away processes, on the way that a call takes."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agentctl.graph.plan import SandboxPlan
from agentctl.json import Json, decode, encode
from agentctl.tools.command_process import CommandProcess, Ended, TooMuch
from agentctl.tools.command_starter import CommandStarter
from agentctl.tools.sandbox.isolated import Grants, find_bubblewrap, isolated_order
from agentctl.tools.sandbox.profiles import GIVEN, CallLimits, Guarantee, Profile

_ATTACKS = Path(__file__).with_name("attacks.py")
_MEGABYTE = 1024 * 1024
_LIMITS = CallLimits(time=5, memory=64 * _MEGABYTE, processes=48)
_SHORT = CallLimits(time=0.1, memory=64 * _MEGABYTE, processes=48)
_PATIENCE = 20.0
Broken = Mapping[Guarantee, str]
"""Guarantees that do not hold, and what came through."""


async def attack_commands(profile: Profile) -> Broken:
    """Attack the profile of commands. Raises OSError where nothing can be started at all."""
    starter = CommandStarter()
    try:
        with _prey() as prey:
            return await _Trial(profile, starter, prey).run()
    finally:
        starter.close()


@dataclass(frozen=True)
class _Prey:
    """What the attacks are after."""

    folder: Path
    aim: dict[str, str]
    victim: subprocess.Popen[bytes]


@dataclass(frozen=True)
class _Trial:
    profile: Profile
    starter: CommandStarter
    prey: _Prey

    async def run(self) -> Broken:
        given = GIVEN[self.profile]
        token = secrets.token_hex(8)
        bounds: list[Guarantee] = [g for g in ("memory", "time", "processes", "output") if g in given]
        tries = [self._try("stay", token), *(self._try(each, "") for each in bounds)]
        if "files" in given:
            tries.append(self._try("probe", encode(self.prey.aim).decode()))
        stayed, *outcomes = await asyncio.gather(*tries)
        broken: dict[Guarantee, str] = {}
        if _is_alive(token):
            broken["left_behind"] = "a daemon lived on"
        elif not isinstance(stayed, Ended) or stayed.status != 0:
            broken["left_behind"] = f"the attack itself could not be run: {_said(stayed)}"
        for guarantee, outcome in zip(bounds, outcomes, strict=False):
            if not _is_stopped(guarantee, outcome):
                broken[guarantee] = f"the attack was not stopped: {_said(outcome)}"
        if "files" in given:
            broken |= self._through(outcomes[-1])
        return broken

    def _through(self, outcome: Ended | None) -> Broken:
        """What the probe got through with."""
        try:
            said = decode(outcome.stdout) if outcome is not None else {}
        except ValueError:
            said = {}
        if said.get("granted") != "granted":
            # what could not run at all has proven nothing
            names: list[Guarantee] = [
                "files",
                "writes",
                "network",
                "secrets",
                "signals",
                "namespaces",
                "kernel",
            ]
            return dict.fromkeys(names, f"nothing can be started in it: {_said(outcome)}")
        broken: dict[Guarantee, str] = {
            name: "; ".join(what) for name, what in said["through"].items() if what
        }
        if self.prey.victim.poll() is not None:
            broken["signals"] = "a process outside was killed"
        if Path(self.prey.aim["secret"]).read_text() != "secret":
            broken["writes"] = "a file outside was written"
        return broken

    async def _try(self, which: str, argument: str) -> Ended | None:
        """How an attack ended; None where it flooded us."""
        limits = _SHORT if which == "time" else _LIMITS
        python = os.path.realpath(sys.executable)
        words = [python, "-IS", "-c", _ATTACKS.read_text(), which, argument]
        running = CommandProcess(self.starter, self._order(words, limits), 64 * 1024)
        try:
            async with asyncio.timeout(_PATIENCE):
                return await running.ended()
        except (TooMuch, TimeoutError):
            return None
        finally:
            await running.end()

    def _order(self, words: list[str], limits: CallLimits) -> Json:
        env = {"PATH": os.defpath}
        if self.profile == "process":
            given = {"program": words[0], "words": words, "env": env, "limits": limits.as_json()}
            return {**given, "folder": str(self.prey.folder)}
        bubblewrap = find_bubblewrap()
        if bubblewrap is None:
            raise FileNotFoundError("bubblewrap is not installed")
        folders = (self.prey.folder / "granted", Path(sys.base_prefix))
        sandbox = SandboxPlan(read=folders)
        return isolated_order(
            bubblewrap,
            sandbox,
            Grants.resolve(sandbox),
            limits,
            program=words[0],
            words=words,
            env=env,
            folder=self.prey.folder,
        )


@contextmanager
def _prey() -> Iterator[_Prey]:
    """A secret file with a link to it, a process with a secret variable, and sockets that would answer."""
    token, abstract = secrets.token_hex(16), f"agentctl-{secrets.token_hex(8)}"
    with tempfile.TemporaryDirectory(prefix="agentctl-proof-") as made:
        folder = Path(made).resolve()
        granted = folder / "granted"
        granted.mkdir()
        (folder / "secret").write_text("secret")
        (granted / "file").write_text("granted")
        (granted / "link").symlink_to(folder / "secret")
        with _listeners(str(granted / "socket"), abstract) as port:
            victim = subprocess.Popen(
                [sys.executable, "-ISc", "import time; time.sleep(60)"],
                env={"TOKEN": token},
                stdin=subprocess.DEVNULL,
            )
            aim = {
                "secret": str(folder / "secret"),
                "link": str(granted / "link"),
                "granted": str(granted / "file"),
                "socket": str(granted / "socket"),
                "abstract": abstract,
                "port": str(port),
                "victim": str(victim.pid),
                "token": token,
            }
            try:
                yield _Prey(folder, aim, victim)
            finally:
                victim.kill()
                victim.wait()


@contextmanager
def _listeners(path: str, abstract: str) -> Iterator[int]:
    """Sockets that take a connection: TCP, whose port it gives, one with a path, one with a name."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as named,
        socket.socket(socket.AF_UNIX) as placed,
    ):
        named.bind("\0" + abstract)
        named.listen()
        placed.bind(path)
        placed.listen()
        yield tcp.getsockname()[1]


def _is_stopped(guarantee: Guarantee, outcome: Ended | None) -> bool:
    if guarantee == "output":
        return outcome is None
    if outcome is None or b"escaped" in outcome.stdout:
        return False
    # one whose memory or forks are refused says so itself
    return outcome.over == guarantee or _failed_by_itself(guarantee, outcome)


def _failed_by_itself(guarantee: Guarantee, outcome: Ended) -> bool:
    expected = {"memory": b"MemoryError", "processes": b"BlockingIOError", "time": b""}[guarantee]
    return outcome.status not in (None, 0) and bool(expected) and expected in outcome.stderr


def _is_alive(token: str) -> bool:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if token.encode() in file.read() and int(pid) != os.getpid():
                    return True
        except OSError:
            continue
    return False


def _said(outcome: Ended | None) -> str:
    if outcome is None:
        return "it did not end"
    lines = outcome.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"it ended with {outcome.status}"
