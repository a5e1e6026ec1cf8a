"""T, tiers: that each value has one, that they offer what there is, and that nobody chooses their own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from agentctl.check.facts import Facts
from agentctl.check.flow import FileModel, Graph, Work, mapping, names_in, placed_names, result_saves, text
from agentctl.check.place import at_key, at_value, did_you_mean
from agentctl.check.reach import circles
from agentctl.check.shapes import closed_values, described, type_names, value_text
from agentctl.check.sites import Site
from agentctl.check.traffic import named_fields
from agentctl.json import Json
from agentctl.spec.finding import Finding, Keys
from agentctl.spec.nearest import nearest

_BY: Keys = ("tiers", "by")
_LEVELS: Keys = ("tiers", "levels")
_SAVED_BY = {
    "agent": "an agent",
    "tool": "a tool",
    "ask": "a person",
    "graph": "a graph",
    "map": "a map",
    "parallel": "the branches",
}


def tiers_in_circle(facts: Facts) -> Iterator[Finding]:
    """T531: a tier that extends itself, straight or through others."""
    bases = {name: text(level.get("extends")) for name, level in _levels(facts).items()}
    edges = {name: (base,) if base in bases else () for name, base in bases.items() if base is not None}
    for circle in circles(edges):
        way = " → ".join((*circle, circle[0]))
        message = f"tier `{circle[0]}` extends itself: {way}"
        hint = "let one of them stand on its own"
        yield at_value(facts.document, "T531", (*_LEVELS, circle[0], "extends"), message, hint)


def value_without_tier(facts: Facts) -> Iterator[Finding]:
    """T532: `by` may have a value that is no tier."""
    site, levels = facts.sites.by_keys.get(_BY), _levels(facts)
    if site is None or site.analysis.problems:
        return
    values, names = closed_values(site.analysis.type), type_names(site.analysis.type)
    if values is None and names is not None and "string" not in names:
        message = f"`by` names a tier, and this is {described(site.analysis.type)}"
        yield at_value(facts.document, "T532", _BY, message, "compare it: `'pro' if … else 'free'`")
    missing = [value_text(value) for value in values or () if value_text(value) not in levels]
    if missing:
        listed = ", ".join(f"`{value}`" for value in missing)
        message = f"`{' '.join(site.text.split())}` may be {listed}, and there is no such tier"
        unnamed = [name for name in levels if name not in map(value_text, values or ())]
        hint = did_you_mean(missing[0], unnamed) or f"add `{missing[0]}:` under `levels:`"
        yield at_key(facts.document, "T532", _LEVELS, message, hint)


def lacks_what_it_names(facts: Facts) -> Iterator[Finding]:
    """T533: `approve` or `deny` of a tool that the tier, with what it extends, does not have."""
    for name, level, tools in _with_bases(_levels(facts)):
        for part in ("approve", "deny"):
            for tool, keys in placed_names(level.get(part), (*_LEVELS, name, part)):
                if tool in facts.tooling.tools and not tools[tool]:
                    message = f"`{part}` names `{tool}`, which tier `{name}` does not have"
                    hint = "add it to the tier's `tools:`, or remove it here"
                    yield at_value(facts.document, "T533", keys, message, hint)


def tool_no_agent_lists(facts: Facts) -> Iterator[Finding]:
    """T534: a tier offers a tool that no agent lists."""
    listed = {tool for _, agent in facts.file.agents_in_place for tool in names_in(agent.get("tools"))}
    misspelt = {nearest(tool, facts.tooling.tools) for tool in listed if tool not in facts.tooling.tools}
    used = listed | misspelt
    for name, level in _levels(facts).items():
        for tool, keys in placed_names(level.get("tools"), (*_LEVELS, name, "tools")):
            if tool in facts.tooling.tools and tool not in used:
                message = f"tier `{name}` offers `{tool}`, and no agent lists it"
                hint = "list it under `tools:` of an agent, or remove it here"
                yield at_value(facts.document, "T534", keys, message, hint)


def tier_is_saved(facts: Facts) -> Iterator[Finding]:
    """T535: the field that `by` reads is saved by an agent, a tool or a person."""
    site, root = facts.sites.by_keys.get(_BY), facts.file.root
    read = {field for field, _ in site.fields_read() if field in root.fields} if site else set()
    if not read:
        return
    for write in _writes_from_outside(facts.file, facts.sites.of(root)):
        if write.field in read:
            message = f"`tiers.by` reads `{write.field}`, and {write.how}"
            hint = f"let `{write.field}` come by `input:` alone, so that nothing said in a run chooses a tier"
            place = at_key if write.is_key else at_value
            yield place(facts.document, "T535", write.keys, message, hint)


class _Write(Struct, frozen=True):
    """One place that writes a field with something that an agent, a tool, a graph or a person said."""

    how: str
    """The end of a sentence about the field: agent `sorter` saves it."""
    field: str
    keys: Keys
    is_key: bool


def _writes_from_outside(file: FileModel, sites: tuple[Site, ...]) -> Iterator[_Write]:
    """What the root graph's work saves, and each `set` that hands such a value on."""
    root = file.root
    saved = [*_saves(root)]
    for field, keys in named_fields(file, root):
        if keys[-1] in ("history", "into"):
            saved.append(_Write("an agent writes it", field, keys, False))
    yield from saved
    handed_on = _read_by_sets(root, sites)
    sources = _spread({write.field for write in saved}, handed_on)
    for keys, fields in handed_on.items():
        source = next((field for field in fields if field in sources and field != keys[-1]), None)
        if source is not None:
            how = f"it is made here from `{source}`, which {sources[source]}"
            yield _Write(how, str(keys[-1]), keys, True)


