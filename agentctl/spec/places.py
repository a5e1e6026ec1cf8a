"""Where each character of a scalar's value stands in the file: YAML's folding and escapes, undone."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator

Char = tuple[str, int, int]
"""A character of the value, and the stretch of the file that it was made from."""

_BREAK = re.compile(r"\r\n|[\r\n\x85\u2028\u2029]")
_HEADER = re.compile(r"[|>]([-+]?)([1-9]?)([-+]?)[^\r\n\x85\u2028\u2029]*")
_ESCAPE_WIDTHS = {"x": 2, "u": 4, "U": 8}
_ESCAPES = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "e": "\x1b",
    "N": "\x85",
    "_": "\xa0",
    "L": "\u2028",
    "P": "\u2029",
}


def char_places(text: str, start: int, end: int, style: str, value: str) -> list[Char] | None:
    """The places of the characters of `value`, written in `text[start:end]` in a style of `'`, `"`, `|`, `>`, ``.

    None when what is written there cannot be undone to `value`.
    """
    match style:
        case "'" | '"':
            found = [list(_flow_chars(text, start + 1, end - 1, style))]
        case "|" | ">":
            found = [list(_block_chars(text, start, end, indent, value)) for indent in _indents(text, start)]
        case _:
            found = [list(_flow_chars(text, start, end, ""))]
    for places in found:
        if "".join(char for char, _, _ in places) == value:
            return places
    return None


def _flow_chars(text: str, at: int, end: int, quote: str) -> Generator[Char, None, None]:
    """Plain and quoted scalars: a line break is a space, each further one a line break."""
    while at < end:
        char = text[at]
        if char in " \t\r\n\x85\u2028\u2029":
            blank_end = _skip(text, at, end, " \t")
            if blank_end < end and _BREAK.match(text, blank_end):
                at = yield from _fold(text, blank_end, end)
                continue
            for place in range(at, blank_end):
                yield text[place], place, place + 1
            at = blank_end
        elif quote == "'" and char == "'":
            yield "'", at, at + 2
            at += 2
        elif quote == '"' and char == "\\":
            at = yield from _escape(text, at, end)
        else:
            yield char, at, at + 1
            at += 1


def _fold(text: str, at: int, end: int) -> Generator[Char, None, int]:
    """One run of line breaks and the blanks around them; returns where it ends."""
    breaks: list[tuple[int, int]] = []
    while at < end and (found := _BREAK.match(text, at)):
        breaks.append(found.span())
        at = _skip(text, found.end(), end, " \t")
    first, last = breaks[0]
    if len(breaks) == 1 and text[first:last] not in ("\u2028", "\u2029"):
        yield " ", first, last
    for first, last in breaks[1:]:
        yield _line_end(text[first:last]), first, last
    return at


def _escape(text: str, at: int, end: int) -> Generator[Char, None, int]:
    """One backslash escape; returns where it ends."""
    escaped = _BREAK.match(text, at + 1)
    if escaped:
        after = _skip(text, escaped.end(), end, " \t")
        while after < end and (found := _BREAK.match(text, after)):
            yield _line_end(found[0]), *found.span()
            after = _skip(text, found.end(), end, " \t")
        return after
    kind = text[at + 1 : at + 2]
    width = 2 + _ESCAPE_WIDTHS.get(kind, 0)
    if kind in _ESCAPE_WIDTHS:
        yield chr(int(text[at + 2 : at + width], 16)), at, at + width
    else:
        yield _ESCAPES.get(kind, kind), at, at + width
    return at + width


def _indents(text: str, start: int) -> Iterator[int]:
    """How deep a block scalar may be indented: what its first line shows, or any depth when its header says."""
    header = _HEADER.match(text, start)
    if header is None:
        return
    if header[2]:
        yield from range(int(header[2]), 100)
        return
    at, deepest = header.end(), 0
    while found := _BREAK.match(text, at):
        at = _skip(text, found.end(), len(text), " ")
        deepest = max(deepest, at - found.end())
        if at < len(text) and not _BREAK.match(text, at):
            yield at - found.end()
            return
    yield deepest


def _block_chars(text: str, start: int, end: int, indent: int, value: str) -> Iterator[Char]:
    """Literal and folded blocks, as libyaml reads them; what chomping left out is cut by the value's length."""
    header = _HEADER.match(text, start)
    if header is None:
        return
    folded = text[start] == ">"
    places: list[Char] = []
    # line breaks since the last line of text; the first of them may fold into a space
    pending: list[Char] = []
    was_blank = False
    for first, last, after in _lines(text, header.end(), end, indent):
        if first == last:
            pending.append((_line_end(text[last:after]), last, after))
            continue
        is_blank = text[first] in " \t"
        if places and folded and pending and not was_blank and not is_blank:
            _, at, upto = pending[0]
            pending[:1] = [(" ", at, upto)] if len(pending) == 1 else []
        places += pending
        places += [(text[place], place, place + 1) for place in range(first, last)]
        pending = [(_line_end(text[last:after]), last, after)] if after > last else []
        was_blank = is_blank
    yield from (places + pending)[: len(value)]


def _lines(text: str, at: int, end: int, indent: int) -> Iterator[tuple[int, int, int]]:
    """The lines of a block after its header: where the text begins, where it ends, where the next line begins."""
    found = _BREAK.match(text, at)
    while found and found.end() < end:
        line = found.end()
        first = _skip(text, line, min(line + indent, len(text)), " ")
        found = _BREAK.search(text, first)
        last = found.start() if found else len(text)
        yield first, last, found.end() if found else last


def _line_end(found: str) -> str:
    """libyaml makes a line feed of every line break but the Unicode separators."""
    return found if found in ("\u2028", "\u2029") else "\n"


def _skip(text: str, at: int, end: int, blanks: str) -> int:
    while at < end and text[at] in blanks:
        at += 1
    return at
