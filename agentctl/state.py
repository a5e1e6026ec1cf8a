"""The state of a graph: typed fields, changed only by updates, through reducers, at a cost that stays flat."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, assert_never

from agentctl.errors import NodeError
from agentctl.json import TOO_DEEP, Json, canonical, decode, encode, too_deep

Reducer = Literal["last", "append", "extend", "union", "merge", "sum", "max", "min"]
Write = tuple[str, Json]
"""A field and what is written to it: for `append` one item, for `extend` and `union` an array."""
Check = Callable[[Json], str | None]
"""Says in a sentence why a value does not fit, or None."""


@dataclass(frozen=True, slots=True)
class Drop:
    """Written to a field that `extend` fills: its first items go. In the log it is `{"drop": 12}`, which no array is."""

    count: int


_SCALARS = (str, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class FieldPlan:
    """One field: its reducer, its default (with a reducer: its identity), and how what is written is checked."""

    name: str
    check: Check
    """Checks a whole value."""
    check_item: Check
    """Checks one item of an array."""
    reduce: Reducer = "last"
    default: Json = None
    has_default: bool = False
    keep: int | None = None
    first: int | None = None
    placeholder: Json = None
    has_placeholder: bool = False
    """Whether the field reads as its placeholder while it holds its default, or nothing."""

    @property
    def grows(self) -> bool:
        return self.reduce in ("append", "extend", "union")


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Items that `keep` dropped from the front of a field."""

    field: str
    dropped: int


