"""X, the surface: that what was signed off is what the file says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agentctl.check.facts import Facts
from agentctl.check.flow import FileModel, text
from agentctl.check.place import at_value
from agentctl.check.rules.nesting import unknown_graph
from agentctl.check.rules.references import unknown_agent, unknown_tier, unknown_tool
from agentctl.check.surface.data import digest_of, signed_digest, surface_of, varied_files
from agentctl.check.worlds import has_too_many_worlds
from agentctl.spec.finding import Finding
from agentctl.spec.overlay import all_overrides, applies

_NAMES = (unknown_tool, unknown_agent, unknown_graph, unknown_tier)


def surface_has_changed(facts: Facts) -> Iterator[Finding]:
    """X09: the tools, or who may call them, are not those that were signed off."""
    signed, data = signed_digest(facts.file), facts.file.data
    # of more variants than can be looked at V807 speaks
    if signed is None or has_too_many_worlds(data):
        return
    if signed == digest_of(surface_of(facts.file)):
        return
    files = (facts.file, *(file for _, _, file in varied_files(facts.file)))
    if all(applies(data, one) for one in all_overrides(data)) and all(map(_is_sure, files)):
        message = "the tools, or who may call them, are not those that were signed off here"
        hint = "look at what `agentctl validate --surface` prints, then put its digest here"
        yield at_value(facts.document, "X09", ("events", "surface"), message, hint)


def _is_sure(file: FileModel) -> bool:
    """Whether every name that the surface is made of leads somewhere; what does not is said elsewhere."""
    servers = {(text(tool.get("mcp")) or "").partition("/")[0] for _, tool in file.entries("tools")} - {""}
    stores = {text(tool.get("store")) for _, tool in file.entries("tools")} - {None}
    known = servers <= file.section("mcp").keys() and stores <= file.section("stores").keys()
    return known and not any(True for rule in _NAMES for _ in rule(file))


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (surface_has_changed,)
