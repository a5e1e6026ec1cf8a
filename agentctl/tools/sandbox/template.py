"""What a sandboxed Python worker is started with: its program, its environment and the order that confines it."""

from __future__ import annotations

import base64
import os
import site
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from agentctl.graph.plan import SandboxPlan
from agentctl.json import Json
from agentctl.spec.python_source import module_file
from agentctl.tools.code_digest import modules_of
from agentctl.tools.python_call import PythonCall
from agentctl.tools.sandbox.isolated import Grants
from agentctl.tools.sandbox.profiles import PROCESSES

_PROGRAM = f"""
import sys
sys.path[:0] = [{str(Path(__file__).parent)!r}, {str(Path(__file__).parent.parent)!r}]
import template_main
del sys.path[:2]
for name in ("template_main", "worker_main", "keeper", "reply", "usage", "confine", "kernel"):
    sys.modules["_agentctl_" + name] = sys.modules.pop(name)
template_main.MAIN()
"""
PRIVATE = 64 * 1024 * 1024
"""Bytes that a call may put into its private folder, or `memory` where that is less."""
FILE_SIZE = 1024 * 1024 * 1024
THREADS = 64
OPEN_FILES = 256
_SYSTEM = (
    "/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64",
    "/nix/store", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime", "/etc/timezone",
)  # fmt: skip
_SYSTEM_OF_NETWORK = (
    "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/nsswitch.conf", "/etc/services",
    "/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/ca-trust/extracted",
    "/usr/share/ca-certificates",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_INHERITED = ("LANG", "LC_ALL", "LC_CTYPE", "TZ", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH")
"""Variables of ours that say how Python is found and how text is read; no other is passed on."""


def program(call: PythonCall) -> str:
    """The `-c` of the interpreter."""
    return _PROGRAM.replace("MAIN", "bounded_main" if call.bounded_only else "main")


def environment(folder: str = "/private") -> dict[str, str]:
    """The whole environment of a sandboxed tool, whose own folder it names."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    private = {"HOME": folder, "TMPDIR": folder, "USER": "tool", "LOGNAME": "tool"}
    # no .pyc can be written; arenas of the C library would each take 64MB of the address space that is granted
    return {"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "2", **kept, **private}


def sandbox_order(call: PythonCall, sandbox: SandboxPlan, grants: Grants) -> Json:
    """See confine.py."""
    bounds = {
        "memory": sandbox.memory,
        "private": min(sandbox.memory, PRIVATE),
        "file_size": FILE_SIZE,
        "files": OPEN_FILES,
        "processes": PROCESSES,
    }
    if call.bounded_only:
        return bounds
    from agentctl.tools.sandbox.syscalls import system_calls  # 20 ms

    calls = system_calls(network=sandbox.network)
    mounts, links = _mounts(call, grants, network=sandbox.network)
    return {
        **bounds,
        "network": sandbox.network,
        "threads": THREADS,
        "mounts": mounts,
        "links": links,
        "base": os.path.realpath(tempfile.gettempdir()),
        "filter": base64.b64encode(calls.program).decode(),
        "told": {str(number): told for number, told in calls.told.items()},
    }


def _mounts(call: PythonCall, grants: Grants, *, network: bool) -> tuple[list[list[str]], list[list[str]]]:
    """What is seen inside: real paths and how, and places whose links lead to them."""
    system = (*_SYSTEM, *(_SYSTEM_OF_NETWORK if network else ()))
    access = {path: "read" for path in (*_interpreter(), *system) if os.path.exists(path)}
    access |= {path: "device" for path in _DEVICES if os.path.exists(path)}
    access |= {real: "read" for _, real in grants.read}
    access |= {real: "write" for _, real in grants.write}
    access |= dict.fromkeys(_code(call), "read")
    real = {os.path.realpath(path): how for path, how in access.items()}
    if grants.hidden is not None and _is_in(grants.hidden, real) and os.path.isdir(grants.hidden):
        real[grants.hidden] = "hidden"
    # a folder comes before what lies in it, or it would hide it
    mounts = [[path, real[path]] for path in sorted(real) if not _is_within(path, real)]
    links = [[path, os.path.realpath(path)] for path in [*sorted(access), str(call.root)]]
    links += [[place, path] for place, path in (*grants.read, *grants.write)]
    return mounts, [link for link in links if link[0] != link[1]]


def _code(call: PythonCall) -> Iterator[str]:
    """The tool's module, that of its setup, and those beside them that they import."""
    setup = module_file(call.root, call.setup.partition(":")[0]) if call.setup else None
    for file in (call.file, setup):
        if file is not None:
            yield str(file)
            yield from map(str, modules_of(file.absolute(), call.root, call.root))


def _is_in(path: str, real: dict[str, str]) -> bool:
    """Whether a folder above it is seen."""
    return any(str(parent) in real for parent in Path(path).parents)


def _is_within(path: str, real: dict[str, str]) -> bool:
    """Whether a folder above it is seen in the same way, and nothing between them in another."""
    for parent in map(str, Path(path).parents):
        if parent in real:
            return real[parent] == real[path]
    return False


def _interpreter() -> Iterator[str]:
    """Where Python, what is installed for it and the libraries beside it are; no folder that was merely put on its path."""
    for prefix in {sys.base_prefix, sys.prefix, sys.base_exec_prefix, sys.exec_prefix}:
        yield from (f"{prefix}/lib", f"{prefix}/lib64")
    yield from (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    installed = {*site.getsitepackages(), site.getusersitepackages()}
    yield from (path for path in sys.path if path in installed)