@dataclass(slots=True)
class State:
    """Values of the fields that have one.

    Arrays that grow share one backing list with every version of the state, so nothing may hold on to a value
    across a step: what is written is always a copy. `sizes` are bytes as JSON, kept up to date by what is
    added; `digest` is a hash chain over the updates, so two states with equal digests came by equal updates.
    """

    fields: Mapping[str, FieldPlan]
    values: dict[str, Json] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    digest: str = ""
    seen: dict[str, set[bytes]] = field(default_factory=dict)
    size: int = 2
    """The whole state as JSON, in bytes."""
    shown: dict[str, Json] = field(init=False)
    """What expressions read: the values, but placeholders where fields have them and hold their defaults."""

    def __post_init__(self) -> None:
        self.shown = self.values
        if any(plan.has_placeholder for plan in self.fields.values()):
            self.shown = dict(self.values)
            for name in self.fields:
                self._show(name)

    @classmethod
    def fresh(cls, fields: Mapping[str, FieldPlan]) -> State:
        """The state before the first turn: reducers at their identity, the rest at their defaults."""
        state = cls(fields)
        for plan in fields.values():
            if plan.has_default:
                state._put(plan.name, detached(plan.default))
        return state

    @classmethod
    def restored(cls, fields: Mapping[str, FieldPlan], values: Mapping[str, Json], digest: str) -> State:
        """The state of a snapshot. Raises NodeError(bad_answer) for a value that does not fit its field."""
        state = cls.fresh(fields)
        for name, value in values.items():
            if name in fields:
                state._put(name, state._whole(fields[name], value))
        state.digest = digest
        return state

    def begin(
        self, reset: Iterable[str], inputs: Mapping[str, Json], arrived: Sequence[Write] = ()
    ) -> list[Trimmed]:
        """Begin a turn: outputs back to their defaults, then what background jobs found (prepared writes), then the
        inputs, which replace what was there.

        Raises NodeError(bad_answer) for an input that does not fit, before anything is changed.
        """
        fitting = {name: self._whole(self.fields[name], value) for name, value in inputs.items()}
        for name in reset:
            self.reset(name)
        trimmed = self.apply(arrived)
        for name, value in fitting.items():
            self._put(name, value)
        if fitting:
            self._chain(encode(fitting))
        return trimmed

    def prepare(self, writes: Iterable[Write]) -> list[Write]:
        """Check writes against the types and copy them. Raises NodeError(bad_answer); changes nothing."""
        return [(name, self._fitting(self.fields[name], value)) for name, value in writes]

    def apply(self, writes: Sequence[Write], encoded: bytes | None = None) -> list[Trimmed]:
        """Fold prepared writes in, in order; `encoded` are they as JSON, when it is at hand."""
        trimmed = []
        for name, value in writes:
            dropped = self._reduce(self.fields[name], value)
            self._show(name)
            if dropped:
                trimmed.append(Trimmed(name, dropped))
        if writes:
            self._chain(encode(writes) if encoded is None else encoded)
        return trimmed

    def reset(self, name: str) -> None:
        """Back to the field's default, or to nothing."""
        plan = self.fields[name]
        if plan.has_default:
            self._put(name, detached(plan.default))
        else:
            self.size -= self.sizes.pop(name, 0)
            self.values.pop(name, None)
            self._show(name)

    def _fitting(self, plan: FieldPlan, value: Json) -> Json:
        if isinstance(value, Drop):
            assert plan.reduce == "extend"
            return {"drop": value.count}
        if plan.first is not None and isinstance(value, list):
            value = value[: plan.first]
        check = plan.check_item if plan.reduce == "append" else plan.check
        problem = TOO_DEEP if _is_too_deep(value) else check(value)
        if problem is None and plan.reduce == "sum":
            problem = _too_large(self.values.get(plan.name, 0) + value)
        if problem is not None:
            raise NodeError("bad_answer", f"`{plan.name}` cannot hold what was written to it: {problem}")
        return detached(value)

    def _whole(self, plan: FieldPlan, value: Json) -> Json:
        problem = TOO_DEEP if _is_too_deep(value) else plan.check(value)
        if problem is not None:
            raise NodeError("bad_answer", f"`{plan.name}` cannot hold this: {problem}")
        return detached(value)

    def _chain(self, body: bytes) -> None:
        self.digest = hashlib.blake2b(self.digest.encode() + body, digest_size=16).hexdigest()

    def _reduce(self, plan: FieldPlan, value: Json) -> int:
        name = plan.name
        match plan.reduce:
            case "last":
                self._put(name, value)
            case "append":
                return self._extend(plan, [value])
            case "extend":
                if isinstance(
                    value, dict
                ):  # nothing but a Drop is one: what is written was checked to be an array
                    return self._shorten(plan, value["drop"])
                return self._extend(plan, value)
            case "union":
                return self._extend(plan, self._unseen(plan, value))
            case "merge":
                self._put(name, {**self.values.get(name, {}), **value})
            case "sum":
                self._put(name, self.values.get(name, 0) + value)
            case "max":
                self._put(name, max(self.values[name], value) if name in self.values else value)
            case "min":
                self._put(name, min(self.values[name], value) if name in self.values else value)
            case _:
                assert_never(plan.reduce)
        return 0

    def _extend(self, plan: FieldPlan, items: list[Json]) -> int:
        values = self.values[plan.name]
        commas = max(len(values) - 1, 0)
        values.extend(items)
        added = sum(len(encode(item)) for item in items) + max(len(values) - 1, 0) - commas
        self.sizes[plan.name] += added
        self.size += added
        return self._shorten(plan, len(values) - plan.keep if plan.keep is not None else 0)

    def _shorten(self, plan: FieldPlan, count: int) -> int:
        """Take the first `count` items out of an array; how many there were to take."""
        values = self.values[plan.name]
        dropped = values[: max(count, 0)]
        if not dropped:
            return 0
        gone = sum(len(encode(item)) for item in dropped) + len(dropped) - (len(dropped) == len(values))
        if plan.name in self.seen:
            self.seen[plan.name].difference_update(canonical(item) for item in dropped)
        del values[: len(dropped)]
        self.sizes[plan.name] -= gone
        self.size -= gone
        return len(dropped)

    def _unseen(self, plan: FieldPlan, items: list[Json]) -> list[Json]:
        seen = self.seen.get(plan.name)
        if seen is None:
            seen = self.seen[plan.name] = {canonical(item) for item in self.values[plan.name]}
        fresh = []
        for item in items:
            form = canonical(item)
            if form not in seen:
                seen.add(form)
                fresh.append(item)
        return fresh

    def _put(self, name: str, value: Json) -> None:
        size = len(encode(value)) + len(name) + 4
        self.size += size - self.sizes.get(name, 0)
        self.sizes[name] = size
        self.values[name] = value
        self.seen.pop(name, None)
        self._show(name)

    def _show(self, name: str) -> None:
        """Keep what expressions read in step with the values, where they are not the same thing."""
        if self.shown is self.values:
            return
        plan, is_there = self.fields[name], name in self.values
        if plan.has_placeholder and (not is_there or self.values[name] == plan.default):
            self.shown[name] = plan.placeholder
        elif is_there:
            self.shown[name] = self.values[name]
        else:
            self.shown.pop(name, None)


def _is_too_deep(value: Json) -> bool:
    return not isinstance(value, _SCALARS) and too_deep(value)


def _too_large(total: float) -> str | None:
    """What is wrong with a sum that JSON as it is stored here cannot say."""
    if isinstance(total, float) and not isfinite(total):
        return "the sum is too large for a number"
    if isinstance(total, int) and not -(2**63) <= total < 2**63:
        return "the sum has more than 64 bits"
    return None


def detached(value: Json) -> Json:
    """A copy that shares nothing with the original."""
    return value if isinstance(value, _SCALARS) else decode(encode(value))
