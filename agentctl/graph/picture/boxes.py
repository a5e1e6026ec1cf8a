"""How large the box of a place is and where its words stand in it, without asking any font."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from agentctl.graph.picture.data import MARKS, Place

_PAD = 12.0
_WIDEST = 230.0
_MOST_INSIDE = 12
"""Branches drawn in a box; the others are counted."""
_SIZES = {"name": 14.0, "says": 12.0, "note": 11.0, "warn": 11.0}
_LEADING = 1.35
_NARROW = frozenset("iljtfrI.,:;'|!()[]{}` /\\-")
_WIDE = frozenset("mwMW@%—…&")


@dataclass(frozen=True)
class Line:
    """A line of words: the left end of its baseline, from the box's corner, or its middle when centred."""

    text: str
    role: str
    """`name`, `says`, `note` or `warn`."""
    x: float
    y: float


@dataclass(frozen=True)
class Box:
    """The box of a place, with those of its branches or its map's work."""

    place: Place
    width: float
    height: float
    lines: tuple[Line, ...]
    inside: tuple[Inner, ...] = ()
    centred: bool = False


@dataclass(frozen=True)
class Inner:
    """A box inside another, from that one's corner."""

    box: Box
    x: float
    y: float


def width_of(text: str, size: float) -> float:
    """About how wide a text is, in the widest of the usual fonts."""
    return sum(map(_advance, text)) * size


def cut(text: str, size: float, widest: float) -> str:
    """One line that is no wider."""
    line = re.sub(r"[\s\x00-\x1f]+", " ", text).strip()
    return _first(line, size, widest)


def wrapped(text: str, size: float, widest: float, most: int) -> list[str]:
    """The text in at most so many lines; a long word is broken, what is left over is cut."""
    left = re.sub(r"[\s\x00-\x1f]+", " ", text).strip()
    lines: list[str] = []
    while left and len(lines) < most - 1 and width_of(left, size) > widest:
        fits = _fitting(left, size, widest)
        space = left.rfind(" ", 0, fits + 1)
        end = space if space > fits // 3 else fits
        lines.append(left[:end].strip())
        left = left[end:].strip()
    return [*lines, _first(left, size, widest)] if left else lines


def box_of(place: Place, inner: bool = False) -> Box:
    """The box of a place, as large as what it says."""
    widest = _WIDEST - 2 * _PAD if inner else _WIDEST
    texts = _texts(place, widest)
    inside = [box_of(work, inner=True) for work in place.inside[:_MOST_INSIDE]]
    slant = 16.0 if place.kind == "router" else 0.0
    width = max(
        [width_of(text, _SIZES[role]) for text, role in texts] + [box.width for box in inside] + [40.0]
    )
    width = _even(width + 2 * _PAD + 2 * slant)
    centred = place.kind in (*MARKS, "router", "unknown")
    lines, y = [], 8.0
    for text, role in texts:
        step = _SIZES[role] * _LEADING
        lines.append(Line(text, role, width / 2 if centred else _PAD, y + step * 0.78))
        y += step
    inners = []
    for box in inside:
        inners.append(Inner(Box(box.place, width - 2 * _PAD, box.height, box.lines, box.inside), _PAD, y + 5))
        y += box.height + 6
    return Box(place, width, _even(y + (10 if inside else 8)), tuple(lines), tuple(inners), centred)


def _texts(place: Place, widest: float) -> list[tuple[str, str]]:
    name = "end" if place.kind == "end" else place.name
    found = [(text, "name") for text in wrapped(name, _SIZES["name"] * 1.06, widest, 2)]
    found += [(text, "says") for text in wrapped(place.says, _SIZES["says"], widest, 3)]
    notes = " · ".join(place.notes)
    found += [(text, "note") for text in wrapped(notes, _SIZES["note"], widest, 2)]
    if len(place.inside) > _MOST_INSIDE:
        found.append((f"and {len(place.inside) - _MOST_INSIDE} more", "note"))
    if place.stuck:
        found.append(("leads nowhere", "warn"))
    if not place.reached and place.id:
        found += [("not reached", "warn")] if place.kind not in MARKS and not _is_inside(place) else []
    return [(text, role) for text, role in found if text]


def _is_inside(place: Place) -> bool:
    return ".parallel." in place.id or place.id.endswith(".map.do")


def _first(text: str, size: float, widest: float) -> str:
    if width_of(text, size) <= widest:
        return text
    return text[: _fitting(text, size, widest - size)].rstrip() + "…"


def _fitting(text: str, size: float, widest: float) -> int:
    """How many characters fit, at least one; marks stay with the letter they belong to."""
    used = 0.0
    for index, character in enumerate(text):
        used += _advance(character) * size
        if used > widest and index:
            while index > 1 and unicodedata.combining(text[index]):
                index -= 1
            return index
    return len(text)


def _advance(character: str) -> float:
    """The width of a character in parts of the font's size."""
    if character in _NARROW:
        return 0.4
    if character.isascii():
        return 0.95 if character in _WIDE else 0.72 if character.isupper() else 0.62
    if unicodedata.combining(character) or unicodedata.category(character) == "Cf":
        return 0.0
    return 1.05 if unicodedata.east_asian_width(character) in "WF" else 0.72


def _even(length: float) -> float:
    return float(int(length / 2 + 0.999) * 2)
