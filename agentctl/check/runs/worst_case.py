"""How far a run can go when only `max_visits` ends its loops: at most, and surely."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from functools import cached_property

from msgspec import Struct

from agentctl.check.flow import END
from agentctl.check.reach import Edges, reachable
from agentctl.check.runs.knots import Knot, is_loop, knots

FUEL = 20_000
"""Steps of a walk that is tried."""


class Knotted(Struct, frozen=True):
    """A knot with what a walk may weigh inside it."""

    names: Knot
    after: Mapping[str, int]
    """For each of them, the heaviest way on from it (itself not counted) through names that have no `max_visits`."""
    most: int
    """What a walk that comes in anywhere weighs inside the knot, at most."""


class WorstCase:
    """A graph with how often each of its nodes may be visited (`caps`), and what a visit weighs.

    The upper bound. A loop without a capped name has no bound. Else, in each knot, the names without a cap
    make no loop, so that the heaviest way through them from any name on is known (`after`). A walk inside the
    knot is cut into pieces by its visits to capped names; the first piece is at most the heaviest way from an
    entry, and each of the others, one for a visit, at most that visit and the heaviest way after it:

        first + sum over capped names of cap * (weight + after)

    Knots are never come back to, so the bounds along a way through them add up. The bound is exact for a knot
    with one capped name that nothing leaves from elsewhere, and may be too high where several share the work.
    """

    def __init__(
        self, edges: Edges, start: str, weights: Mapping[str, int | None], caps: Mapping[str, int]
    ) -> None:
        self._edges = edges
        self._start = start
        self._weights = {name: weight for name, weight in weights.items() if weight is not None}
        self._caps = caps
        self._names = reachable(edges, [start]) - {END}
        self._is_bounded = all(weights.get(name, 0) is not None for name in self._names)
        """Whether every visit has a weight; None is one without a bound."""

    @property
    def most(self) -> int | None:
        """The weight of the heaviest walk, at most; None when there is no bound."""
        if self._start == END:
            return 0
        return None if self._tails is None else self._tails[self._start]

    def walk(self) -> int:
        """The weight of a walk that can be gone: round each knot where the most is left, then out where the most is left.

        Only to be asked when `most` is known.
        """
        left, fuel, best, weight = dict(self._caps), FUEL, 0, 0
        name: str | None = self._start if self._start != END else None
        while name is not None:
            home, out = self._home[name], (0, 0, "")
            while name is not None and fuel > 0:
                fuel -= 1
                weight += self._weights.get(name, 0)
                if name in left:
                    left[name] -= 1
                best, out = max(best, weight), max(out, self._way_out(name, weight, home))
                name = self._way_round(name, left, home)
            _, weight, onward = out
            name = onward or None
        return best

    def _way_round(self, name: str, left: Mapping[str, int], home: Knotted) -> str | None:
        """Where to go on inside a knot: what uses up no visit comes first."""
        inside = (to for to in self._edges.get(name, ()) if to in home.after and left.get(to, 1) > 0)
        return max(
            inside,
            key=lambda to: (to not in self._caps, self._weights.get(to, 0) + home.after[to]),
            default=None,
        )

    def _way_out(self, name: str, weight: int, home: Knotted) -> tuple[int, int, str]:
        """The best way out of a knot from here: what may be reached by it, the weight up to here, and the name."""
        tails = self._tails or {}
        out = (to for to in self._edges.get(name, ()) if to in tails and to not in home.after)
        return max(((weight + tails[to], weight, to) for to in out), default=(0, 0, ""))

    @cached_property
    def _knots(self) -> list[Knotted] | None:
        """The knots in the order of the ways; None when some loop, or some visit, has no bound."""
        if not self._is_bounded:
            return None
        parts = knots(self._edges, sorted(self._names))
        place = {name: number for number, knot in enumerate(parts) for name in knot}
        entered = {self._start} | {
            to for name in self._names for to in self._edges.get(name, ()) if place.get(to) != place[name]
        }
        found = []
        for knot in parts:
            knotted = self._knotted(knot, entered)
            if knotted is None:
                return None
            found.append(knotted)
        return found

    @cached_property
    def _home(self) -> Mapping[str, Knotted]:
        return {name: knot for knot in self._knots or () for name in knot.names}

    @cached_property
    def _tails(self) -> Mapping[str, int] | None:
        """For each name, what a walk weighs from its knot on, at most."""
        if self._knots is None:
            return None
        tails: dict[str, int] = {}
        for knot in reversed(self._knots):
            out = (to for name in knot.names for to in self._edges.get(name, ()))
            tail = knot.most + max((tails[to] for to in out if to in tails), default=0)
            tails.update(dict.fromkeys(knot.names, tail))
        return tails

    def _knotted(self, knot: Knot, entered: Set[str]) -> Knotted | None:
        if not is_loop(self._edges, knot):
            return Knotted(knot, {knot[0]: 0}, self._weights.get(knot[0], 0))
        free = {name: None for name in knot if name not in self._caps}
        parts = knots(self._edges, free)
        if any(is_loop(self._edges, part) for part in parts):
            return None
        after: dict[str, int] = {}
        for (name,) in reversed(parts):
            after[name] = self._heaviest(self._edges.get(name, ()), after)
        capped = [name for name in knot if name in self._caps]
        for name in capped:
            after[name] = self._heaviest((to for to in self._edges.get(name, ()) if to in free), after)
        most = self._heaviest((name for name in free if name in entered), after)
        most += sum(self._caps[name] * (self._weights.get(name, 0) + after[name]) for name in capped)
        return Knotted(knot, after, most)

    def _heaviest(self, names: Iterable[str], after: Mapping[str, int]) -> int:
        return max((self._weights.get(name, 0) + after[name] for name in names if name in after), default=0)
