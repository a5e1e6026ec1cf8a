"""V, experiments: their weights, what they are assigned by, and what their variants override.

What a variant makes of the file (V803) is found by looking at every world: worlds.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from agentctl.check.facts import Facts
from agentctl.check.flow import FileModel, mapping
from agentctl.check.place import at_key, at_value, at_word, did_you_mean
from agentctl.check.shapes import described, type_names
from agentctl.check.traffic import named_fields
from agentctl.check.worlds import MOST, count_of_worlds, most_worlds
from agentctl.expressions import Reference
from agentctl.json import Json
from agentctl.spec.fault import told
from agentctl.spec.finding import Finding, Keys, path_text
from agentctl.spec.known_keys import known_keys
from agentctl.spec.model import FileSpec
from agentctl.spec.overlay import (
    SECTIONS,
    Override,
    all_overrides,
    applies,
    can_stand,
    depth,
    guarded,
    is_open,
    value_at,
)

_MAY = "a variant may override what is under models, agents, tools, nodes, routers, limits and tiers.levels"
_SECTIONS = ("models", "agents", "tools", "nodes", "limits")
_DEPTH = 2
"""Dots in the path of one value of most sections."""
_CHANGING = {
    "turn": "is another one in each turn",
    "id": "is another one in each run",
    "uuid": "is another one in each run",
    "now": "is the clock",
    "tier": "follows the state",
    "variants": "is not known before the variants are chosen",
}


def bad_weight(facts: Facts) -> Iterator[Finding]:
    """V801: a weight that is no positive number, or nothing to weigh."""
    for name, experiment in facts.file.entries("experiments"):
        keys: Keys = ("experiments", name, "variants")
        variants = mapping(experiment.get("variants"))
        if not variants:
            message = f"experiment `{name}` has no variant"
            yield at_key(facts.document, "V801", keys, message, "give it two, or remove it")
        for variant, body in variants.items():
            weight = mapping(body).get("weight")
            if isinstance(weight, int | float) and not 0 < weight < math.inf:
                message = f"a weight is a number over 0, and that of variant `{variant}` is {told(weight)}"
                hint = "remove the variant, or give it a small weight" if weight == 0 else None
                yield at_value(facts.document, "V801", (*keys, variant, "weight"), message, hint)


def nothing_at_path(facts: Facts) -> Iterator[Finding]:
    """V802: an override of something that is not there."""
    data = facts.file.data
    for override in all_overrides(data):
        keys = override.keys
        if keys and not _is_of_another_section(keys) and not can_stand(data, keys):
            yield at_key(facts.document, "V802", override.place, *_missing(data, keys))
        elif not keys:
            message = f"{told(override.path)} is no path"
            hint = "write the keys with dots between, as in `agents.lead.model` or `routers.r[0].to`"
            yield at_key(facts.document, "V802", override.place, message, hint)


def may_not_be_overridden(facts: Facts) -> Iterator[Finding]:
    """V806: an override of what no variant may change."""
    data = facts.file.data
    for override in all_overrides(data):
        keys, message, hint = override.keys, None, None
        if _is_of_another_section(keys) or (can_stand(data, keys) and not is_open(keys)):
            message = f"no variant may override `{path_text(keys)}`"
            is_kept = keys[-1] in ("effect", "deny") and keys[0] in ("tools", "tiers")
            hint = f"`{keys[-1]}` holds in every variant" if is_kept else _one_value(override) or _MAY
        elif can_stand(data, keys) and (key := guarded(data, override)) is not None:
            message, hint = f"this would change `{key}`, and no variant may", f"keep `{key}` as it is"
        if message is not None:
            yield at_key(facts.document, "V806", override.place, message, hint)


def _one_value(override: Override) -> str | None:
    """The hint for a whole section that is written out below `override`."""
    path, value = override.path, override.value
    while isinstance(value, dict) and value and path.count(".") < _DEPTH:
        key, value = next(iter(value.items()))
        path = f"{path}.{key}"
    is_section = override.path in _SECTIONS and path.count(".") == _DEPTH
    return f"name each value by its path, as in `{path}: {told(value)[1:-1]}`" if is_section else None


def overridden_twice(facts: Facts) -> Iterator[Finding]:
    """V805: two experiments that override one path, or one inside the other; or one variant that does."""
    seen: dict[Keys, dict[str, Override]] = {}
    inside: dict[Keys, dict[str, Override]] = {}
    data = facts.file.data
    for override in all_overrides(data):
        keys = override.keys
        if not applies(data, override):
            continue
        ways = [seen.get(keys[:length], {}) for length in range(1, len(keys) + 1)]
        others = (other for way in (*ways, inside.get(keys, {})) for other in way.values())
        other = next((other for other in others if _is_with(other, override)), None)
        if other is not None:
            yield at_key(facts.document, "V805", override.place, *_crossing(override, other))
        # one of each variant is enough to cross another
        owner = f"{override.experiment}\n{override.variant}"
        seen.setdefault(keys, {}).setdefault(owner, override)
        for length in range(1, len(keys)):
            inside.setdefault(keys[:length], {}).setdefault(owner, override)


def unit_that_changes(facts: Facts) -> Iterator[Finding]:
    """V804: a unit that can change within a thread."""
    written = _written_by_nodes(facts.file)
    for name, _ in facts.file.entries("experiments"):
        site = facts.sites.by_keys.get(("experiments", name, "assign_by"))
        for reference in () if site is None or site.analysis.problems else site.analysis.references:
            why = _why_it_changes(reference, written)
            if site is not None and why is not None:
                word = ".".join(map(str, (reference.root, *reference.path[:1])))
                message = f"a thread keeps its variant, and `{word}` {why}"
                hint = "assign by `run.thread`, `run.tenant`, or an input that no node writes"
                place = (reference.offset, reference.length)
                yield at_word(facts.document, "V804", site.keys, *place, message, hint)


def success_is_no_boolean(facts: Facts) -> Iterator[Finding]:
    """R310, R304: a success that is neither true nor false, or always the same."""
    for name, _ in facts.file.entries("experiments"):
        site = facts.sites.by_keys.get(("experiments", name, "success"))
        names = None if site is None or site.analysis.problems else type_names(site.analysis.type)
        constant = None if site is None or site.analysis.problems else site.analysis.constant
        if site is not None and constant is not None and isinstance(constant.value, bool):
            message = f"`success` is always {'true' if constant.value else 'false'}"
            hint = 'say what a good turn is, as in `state.answer != ""`'
            yield at_value(facts.document, "R304", site.keys, message, hint)
        elif site is not None and names is not None and "boolean" not in names:
            message = f"`success` is true or false, and this is {described(site.analysis.type)}"
            yield at_value(facts.document, "R310", site.keys, message, f"compare it: `{site.text} == …`")


def too_many_worlds(facts: Facts) -> Iterator[Finding]:
    """V807: more combinations than can be checked."""
    count, most = count_of_worlds(facts.file.data), most_worlds(facts.file.data)
    if count > most:
        size = "" if most == MOST else ", in a file of this size,"
        message = f"the variants can be combined in {count:,} ways, and at most {most}{size} can be checked"
        hint = "end an experiment before you begin another"
        yield at_key(facts.document, "V807", ("experiments",), message, hint)


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    bad_weight,
    nothing_at_path,
    may_not_be_overridden,
    overridden_twice,
    unit_that_changes,
    success_is_no_boolean,
    too_many_worlds,
)


def _is_of_another_section(keys: Keys) -> bool:
    """Whether a path begins at a key of a file that no variant may change."""
    return bool(keys) and keys[0] not in SECTIONS and keys[0] in FileSpec.__struct_encode_fields__


def _missing(data: Json, keys: Keys) -> tuple[str, str | None]:
    """What is not there on the way along a path, and what may have been meant."""
    there = depth(data, keys)
    above, key = keys[:there], keys[there]
    owner = value_at(data, above)
    path = f"there is nothing at `{path_text(keys)}`"
    if isinstance(key, int):
        size = f"has {len(owner)} items" if isinstance(owner, list) else "is no list"
        return f"{path}: `{path_text(above)}` {size}", None
    where = f"`{path_text(above)}`" if above else "the file"
    known = [*owner, *known_keys(above)] if isinstance(owner, dict) else []
    meant = did_you_mean(key, known)
    if meant is None and key in known:
        parent = path_text((*above, key))
        return f"{path}: {where} has no `{key}`", f"override `{parent}` as a whole, or give the file one"
    return f"{path}: {where} has no `{key}`", meant


def _crossing(override: Override, other: Override) -> tuple[str, str]:
    what = path_text(override.keys)
    who = f"variant `{other.variant}` of `{other.experiment}`"
    if other.experiment == override.experiment:
        who = "this variant"
    if other.keys == override.keys:
        message = f"`{what}` is overridden by {who} too"
    elif len(other.keys) < len(override.keys):
        message = f"`{what}` is inside `{path_text(other.keys)}`, which {who} overrides"
    else:
        message = f"`{path_text(other.keys)}`, which {who} overrides, is inside `{what}`"
    return message, "only one of the two could hold; let one experiment override it"


def _is_with(one: Override, other: Override) -> bool:
    """Whether two overrides can be in force at once."""
    return one.experiment != other.experiment or one.variant == other.variant


def _written_by_nodes(file: FileModel) -> frozenset[str]:
    written = {save.field for work in file.root.works for save in work.saves}
    written |= {name for name, keys in named_fields(file, file.root) if keys[-1] in ("history", "into")}
    return frozenset(written)


def _why_it_changes(reference: Reference, written: frozenset[str]) -> str | None:
    first = reference.path[0] if reference.path else None
    if reference.root == "run":
        return _CHANGING.get(str(first)) if first is not None else "is another one in each run"
    if reference.root != "state":
        return None
    if first is None:
        return "is changed by the nodes" if written else None
    return "is written by a node" if first in written else None
