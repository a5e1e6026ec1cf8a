"""Variants as overlays: the values that an experiment puts in place of a file's own, and where those are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agentctl.errors import UsageError
from agentctl.json import Json
from agentctl.spec.finding import Keys
from agentctl.spec.nearest import nearest

_STEP = re.compile(r"([^.\[\]\s]+)((?:\[(?:0|[1-9]\d{0,5})\])*)")
_INDEX = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Override:
    """One value that a variant puts in place of the file's own."""

    experiment: str
    variant: str
    path: str
    """As it is written: agents.fixer.tools, routers.by_desk[0].to."""
    value: Json

    @property
    def keys(self) -> Keys:
        """What it replaces; empty when the path cannot be read."""
        return path_keys(self.path)

    @property
    def place(self) -> Keys:
        """Where its value is written."""
        return ("experiments", self.experiment, "variants", self.variant, "override", self.path)


def path_keys(path: str) -> Keys:
    """The keys of a path, as `path_text` writes them; none for what is no path."""
    keys: list[str | int] = []
    for step in path.split("."):
        found = _STEP.fullmatch(step)
        if found is None:
            return ()
        keys += [found[1], *(int(index) for index in _INDEX.findall(found[2]))]
    return tuple(keys)


def variants_of(data: Json) -> dict[str, tuple[str, ...]]:
    """The experiments of a file, each with its variants; those without any are left out."""
    tables = {
        name: _table(experiment, "variants") for name, experiment in _table(data, "experiments").items()
    }
    return {name: tuple(variants) for name, variants in tables.items() if variants}


def all_overrides(data: Json) -> Iterator[Override]:
    """Every override of every variant, in the order of the file."""
    for experiment, variants in variants_of(data).items():
        for variant in variants:
            yield from _overrides(data, experiment, variant)


def chosen_overrides(data: Json, choices: Mapping[str, str]) -> tuple[Override, ...]:
    """The overrides of one variant of each experiment named, in the order of the file.

    Raises UsageError for an experiment or a variant that the file does not have.
    """
    known = variants_of(data)
    for experiment, variant in choices.items():
        if experiment not in known:
            raise _unknown(f"there is no experiment `{experiment}`", experiment, known)
        if variant not in known[experiment]:
            what = f"experiment `{experiment}` has no variant `{variant}`"
            raise _unknown(what, variant, known[experiment])
    return tuple(
        override
        for experiment in known
        if experiment in choices
        for override in _overrides(data, experiment, choices[experiment])
    )


def overlay(data: Json, overrides: Iterable[Override]) -> Json:
    """The data with each override's value at its path, one after the other; what stays is shared.

    An override of something that is not there changes nothing: it is a finding, V802.
    """
    for override in overrides:
        if _can_stand(data, override.keys):
            data = _replaced(data, override.keys, override.value)
    return data


def moves(data: Json, overrides: Iterable[Override]) -> dict[Keys, Keys]:
    """From each path that `overlay` changes to the place where its value is written."""
    moved: dict[Keys, Keys] = {}
    for override in overrides:
        keys = override.keys
        if _can_stand(data, keys):
            data = _replaced(data, keys, override.value)
            moved = {path: place for path, place in moved.items() if path[: len(keys)] != keys}
            moved[keys] = override.place
    return moved


def written_at(keys: Keys, moved: Mapping[Keys, Keys]) -> Keys:
    """Where in the file the value stands that is found at some keys of the overlaid data."""
    if moved:
        for length in range(len(keys), 0, -1):
            place = moved.get(keys[:length])
            if place is not None:
                return (*place, *keys[length:])
    return keys


def around(keys: Keys, value: Json) -> Json:
    """The smallest data that has a value at some keys; an index has nothing before it."""
    for key in reversed(keys):
        value = {key: value} if isinstance(key, str) else [value]
    return value


def _overrides(data: Json, experiment: str, variant: str) -> Iterator[Override]:
    chosen = _table(_table(_table(data, "experiments").get(experiment), "variants").get(variant), "override")
    for path, value in chosen.items():
        yield Override(experiment, variant, path, value)


def _can_stand(data: Json, keys: Keys) -> bool:
    """Whether a value can be put at some keys: all but the last are there, and an index is of an item."""
    for place, key in enumerate(keys, start=1):
        if isinstance(key, int):
            if not isinstance(data, list) or key >= len(data):
                return False
            data = data[key]
        elif not isinstance(data, dict) or (key not in data and place < len(keys)):
            return False
        else:
            data = data.get(key)
    return bool(keys)


def _replaced(data: Json, keys: Keys, value: Json) -> Json:
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(key, int):
        return [_replaced(item, rest, value) if place == key else item for place, item in enumerate(data)]
    return {**data, key: _replaced(data.get(key), rest, value)}


def _unknown(message: str, word: str, known: Iterable[str]) -> UsageError:
    names = tuple(known)
    meant = nearest(word, names)
    there = ", ".join(f"`{name}`" for name in names)
    hint = f"did you mean `{meant}`?" if meant else f"there is {there}" if names else "the file has none"
    return UsageError(message, hint=hint)


def _table(owner: Json, key: str) -> Mapping[str, Json]:
    table = owner.get(key) if isinstance(owner, dict) else None
    return table if isinstance(table, dict) else {}