def _saves(graph: Graph) -> Iterator[_Write]:
    for work in graph.works:
        if work.within[-1:] == ("map",):
            continue  # an item's result is the map's, which saves it
        for save in result_saves(work.data.get("save"), (*work.keys, "save")):
            yield _Write(f"{_title(work)} saves it", save.field, save.field_keys, save.field_is_key)


def _title(work: Work) -> str:
    name = work.name_of(work.verb) if work.verb in ("agent", "tool", "graph") else None
    return f"{work.verb} `{name}`" if name else _SAVED_BY.get(work.verb or "", "the node")


def _read_by_sets(graph: Graph, sites: tuple[Site, ...]) -> Mapping[Keys, tuple[str, ...]]:
    """The fields that each `set` of a field reads."""
    found: dict[Keys, tuple[str, ...]] = {
        (*work.keys, "set", field): () for work in graph.works for field in mapping(work.data.get("set"))
    }
    for site in sites if found else ():
        for length in range(len(site.keys), 3, -1):
            if (keys := site.keys[:length]) in found:
                found[keys] += tuple(field for field, _ in site.fields_read())
                break
    return found


def _spread(saved: set[str], handed_on: Mapping[Keys, tuple[str, ...]]) -> Mapping[str, str]:
    """The fields whose value comes from outside, through any number of `set`s, each with how."""
    into: dict[str, set[str]] = {}
    for keys, fields in handed_on.items():
        for field in fields:
            into.setdefault(field, set()).add(str(keys[-1]))
    found = dict.fromkeys(saved, "is saved")
    waiting = list(found)
    while waiting:
        for field in into.get(waiting.pop(), ()):
            if field not in found:
                found[field] = "comes of what is saved"
                waiting.append(field)
    return found


def _levels(facts: Facts) -> Mapping[str, Mapping[str, Json]]:
    return {
        name: mapping(level) for name, level in mapping(facts.file.section("tiers").get("levels")).items()
    }


def _with_bases(
    levels: Mapping[str, Mapping[str, Json]],
) -> Iterator[tuple[str, Mapping[str, Json], Counter[str]]]:
    """Each tier that stands on firm ground, with how often it has each tool, what it extends taken in.

    Tiers in a circle (T531) and above an unknown one (T530) are left out. One walk over the tree of tiers, the
    tools of the way to where it stands counted: a chain of thousands costs no more than its length.
    """
    above: dict[str | None, list[str]] = {}
    for name, level in levels.items():
        above.setdefault(text(level.get("extends")), []).append(name)
    tools: Counter[str] = Counter()
    waiting = [(name, True) for name in above.get(None, ())]
    while waiting:
        name, is_new = waiting.pop()
        own = names_in(levels[name].get("tools"))
        if is_new:
            tools.update(own)
            yield name, levels[name], tools
            waiting += [(name, False), *((other, True) for other in above.get(name, ()))]
        else:
            tools.subtract(own)


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (
    tiers_in_circle,
    value_without_tier,
    lacks_what_it_names,
    tool_no_agent_lists,
    tier_is_saved,
)
