"""Python source read by `ast`: which file a module is, and what its names stand for. Nothing is imported."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from agentctl.errors import UsageError
from agentctl.spec.reading import read_start

_HOPS = 10
"""How many re-exports are followed from a name to what it stands for."""


_MOST_BYTES = 1024 * 1024
"""Parsing takes 170 times a source's size in memory."""
_KEPT_BYTES = 512 * 1024
"""Of sources whose trees are kept."""


class UnreadableSource(UsageError):
    """A Python tool that cannot be found or read."""


class OutsideFolder(UnreadableSource):
    """A Python tool whose module is a link to somewhere else."""


class Modules:
    """The modules read so far, so that the tools of one module cost one parse. When full it begins anew."""

    def __init__(self) -> None:
        self._kept: dict[Path, Module] = {}
        self._size = 0

    def read(self, file: Path, folder: Path) -> Module:
        """The module of a file. Raises UnreadableSource."""
        module = self._kept.get(file)
        if module is None or module.folder != folder:
            source = _source(file)
            module = Module(folder, file, _tree(source, file), self)
            self._keep(module, len(source))
        return module

    def _keep(self, module: Module, size: int) -> None:
        if self._size + size > _KEPT_BYTES:
            self._kept.clear()
            self._size = 0
        if size <= _KEPT_BYTES:
            self._kept[module.file] = module
            self._size += size


@dataclass(frozen=True)
class Module:
    """A parsed module. `folder` is where absolute imports of the project begin."""

    folder: Path
    file: Path
    tree: ast.Module
    modules: Modules = field(default_factory=Modules, repr=False, compare=False)
    """Where those it imports from are read."""

    @cached_property
    def names(self) -> dict[str, ast.stmt]:
        """What the module binds at its top level, in `if`, `try` and `with` too; the last one counts."""
        return {name: statement for statement in _top_level(self.tree) for name in _bound(statement)}

    def find(self, name: str) -> tuple[ast.stmt, Module] | None:
        """The statement that binds `name`, here or in the project's module that it is imported from."""
        module, seen = self, 0
        while (statement := module.names.get(name)) is not None and seen < _HOPS:
            origin = module._origin(statement, name)
            if origin is None:
                return statement, module
            (module, name), seen = origin, seen + 1
        return None

    def imported_files(self) -> Iterator[Path]:
        """The project's files that this module imports itself, in functions too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from _chain(self.folder, alias.name)
            elif isinstance(node, ast.ImportFrom):
                base, dotted = self._base(node)
                yield from _chain(base, dotted)
                for alias in node.names:
                    yield from _chain(base, f"{dotted}.{alias.name}" if dotted else alias.name)

    def _base(self, node: ast.ImportFrom) -> tuple[Path, str]:
        if not node.level:
            return self.folder, node.module or ""
        # `.` is the folder the file stands in, for a package's __init__ as well
        return (self.file, *self.file.parents)[min(node.level, len(self.file.parents))], node.module or ""

    def _origin(self, statement: ast.stmt, name: str) -> tuple[Module, str] | None:
        if not isinstance(statement, ast.ImportFrom):
            return None
        base, dotted = self._base(statement)
        file = module_file(base, dotted) if dotted else base / "__init__.py"
        if file is None or not file.is_file():
            return None
        original = next(
            (alias.name for alias in statement.names if (alias.asname or alias.name) == name), name
        )
        return self.modules.read(file, self.folder), original


def read_module(file: Path, folder: Path) -> Module:
    """Parse a file. Raises UnreadableSource."""
    return Modules().read(file, folder)


def module_file(folder: Path, dotted: str) -> Path | None:
    """The file of a module under `folder`: as in Python, a package comes before a module of the same name."""
    place = folder.joinpath(*dotted.split("."))
    for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if file.is_file():
            return file
    return None


def _source(file: Path) -> bytes:
    try:
        source = read_start(file, _MOST_BYTES + 1)
    except OSError as error:
        raise UnreadableSource(f"cannot read {file}: {error.strerror}") from error
    if len(source) > _MOST_BYTES:
        raise UnreadableSource(f"{file} is larger than 1 MB: a tool's module is read before it is run")
    return source


def _tree(source: bytes, file: Path) -> ast.Module:
    try:
        return ast.parse(source, filename=str(file))
    except SyntaxError as error:
        raise UnreadableSource(f"{file} is no Python: {error.msg} in line {error.lineno}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise UnreadableSource(f"{file} is no Python: {error}") from error


def _chain(folder: Path, dotted: str) -> Iterator[Path]:
    """`a.b.c` runs `a`, `a.b` and `a.b.c`: those of them that are files."""
    parts = [part for part in dotted.split(".") if part]
    for count in range(1, len(parts) + 1):
        file = module_file(folder, ".".join(parts[:count]))
        if file is not None:
            yield file


def _top_level(node: ast.AST) -> Iterator[ast.stmt]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            yield from _top_level(child)
        elif isinstance(child, ast.stmt):
            yield child


def _bound(statement: ast.stmt) -> Iterator[str]:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield statement.name
        case ast.Import() | ast.ImportFrom():
            for alias in statement.names:
                yield alias.asname or alias.name.partition(".")[0]
        case ast.Assign():
            for target in statement.targets:
                yield from (node.id for node in ast.walk(target) if isinstance(node, ast.Name))
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name
        case _ if type(statement).__name__ == "TypeAlias":  # `type X = …`, Python 3.12
            yield from (node.id for node in ast.walk(statement.name) if isinstance(node, ast.Name))  # type: ignore[attr-defined]
