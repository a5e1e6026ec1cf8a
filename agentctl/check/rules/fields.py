"""E, fields: who writes and who reads each of them, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from agentctl.check.flow import END, FileModel, Work, mapping
from agentctl.check.place import at_key, at_word
from agentctl.check.reach import written_before
from agentctl.check.rules.graph import has_gaps
from agentctl.check.sites import Site, Sites
from agentctl.check.traffic import Traffic
from agentctl.expressions import Reference
from agentctl.spec.finding import Finding, Keys
from agentctl.spec.wording import listed

_SHOWN = 3
"""Names in a message."""
Before = Mapping[str, frozenset[str]]


def field_never_read(file: FileModel, traffic: Sequence[Traffic]) -> Iterator[Finding]:
    """E420: a field that nothing reads."""
    for one in traffic:
        for field in one.graph.fields.values():
            if field.name not in one.read | one.suspects and not one.is_unreadable:
                message = f"`state.{field.name}` is never read"
                hint = "read it, list it under `output:`, or remove it"
                yield at_key(file.document, "E420", field.keys, message, hint)


def field_never_written(file: FileModel, traffic: Sequence[Traffic]) -> Iterator[Finding]:
    """E421: a field that is read, and that nothing writes."""
    for one in traffic:
        for field in one.graph.fields.values():
            is_filled = field.starts_filled and field.type.default is not None
            if field.name in one.read and not is_filled and field.name not in one.written | one.suspects:
                why = "it has no default" if not field.starts_filled else "so it is always null"
                message = f"`state.{field.name}` is read, but nothing writes it and {why}"
                hint = "`save` to it, list it under `input:`, or give it a default"
                yield at_key(file.document, "E421", field.keys, message, hint)


def read_before_written(file: FileModel, traffic: Sequence[Traffic], sites: Sites) -> Iterator[Finding]:
    """E422: on some path a field is read before anything wrote it. Once for each word, whoever reads it."""
    found: dict[tuple[Keys, int], _Early] = {}
    for one in traffic:
        if has_gaps(one.graph) or not one.graph.fields:
            continue
        before = written_before(one.graph)
        sure = one.written & one.graph.fields.keys() - one.suspects
        for site in sites.of(one.graph):
            for field, reference in site.fields_read():
                if field not in sure or reference.guarded:
                    continue
                late = [name for name, has in _readers(file, site, before) if field not in has]
                if late:
                    early = found.setdefault(
                        (site.keys, reference.offset), _Early(field, _length(site.text, reference, field), [])
                    )
                    early.readers.extend(late)
    for (keys, offset), early in found.items():
        names = list(dict.fromkeys(early.readers))
        shown = [f"`{name}`" for name in names[:_SHOWN]]
        if len(names) > _SHOWN:
            shown.append(f"{len(names) - _SHOWN} more")
        message = (
            f"`state.{early.field}` may be read before anything wrote it: "
            f"not every way to {listed(shown, 'or')} saves it"
        )
        hint = "give it a default, save it before, or read it with `| default(…)`"
        yield at_word(file.document, "E422", keys, offset, early.length, message, hint)


class _Early(Struct, frozen=True):
    """A word that reads a field too early, and on the way to which nodes."""

    field: str
    length: int
    """Of `state.field`, in characters."""
    readers: list[str]


def _length(text: str, reference: Reference, field: str) -> int:
    """How long the reading of a field is: `state.field`, or `state` alone where it is written in another way."""
    end = reference.offset + reference.length
    return reference.length + len(field) + 1 if text.startswith(f".{field}", end) else reference.length


def _readers(file: FileModel, site: Site, before: Before) -> Iterator[tuple[str, frozenset[str]]]:
    """The nodes as which an expression is read, each with the fields that are written by then."""
    root = file.root
    match site.keys:
        case ("tiers", "by"):
            names = [node.node for node in root.nodes.values() if _offers_tools(file, node)]
        case ("models", str(model), "choose"):
            names = [node.node for node in root.nodes.values() if _asks_model(file, node, model)]
        case ("experiments", str(), "success"):
            # a turn that failed or met a limit is no success, whatever it wrote
            before, names = written_before(root, entries=(str(root.data.get("start")),)), [END]
        case _:
            names = [site.owner]
    # a node that is never reached, or none at all, is another rule's business
    return ((name, before[name]) for name in names if name in before)


def _offers_tools(file: FileModel, node: Work) -> bool:
    """Whether a tier is looked up for a node: one of its agents has tools, or one of the graph that it runs."""
    nested = (file.nested.get(work.name_of("graph") or "") for work in node.walk())
    works = [*node.walk(), *(work for graph in nested if graph is not None for work in graph.works)]
    return any(mapping(file.agent_of(work)).get("tools") for work in works)


def _asks_model(file: FileModel, node: Work, model: str) -> bool:
    return any(mapping(file.agent_of(work)).get("model") == model for work in node.walk())
