"""YAML text as a tree of nodes with their places, read from the C event stream within fixed bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from ruamel.yaml.cyaml import CParser  # type: ignore[attr-defined]  # C has no types
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import AliasEvent, MappingStartEvent, NodeEvent, ScalarEvent, SequenceStartEvent

from agentctl.spec.nodes import Entry, Hole, Node, Problem, one_line, quote
from agentctl.spec.scalars import core_value, doubt
from agentctl.spec.syntax import Trouble, explain_syntax, more_like, shown, soften, unquoted_template

MAX_DEPTH = 100
MAX_ALIASES = 100
MAX_VALUES = 50_000
MAX_PROBLEMS = 1_000
MAX_UNQUOTED = 20
"""Each costs a pass over the text."""

CollectionStart = SequenceStartEvent | MappingStartEvent

_ENTRY_ENDS = re.compile(r"\s*[,}]")


class _Unreadable(Exception):
    """Reading stops here; what was read so far is dropped."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def read_tree(text: str) -> tuple[Node | None, list[Problem]]:
    """The tree of a YAML text, None when it is empty or cannot be read, and all that is wrong with it."""
    holes: list[Hole] = []
    masks: dict[str, str] = {}
    masked = text
    while True:
        builder = _Builder(text, masked, holes, masks)
        try:
            root, stop = builder.document(), []
        except MarkedYAMLError as error:
            trouble = _trouble(error)
            hole = unquoted_template(masked, trouble)
            if hole is not None and len(holes) < MAX_UNQUOTED:
                for first, last in islice(more_like(masked, hole), MAX_UNQUOTED):
                    holes.append(Hole(first, last))
                    masked = masked[:first] + "x" * (last - first) + masked[last:]
                continue
            if not masks and hole is None:
                masked, masks = soften(masked)
                if masks:
                    continue
            root, stop = None, [] if hole else [Problem("Y001", *explain_syntax(text, trouble))]
        except _Unreadable as unreadable:
            root, stop = None, [unreadable.problem]
        found = builder.problems[:MAX_PROBLEMS]
        return root, [*found, *(hole.problem(text) for hole in holes), *stop]


def _trouble(error: MarkedYAMLError) -> Trouble:
    at = 0 if error.problem_mark is None else error.problem_mark.index
    begun = at if error.context_mark is None else error.context_mark.index
    return Trouble(error.problem or "", at, error.context or "", begun)


