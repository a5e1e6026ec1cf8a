"""G, context policies: that their parts go together."""

from __future__ import annotations

from collections.abc import Iterator

from agentctl.check.flow import FileModel, mapping, summary_of
from agentctl.check.place import at_key
from agentctl.spec.finding import Finding

WINDOW = 12
"""Messages kept word for word where the file does not say."""


def parts_that_do_not_go_together(file: FileModel) -> Iterator[Finding]:
    """G229: a part of `context:` that could do nothing beside, or without, another."""
    for keys, agent in file.agents_in_place:
        at, context = (*keys, "context"), mapping(agent.get("context"))
        if "python" in context:
            for key in context:
                if key != "python":
                    message = f"`{key}` does nothing beside `python`, which decides alone what is sent"
                    yield at_key(file.document, "G229", (*at, key), message, f"take `{key}` out, or `python`")
            continue
        if "recall" in context and "archive" not in context:
            message = "`recall` needs an `archive` to find passages in"
            yield at_key(file.document, "G229", (*at, "recall"), message, "add `archive:` with a store")
        over, window = summary_of(agent).get("over"), context.get("window", WINDOW)
        if type(over) is int and type(window) is int and over <= window:
            message = f"`over: {over}` is not more than the {window} messages of `window`: every turn would summarise"
            hint = f"raise it, as in `over: {2 * window}`"
            yield at_key(file.document, "G229", (*at, "summarise", "over"), message, hint)
