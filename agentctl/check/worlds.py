"""The worlds of a file with experiments: its base and every combination of variants, each checked as a whole file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, islice, product
from math import prod
from pathlib import Path

from msgspec import Struct

from agentctl.check.flow import mapping
from agentctl.check.severity import severity_of
from agentctl.json import Json
from agentctl.spec.document import Document
from agentctl.spec.finding import Finding, Span, path_text
from agentctl.spec.overlay import Override, all_overrides, applies, chosen_overrides, do_cross, variants_of

MOST = 64
"""Combinations that are checked; a file with more of them is refused (V807)."""
_MOST_ENTRIES = 100_000
"""Nodes, routers, agents, tools and models that are looked at in all worlds together: a large file has fewer worlds."""
UNUSED = frozenset(
    ("G207", "G224", "R311", "E415", "E420", "T533", "T534", "T540", "T541", "M610"),
)
"""That nothing leads to, runs, reads, lists, asks or calls a thing: one world that does is enough.

T533 is one of them: what is approved or denied beyond the tools of a tier may be left over from another world.
G208, E421, R307 and their like are not: they say that something goes wrong in the world at hand.
"""
_SIZED = ("nodes", "routers", "agents", "tools", "models")
_LONE = frozenset(
    (name,) for name in ("instructions", "prompt", "say", "description", "temperature", "reasoning")
)
"""Last keys of paths whose values are judged each by itself: no rule looks at two of them at once."""
_LARGEST = 3
"""Variants that are told apart as the cause of one thing; more of them are named all."""
_MOST_TRIALS = 32
"""Further worlds that are looked at to tell which variant, and which override of it, is to blame."""

Choice = tuple[str, str]
"""An experiment and one of its variants."""
Rules = Callable[[Document], Iterable[Finding]]
"""What finds all that is wrong with a document as a whole, tests and experiments aside."""
_Thing = tuple[str, Path, Span]
"""What makes two findings one: its code and its place. What it says may differ from world to world."""


class _World(Struct, frozen=True, eq=False):
    choices: tuple[Choice, ...]
    """Those that override something; none for the base."""
    found: Mapping[_Thing, Finding]
    """What the base does not have, and what is unused."""
    is_broken: bool
    """Whether its shape is wrong, so that not every rule was tried."""


def in_all_worlds(document: Document, base: Sequence[Finding], rules: Rules) -> list[Finding]:
    """The findings of a file, given those of its base: what is unused in every world, and what variants bring about.

    What some variant uses counts as used; while something is wrong with an experiment it is not known what its
    variants use, and nothing is called unused.
    """
    worlds = _Worlds(document, base, rules)
    brought = [*worlds.brought_about()]
    is_sure = not has_too_many_worlds(document.data) and not any(
        finding.code.startswith("V8") for finding in (*base, *brought)
    )
    kept = [
        finding
        for finding in base
        if finding.code not in UNUSED or (is_sure and worlds.all_have(_thing(finding)))
    ]
    return [*kept, *brought]


def count_of_worlds(data: Json) -> int:
    """How many combinations of variants a file has."""
    return prod(map(len, variants_of(data).values()))


def has_too_many_worlds(data: Json) -> bool:
    """Whether a file has more combinations than can be checked (V807)."""
    return count_of_worlds(data) > most_worlds(data)


def most_worlds(data: Json) -> int:
    """How many combinations of a file's variants can be checked."""
    graphs = [data, *mapping(data.get("graphs")).values()]
    size = sum(len(mapping(mapping(graph).get(part))) for graph in graphs for part in _SIZED)
    return max(1, min(MOST, _MOST_ENTRIES // max(size, 1)))


class _Worlds:
    """Every combination of variants, checked."""

    def __init__(self, document: Document, base: Iterable[Finding], rules: Rules) -> None:
        self._document = document
        self._rules = rules
        self._base = frozenset(map(_thing, base))
        self._trials = 0
        self._looked_at: dict[tuple[str, ...], _World] = {}
        self._worlds = [
            self._look_at(overrides)
            for choices in _combinations(document.data)
            if not do_cross(overrides := self._overrides(choices))
        ]

    def all_have(self, thing: _Thing) -> bool:
        """Whether a finding of the base holds in every other world too."""
        return all(thing in world.found for world in self._worlds if world.choices)

    def brought_about(self) -> Iterator[Finding]:
        """What is wrong in some world and not in the base, once for the smallest combination that shows it."""
        shown: dict[_Thing, list[_World]] = {}
        for world in self._worlds:
            for thing in world.found:
                if thing[0] not in UNUSED and thing not in self._base:
                    shown.setdefault(thing, []).append(world)
        told: dict[tuple[str, Span, str], list[Finding]] = {}
        for thing, showing in shown.items():
            for choices in self._smallest(thing, showing):
                world = next(world for world in showing if choices <= frozenset(world.choices))
                finding = self._told(world.found[thing], thing, choices)
                told.setdefault((str(finding.file), finding.span, thing[0]), []).append(finding)
        yield from map(_first, told.values())

    def _overrides(self, choices: Iterable[Choice]) -> list[Override]:
        """What some variants override; what is not to be, V802 or V806, is left out."""
        data = self._document.data
        return [one for one in chosen_overrides(data, dict(choices)) if applies(data, one)]

    def _look_at(self, overrides: Sequence[Override]) -> _World:
        """A world, looked at once."""
        name = tuple(path_text(override.place) for override in overrides)
        if name not in self._looked_at:
            document = self._document.laid_over(overrides)
            new = (*document.findings, *self._rules(document)) if overrides else ()
            things = {_thing(finding): finding for finding in new}
            found = {key: one for key, one in things.items() if key not in self._base or key[0] in UNUSED}
            choices = tuple(dict.fromkeys((one.experiment, one.variant) for one in overrides))
            self._looked_at[name] = _World(choices, found, bool(overrides) and document.spec is None)
        return self._looked_at[name]

    def _smallest(self, thing: _Thing, showing: list[_World]) -> Iterator[frozenset[Choice]]:
        """The fewest choices that bring a finding about while other experiments change nothing; several, if each of
        them does."""
        hiding = [
            frozenset(world.choices)
            for world in self._worlds
            if thing not in world.found and not world.is_broken
        ]
        left = [world.choices for world in showing]
        while left:
            sizes = range(1, min(len(left[0]), _LARGEST) + 1)
            parts = [part for size in sizes for part in combinations(left[0], size)]
            # those first with which it is always there
            always = [part for part in parts if not any(map(frozenset(part).issubset, hiding))]
            tried = (part for part in (*always, *parts) if self._is_enough(thing, part))
            found = frozenset(next(tried, left[0]))
            yield found
            left = [choices for choices in left if not found.issubset(choices)]

    def _is_enough(self, thing: _Thing, choices: Sequence[Choice]) -> bool:
        """Whether a finding is there when all other experiments are left out."""
        return self._is_there(thing, self._overrides(choices))

    def _is_there(self, thing: _Thing, overrides: Sequence[Override]) -> bool:
        """Whether a finding is there with some overrides; yes, when too much would have to be tried."""
        name = tuple(path_text(override.place) for override in overrides)
        if name not in self._looked_at:
            if self._trials == _MOST_TRIALS:
                return True
            self._trials += 1
        return thing in self._look_at(overrides).found

    def _told(self, finding: Finding, thing: _Thing, choices: frozenset[Choice]) -> Finding:
        """A finding of a world as one of the file: in the override, or else at the path of the one to blame."""
        overrides = self._overrides(choices)
        names = " and ".join(
            f"variant `{variant}` of `{name}`"
            for name, variant in dict.fromkeys(_choice(o) for o in overrides)
        )
        holder = next((override for override in overrides if _is_in(finding.path, override)), None)
        is_error = finding.severity == "error"
        code = "V803" if is_error else finding.code
        what = f"{finding.code} {finding.message}" if is_error else finding.message
        message = f"with {names}: {what}"
        if holder is not None:
            path = f"{path_text(holder.place[:-1])}.{finding.path}"
            return Finding(
                code, severity_of(code), message, finding.file, finding.span, path, finding.hint, finding.fix
            )
        blamed = self._to_blame(thing, overrides)
        file, span = self._document.key(blamed.place)
        return Finding(code, severity_of(code), message, file, span, path_text(blamed.place), finding.hint)

    def _to_blame(self, thing: _Thing, overrides: Sequence[Override]) -> Override:
        """The last override without which a finding would not be there."""
        for place in range(len(overrides) - 1, 0, -1):
            if not self._is_there(thing, [*overrides[:place], *overrides[place + 1 :]]):
                return overrides[place]
        return overrides[0]


def _combinations(data: Json) -> Iterator[tuple[Choice, ...]]:
    """One variant of each experiment, in every way; when those are too many, each variant by itself.

    Of experiments that change nothing but lone values one is tried at a time, with every way of the others.
    """
    tables = {name: [(name, one) for one in variants] for name, variants in variants_of(data).items()}
    if has_too_many_worlds(data):
        yield from islice(((choice,) for table in tables.values() for choice in table), most_worlds(data))
        return
    joint = {override.experiment for override in all_overrides(data) if override.keys[-1:] not in _LONE}
    lone = [choice for name, table in tables.items() if name not in joint for choice in table]
    for choices in product(*(table for name, table in tables.items() if name in joint)):
        yield choices
        yield from ((*choices, choice) for choice in lone)


def _first(told: list[Finding]) -> Finding:
    """Of what one override brings about in many places, the first, and how many more there are."""
    more = len({finding.message for finding in told}) - 1
    return (
        told[0] if more < 1 else replace(told[0], message=f"{told[0].message}, and {more} more of this code")
    )


def _thing(finding: Finding) -> _Thing:
    return finding.code, finding.file, finding.span


def _choice(override: Override) -> Choice:
    return override.experiment, override.variant


def _is_in(path: str, override: Override) -> bool:
    top = path_text(override.keys)
    return path == top or path.startswith((f"{top}.", f"{top}["))
