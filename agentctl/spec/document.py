"""A graph's file with the parts it includes and the texts it names: what is checked, compiled and recorded."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agentctl.errors import UsageError
from agentctl.json import Json, digest
from agentctl.spec.fault import Fault, told
from agentctl.spec.finding import Finding, Fix, Keys, Span, path_text
from agentctl.spec.include import VERSION, Merged, Reader, merge, not_utf8, project_files, reason, relative
from agentctl.spec.model import FileSpec
from agentctl.spec.overlay import (
    Override,
    all_overrides,
    around,
    chosen_overrides,
    moves,
    overlay,
    written_at,
)
from agentctl.spec.reading import read_start
from agentctl.spec.shape import read_spec
from agentctl.spec.source import MAX_BYTES, Source, too_large


@dataclass(frozen=True)
class Document:
    """A root file, its parts merged in."""

    path: Path
    """Of the root file, absolute."""
    data: Json
    """Plain data; a prompt's `{file: …}` stays as it is."""
    spec: FileSpec | None
    """None while something is wrong with the YAML or the shape, and for a part."""
    findings: tuple[Finding, ...]
    """Of the families Y and S."""
    texts: Mapping[str, str]
    """Every text it consists of, by its path from the root file's folder."""
    digest: str
    is_part: bool
    """A file without nodes, for `include`."""
    _merged: Merged = field(repr=False)
    _prompts: Mapping[Keys, Source] = field(repr=False, default_factory=dict)
    """By where their names are written."""
    _moved: Mapping[Keys, Keys] = field(repr=False, default_factory=dict)
    """From the paths that variants replace to where their values are written."""

    def overlaid(self, choices: Mapping[str, str]) -> Document:
        """This document with one variant of each experiment that is named laid over it, its shape checked.

        What a variant puts in place is found where it is written, in the experiment. The texts and the digest
        stay those of the file. Raises UsageError for an experiment or a variant that the file does not have.
        """
        return self.laid_over(chosen_overrides(self.data, choices))

    def laid_over(self, overrides: Sequence[Override]) -> Document:
        """This document with some overrides laid over it, as `overlaid` does with those of variants."""
        moved = moves(self.data, overrides)
        if not moved:
            return self
        data = overlay(self.data, overrides)
        spec, faults = read_spec(data, is_part=self.is_part)
        bare = replace(self, data=data, spec=None, _moved=moved)
        findings = tuple(dict.fromkeys((*self.findings, *map(bare._finding, faults))))
        return replace(bare, spec=None if _is_wrong(findings) else spec, findings=findings)

    def key(self, keys: Keys) -> tuple[Path, Span]:
        """The file and the place of a key's word."""
        keys = self.written_at(keys)
        source = self._merged.owner(keys)
        return source.path, source.key(keys)

    def value(self, keys: Keys) -> tuple[Path, Span]:
        """The file and the place of a value; of a block, its first line."""
        keys = self.written_at(keys)
        source = self._merged.owner(keys)
        return source.path, source.value(keys)

    def inside(self, keys: Keys, offset: int, length: int) -> tuple[Path, Span]:
        """The file and the place of some characters of a text; of a prompt's file too."""
        prompt = self._prompts.get(self.written_at((*keys, "file")))
        if prompt is not None:
            return prompt.path, prompt.span(offset, offset + length)
        keys = self.written_at(keys)
        source = self._merged.owner(keys)
        return source.path, source.inside(keys, offset, length)

    def prompt(self, keys: Keys) -> str | None:
        """The text of the file that is named at `("agents", "lead", "instructions")` and the like."""
        source = self._prompts.get(self.written_at((*keys, "file")))
        return None if source is None else source.text

    def written_at(self, keys: Keys) -> Keys:
        """Where in the file the value stands that is at some keys of the data: elsewhere, if a variant put it there."""
        return written_at(keys, self._moved)

    def _finding(self, fault: Fault) -> Finding:
        place = self.key(fault.keys) if fault.at_key else self.value(fault.keys)
        return _told(fault, *place)


def read_text(path: Path) -> str:
    """The text of a file, of one that is too large its beginning."""
    found = read_start(path, MAX_BYTES + 1)
    return found.decode("utf-8", "replace" if len(found) > MAX_BYTES else "strict")


def read_document(path: Path, reader: Reader = read_text) -> Document:
    """The document of a file. Raises UsageError when it cannot be read; all else is a finding."""
    absolute = Path(os.path.abspath(path))
    try:
        text = reader(absolute)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {reason(error)}") from error
    except UnicodeDecodeError as error:
        return _unreadable(absolute, not_utf8(absolute, error), error.object.decode("utf-8", "replace"))
    return _document(absolute, text, reader, Path.resolve)


def document_from_texts(root_name: str, texts: Mapping[str, str]) -> Document:
    """The document of recorded texts, by their paths from the root file's folder; the disk is left alone."""
    folder = Path.cwd()

    def read(path: Path) -> str:
        try:
            return texts[relative(path, folder)]
        except KeyError:
            raise FileNotFoundError(2, "it is not among the recorded texts") from None

    if root_name not in texts:
        raise UsageError(f"{told(root_name)} is not among the recorded texts")
    return _document(folder / root_name, texts[root_name], read, lambda path: path)


def part_refused(path: Path) -> UsageError:
    """What is said when a part for `include`, which has no nodes, is to be run or drawn by itself."""
    return UsageError(
        f"{told(path.name)} has no nodes: it is a part, for other files to include",
        hint="name a file that includes it",
    )


