"""From a node's result to writes, and to references where the tape already holds the text."""

from __future__ import annotations

from agentctl.errors import NodeError
from agentctl.graph.plan import Save
from agentctl.json import Json
from agentctl.nodes.turn import NodeResult, Part, Reference
from agentctl.state import Write

WORTH_REFERRING = 48
"""Characters from which a reference is shorter than the text."""


def saved(save: Save, result: Json, effect: str = "", part: Part = ()) -> NodeResult:
    """The writes that `save` makes of `result`, which is `part` of the effect named `effect`, if of any.

    Raises NodeError(bad_answer) when the result lacks a key that `save` names.
    """
    if save.whole is not None:
        refs = (Reference((0, 1), effect, part),) if effect and worth_referring(result) else ()
        return NodeResult([(save.whole, result)], refs)
    writes: list[Write] = []
    references = []
    for field, key in save.parts:
        if not isinstance(result, dict) or key not in result:
            raise NodeError("bad_answer", f"the result has no `{key}`, which `save` names")
        if effect and worth_referring(result[key]):
            references.append(Reference((len(writes), 1), effect, (*part, key)))
        writes.append((field, result[key]))
    return NodeResult(writes, tuple(references))


def worth_referring(value: Json) -> bool:
    if isinstance(value, str):
        return len(value) >= WORTH_REFERRING
    return isinstance(value, dict | list) and bool(value)
