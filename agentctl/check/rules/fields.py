"""E, fields: who writes and who reads each of them, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from agentctl.check.flow import FileModel
from agentctl.check.place import at_key, at_word
from agentctl.check.reach import written_before
from agentctl.check.rules.graph import has_gaps
from agentctl.check.sites import Sites
from agentctl.check.traffic import Traffic
from agentctl.spec.finding import Finding


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
            is_written = field.starts_filled or field.name in one.written | one.suspects
            if field.name in one.read and not is_written:
                message = f"`state.{field.name}` is read, but nothing writes it and it has no default"
                hint = "`save` to it, list it under `input:`, or give it a default"
                yield at_key(file.document, "E421", field.keys, message, hint)


def read_before_written(file: FileModel, traffic: Sequence[Traffic], sites: Sites) -> Iterator[Finding]:
    """E422: on some path a field is read before anything wrote it."""
    for one in traffic:
        if has_gaps(one.graph) or not one.graph.fields:
            continue
        before = written_before(one.graph)
        sure = one.written & one.graph.fields.keys() - one.suspects
        for site in sites.of(one.graph):
            if site.owner not in before:
                continue  # never reached, or read by no node: another rule's business
            for field, reference in site.fields_read():
                if field in sure and field not in before[site.owner] and not reference.guarded:
                    message = (
                        f"`state.{field}` may be read before anything wrote it: "
                        f"not every way to `{site.owner}` saves it"
                    )
                    hint = "give it a default, save it before, or read it with `| default(…)`"
                    place = (reference.offset, reference.length)
                    yield at_word(file.document, "E422", site.keys, *place, message, hint)
