"""All that a static check finds in a file, in phases, sorted by place, each once. Nothing of the file is run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from agentctl.check.allow import apply_allowances
from agentctl.check.facts import Facts
from agentctl.check.flow import FileModel, read_flow
from agentctl.check.rules import (
    context,
    data,
    expressions,
    fields,
    graph,
    nesting,
    references,
    routers,
    values,
)
from agentctl.check.secrets import named_secrets, starred
from agentctl.check.sites import Shared, Sites
from agentctl.check.traffic import traffic_of
from agentctl.spec.document import Document, read_document
from agentctl.spec.finding import Finding

NAMES: tuple[Callable[[FileModel], Iterator[Finding]], ...] = (
    graph.unknown_start,
    graph.reserved_names,
    graph.unknown_targets,
    graph.then_in_branch,
    routers.unknown_router_target,
    nesting.unknown_graph,
    references.unknown_agent,
    references.unknown_tool,
    references.missing_function,
    references.unknown_server_or_store,
    references.unknown_tier,
    references.unknown_model,
    references.unknown_provider,
    references.unknown_node_at_limit,
    expressions.unknown_saved_field,
    expressions.unknown_named_field,
)
"""Rules about a word and what it names. They hold in a file with errors of shape elsewhere, too."""

EXPRESSIONS: tuple[Callable[[FileModel, Sites], Iterator[Finding]], ...] = (
    expressions.problems_of_expressions,
)
"""Rules about single expressions. They hold elsewhere in a broken file, like those about names."""

GRAPH: tuple[Callable[[FileModel], Iterator[Finding]], ...] = (
    graph.no_then,
    graph.unreachable,
    graph.no_way_to_end,
    graph.branches_save_one_field,
    nesting.unknown_input,
    nesting.missing_input,
    nesting.unknown_output,
    nesting.graph_never_used,
    nesting.graphs_in_circle,
    nesting.waits_where_it_cannot,
    nesting.background_in_map,
    nesting.background_without_placeholder,
    nesting.history_side_by_side,
    context.parts_that_do_not_go_together,
    routers.arm_after_else,
    routers.routers_in_circle,
    routers.router_never_used,
    data.history_is_no_messages,
)
"""Rules about the graph as a whole. What is missing in it may be what a broken part would have said."""

DATA: tuple[Callable[[FileModel, Sites], Iterator[Finding]], ...] = (
    values.value_it_cannot_have,
    routers.not_exhaustive,
    routers.else_never_reached,
    routers.condition_that_never_changes,
    routers.condition_is_no_boolean,
    routers.arms_alike,
    routers.overlapping_arms,
    expressions.env_never_used,
    data.unknown_answer_key,
    data.type_does_not_fit,
    data.example_does_not_fit,
    data.map_over_no_array,
)
"""Rules about values and types."""

_LATER = {
    "tools": ("tools",),
    "arguments": ("tools",),
    "retries": ("tools",),
    "timeouts": ("tools", "models"),
    "unused": ("tools", "agents"),
    "tiers": ("tiers",),
    "models": ("models",),
    "experiments": ("experiments",),
    "tests": ("tests",),
    "surface": ("events",),
}
"""Families of the last phase, with the sections without which they have nothing to say; each is loaded only then."""
_ALWAYS = ("limits", "security")
_OF_BASE = frozenset(("experiments", "tests", "surface"))
"""Families about what a file says of all its variants at once: a variant cannot change what they look at."""

_STEP = re.compile(r"[.\[]")
_ALONE = frozenset(("S106", "S110", "S112", "X07"))
"""Codes about one value, which makes no name around it another one."""
_DECLARING = frozenset(
    (
        *("env", "models", "mcp", "stores", "tools", "tiers", "agents"),
        *("state", "nodes", "routers", "graphs", "include"),
    )
)


def check(document: Document, *, information: bool = False) -> list[Finding]:
    """Every finding about a document, allowed ones left out; `information` asks for those of that severity too."""
    is_complete = document.spec is not None and not document.is_part
    shared = Shared()
    findings = _in_order(
        (*document.findings, *_rules(document, shared, information=information)), document.path
    )
    if document.spec is not None and "experiments" in document.data:
        # needed by files with experiments only
        from agentctl.check.worlds import in_all_worlds

        findings = in_all_worlds(document, findings, lambda world: _rules(world, shared, is_base=False))
    left = apply_allowances(document, findings, is_complete=is_complete, information=information)
    return _in_order(_without_secrets(document, left), document.path)


def check_file(path: Path, *, information: bool = False) -> list[Finding]:
    """Every finding about a file. Raises UsageError when it cannot be read."""
    return check(read_document(path), information=information)


def _without_secrets(document: Document, findings: list[Finding]) -> Iterator[Finding]:
    """The findings with no word of a value that the file calls a key or a password: they may tell it without its name."""
    patterns = [found for text in document.texts.values() if (found := named_secrets(text)) is not None]
    for finding in findings:
        message, hint = finding.message, finding.hint
        for pattern in patterns:
            message = pattern.sub(starred, message)
            hint = None if hint is None else pattern.sub(starred, hint)
        is_same = (message, hint) == (finding.message, finding.hint)
        yield finding if is_same else replace(finding, message=message, hint=hint)


def _rules(
    document: Document, shared: Shared, *, is_base: bool = True, information: bool = False
) -> Iterator[Finding]:
    broken = [finding for finding in document.findings if finding.severity == "error"]
    if document.is_part or not isinstance(document.data, dict) or any(map(_hides_the_rest, broken)):
        return
    file = read_flow(document, shared.functions)
    shared.functions = shared.functions or file.functions
    sites = Sites(file, shared)
    names = [finding for rule in NAMES for finding in rule(file)]
    names += [finding for rule in EXPRESSIONS for finding in rule(file, sites)]
    entries = {_entry(finding.path) for finding in broken if finding.code not in _ALONE}
    yield from (finding for finding in names if _entry(finding.path) not in entries)
    if broken:
        return
    for graph_rule in GRAPH:
        yield from graph_rule(file)
    for data_rule in DATA:
        yield from data_rule(file, sites)
    traffic = traffic_of(file, sites)
    yield from fields.field_never_read(file, traffic)
    yield from fields.field_never_written(file, traffic)
    yield from fields.read_before_written(file, traffic, sites)
    yield from _last_phase(Facts(file, sites), is_base=is_base, information=information)


def _last_phase(facts: Facts, *, is_base: bool, information: bool) -> Iterator[Finding]:
    """What the rules about limits, tools, tiers, models, experiments, tests and security find."""
    families = [
        family
        for family, sections in _LATER.items()
        if not facts.file.data.keys().isdisjoint(sections) and (is_base or family not in _OF_BASE)
    ]
    for family in (*families, *_ALWAYS):
        module = import_module(f"agentctl.check.rules.{family}")
        rules: tuple[Callable[[Facts], Iterator[Finding]], ...] = module.RULES
        if information:
            rules += getattr(module, "INFORMATION", ())
        if is_base:
            rules += getattr(module, "OF_TEXTS", ())
        for rule in rules:
            yield from rule(facts)


def _hides_the_rest(finding: Finding) -> bool:
    """Whether so much is wrong that names cannot be told: the YAML itself, an include, or a section that declares them."""
    steps = _STEP.split(finding.path) if finding.path else []
    section = steps[2:] if steps[:1] == ["graphs"] else steps
    if not steps or finding.code.startswith("Y") or finding.code in ("S120", "S122"):
        return True
    return len(section) < 2 and (finding.code == "S101" or not section or section[0] in _DECLARING)


def _entry(path: str) -> tuple[str, ...]:
    """The part of the file that a path belongs to: ("nodes", "sort"), ("graphs", "g", "nodes", "sort")."""
    steps = tuple(_STEP.split(path)) if path else ()
    if steps[:1] == ("graphs",):
        return steps[:4] if len(steps) > 3 else ()
    return steps[:2]


def _in_order(findings: Iterable[Finding], root: Path | None = None) -> list[Finding]:
    """By place, the root file's first, each once."""
    unique = {(f.file != root, str(f.file), f.span, f.code, f.message): f for f in findings}
    # a word that other readers take for another one is wrong here, whatever it is to them
    wrong = {key[:3] for key, f in unique.items() if f.severity == "error"}
    return [unique[key] for key in sorted(unique) if unique[key].code != "Y008" or key[:3] not in wrong]
