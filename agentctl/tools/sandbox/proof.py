"""The proof that a profile keeps its guarantees here: tried once for each boot, kernel, version and user, then known."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from agentctl.errors import AgentctlError, CannotRun
from agentctl.json import Json, decode, digest, encode
from agentctl.tools.sandbox.isolated import find_bubblewrap
from agentctl.tools.sandbox.profiles import GIVEN, GUARANTEES, Guarantee, Profile
from agentctl.tools.sandbox.trial import attack

DOWNGRADE = "or run it with the bounds of a process only: --sandbox process"
_LONGEST = 4096
"""Bytes of what is kept."""
_INSTALL = (
    "install bubblewrap (apt install bubblewrap, dnf install bubblewrap), or pip install 'agentctl[sandbox]'"
)


@dataclass(frozen=True, slots=True)
class Proof:
    """What was found of a profile: the guarantees that do not hold and what came through, and how that is mended."""

    profile: Profile
    broken: Mapping[Guarantee, str]
    why: str = ""
    mend: str = ""

    @property
    def holds(self) -> bool:
        return not self.broken


async def require(profile: Profile, tool: str) -> None:
    """Raises CannotRun, which names the first guarantee that this machine cannot keep, why, and the mend."""
    proof = await prove(profile)
    if proof.holds:
        return
    guarantee = next(name for name in GIVEN[profile] if name in proof.broken)
    more = len(proof.broken) - 1
    others = f" (nor {more} more)" if more else ""
    raise CannotRun(
        f"the sandbox of tool `{tool}` cannot be had here: "
        f"`{GUARANTEES[guarantee]}` is not guaranteed{others}: {proof.why or proof.broken[guarantee]}",
        hint=f"{proof.mend}; {DOWNGRADE}; `agentctl doctor` shows all" if proof.mend else DOWNGRADE,
    )


async def prove(profile: Profile, *, again: bool = False) -> Proof:
    """The proof of a profile: the kept one, or a new trial, which takes less than a second."""
    place = _cache_folder() / f"sandbox-{profile}-{digest(_circumstances())[:32]}.json"
    if not again and _is_kept(place):
        return Proof(profile, {})
    proof = await _try(profile)
    if proof.holds:  # what does not hold may be mended at any time, and is tried again
        _keep(place)
    return proof


async def _try(profile: Profile) -> Proof:
    lacking = _lacking(profile)
    if lacking is None:
        try:
            broken = await attack(profile)
        except (OSError, AgentctlError, ImportError, ValueError) as error:
            lacking = str(error)
        else:
            return Proof(profile, broken, *(_cause(profile) if broken else ()))
    why, mend = (lacking, _mend(lacking)) if lacking else _cause(profile)
    return Proof(profile, dict.fromkeys(GIVEN[profile], why), why, mend)


def _lacking(profile: Profile) -> str | None:
    """What is not there at all."""
    if profile != "process" and sys.platform != "linux":
        return f"sandboxes are kept by the Linux kernel, and this is {platform.system()}"
    if profile == "isolated" and find_bubblewrap() is None:
        return "bubblewrap (bwrap) is not installed"
    return None


def _mend(lacking: str) -> str:
    if "not installed" in lacking:
        return _INSTALL
    return "use a Linux machine" if "Linux" in lacking else ""


def _cause(profile: Profile) -> tuple[str, str]:
    """Why namespaces cannot be made, and the mend; both empty where that is not it."""
    said = _refusal_of_namespaces()
    if profile == "isolated" and "nknown option" in said:
        return (
            f"this bubblewrap is too old ({said})",
            "pip install 'agentctl[sandbox]', which brings a newer one",
        )
    if profile == "process" or not said:
        return "", ""
    if _read("/proc/sys/user/max_user_namespaces") == "0":
        return "user namespaces are switched off (user.max_user_namespaces is 0)", (
            "sudo sysctl user.max_user_namespaces=15000"
        )
    if _read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "user namespaces are for root alone (kernel.unprivileged_userns_clone is 0)", (
            "sudo sysctl kernel.unprivileged_userns_clone=1"
        )
    if _read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return "AppArmor keeps ordinary programs from user namespaces", (
            "install the distribution's own bubblewrap, which its AppArmor profile lets through, or "
            "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        )
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        return f"this container may not make namespaces ({said})", (
            "start it with --security-opt seccomp=unconfined --security-opt systempaths=unconfined"
        )
    return f"new namespaces are refused ({said})", "allow user namespaces to this user"


def _refusal_of_namespaces() -> str:
    """What bubblewrap, or `unshare`, says when it may make none; empty where it may."""
    program = find_bubblewrap()
    spaces = ["--unshare-all", "--unshare-user", "--ro-bind", "/", "/", "--proc", "/proc"]
    spaces += ["--size", "4096", "--tmpfs", "/tmp", "true"]
    words = spaces if program else ["-Urpf", "true"]
    try:
        done = subprocess.run(
            [program or "unshare", *words], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["refused"])[-1]


# --- what is kept -------------------------------------------------------------------------------------------------


def _circumstances() -> Json:
    """What a proof depends on: another machine, boot, kernel, user, container, program or version proves anew."""
    program = find_bubblewrap()
    known = os.stat(program) if program is not None else None
    status = _read("/proc/self/status").splitlines()
    # a container, or whoever started us, may have taken something away
    taken = [line for line in status if line.startswith(("Uid", "Cap", "NoNewPrivs", "Seccomp"))]
    return {
        "version": _version(),
        "boot": _read("/proc/sys/kernel/random/boot_id"),
        "kernel": platform.release(),
        "user": os.getuid(),
        "inside": [
            os.readlink(f"/proc/self/ns/{name}")
            for name in ("user", "mnt")
            if os.path.exists("/proc/self/ns")
        ],
        "taken": taken,
        "limits": [_read("/proc/sys/user/max_user_namespaces"), _read("/proc/self/attr/current")],
        "bubblewrap": [program, known.st_mtime, known.st_size] if known is not None else None,
        "python": [os.path.realpath(sys.executable), sys.version],
    }


def _version() -> str:
    try:
        return version("agentctl")
    except PackageNotFoundError:
        return "unknown"


def _cache_folder() -> Path:
    named = os.environ.get("XDG_CACHE_HOME")
    return (Path(named) if named else Path("~/.cache").expanduser()) / "agentctl"


def _is_kept(place: Path) -> bool:
    """Whether a trial of this very kind went well; what another user wrote, or led to, counts for nothing."""
    try:
        # not through a link, which may lead to another proof of ours
        with open(os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            is_ours = os.fstat(file.fileno()).st_uid == os.getuid()
            return is_ours and decode(file.read(_LONGEST)) == _kept(place)
    except (OSError, ValueError):
        return False


def _kept(place: Path) -> Json:
    return {"v": 2, "holds": True, "of": place.stem}


def _keep(place: Path) -> None:
    """Written whole or not at all; without a folder to write in, the next run tries anew."""
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=place.parent, delete=False) as file:
            file.write(encode(_kept(place)))
        os.replace(file.name, place)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


async def prove_all(*, again: bool = False) -> list[Proof]:
    """The proofs of all profiles, tried side by side."""
    return list(await asyncio.gather(*(prove(profile, again=again) for profile in GIVEN)))
