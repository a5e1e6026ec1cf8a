"""What the language has and this version does not run yet: said before a run, never left out in silence."""

from __future__ import annotations

from collections.abc import Iterator

from agentctl.errors import UsageError
from agentctl.json import Json
from agentctl.spec.document import Document
from agentctl.spec.finding import Keys

_TOP = {
    "experiments": "experiments",
}
_OF_MODELS = ("keep_raw",)


def refuse_unsupported(document: Document) -> None:
    """Raise UsageError for the first thing of the file that cannot be run yet, at its line."""
    for keys, what in _unsupported(document.data):
        path, span = document.key(keys)
        raise UsageError(
            f"{path.name}:{span.line}:{span.column}: {what} cannot be run by this version",
            hint="`agentctl validate` checks the file in full; running this part comes with a later version",
        )


def _unsupported(data: Json) -> Iterator[tuple[Keys, str]]:
    for key, what in _TOP.items():
        if key in data:
            yield (key,), what
    for name, store in data.get("stores", {}).items():
        if "url" in store:
            yield ("stores", name, "url"), "shared stores (`url`)"
    for name, model in data.get("models", {}).items():
        yield from ((("models", name, key), f"`{key}` of a model") for key in _OF_MODELS if key in model)
    for key in ("hooks", "buffer", "when_full"):
        if key in data.get("events", {}):
            yield ("events", key), f"events.{key}"
