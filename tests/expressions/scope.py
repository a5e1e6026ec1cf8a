"""A scope as a graph's nodes have it, for the tests of analysis."""

from __future__ import annotations

from agentctl.json import Json


def closed(**fields: Json) -> Json:
    return {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}


TEXT: Json = {"type": "string"}
CLAIM = {
    "type": "object",
    "properties": {"text": TEXT, "weight": {"type": "integer"}, "note": TEXT},
    "required": ["text", "weight"],
    "additionalProperties": False,
}
SCOPE: dict[str, Json] = {
    "state": closed(
        question=TEXT,
        sure={"type": "number"},
        count={"type": "integer"},
        done={"type": "boolean"},
        desk={"enum": ["billing", "technical"]},
        notes={"type": "array", "items": TEXT},
        claims={"type": "array", "items": CLAIM},
        customer=closed(name=TEXT, tags={"type": "array", "items": TEXT}),
        maybe={"anyOf": [TEXT, {"type": "null"}]},
        open={"type": "object"},
        anything={},
        scores={"type": "object", "additionalProperties": {"type": "number"}},
    ),
    "run": closed(thread=TEXT, turn={"type": "integer"}, variants=closed(tone={"enum": ["A", "B"]})),
}
