"""The digest of a tool's code: its module and the project's modules that it imports, or the files it names."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from agentctl.json import digest
from agentctl.spec.python_source import UnreadableSource, read_module


def code_digest(file: Path, function: str, project: Path, folder: Path | None = None) -> str:
    """32 hex digits that change when the function's code may have changed.

    Counted are the bytes of its module and, transitively, of every module it imports from a file inside
    `project`. Imports are read by `ast`: those inside functions count, those by a computed name do not.
    `folder` is where absolute imports begin: beside the module unless said.
    """
    return digest([function, code_files(file, project, folder)])


def code_files(file: Path, project: Path, folder: Path | None = None) -> dict[str, str]:
    """The digest of each file that `code_digest` counts, by its path from the project."""
    project = project.resolve()
    return {
        Path(os.path.relpath(found, project)).as_posix(): hashlib.blake2b(found.read_bytes()).hexdigest()
        for found in modules_of(file.absolute(), folder or file.parent, project)
    }


def files_digest(folder: Path, names: Iterable[str], project: Path) -> str:
    """32 hex digits that change when one of the files of the project changes, that `names` in `folder` may be."""
    return digest(named_files(folder, names, project))


def named_files(folder: Path, names: Iterable[str], project: Path) -> dict[str, str]:
    """The digest of each file that `files_digest` counts, by its path from the project."""
    project, found = project.resolve(), {}
    for name in names:
        path = (folder / name).resolve() if "\0" not in name else folder
        if path.is_relative_to(project) and path.is_file():
            found[path.relative_to(project).as_posix()] = hashlib.blake2b(path.read_bytes()).hexdigest()
    return found


def modules_of(file: Path, folder: Path, project: Path) -> set[Path]:
    """The real paths of a module and of all that it imports from `folder`, as far as they are in `project`."""
    project = project.resolve()
    folder = folder.absolute()
    # The packages that a dotted module stands in are run before it is.
    packages = [
        place / "__init__.py" for place in file.parents if place != folder and folder in place.parents
    ]
    reached: set[Path] = set()
    ahead = [file, *(package for package in packages if package.is_file())]
    while ahead:
        found = ahead.pop().resolve()
        if found in reached:
            continue
        reached.add(found)
        try:
            imported = set(read_module(found, folder).imported_files())
        except UnreadableSource:
            continue  # its bytes count; what it would import cannot be known, and it cannot run
        ahead += [other for other in imported if other.resolve().is_relative_to(project)]
    return reached
