"""A YAML file as plain data, with the place of every key, every value and every character of it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agentctl.json import Json
from agentctl.spec.finding import Finding, Fix, Keys, Span
from agentctl.spec.nodes import Entry, Node, Problem
from agentctl.spec.places import Char, char_places
from agentctl.spec.syntax import bad_character
from agentctl.spec.tree import read_tree

MAX_BYTES = 1024 * 1024

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(slots=True)
class Source:
    """One file. What cannot be found is placed where the nearest thing around it is."""

    path: Path
    text: str
    data: Json = None
    root: Node | None = field(default=None, repr=False)
    _lines: list[int] = field(default_factory=list, repr=False)
    _places: dict[int, list[Char] | None] = field(default_factory=dict, repr=False)

    def key(self, keys: Keys) -> Span:
        """Where the key's word stands; an item of a list is its own key."""
        entry, node = self._find(keys)
        return self.span(entry.start, entry.end) if entry is not None else self._node_span(node)

    def value(self, keys: Keys) -> Span:
        """Where the value stands; of a block, its first line."""
        entry, node = self._find(keys)
        if entry is not None and (node is None or node.start == node.end):
            return self.span(entry.start, entry.end)
        return self._node_span(node)

    def inside(self, keys: Keys, offset: int, length: int) -> Span:
        """Where `length` characters of a text stand, from its character `offset` on, however it is written."""
        _, node = self._find(keys)
        places = self._char_places(node)
        if node is None or not places or not 0 <= offset <= len(places):
            return self.value(keys)
        if offset == len(places):
            return self.span(places[-1][2], places[-1][2])
        last = places[min(offset + max(length, 1), len(places)) - 1]
        return self.span(places[offset][1], last[2] if length else places[offset][1])

    def span(self, start: int, end: int) -> Span:
        """The lines and columns of a stretch of the text."""
        return Span(*self._line_and_column(start), *self._line_and_column(end))

    def _find(self, keys: Keys) -> tuple[Entry | None, Node | None]:
        """The innermost thing on the way along the keys."""
        entry, node = None, self.root
        for key in keys:
            if node is None:
                break
            if node.kind == "mapping" and key in node.entries:
                entry = node.entries[str(key)]
                node = entry.node
            elif node.kind == "sequence" and isinstance(key, int) and 0 <= key < len(node.items):
                entry, node = None, node.items[key]
            else:
                break
        return entry, node

    def _node_span(self, node: Node | None) -> Span:
        if node is None:
            return Span(1, 1, 1, 1)
        is_block = node.style in ("|", ">") if node.kind == "scalar" else not node.flow
        return self.span(node.start, self._first_line_end(node) if is_block else node.end)

    def _first_line_end(self, node: Node) -> int:
        found = _LINE_END.search(self.text, node.start)
        end = min(found.start() if found else len(self.text), node.end)
        return node.start + len(self.text[node.start : end].rstrip())

    def _char_places(self, node: Node | None) -> list[Char] | None:
        if node is None or not isinstance(node.value, str):
            return None
        known = self._places.get(id(node), ())
        if isinstance(known, tuple):
            known = char_places(self.text, node.start, node.end, node.style, node.value)
            self._places[id(node)] = known
        return known

    def _line_and_column(self, at: int) -> tuple[int, int]:
        if not self._lines:
            self._lines = [0, *(found.end() for found in _LINE_END.finditer(self.text))]
        at = min(at, len(self.text))
        line = bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1


def read_source(path: Path, text: str) -> tuple[Source, list[Finding]]:
    """Read a file's text, and say all that is wrong with it as YAML. Never raises."""
    source = Source(path, text.removeprefix("\ufeff"))
    if (finding := too_large(source)) is not None:
        return source, [finding]
    unreadable = bad_character(source.text)
    if unreadable is not None:
        return source, [_finding(source, Problem("Y001", *unreadable))]
    source.root, problems = read_tree(source.text)
    if source.root is not None:
        source.data = source.root.data()
    return source, list(_findings(source, problems))


def too_large(source: Source) -> Finding | None:
    """What is said of a file of which only the beginning was read."""
    if len(source.text) <= MAX_BYTES and len(source.text.encode(errors="replace")) <= MAX_BYTES:
        return None
    message = f"the file is larger than 1 MB ({MAX_BYTES:,} bytes)"
    hint = "keep data out of it, or split it with `include`"
    return Finding("Y003", "error", message, source.path, Span(1, 1, 1, 1), hint=hint)


def _findings(source: Source, problems: list[Problem]) -> Iterator[Finding]:
    for problem in sorted(problems, key=lambda problem: (problem.start, problem.code)):
        yield _finding(source, problem)


def _finding(source: Source, problem: Problem) -> Finding:
    span = source.span(problem.start, problem.end)
    hint = problem.hint
    if hint is not None and problem.other is not None:
        other = source.span(problem.other, problem.other)
        hint = hint.replace("{line}", str(other.line))
    fix = Fix(span, problem.replacement) if problem.replacement is not None else None
    return Finding(problem.code, problem.severity, problem.message, source.path, span, hint=hint, fix=fix)
