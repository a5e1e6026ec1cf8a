"""T, retries: that none can do twice what must be done once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from agentctl.check.facts import Facts
from agentctl.check.flow import Work, mapping
from agentctl.check.place import at_value
from agentctl.check.tools.calls import Thing, thing_of
from agentctl.check.tools.tooling import OWN_KINDS
from agentctl.json import Json
from agentctl.spec.finding import Finding, Keys


def retry_of_write(facts: Facts) -> Iterator[Finding]:
    """T509: a tool, an agent or a graph is tried again that can reach a write without an `idempotency_key`."""
    writes = _unsafe_writes(facts)
    for name, tool in facts.tooling.tools.items():
        if _is_retried(tool.get("retry")) and "idempotency_key" not in tool:
            write = writes.get(("tool", name))
            if write is not None:
                yield _finding(facts, ("tools", name), f"tool `{name}`", write, write == name)
    for graph in facts.file.graphs:
        for work in graph.works:
            if _is_retried(work.data.get("retry")):
                yield from _of_work(facts, work, writes)


def _of_work(facts: Facts, work: Work, writes: Mapping[Thing, str]) -> Iterator[Finding]:
    """A try of a node is a try of all that is inside it."""
    for part in work.walk():
        thing = thing_of(part)
        if thing is None or "idempotency_key" in part.data or "idempotency_key" in work.data:
            continue
        write = writes.get(thing)
        if write is not None:
            title = "the agent" if thing[0] == "agent" and "." in thing[1] else f"{thing[0]} `{thing[1]}`"
            yield _finding(facts, work.keys, title, write, thing == ("tool", write))
            return


def _unsafe_writes(facts: Facts) -> Mapping[Thing, str]:
    """Each thing that can reach a write that is not safe to repeat, with that tool; a store takes a write twice."""
    tooling = facts.tooling
    return tooling.reaching(
        name
        for name, tool in tooling.tools.items()
        if tooling.kind(name) in OWN_KINDS
        and tooling.kind(name) != "store"
        and tooling.effect(name) == "write"
        and "idempotency_key" not in tool
    )


def _finding(facts: Facts, keys: Keys, title: str, write: str, is_itself: bool) -> Finding:
    is_said = "effect" in facts.tooling.tools[write]
    does = "writes" if is_said else "counts as a `write`"
    does = does if is_itself else f"can call `{write}`, which {does}"
    message = f"{title} {does}, and a second try could do it twice"
    hint = f"give tool `{write}` an `idempotency_key`, or remove this `retry`"
    if not is_said:
        hint = f"say the `effect` of tool `{write}` if it does not write, or give it an `idempotency_key`"
    return at_value(facts.document, "T509", (*keys, "retry", "attempts"), message, hint)


def _is_retried(retry: Json) -> bool:
    attempts = mapping(retry).get("attempts")
    return isinstance(attempts, int) and attempts > 1


RULES: tuple[Callable[[Facts], Iterator[Finding]], ...] = (retry_of_write,)
