"""T, what is declared and never used: agents and tools."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentctl.check.facts import Facts
from agentctl.check.flow import FileModel, mapping, names_in, summary_of, text
from agentctl.check.place import at_key
from agentctl.check.slips import excused
from agentctl.spec.finding import Finding

_SECTIONS = {"agent": "agents", "tool": "tools", "graph": "graphs"}
"""By the verb that names an entry of them."""


def agent_never_used(facts: Facts) -> Iterator[Finding]:
    """T540: an agent that nothing asks."""
    for name in _unused(facts.file, "agents", _agents_named(facts.file)):
        message = f"agent `{name}` is never used"
        hint = "ask it in a node, or remove it"
        yield at_key(facts.document, "T540", ("agents", name), message, hint)


def tool_never_used(facts: Facts) -> Iterator[Finding]:
    """T541: a tool that no agent lists and nothing calls. One that a tier offers is T534's business."""
    for name in _unused(facts.file, "tools", _tools_named(facts.file)):
        message = f"tool `{name}` is never used"
        hint = "list it under `tools:` of an agent, call it in a node, or remove it"
        yield at_key(facts.document, "T541", ("tools", name), message, hint)


def _unused(file: FileModel, section: str, named: set[str]) -> Iterator[str]:
    """The entries of a section that nothing names, by a slip of the pen either.

    What stands in an included file may be there for another graph.
    """
    known = file.section(section)
    named = named | (_misplaced(file) & known.keys())
    misspelt = excused(named - known.keys(), known, known.keys() - named)
    for name in known:
        is_own = file.document.key((section, name))[0] == file.document.path
        if name not in named and name not in misspelt and is_own:
            yield name


def _misplaced(file: FileModel) -> set[str]:
    """What a node names by the wrong verb, `tool: guide` for `agent: guide`: that is told of there."""
    named = (
        (verb, work.name_of(verb)) for graph in file.graphs for work in graph.works for verb in _SECTIONS
    )
    return {name for verb, name in named if name is not None and name not in file.section(_SECTIONS[verb])}


def _agents_named(file: FileModel) -> set[str]:
    """The agents that nodes, tools and summaries name."""
    nodes = (work.name_of("agent") for graph in file.graphs for work in graph.works)
    tools = (text(tool.get("agent")) for _, tool in file.entries("tools"))
    summaries = (text(summary_of(agent).get("agent")) for _, agent in file.agents_in_place)
    return {name for name in (*nodes, *tools, *summaries) if name is not None}


def _tools_named(file: FileModel) -> set[str]:
    """The tools that nodes call, agents list and tiers have."""
    named = {name for graph in file.graphs for work in graph.works if (name := work.name_of("tool"))}
    for _, agent in file.agents_in_place:
        named.update(names_in(agent.get("tools")))
    for level in mapping(file.section("tiers").get("levels")).values():
        for part in ("tools", "approve", "deny"):
            named.update(names_in(mapping(level).get(part)))
    return named


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (agent_never_used, tool_never_used)
