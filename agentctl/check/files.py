"""Which files to check: those named, and the graph files of the folders named."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from agentctl.errors import UsageError
from agentctl.spec.reading import read_start
from agentctl.spec.source import MAX_BYTES

_SKIPPED = frozenset(("node_modules", "__pycache__", "venv"))
_GRAPH_KEYS = [
    re.compile(rb"""^(?:\xef\xbb\xbf)?["']?%s["']?[ \t]*:(?:\s|$)""" % key, re.MULTILINE)
    for key in (b"start", b"nodes", b"state")
]
"""What few other files have together."""
_VERSION_KEY = re.compile(rb"""^(?:\xef\xbb\xbf)?["']?agentctl["']?[ \t]*:(?:\s|$)""", re.MULTILINE)


def find_graph_files(paths: Iterable[Path]) -> list[Path]:
    """The files to check, in order, each once.

    A file that is named is taken as it is. In a folder, graph files are the YAML files with a key `agentctl` at
    the top, or with `start`, `nodes` and `state`, where that key was forgotten or misspelt; hidden folders, virtual environments and node_modules are left out. Raises UsageError for a path that
    is not there or cannot be read, and for a folder without graph files.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        matches = [path] if _is_file(path) else list(_graph_files_in(path))
        if not matches:
            raise UsageError(
                f"no graph file in `{path}`",
                hint="a graph file is YAML with `agentctl: 1` at its top; name one",
            )
        for match in matches:
            found.setdefault(match.resolve(), match)
    return list(found.values())


def _is_file(path: Path) -> bool:
    try:
        if path.is_dir():
            return False
        read_start(path, 1)
        return True
    except FileNotFoundError:
        raise UsageError(
            f"there is no file `{path}`", hint="name a graph file, or a folder with some"
        ) from None
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read: {error.strerror}") from error


def _graph_files_in(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if _is_searched(Path(place, name)))
        for name in sorted(files):
            path = Path(place, name)
            if name.endswith((".yaml", ".yml")) and not name.startswith(".") and _is_graph(path):
                yield _named(path)


def _named(path: Path) -> Path:
    """The path, if it can stand in a report."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = os.fsencode(path).decode("utf-8", "replace")
        raise UsageError(f"the name of `{shown}` is not UTF-8", hint="give the file another name") from None
    return path


def _is_searched(folder: Path) -> bool:
    return (
        not folder.name.startswith(".")
        and folder.name not in _SKIPPED
        and not (folder / "pyvenv.cfg").exists()
    )


def _is_graph(path: Path) -> bool:
    try:
        text = read_start(path, MAX_BYTES) if path.is_file() else b""
    except OSError as error:
        raise UsageError(f"`{path}` cannot be read: {error.strerror}") from error
    return _VERSION_KEY.search(text) is not None or all(key.search(text) for key in _GRAPH_KEYS)


def _raise(error: OSError) -> None:
    raise UsageError(f"`{error.filename}` cannot be read: {error.strerror}") from error
