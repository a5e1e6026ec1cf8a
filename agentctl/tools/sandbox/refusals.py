"""What a failed command was refused by its sandbox, as far as its own words tell: the kernel does not tell us."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from agentctl.graph.plan import SandboxPlan
from agentctl.tools.sandbox.profiles import Guarantee

_MISSING, _READ_ONLY, _DENIED = "No such file or directory", "Read-only file system", "Permission denied"
_SAID = rf"({_MISSING}|{_READ_ONLY}|{_DENIED})"
_PATH_BEFORE = re.compile(rf"([^\s:'\"`‘’()]+)['\"`’]?: {_SAID}")
_PATH_AFTER = re.compile(rf"{_SAID}: ['\"]([^'\"\n]+)['\"]")
_OTHERS: tuple[tuple[Guarantee, re.Pattern[str]], ...] = (
    ("network", re.compile(r"(?is)socket.*not permitted|not permitted.*socket|network is unreachable")),
    ("network", re.compile(r"(?i)could not resolve|name resolution|name or service not known")),
    (
        "namespaces",
        re.compile(r"(?i)(unshare|setns|mount|chroot|namespace)\b.*(not permitted|permission denied|failed)"),
    ),
    ("kernel", re.compile(r"(?i)(ptrace|keyctl|keyring|bpf|io_uring)\b.*not permitted")),
    ("signals", re.compile(r"(?i)\bkill\b.*(no such process|not permitted)|ProcessLookupError")),
)
_MOST = 8


class Refusal(NamedTuple):
    what: Guarantee
    tried: str


def refusals(said: str, sandbox: SandboxPlan, folder: Path) -> list[Refusal]:
    """What it was refused, each once and at most eight; `said` is what it wrote to stderr."""
    found = [*_paths(said, sandbox, folder)]
    for what, pattern in _OTHERS:
        if (match := pattern.search(said)) is not None:
            lines = match.group().strip().splitlines()
            found.append(Refusal(what, lines[-1]))
    return list(dict.fromkeys(found))[:_MOST]


def _paths(said: str, sandbox: SandboxPlan, folder: Path) -> Iterator[Refusal]:
    pairs = [match.groups() for match in _PATH_BEFORE.finditer(said)]
    pairs += [(path, why) for why, path in (match.groups() for match in _PATH_AFTER.finditer(said))]
    for path, why in pairs:
        place = os.path.join(folder, path)
        if why == _READ_ONLY:
            yield Refusal("writes", path)
        elif not _is_granted(place, sandbox) and os.path.lexists(place):
            yield Refusal("files", path)


def _is_granted(place: str, sandbox: SandboxPlan) -> bool:
    real = os.path.realpath(place)
    granted = (os.path.realpath(path) for path in (*sandbox.read, *sandbox.write))
    return any(real == each or real.startswith(f"{each}/") for each in granted)
