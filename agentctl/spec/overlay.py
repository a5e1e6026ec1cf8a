"""Variants as overlays: the values that an experiment puts in place of a file's own, and where those are written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from agentctl.errors import UsageError
from agentctl.json import Json
from agentctl.spec.finding import Keys
from agentctl.spec.known_keys import known_keys
from agentctl.spec.nearest import nearest

SECTIONS = ("models", "agents", "tools", "nodes", "routers", "limits", "tiers")
"""What variants may change; of `tiers` its levels."""

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


def is_open(keys: Keys) -> bool:
    """Whether a path is among those that a variant may override; not every value may stand there: see `guarded`."""
    if keys[:1] == ("tiers",):
        return keys[1:2] == ("levels",) and len(keys) > 2 and keys[3:4] != ("deny",)
    return len(keys) > 1 and keys[0] in SECTIONS and (keys[0], *keys[2:3]) != ("tools", "effect")


def guarded(data: Json, override: Override) -> str | None:
    """What an override of more than that would change with it, though no variant may: `effect` or `deny`."""
    keys, value = override.keys, override.value
    if keys[:1] == ("tools",) and len(keys) == 2 and isinstance(value, dict):
        before = _table(data, "tools").get(str(keys[1]))
        return "effect" if _said(before, "effect") != value.get("effect") else None
    if keys[:2] != ("tiers", "levels") or (len(keys) == 3 and not isinstance(value, dict)):
        return None
    if len(keys) > 3 and keys[3] != "extends":
        return None
    levels, level = _table(_table(data, "tiers"), "levels"), str(keys[2])
    if len(keys) == 3 and _said(levels.get(level), "deny") != value.get("deny"):
        return "deny"
    after = _table(_table(_put(data, override), "tiers"), "levels")
    # a tier that comes to extend another one loses what the first denied, and so do those that extend it
    return None if _denied(levels, level) <= _denied(after, level) else "deny"


def can_stand(data: Json, keys: Keys) -> bool:
    """Whether a value can be put at some keys: something is there, or a key could be that the language has there."""
    there = depth(data, keys)
    if there == len(keys):
        return bool(keys)
    owner = value_at(data, keys[:there])
    return there == len(keys) - 1 and isinstance(owner, dict) and keys[-1] in known_keys(keys[:-1])


def applies(data: Json, override: Override) -> bool:
    """Whether an override has something to replace, and may."""
    keys = override.keys
    return is_open(keys) and can_stand(data, keys) and guarded(data, override) is None


def depth(data: Json, keys: Keys) -> int:
    """How many of the keys lead to something."""
    for place, key in enumerate(keys):
        if isinstance(key, int):
            if not isinstance(data, list) or key >= len(data):
                return place
        elif not isinstance(data, dict) or key not in data:
            return place
        data = data[key]
    return len(keys)


def value_at(data: Json, keys: Keys) -> Json:
    """What stands at keys that lead to something."""
    for key in keys:
        data = data[key]
    return data


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

    An override of what cannot be there (V802), or of what no variant may change (V806), changes nothing.
    """
    for override in overrides:
        if applies(data, override):
            data = _replaced(data, override.keys, override.value)
    return data


def do_cross(overrides: Iterable[Override]) -> bool:
    """Whether two of them are of one path, or one is inside the other: then only one of the two can hold."""
    paths = [override.keys for override in overrides]
    known = set(paths)
    return len(known) < len(paths) or any(
        path[:length] in known for path in paths for length in range(1, len(path))
    )


def moves(data: Json, overrides: Iterable[Override]) -> dict[Keys, Keys]:
    """From each path that `overlay` changes to the place where its value is written."""
    moved: dict[Keys, Keys] = {}
    beginnings: set[Keys] = set()
    for override in overrides:
        keys = override.keys
        if applies(data, override):
            data = _replaced(data, keys, override.value)
            if keys in beginnings:
                moved = {path: place for path, place in moved.items() if path[: len(keys)] != keys}
            moved[keys] = override.place
            beginnings.update(keys[:length] for length in range(1, len(keys) + 1))
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


def _put(data: Json, override: Override) -> Json:
    return _replaced(data, override.keys, override.value) if can_stand(data, override.keys) else data


def _denied(levels: Mapping[str, Json], level: str) -> set[str]:
    """What a tier denies, with what those it extends deny; a circle (T531) is cut where it closes."""
    denied: set[str] = set()
    way: set[str] = set()
    at: Json = level
    while isinstance(at, str) and at in levels and at not in way:
        way.add(at)
        named = _said(levels[at], "deny")
        if isinstance(named, list):
            denied.update(name for name in named if isinstance(name, str))
        at = _said(levels[at], "extends")
    return denied


def _said(owner: Json, key: str) -> Json:
    return owner.get(key) if isinstance(owner, dict) else None


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