class _Builder:
    """Builds the tree of one document.

    `masked` is the text as libyaml can read it: every unquoted `${{ }}` inside brackets (the `holes`) made
    harmless, and what stands for other characters (the `masks`) put in their place.
    """

    def __init__(self, text: str, masked: str, holes: list[Hole], masks: dict[str, str]) -> None:
        self.text = text
        self.holes = holes
        self.masks = masks
        self.next = CParser(masked).get_event
        self.anchors: dict[str, Node] = {}
        self.aliases = 0
        self.values = 0
        self.problems: list[Problem] = []

    def document(self) -> Node | None:
        self.next()
        event = self.next()
        if type(event).__name__ == "StreamEndEvent":
            return None
        root = self._node(self.next(), 0)
        self.next()
        event = self.next()
        if type(event).__name__ == "DocumentStartEvent":
            start = event.start_mark.index
            message = "a second document begins here; a file holds one graph"
            self.problems.append(Problem("Y006", message, start, start + 3))
        return root

    def _node(self, event: NodeEvent, depth: int) -> Node:
        start, end = event.start_mark.index, event.end_mark.index
        if isinstance(event, AliasEvent):
            return self._alias(event, depth)
        self._count(1, start, end)
        if depth > MAX_DEPTH:
            raise _Unreadable(Problem("Y001", f"nested deeper than {MAX_DEPTH} levels", start, start + 1))
        if isinstance(event, SequenceStartEvent):
            node = Node(start, end, "sequence", bool(event.flow_style))
            self._tag(event)
            self._sequence(node, depth)
        elif isinstance(event, MappingStartEvent):
            node = Node(start, end, "mapping", bool(event.flow_style))
            self._tag(event)
            self._mapping(node, depth)
        else:
            assert isinstance(event, ScalarEvent)
            self._tag(event)
            node = self._scalar(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _alias(self, event: NodeEvent, depth: int) -> Node:
        start, end = event.start_mark.index, event.end_mark.index
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            raise _Unreadable(Problem("Y004", f"more than {MAX_ALIASES} aliases", start, end))
        node = self.anchors.get(event.anchor)
        if node is None:
            message = f"`*{event.anchor}` names no anchor that is finished before it"
            raise _Unreadable(Problem("Y001", message, start, end, f"name a value with `&{event.anchor}`"))
        self._count(node.size, start, end)
        if depth + node.height > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} levels once `*{event.anchor}` is expanded"
            raise _Unreadable(Problem("Y001", message, start, end))
        return node

    def _count(self, values: int, start: int, end: int) -> None:
        self.values += values
        if self.values > MAX_VALUES:
            expanded = " once its aliases are expanded" if self.aliases else ""
            message = f"the file holds more than {MAX_VALUES:,} values{expanded}"
            raise _Unreadable(Problem("Y004", message, start, max(end, start + 1)))

    def _tag(self, event: ScalarEvent | CollectionStart) -> None:
        if event.tag is None:
            return
        start = end = self.text.find("!", event.start_mark.index)
        while end < len(self.text) and not self.text[end].isspace():
            end += 1
        message = f"the tag {shown(self.text[start:end])} is not allowed: a file is plain data"
        self.problems.append(Problem("Y005", message, start, end, "leave it out"))

    def _scalar(self, event: ScalarEvent) -> Node:
        start, end = event.start_mark.index, event.end_mark.index
        if event.anchor is not None or event.tag is not None:
            start = _after_properties(self.text, start, end)
        style = event.style or ""
        if style or event.tag is not None:
            return Node(start, end, "scalar", style=style, value=self._said(event))
        text = self._said(event)
        if self.holes and (inside := [hole for hole in self.holes if start <= hole.start < end]):
            for hole in inside:
                hole.scalar = (start, end)
            return Node(start, end, "scalar", value=one_line(self.text[start:end]))
        value = core_value(text)
        why = doubt(text, value)
        if why is not None:
            quoted = quote(text)
            message = f"`{text}` is {why}"
            hint = f"write {quoted} if it is text"
            # what is text here stays what it is in quotes; of a number nobody knows which was meant
            mend = quoted if isinstance(value, str) else None
            self.problems.append(Problem("Y008", message, start, end, hint, mend, severity="warning"))
        return Node(start, end, "scalar", value=value)

    def _said(self, event: ScalarEvent) -> str:
        """The text of a scalar, unmasked."""
        text = str(event.value)
        for mask, char in self.masks.items():
            text = text.replace(mask, char)
        return text

    def _sequence(self, node: Node, depth: int) -> None:
        while type(event := self.next()).__name__ != "SequenceEndEvent":
            item = self._node(event, depth + 1)
            node.items.append(item)
            node.size += item.size
            node.height = max(node.height, item.height + 1)
        node.end = event.end_mark.index

    def _mapping(self, node: Node, depth: int) -> None:
        merges: list[Entry] = []
        last: Entry | None = None
        cut: Entry | None = None
        while type(event := self.next()).__name__ != "MappingEndEvent":
            key = self._key(event, depth)
            value = self._node(self.next(), depth + 1)
            node.size += value.size
            node.height = max(node.height, value.height + 1)
            if key is None:
                continue
            entry = Entry(_key_start(self.text, event), event.end_mark.index, value)
            if key == "<<" and not event.style:
                merges.append(entry)
            elif last is not None and node.flow and self._is_cut(last.node, event, value):
                cut = last
                cut.node = Node(last.node.start, entry.end, "scalar", value="")
            else:
                self._join(cut)
                self._add(node, key, entry)
                last, cut = entry, None
        self._join(cut)
        node.end = event.end_mark.index
        for position, merge in enumerate(merges):
            self._merge(node, merge, second=position > 0)

    def _key(self, event: NodeEvent, depth: int) -> str | None:
        """The text of a key; a key that is no text is read over."""
        start = event.start_mark.index
        if isinstance(event, ScalarEvent):
            self._tag(event)
            if event.value or event.style:
                return self._said(event)
            self.problems.append(Problem("Y001", "a key is missing before `:`", start, start + 1))
            return None
        is_alias = isinstance(event, AliasEvent)
        node = self._node(event, depth + 1)
        if isinstance(event, MappingStartEvent) and self.text[start - 1 : start + 1] == "{{":
            message, hint = "`{{ }}` is a mapping inside a mapping in YAML", "write `${{ }}`"
        else:
            message, hint = "a key must be plain text", "quote it if it is text"
        end = event.end_mark.index if is_alias else min(node.end, start + 40)
        self.problems.append(Problem("Y001", message, start, max(end, start + 1), hint))
        return None

    def _add(self, node: Node, key: str, entry: Entry) -> None:
        first = node.entries.get(key)
        if first is None:
            node.entries[key] = entry
            return
        self.problems.append(
            Problem(
                "Y002",
                f"the key {shown(key)} is here twice",
                entry.start,
                entry.end,
                "it is first on line {line}",
                other=first.start,
            )
        )

    def _is_cut(self, before: Node, event: ScalarEvent, value: Node) -> bool:
        """Whether a key without a value, after a comma in `{ }`, is the rest of the plain text before it."""
        if event.style or value.start != value.end or value.kind != "scalar":
            return False
        if before.kind != "scalar" or before.style or not before.start < before.end <= event.start_mark.index:
            return False
        between = self.text[before.end : event.start_mark.index]
        return between.strip() == "," and _ENTRY_ENDS.match(self.text, event.end_mark.index) is not None

    def _join(self, cut: Entry | None) -> None:
        """Make one text again of what its commas cut."""
        if cut is None:
            return
        start, end = cut.node.start, cut.node.end
        text = cut.node.value = one_line(self.text[start:end])
        message = f"{shown(text)} is cut at its comma: text inside `{{ }}` ends there"
        self.problems.append(Problem("Y010", message, start, end, f"quote it: {quote(text)}", quote(text)))

    def _merge(self, node: Node, merge: Entry, *, second: bool) -> None:
        given = merge.node
        parts = given.items if given.kind == "sequence" else [given]
        if second:
            message = "`<<` is here twice"
            self.problems.append(Problem("Y002", message, merge.start, merge.end, "write `<<: [*a, *b]`"))
        if any(part.kind != "mapping" for part in parts):
            message = "`<<` takes a mapping, or a list of mappings"
            self.problems.append(Problem("Y001", message, merge.start, merge.end, "write `<<: *name`"))
            return
        both = []
        for key, entry in ((key, entry) for part in parts for key, entry in part.entries.items()):
            if key in node.entries:
                both.append(key)
            else:
                node.entries[key] = entry
        if both:
            keys = ", ".join(f"`{key}`" for key in dict.fromkeys(both))
            message = f"`<<` brings {keys}, which the mapping has already: what `<<` brings is not used"
            self.problems.append(Problem("Y009", message, merge.start, merge.end, severity="warning"))


def _after_properties(text: str, at: int, end: int) -> int:
    """Where a scalar begins behind its `&anchor` and `!tag`."""
    while at < end and text[at] in "&!# \t\r\n":
        if text[at] in "&!":
            stop = _blank
        elif text[at] == "#":
            stop = _line_break
        else:
            at += 1
            continue
        at = next(stop(text, at, end), end)
    return at


def _key_start(text: str, event: NodeEvent) -> int:
    start: int = event.start_mark.index
    if event.anchor is not None or getattr(event, "tag", None) is not None:
        return _after_properties(text, start, event.end_mark.index)
    return start


def _blank(text: str, at: int, end: int) -> Iterator[int]:
    return (place for place in range(at, end) if text[place].isspace())


def _line_break(text: str, at: int, end: int) -> Iterator[int]:
    return (place for place in range(at, end) if text[place] in "\r\n")
