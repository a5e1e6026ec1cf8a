"""T, arguments: what a `tool:` node hands over, against what the tool takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, cached_property, partial
from itertools import islice

from msgspec import Struct

from agentctl.check.facts import Facts
from agentctl.check.flow import Work, mapping
from agentctl.check.nulls import LOOK_FIRST, NULL
from agentctl.check.place import at_key, at_value
from agentctl.check.shapes import alternatives, misfit, type_names
from agentctl.check.sites import Sites
from agentctl.check.slips import excused
from agentctl.check.testing.fitting import unfit
from agentctl.check.tools.types import parameters_of
from agentctl.json import Json
from agentctl.spec.finding import Finding, Keys
from agentctl.spec.nearest import nearest
from agentctl.spec.wording import listed

_GUESSED = 100
"""Unknown names of one call that a near one is looked for: each costs up to 2 ms where there are thousands."""
_SHOWN = 12
"""Names in a hint."""
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,14}")
_NUMBERS = (frozenset(("integer",)), frozenset(("number",)))


class _Call(Struct, frozen=True, eq=False, dict=True):
    """A node, a branch or the work of a map that calls a tool whose parameters are known."""

    work: Work
    tool: str
    parameters: Json

    @property
    def keys(self) -> Keys:
        return (*self.work.keys, "args")

    @property
    def given(self) -> Mapping[str, Json]:
        return mapping(self.work.data.get("args"))

    @property
    def known(self) -> Mapping[str, Json]:
        return mapping(self.parameters.get("properties"))

    @cached_property
    def unknown(self) -> Mapping[str, str | None]:
        """What is given and not taken, and which argument it may stand for: one that is not given as well."""
        if self.parameters.get("additionalProperties") is not False:
            return {}
        free = tuple(name for name in self.known if name not in self.given)
        names = [name for name in self.given if name not in self.known]
        return {name: nearest(name, free) if at < _GUESSED else None for at, name in enumerate(names)}


def unknown_argument(facts: Facts) -> Iterator[Finding]:
    """T503: an argument that the tool does not take."""
    for call in _calls(facts):
        for name, meant in call.unknown.items():
            hint = f"did you mean `{meant}`?" if meant is not None else _taken(call.known)
            message = f"tool `{call.tool}` takes no argument `{name}`"
            yield at_key(facts.document, "T503", (*call.keys, name), message, hint, meant)


def type_of_argument(facts: Facts) -> Iterator[Finding]:
    """T504: an argument of another type than the tool takes."""
    for call in _calls(facts):
        for name, value in call.given.items():
            if name in call.known:
                title = f"argument `{name}` of tool `{call.tool}`"
                yield from _misfits(facts, title, value, call.known[name], (*call.keys, name))


def missing_argument(facts: Facts) -> Iterator[Finding]:
    """T505: an argument that the tool needs is not given."""
    for call in _calls(facts):
        needed = [name for name in call.parameters.get("required", ()) if name not in call.given]
        misspelt = excused(call.unknown, call.known, needed)
        for name in needed:
            if name not in misspelt:
                message = f"tool `{call.tool}` needs the argument `{name}`"
                hint = f"add `{name}:` under `args:`"
                yield at_value(facts.document, "T505", (*call.work.keys, "tool"), message, hint)


def _calls(facts: Facts) -> Iterator[_Call]:
    parameters = cache(partial(parameters_of, facts.file))
    for graph in facts.file.graphs:
        for work in graph.works:
            tool = work.name_of("tool") if work.verb == "tool" else None
            taken = None if tool is None else parameters(tool)
            if tool is not None and taken is not None:
                yield _Call(work, tool, taken)


def _misfits(facts: Facts, title: str, value: Json, wanted: Json, keys: Keys) -> Iterator[Finding]:
    """What does not fit, as deep inside the value as it can be told."""
    if not _is_computed(facts.sites, value, keys):
        for wrong in unfit(value, wanted, keys):
            at = at_key if wrong.at_key else at_value
            mend = _mend(value, wanted) if wrong.keys == keys else None
            yield at(facts.document, "T504", wrong.keys, f"{title}: {wrong.message}", wrong.hint, mend)
        return
    inside = [*_misfits_inside(facts, title, value, wanted, keys)]
    yield from inside
    reason = None if inside else misfit(facts.sites.type_of(keys, value), wanted)
    if reason is not None:
        where = f"`{reason.where}` of it" if reason.where else "this"
        is_or_may = "may be" if reason.have == NULL else "is"
        hint = LOOK_FIRST if reason.have == NULL else None
        message = f"{title}: {where} {is_or_may} {reason.have}, not {reason.want}"
        yield at_value(facts.document, "T504", keys, message, hint)


def _misfits_inside(facts: Facts, title: str, value: Json, wanted: Json, keys: Keys) -> Iterator[Finding]:
    one = alternatives(wanted)
    if len(one) > 1:
        return
    if isinstance(value, dict):
        known = mapping(one[0].get("properties"))
        for key, part in value.items():
            yield from _misfits(facts, title, part, known.get(key, {}), (*keys, key))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _misfits(facts, title, part, mapping(one[0].get("items")), (*keys, index))


def _mend(value: Json, wanted: Json) -> str | None:
    """What was surely meant: a number written as text, or a text that reads as a whole number."""
    if isinstance(value, str) and _WHOLE.fullmatch(value) and type_names(wanted) in _NUMBERS:
        return value
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return f'"{value}"' if is_whole and type_names(wanted) == frozenset(("string",)) else None


def _is_computed(sites: Sites, value: Json, keys: Keys) -> bool:
    """Whether a value has an expression in it."""
    if isinstance(value, dict):
        return any(_is_computed(sites, part, (*keys, key)) for key, part in value.items())
    if isinstance(value, list):
        return any(_is_computed(sites, part, (*keys, index)) for index, part in enumerate(value))
    return isinstance(value, str) and keys in sites.by_keys and "${{" in value


def _taken(known: Mapping[str, Json]) -> str:
    shown = [f"`{name}`" for name in islice(known, _SHOWN)]
    if len(known) > _SHOWN:
        shown.append(f"{len(known) - _SHOWN} more")
    return f"it takes {listed(shown) or 'nothing'}"


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    unknown_argument,
    type_of_argument,
    missing_argument,
)
