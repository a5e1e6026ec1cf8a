"""A root file and the parts it includes, read and merged."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentctl.json import Json
from agentctl.spec.fault import told
from agentctl.spec.finding import Finding, Fix, Keys, Span, path_text
from agentctl.spec.model import FileSpec
from agentctl.spec.nearest import nearest
from agentctl.spec.other_words import other_key
from agentctl.spec.source import Source, read_source

Reader = Callable[[Path], str]
"""The text of a file. Raises OSError, or UnicodeDecodeError."""
VERSION = 1
_VERSION_KEY = ("agentctl",)
NAMED = (
    *("env", "models", "mcp", "stores", "tools", "agents", "state", "nodes", "routers", "graphs"),
    *("experiments", "tests"),
)
"""Sections whose entries may come from several files, each name from one."""
_OWN = ("agentctl", "name", "description", "include")
"""What a part says about itself only."""


@dataclass
class Merged:
    """A root file with its parts."""

    root: Source
    data: Json = None
    findings: list[Finding] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    owners: dict[Keys, Source] = field(default_factory=dict)
    """Which file a section, or an entry of a section, stands in."""

    def owner(self, keys: Keys) -> Source:
        """The file that a value stands in."""
        return self.owners.get(keys[:2]) or self.owners.get(keys[:1]) or self.root

    def add(
        self,
        code: str,
        source: Source,
        keys: Keys,
        message: str,
        hint: str | None = None,
        *,
        key: bool = False,
    ) -> None:
        """A finding at a value of one file, or at its key's word."""
        span = source.key(keys) if key else source.value(keys)
        self.findings.append(Finding(code, "error", message, source.path, span, path_text(keys), hint))


@dataclass
class _Gathering:
    """Reads files, each once, and keeps the order in which they are merged: parts before what includes them."""

    merged: Merged
    folder: Path
    read: Reader
    resolve: Callable[[Path], Path]
    done: dict[Path, Source] = field(default_factory=dict)
    order: list[Source] = field(default_factory=list)

    def include_all(self, source: Source, way: tuple[Path, ...]) -> None:
        """The parts of one file, and then the file."""
        includes = source.data.get("include") if isinstance(source.data, dict) else None
        for index, name in enumerate(includes if isinstance(includes, list) else ()):
            if isinstance(name, str):
                self._include(source, ("include", index), name, way)
        self.order.append(source)

    def _include(self, source: Source, keys: Keys, name: str, way: tuple[Path, ...]) -> None:
        path = Path(os.path.normpath(source.path.parent / name))
        if path in way:
            circle = " → ".join(one.name for one in (*way[way.index(path) :], path))
            self.merged.add("S122", source, keys, f"files include each other in a circle: {circle}")
        elif self.leaves(path):
            message = f"{told(name)} leaves the project, which is the folder of the root file"
            self.merged.add("X06", source, keys, message, "copy the part into the project")
        elif path not in self.done:
            part = self._read_part(source, keys, name, path)
            if part is not None:
                self.done[path] = part
                self.include_all(part, (*way, path))

    def leaves(self, path: Path) -> bool:
        """Whether a path leads out of the project, by its words or by a link."""
        if not path.is_relative_to(self.folder):
            return True
        try:
            return not self.resolve(path).is_relative_to(self.resolve(self.folder))
        except (OSError, RuntimeError, ValueError):
            return False  # links in a circle, or no name a file can have: reading it fails, and says why

    def _read_part(self, source: Source, keys: Keys, name: str, path: Path) -> Source | None:
        try:
            text = self.read(path)
        except OSError as error:
            self.merged.add("S120", source, keys, f"cannot read {told(name)}: {reason(error)}")
            return None
        except UnicodeDecodeError as error:
            self.merged.findings.append(not_utf8(path, error))
            return None
        part = self.take(path, text)
        if isinstance(part.data, dict) and "nodes" in part.data:
            self.merged.add(
                "S120", source, keys, f"{told(name)} is a whole graph, not a part: it has `nodes`"
            )
            return None
        return part

    def take(self, path: Path, text: str) -> Source:
        """A file's text as a source, its findings noted."""
        source, findings = read_source(path, text)
        self.merged.findings += findings
        self.merged.texts[relative(path, self.folder)] = text
        if not any(finding.severity == "error" and finding.code < "Y007" for finding in findings):
            self._check_version(source)
        return source

    def _check_version(self, source: Source) -> None:
        data, add = source.data, self.merged.add
        if data is None:
            add("S100", source, (), "the file is empty", "begin with `agentctl: 1`")
        elif not isinstance(data, dict):
            kind = "a list" if isinstance(data, list) else f"{told(data)}"
            add("S102", source, (), f"a file is a mapping of keys, and this is {kind}")
        elif "agentctl" not in data:
            if not any(nearest(key, _VERSION_KEY) or other_key(key, _VERSION_KEY) for key in data):
                self.merged.findings.append(_without_version(source))
        elif type(data["agentctl"]) is not int or data["agentctl"] != VERSION:
            said = told(data["agentctl"])
            hint = f"this version of agentctl reads `agentctl: {VERSION}`"
            add("S100", source, ("agentctl",), f"version {said} of the language is not known", hint)


