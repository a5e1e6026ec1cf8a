"""E, data: whether what is written, picked and gone over has the right type."""

from __future__ import annotations

from collections.abc import Iterator

from agentctl.check.answers import Written, written_types
from agentctl.check.flow import FileModel, mapping, text
from agentctl.check.nulls import LOOK_FIRST, NULL
from agentctl.check.place import at_key, at_value, did_you_mean
from agentctl.check.shapes import described, type_names
from agentctl.check.sites import Sites, answer_schema
from agentctl.check.testing.fitting import unfit
from agentctl.spec.finding import Finding


def unknown_answer_key(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """E430: a key is picked that the answer does not have."""
    for graph in file.graphs:
        for written in written_types(file, graph, sites):
            is_misspelt_field = written.field not in graph.fields and written.place == written.key_keys
            if written.missing_from is None or written.of_graph or (is_misspelt_field and written.field):
                continue
            message = f"{written.who} does not answer `{written.key}`"
            yield at_value(file.document, "E430", written.key_keys, message, _hint_for_key(written))


def type_does_not_fit(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """E431: what is written is not of the field's type."""
    for graph in file.graphs:
        for written in written_types(file, graph, sites):
            field = written.into.fields.get(written.field)
            if field is None or written.missing_from is not None:
                continue
            wrong = sites.misfit(written.type, _wanted(field.schema, field.reducer))
            if wrong is not None:
                at = at_key if written.place_is_key else at_value
                is_type = "is" if field.reducer == "last" else f"(reduce: {field.reducer}) takes"
                title, hint = written.title, written.hint
                if wrong.have == NULL and title == "this is" and written.place in sites.by_keys:
                    title, hint = "this may be", LOOK_FIRST
                message = (
                    f"`state.{field.name}{wrong.where}` {is_type} {wrong.want}, and {title} {wrong.have}"
                )
                yield at(file.document, "E431", written.place, message, hint)


def example_does_not_fit(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """E431: an example of an answer that the agent could never give."""
    for keys, agent in file.agents_in_place:
        examples = agent.get("examples")
        answer = answer_schema(agent.get("output"))
        for index, example in enumerate(examples if isinstance(examples, list) else ()):
            place = (*keys, "examples", index, "answer")
            for wrong in unfit(mapping(example).get("answer"), answer, place):
                at = at_key if wrong.at_key else at_value
                message = f"the agent could never answer this: {wrong.message}"
                yield at(file.document, "E431", wrong.keys, message, wrong.hint)


def map_over_no_array(file: FileModel, sites: Sites) -> Iterator[Finding]:
    """E432: a map over something that is no array."""
    for graph in file.graphs:
        for work in graph.works:
            site = sites.by_keys.get((*work.keys, "map", "over"))
            names = (
                type_names(site.analysis.type) if site is not None and not site.analysis.problems else None
            )
            if site is not None and names is not None and "array" not in names:
                message = f"`map` goes over an array, and `{site.text}` is {described(site.analysis.type)}"
                yield at_value(file.document, "E432", site.keys, message, "name a field of type `array`")


def history_is_no_messages(file: FileModel) -> Iterator[Finding]:
    """E433: a conversation kept in a field of another type."""
    for graph in file.graphs:
        for work in graph.works:
            field = graph.fields.get(text(work.data.get("history")) or "")
            if field is not None and not field.type.is_messages:
                message = f"`history: {field.name}` needs a field of type `messages`, and `state.{field.name}` is {described(field.schema)}"
                hint = f"write `{field.name}: messages` under `state:`"
                yield at_value(file.document, "E433", (*work.keys, "history"), message, hint)


def _wanted(schema: object, reducer: str) -> object:
    """What one write must be, by the field's reducer."""
    field = mapping(schema)
    if reducer == "append":
        return field.get("items", {})
    if reducer in ("extend", "union"):
        return {"type": "array", "items": field.get("items", {})}
    return field


def _hint_for_key(written: Written) -> str:
    known = written.keys_there
    if known:
        return (
            did_you_mean(written.key or "", known) or f"it answers {', '.join(f'`{key}`' for key in known)}"
        )
    whole = f"; save the whole of it with `save: {written.field}`" if written.field else ""
    return f"it answers {described(written.missing_from)}{whole}"