def _document(path: Path, text: str, read: Reader, resolve: Callable[[Path], Path]) -> Document:
    merged = merge(path, text, read, resolve)
    is_part = isinstance(merged.data, dict) and "nodes" not in merged.data
    spec = None
    if isinstance(merged.data, dict) and not _is_newer(merged.data.get("agentctl")):
        spec, faults = read_spec(merged.data, is_part=is_part)
        merged.findings += _no_consequences(merged.findings, [_finding(merged, fault) for fault in faults])
    prompts = _read_prompts(merged, read, resolve)
    findings = _in_order(merged)
    return Document(
        path=path,
        data=merged.data,
        spec=None if _is_wrong(findings) else spec,
        findings=findings,
        texts=merged.texts,
        digest=digest(merged.texts),
        is_part=is_part,
        _merged=merged,
        _prompts=prompts,
    )


def _is_wrong(findings: tuple[Finding, ...]) -> bool:
    return any(finding.severity == "error" for finding in findings)


def _is_newer(version: Json) -> bool:
    """Whether the file is in a later version of the language, whose keys are not known here."""
    return isinstance(version, int) and version > VERSION


def _unreadable(path: Path, finding: Finding, text: str) -> Document:
    texts = {path.name: text}
    return Document(path, None, None, (finding,), texts, digest(texts), False, Merged(Source(path, text)))


def _finding(merged: Merged, fault: Fault) -> Finding:
    source = merged.owner(fault.keys)
    span = source.key(fault.keys) if fault.at_key else source.value(fault.keys)
    return _told(fault, source.path, span)


def _told(fault: Fault, file: Path, span: Span) -> Finding:
    path, fix = path_text(fault.keys), None if fault.fix is None else Fix(span, fault.fix)
    return Finding(fault.code, fault.severity, fault.message, file, span, path, fault.hint, fix)


def _no_consequences(yaml: list[Finding], shape: list[Finding]) -> Iterator[Finding]:
    """The findings of the shape, but for those on a line that is wrong as YAML: they may follow from it."""
    lines = {
        (found.file, found.span.line)
        for found in yaml
        if found.code.startswith("Y") and found.severity == "error"
    }
    return (found for found in shape if (found.file, found.span.line) not in lines)


def _in_order(merged: Merged) -> tuple[Finding, ...]:
    """The findings by place, the root file's first, each once."""
    files = [merged.root.path]
    return tuple(
        sorted(
            dict.fromkeys(merged.findings),
            key=lambda found: (found.file not in files, str(found.file), found.span, found.code),
        )
    )


def _read_prompts(merged: Merged, read: Reader, resolve: Callable[[Path], Path]) -> dict[Keys, Source]:
    """The files that instructions are kept in."""
    folder, files, prompts = merged.root.path.parent, project_files(merged, read, resolve), {}
    for at, name in _named_files(merged.data):
        source = merged.owner(at)
        path = Path(os.path.normpath(source.path.parent / name))
        if files.leaves(path):
            message = f"{told(name)} leaves the project, which is the folder of the root file"
            merged.add("X06", source, at, message, "copy the file into the project")
            continue
        try:
            text = read(path)
        except OSError as error:
            merged.add("S120", source, at, f"cannot read {told(name)}: {reason(error)}")
        except UnicodeDecodeError as error:
            merged.findings.append(not_utf8(path, error))
        else:
            merged.texts[relative(path, folder)] = text
            prompts[at] = Source(path, text.removeprefix("\ufeff"))
            if (finding := too_large(prompts[at])) is not None:
                merged.findings.append(finding)
    return prompts


def _named_files(data: Json) -> Iterator[tuple[Keys, str]]:
    """Where instructions are `{file: …}`: in agents, in agents inside nodes, and in what variants put there."""
    for keys, agent in _agents(data, ()):
        yield from _file(agent, keys)
    for override in all_overrides(data):
        for keys, agent in _agents(around(override.keys, override.value), ()):
            for at, name in _file(agent, keys):
                yield written_at(at, {override.keys: override.place}), name


def _agents(graph: Json, keys: Keys) -> Iterator[tuple[Keys, Json]]:
    for name, agent in _table(graph, "agents"):
        yield (*keys, "agents", name), agent
    for name, node in _table(graph, "nodes"):
        yield from _agents_of(node, (*keys, "nodes", name))
    for name, inner in _table(graph, "graphs"):
        yield from _agents(inner, (*keys, "graphs", name))


def _agents_of(node: Json, keys: Keys) -> Iterator[tuple[Keys, Json]]:
    if not isinstance(node, dict):
        return
    yield (*keys, "agent"), node.get("agent")
    work = node.get("map")
    if isinstance(work, dict):
        yield from _agents_of(work.get("do"), (*keys, "map", "do"))
    for name, branch in _table(node, "parallel"):
        yield from _agents_of(branch, (*keys, "parallel", name))


def _file(agent: Json, keys: Keys) -> Iterator[tuple[Keys, str]]:
    told = agent.get("instructions") if isinstance(agent, dict) else None
    if isinstance(told, dict) and isinstance(told.get("file"), str):
        yield (*keys, "instructions", "file"), told["file"]


def _table(owner: Json, key: str) -> Iterator[tuple[str, Json]]:
    table = owner.get(key) if isinstance(owner, dict) else None
    if isinstance(table, dict):
        yield from table.items()
