"""Tools of a store, by operation: what they take, what they do, and how they are described to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from agentctl.json import Json

PARAMETERS: Mapping[str, Mapping[str, Json]] = {
    "search": {
        "query": "string",
        "top": {"type": "integer", "default": 5, "minimum": 1, "maximum": 1000},
        "by": {"enum": ["both", "words", "meaning"], "default": "both"},
        "metadata": "object?",
    },
    "add": {"text": "string", "title": "string?", "metadata": "object?"},
    "get": {"id": "string"},
    "delete": {"id": "string"},
}
EFFECTS: Mapping[str, Literal["read", "write"]] = {
    "search": "read",
    "get": "read",
    "add": "write",
    "delete": "write",
}
DESCRIPTIONS: Mapping[str, str] = {
    "search": "Search the documents of `{store}` by words and by meaning; the best come first. "
    "`metadata` holds values that a document must have.",
    "add": "Keep a text in `{store}`, to be found again later. Answers its id.",
    "get": "Read a document of `{store}` by its id; null when there is none.",
    "delete": "Take a document out of `{store}`.",
}
