"""`agentctl explain KEY`: one key, a mapping with its keys, or a word of the reference, for the terminal."""

from __future__ import annotations

import re

from agentctl.spec.reference import Key, Place, entries, key_paths, paths_of, places
from agentctl.spec.wording import listed
from agentctl.spec.words import WORDS

_TITLE = re.compile(r"\b[A-Z][A-Za-z]+\b")


def explained(path: str) -> str | None:
    """What there is to say of `limits.recursion`, of `save` wherever it stands, of `Node`, or of `Duration`."""
    wanted = path.strip().removesuffix(":")
    by_title = {place.title.lower(): place for place in places()}
    if (found := entries(wanted) or _named(wanted)) and wanted[:1].islower():
        return "\n".join(_key_text(at, key) for at, key in found)
    if (place := by_title.get(wanted.lower())) is not None:
        return _place_text(place)
    word = next((name for name in WORDS if name.lower() == wanted.lower()), None)
    return _word_text(word) if word is not None else None


def names() -> tuple[str, ...]:
    """Everything that is explained: the paths of keys, their names, mappings and words."""
    paths = key_paths()
    last = (path.rpartition(".")[2] for path in paths)
    return tuple(dict.fromkeys((*paths, *last, *(place.title for place in places()), *WORDS)))


def _named(name: str) -> tuple[tuple[str, Key], ...]:
    """The keys of one name, at the shortest path of each mapping that has it."""
    return tuple(
        (next(paths_of(place, key)), key) for place in places() for key in place.keys if key.name == name
    )


def _key_text(path: str, key: Key) -> str:
    lines = [f"{path}: {key.meaning}", "", f"takes     {key.takes}"]
    if key.need:
        lines.append(key.need if key.need == "needed" else f"default   {key.need}")
    if key.goes_with:
        lines.append(f"goes with {listed(key.goes_with, 'or')}")
    lines += [f"example   {example}" for example in key.examples]
    known = {*WORDS, *(place.title for place in places())}
    if more := [
        f"`agentctl explain {name}`" for name in dict.fromkeys(_TITLE.findall(key.takes)) if name in known
    ]:
        lines.append(f"see       {listed(more)}")
    return "\n".join(lines) + "\n"


def _place_text(place: Place) -> str:
    width = max(len(key.name) for key in place.keys)
    needed = {key.name for key in place.keys if key.need == "needed"}
    lines = [f"{place.title}: {place.meaning}", ""]
    if place.paths != ("",):
        lines += [f"at  {path}" for path in place.paths] + [""]
    lines += [
        f"  {key.name:<{width}}  {key.meaning}{' (needed)' if key.name in needed else ''}"
        for key in place.keys
    ]
    return "\n".join(lines) + "\n"


def _word_text(name: str) -> str:
    word = WORDS[name]
    lines = [f"{name}: {word.description}", ""]
    return "\n".join([*lines, *(f"example   {one}" for one in (word.choices or word.examples))]) + "\n"