def _without_version(source: Source) -> Finding:
    """The key that is missing; put before the first one where all others are keys of a graph's file."""
    fix, root = None, source.root
    is_graph = all(key in FileSpec.__struct_encode_fields__ or key.startswith("x-") for key in source.data)
    if is_graph and source.data and root is not None and not root.flow:
        at = source.span(root.start, root.start)
        fix = Fix(at, f"agentctl: {VERSION}\n" + " " * (at.column - 1))
    message, hint = "`agentctl: 1` is missing", "it says which version of the language this is"
    return Finding("S100", "error", message, source.path, Span(1, 1, 1, 1), hint=hint, fix=fix)


def merge(path: Path, text: str, read: Reader, resolve: Callable[[Path], Path]) -> Merged:
    """A root file's text with the parts it includes."""
    merged = Merged(Source(path, text))
    gathering = _Gathering(merged, path.parent, read, resolve)
    merged.root = gathering.take(path, text)
    gathering.include_all(merged.root, (path,))
    merged.data = merged.root.data
    if isinstance(merged.data, dict):
        merged.data = _merged_data(merged, gathering.order)
    return merged


def project_files(merged: Merged, read: Reader, resolve: Callable[[Path], Path]) -> _Gathering:
    """What reads further files of the project."""
    return _Gathering(merged, merged.root.path.parent, read, resolve)


def _merged_data(merged: Merged, order: list[Source]) -> Json:
    data = {key: value for key, value in merged.root.data.items() if key in _OWN}
    for source in order:
        if not isinstance(source.data, dict):
            continue
        for key, value in source.data.items():
            if key in _OWN:
                continue
            if key in NAMED and isinstance(value, dict) and isinstance(data.get(key, {}), dict):
                data[key] = {**data.get(key, {}), **dict(_new_names(merged, source, key, data.get(key, {})))}
            elif key in data and not key.startswith("x-"):
                first = merged.owner((key,))
                _twice(merged, source, (key,), first)
                continue
            else:
                data[key] = value
            merged.owners[(key,)] = source
    return {key: data[key] for key in (*merged.root.data, *data) if key in data}


def _new_names(merged: Merged, source: Source, section: str, known: Json) -> Iterator[tuple[str, Json]]:
    for name, value in source.data[section].items():
        if name in known:
            _twice(merged, source, (section, name), merged.owner((section, name)))
        else:
            merged.owners[(section, name)] = source
            yield name, value


def _twice(merged: Merged, source: Source, keys: Keys, first: Source) -> None:
    message = f"`{path_text(keys)}` is in two files"
    place = f"{relative(first.path, merged.root.path.parent)}, line {first.key(keys).line}"
    merged.add("S121", source, keys, message, f"it is also in {place}", key=True)


def relative(path: Path, folder: Path) -> str:
    """A path as the file's author would write it."""
    return Path(os.path.relpath(path, folder)).as_posix()


def reason(error: OSError) -> str:
    """Why a file could not be read, in words."""
    return (error.strerror or str(error)).lower()


def not_utf8(path: Path, error: UnicodeDecodeError) -> Finding:
    """A file that is no UTF-8 text, at its first bad byte."""
    before = error.object[: error.start].decode("utf-8", "replace")
    lines = before.split("\n")
    span = Span(len(lines), len(lines[-1]) + 1, len(lines), len(lines[-1]) + 2)
    is_utf16 = error.object[:2] in (b"\xff\xfe", b"\xfe\xff")
    what = "it is UTF-16" if is_utf16 else f"byte 0x{error.object[error.start]:02x} is none"
    return Finding("Y001", "error", f"the file is not UTF-8: {what}", path, span, hint="save it as UTF-8")
