"""`agentctl doctor`: what this machine can do, and what it lacks."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import platform
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

from agentctl.cli.answer import print_json
from agentctl.cli.options import AsJson, Store, application
from agentctl.cli.streams import in_colour
from agentctl.cli.version import our_version

app = application()

_KEY = "OPENAI_API_KEY"
_CANNOT = 3


@dataclass(frozen=True)
class Check:
    """One thing looked at. `ok` is None where it is neither good nor bad."""

    name: str
    ok: bool | None
    says: str
    hint: str = ""


@app.command()
def doctor(as_json: AsJson = False, store: Store = None) -> int:
    """Say what this machine can do. Exit 3 when no model could be asked or nothing could be stored."""
    from agentctl.cli.sandbox_view import sandbox_json, sandbox_lines
    from agentctl.tools.sandbox.proof import prove_all

    checks = list(examined(store))
    fit = can_run(checks)
    proofs = asyncio.run(prove_all())
    if as_json:
        shown = [asdict(check) for check in checks]
        print_json({"v": 1, "ok": fit, "checks": shown, "sandbox": sandbox_json(proofs)})
    else:
        print("\n".join(_lines(checks)))
        print()
        print("\n".join(sandbox_lines(proofs, colour=in_colour(sys.stdout))))
        print("\nready" if fit else "\nnothing could run here: see the hints")
    return 0 if fit else _CANNOT


def can_run(checks: list[Check]) -> bool:
    """Whether some model can be asked and the store written."""
    good = {check.name for check in checks if check.ok}
    return "store" in good and ({"runtime", "weights"} <= good or "keys" in good)


def examined(store: Path | None) -> Iterator[Check]:
    """Everything there is to look at. Values of keys are never shown."""
    yield Check("agentctl", None, our_version())
    yield Check("python", None, f"{platform.python_version()} ({platform.python_implementation()})")
    yield Check("platform", None, f"{platform.platform()}, {count_cores()} processors")
    yield Check("sqlite", None, sqlite3.sqlite_version)
    yield _store(store)
    yield _runtime()
    yield _weights()
    yield _keys()
    yield _extra("mcp", "mcp", "tools of MCP servers")
    yield _extra("stores", "apsw", "stores")
    names = sorted({point.name for point in entry_points(group="agentctl.providers")})
    yield Check("providers", bool(names), ", ".join(names) or "none", "" if names else "reinstall agentctl")


def count_cores() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _store(named: Path | None) -> Check:
    from agentctl.store.folder import find_store

    found = named or find_store(Path.cwd())
    if found is not None and found.is_dir():
        writable = os.access(found, os.W_OK | os.X_OK)
        return Check(
            "store", writable, str(found), "" if writable else "it is not yours to write: --store DIR"
        )
    place = found or Path.cwd() / ".agentctl"
    parent = next(folder for folder in place.absolute().parents if folder.exists())
    writable = os.access(parent, os.W_OK | os.X_OK)
    hint = "" if writable else f"{parent} is not yours to write: --store DIR"
    return Check("store", writable, f"none yet; the first run makes {place}", hint)


def _runtime() -> Check:
    if importlib.util.find_spec("xllamacpp") is None:
        return Check("runtime", False, "xllamacpp is not installed", "pip install 'agentctl[local]'")
    try:
        return Check("runtime", True, f"xllamacpp {version('xllamacpp')}")
    except PackageNotFoundError:
        return Check("runtime", True, "xllamacpp, of unknown version")


def _weights() -> Check:
    from agentctl.models import catalogue

    own = os.environ.get(catalogue.FILE_VARIABLE)
    if own:
        there = Path(own).expanduser().is_file()
        hint = "" if there else f"{catalogue.FILE_VARIABLE} names no file"
        return Check("weights", there, f"{own} (from {catalogue.FILE_VARIABLE})", hint)
    model = catalogue.LOCAL
    if catalogue.installed(model) is not None:
        return Check("weights", True, f"{model.title}, {model.size / 1e6:,.0f} MB")
    return Check("weights", False, f"{model.title} is not here yet", "agentctl models pull")


def _keys() -> Check:
    if os.environ.get(_KEY):
        return Check("keys", True, f"{_KEY} is set")
    return Check("keys", None, f"{_KEY} is not set", "needed only for models of `openai/…`")


def _extra(name: str, package: str, serves: str) -> Check:
    """An extra of agentctl by its main package, which is also the name of its module."""
    if importlib.util.find_spec(package) is None:
        hint = f"needed only for {serves}: pip install 'agentctl[{name}]'"
        return Check(name, None, f"{package} is not installed", hint)
    try:
        return Check(name, True, f"{package} {version(package)}")
    except PackageNotFoundError:
        return Check(name, True, f"{package}, of unknown version")


def _lines(checks: list[Check]) -> Iterator[str]:
    colours = {True: "32", False: "33", None: "2"} if in_colour(sys.stdout) else {}
    marks = {True: "✓", False: "✗", None: "·"}
    for check in checks:
        mark = marks[check.ok]
        if check.ok in colours:
            mark = f"\x1b[{colours[check.ok]}m{mark}\x1b[0m"
        hint = f"  ({check.hint})" if check.hint else ""
        yield f"{mark} {check.name:<10} {check.says}{hint}"
