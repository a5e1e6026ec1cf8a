"""The trial of a profile: each of its guarantees attacked, in throw-away processes, on the way that a call takes."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from agentctl.errors import ToolError
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


_FUNCTIONS: Mapping[Guarantee, str] = {
    "left_behind": "stay",
    "memory": "memory",
    "time": "spin",
    "processes": "breed",
    "output": "flood",
}


class Tried(NamedTuple):
    """How an attack ended: what it gave, and what ended it otherwise."""

    result: Json = None
    ended_for: str = ""
    """The guarantee that ended it."""
    said: str = ""


async def attack(profile: Profile) -> Broken:
    """Attack a profile. Raises OSError, ImportError or AgentctlError where nothing can be started at all."""
    token = secrets.token_hex(8)
    with _prey() as prey:
        calls = _PythonCalls(prey) if profile == "restricted" else _Commands(profile, prey)
        try:
            given = [each for each in GIVEN[profile] if each in _FUNCTIONS]
            tries = [
                calls.attack(_FUNCTIONS[each], token if each == "left_behind" else None) for each in given
            ]
            if "files" in GIVEN[profile]:
                tries.append(calls.attack("probe", prey.aim))
            tried = await asyncio.gather(*tries)
        finally:
            await calls.close()
        broken = _unbounded(given, tried, token)
        if "files" not in GIVEN[profile]:
            return broken
        probe = tried[-1]
        if not isinstance(probe.result, dict) or probe.result.get("granted") != "granted":
            # what could not run at all has proven nothing
            return dict.fromkeys(GIVEN[profile], f"nothing can be started in it: {probe.said}")
        return {**broken, **_through(prey, probe.result["through"])}


def _unbounded(given: Sequence[Guarantee], tried: Sequence[Tried], token: str) -> dict[Guarantee, str]:
    """What was not ended as it should be."""
    broken: dict[Guarantee, str] = {}
    for guarantee, outcome in zip(given, tried, strict=False):
        if guarantee == "left_behind":
            if _is_alive(token):
                broken[guarantee] = "a daemon lived on"
        elif outcome.result is not None or outcome.ended_for != guarantee:
            broken[guarantee] = f"the attack was not stopped: {outcome.said or 'it ended by itself'}"
    return broken


def _through(prey: _Prey, said: Mapping[Guarantee, Sequence[str]]) -> dict[Guarantee, str]:
    """What the probe got through with."""
    broken: dict[Guarantee, str] = {name: "; ".join(what) for name, what in said.items() if what}
    if prey.victim.poll() is not None:
        broken["signals"] = "a process outside was killed"
    if Path(prey.aim["secret"]).read_text() != "secret":
        broken["writes"] = "a file outside was written"
    return broken


@dataclass(frozen=True)
class _Prey:
    """What the attacks are after."""

    folder: Path
    aim: dict[str, str]
    victim: subprocess.Popen[bytes]


class _Commands:
    """Attacks by commands, as `process` or `isolated`."""

    def __init__(self, profile: Profile, prey: _Prey) -> None:
        self._profile = profile
        self._prey = prey
        self._starter = CommandStarter()

    async def attack(self, function: str, argument: Json) -> Tried:
        python = os.path.realpath(sys.executable)
        said = "" if argument is None else encode(argument).decode()
        words = [python, "-IS", "-c", _ATTACKS.read_text(), function, said]
        running = CommandProcess(
            self._starter, self._order(words, _SHORT if function == "spin" else _LIMITS), 65536
        )
        try:
            async with asyncio.timeout(_PATIENCE):
                return _judged(await running.ended())
        except TooMuch:
            return Tried(ended_for="output")
        except TimeoutError:
            return Tried(said="it did not end")
        finally:
            await running.end()

    async def close(self) -> None:
        await self._starter.close()

    def _order(self, words: list[str], limits: CallLimits) -> Json:
        env = {"PATH": os.defpath}
        if self._profile == "process":
            given = {"program": words[0], "words": words, "env": env, "limits": limits.as_json()}
            return {**given, "folder": str(self._prey.folder)}
        bubblewrap = find_bubblewrap()
        if bubblewrap is None:
            raise FileNotFoundError("bubblewrap (bwrap) is not installed")
        sandbox = SandboxPlan(read=(self._prey.folder / "granted", Path(sys.base_prefix)))
        return isolated_order(
            bubblewrap,
            sandbox,
            Grants.resolve(sandbox),
            limits,
            program=words[0],
            words=words,
            env=env,
            folder=self._prey.folder,
        )


def _judged(ended: Ended) -> Tried:
    lines = ended.stderr.decode(errors="replace").strip().splitlines()
    said = lines[-1] if lines else f"it ended with {ended.status}"
    if ended.over is not None:
        return Tried(ended_for=ended.over, said=said)
    with suppress(ValueError):
        return Tried(result=decode(ended.stdout), said=said)
    # one whose memory or forks are refused says so itself
    refused = {"MemoryError": "memory", "BlockingIOError": "processes"}
    return Tried(ended_for=next((what for sign, what in refused.items() if sign in said), ""), said=said)


class _PythonCalls:
    """Attacks by Python tools, as `restricted`."""

    def __init__(self, prey: _Prey) -> None:
        from agentctl.tools.worker import WorkerPool

        self._pool = WorkerPool()
        self._sandbox = SandboxPlan(time=1, memory=128 * _MEGABYTE, read=(prey.folder / "granted",))

    async def attack(self, function: str, argument: Json) -> Tried:
        from agentctl.tools.python_call import PythonCall

        told: list[str] = []
        names = {"probe": "aim", "stay": "token"}
        spec = PythonCall(_ATTACKS, function, _ATTACKS.parent, sandbox=self._sandbox)
        try:
            result = await self._pool.call(
                spec,
                {names[function]: argument} if argument is not None else {},
                timeout=_PATIENCE,
                max_result=65536,
                tell=lambda _, data: told.append(data["what"]),
            )
        except ToolError as error:
            if error.error_class == "tool_unavailable" or function == "probe":
                return Tried(said=error.message)
            return Tried(ended_for=told[-1] if told else "", said=error.message)
        return Tried(result)

    async def close(self) -> None:
        await self._pool.close()


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


def _is_alive(token: str) -> bool:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if token.encode() in file.read() and int(pid) != os.getpid():
                    return True
        except OSError:
            continue
    return False
