"""Why a tool call was answered from the memo, or was not: told from the tape and from what the memo knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from agentctl.json import Json
from agentctl.spec.store_tools import EFFECTS as STORE_EFFECTS
from agentctl.store.remembered import Remembered

Details = Callable[[str], Mapping[str, str] | None]
"""The parts that a mark stands for; None when they are not known any more."""

PARTS = ("tenant", "definition", "code", "server", "env", "sandbox", "files", "known", "args")
"""What two calls may differ in, the widest first."""


@dataclass(frozen=True)
class Story:
    """What became of one tool call."""

    place: str
    """`3.1.2`: step 3, reply 1, call 2; `3.0.1` for the call of a tool node."""
    tool: str
    outcome: str
    """`hit`, `miss`, `off` (it could not be remembered), `failed` or `unknown`."""
    reasons: tuple[Reason, ...] = ()
    age: float | None = None
    saved: float | None = None
    nearest: Remembered | None = None
    """The answer that was given, or that stands nearest to what was asked."""


@dataclass(frozen=True)
class Reason:
    """One reason: its name, the names that it is about, and a number where there is one."""

    name: str
    names: tuple[str, ...] = ()
    number: float | None = None
    changes: Mapping[str, tuple[Json, Json]] = field(default_factory=dict)
    """Arguments before and now, where both are known."""


def story_of(
    record: Json,
    definition: Mapping[str, Json],
    kept: Sequence[Remembered],
    told: Sequence[Remembered],
    details: Details,
    tenant: str,
) -> Story:
    """The story of one `tool` effect.

    `definition` is the tool in the file that was run; `kept` are the tool's answers in the memo, `told` those that
    the thread itself stored by its tape, be they gone or not.
    """
    path, _, rest = record["key"].rpartition("!")
    attempt, _, call = rest.partition(".")
    place, tool = f"{path}.{call}{'' if attempt == '1' else f' (try {attempt})'}", record["tool"]
    if "memo" in record:
        return _hit(place, tool, record["memo"], kept)
    if "err" in record or "cut" in record or "limit" in record:
        return Story(place, tool, "failed", (Reason("failed"),))
    missed = record.get("missed")
    if missed is None:
        return Story(place, tool, "off", (_off(definition),))
    if "off" in missed:
        return Story(place, tool, "off", (Reason("no_memo" if missed["off"] == "memo" else "many_files"),))
    return _miss(place, tool, missed, [*kept, *told], details, tenant)


def _hit(place: str, tool: str, memo: Json, kept: Sequence[Remembered]) -> Story:
    same = [entry for entry in kept if entry.key == memo.get("key")]
    given = [entry for entry in same if abs(entry.stored - memo.get("stored", 0.0)) < 0.01]
    reasons = () if given else (Reason("stored_again" if same else "gone_since"),)
    return Story(place, tool, "hit", reasons, memo["age"], memo["saved"], given[0] if given else None)


def _off(definition: Mapping[str, Json]) -> Reason:
    if "graph" in definition or "agent" in definition:
        return Reason("nested")
    if definition.get("cache") is False:
        return Reason("cache_false")
    match definition.get("effect") or STORE_EFFECTS.get(definition.get("operation", "")):
        case "pure":
            return Reason("not_recorded")
        case "read":
            return Reason("not_recorded" if "cache" in definition else "read_without_cache")
        case "write":
            return Reason("write")
        case _:
            # a server may have said that a tool of its own only reads
            return Reason("served" if "mcp" in definition else "no_effect" if definition else "not_recorded")


def _miss(
    place: str,
    tool: str,
    missed: Mapping[str, Json],
    earlier: Sequence[Remembered],
    details: Details,
    tenant: str,
) -> Story:
    for name in ("expired", "evicted", "clock", "too_large"):
        if name in missed:
            return Story(place, tool, "miss", (Reason(name, number=missed[name]),))
    before = [entry for entry in earlier if entry.first < missed["at"]]
    if not before:
        return Story(place, tool, "miss", (Reason("first"),))
    asked = {**missed, "tenant": tenant}
    nearest = min(before, key=lambda entry: _distance(asked, entry))
    own = next((entry for entry in earlier if entry.key == missed["key"]), None)
    reasons = tuple(_reasons(asked, nearest, own, details)) or (Reason("gone"),)
    return Story(place, tool, "miss", reasons, nearest=nearest)


def _distance(asked: Mapping[str, Json], entry: Remembered) -> tuple[int, int, float]:
    """Fewest parts that differ, then fewest arguments, then the newest."""
    parts = _differing(asked, entry)
    names = _changed(_mapping(asked, "args"), _mapping(entry.marks, "args")) if "args" in parts else []
    return len(parts), len(names), -entry.stored


def _differing(asked: Mapping[str, Json], entry: Remembered) -> list[str]:
    stood = {**entry.marks, "tenant": entry.tenant}
    return [part for part in PARTS if asked.get(part) != stood.get(part)]


def _reasons(
    asked: Mapping[str, Json], nearest: Remembered, own: Remembered | None, details: Details
) -> Iterable[Reason]:
    for part in _differing(asked, nearest):
        before, now = nearest.marks.get(part), asked.get(part)
        match part:
            case "code" | "definition":
                old, new = details(str(before)), details(str(now))
                known = old is not None and new is not None
                yield Reason(part, tuple(_changed(old or {}, new or {})) if known else ())
            case "env":
                yield Reason(part, tuple(_changed(_mapping(asked, part), _mapping(nearest.marks, part))))
            case "args":
                names = _changed(_mapping(asked, part), _mapping(nearest.marks, part))
                yield Reason(part, tuple(names), changes=_changes(names, nearest, own))
            case _:
                yield Reason(part)


def _changes(
    names: Sequence[str], nearest: Remembered, own: Remembered | None
) -> dict[str, tuple[Json, Json]]:
    if own is None or not isinstance(own.arguments, dict) or not isinstance(nearest.arguments, dict):
        return {}
    both = [name for name in names if name in own.arguments and name in nearest.arguments]
    return {name: (nearest.arguments[name], own.arguments[name]) for name in both}


def _mapping(marks: Mapping[str, Json], part: str) -> Mapping[str, Json]:
    found = marks.get(part)
    return found if isinstance(found, dict) else {}


def _changed(one: Mapping[str, Json], other: Mapping[str, Json]) -> list[str]:
    """Names that stand for different things, or are in one alone."""
    return [name for name in {**one, **other} if one.get(name) != other.get(name)]
