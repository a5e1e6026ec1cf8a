"""The records of a thread's log, and how they are read back.

A log is a sequence of JSON objects, each with a `kind`:

- `turn` begins a turn: its number, run id, time, inputs, the file's digest and name; `jobs` are background jobs that
  are over, each with what it wrote or its error.
- `effect` is one answer of the world, under the key of its place: `res`, or `err`, `cut`, `limit`.
- `intent` says that a write is about to be made under that key.
- `asked` says that a person was asked, and until when the answer counts.
- `inner` is a nested step that is over, under its path: where it went, its error, a digest of what it wrote.
- `step` is a checkpoint: the update (`up`), what of it is on the tape (`refs`), what comes next, budgets used.
- `snapshot` is the whole state, in the types of the file it names.
- `suspend` and `resume` stand where a turn was left and taken up: in which step, by which file and options;
  `changed` says that they are others than before.
- `end` ends a turn: status, output, error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from agentctl.errors import DamagedRecord
from agentctl.json import Json, decode
from agentctl.nodes.saving import WORTH_REFERRING
from agentctl.nodes.turn import Part, Reference
from agentctl.state import Write


@dataclass(slots=True)
class Tape:
    """What is recorded of one turn and not yet behind a checkpoint, by the key of its place."""

    effects: dict[str, Json] = field(default_factory=dict)
    intents: dict[str, Json] = field(default_factory=dict)
    asked: dict[str, Json] = field(default_factory=dict)
    inner: dict[str, Json] = field(default_factory=dict)
    """Nested steps by their paths."""

    def forget_requests(self, step: int) -> None:
        """A changed file may ask otherwise for what was answered in a step already: what is paid for stands."""
        inside = tuple(f"{step}{mark}" for mark in "!/~.[")
        for key, effect in self.effects.items():
            if key.startswith(inside):
                self.effects[key] = {name: value for name, value in effect.items() if name != "req"}
        self.inner = {path: one for path, one in self.inner.items() if not path.startswith(inside)}

    def forget(self) -> None:
        """A checkpoint is behind all of it: nothing of it is asked for again."""
        for part in (self.effects, self.intents, self.asked, self.inner):
            part.clear()

    def take(self, record: Json) -> None:
        """Take one record in; those of other kinds are passed over."""
        match record["kind"]:
            case "resume" if record["changed"]:
                self.forget_requests(record["step"])
            case "effect":
                self.effects[record["key"]] = record
            case "intent":
                self.intents[record["key"]] = record
            case "asked":
                self.asked[record["key"]] = record
            case "inner":
                self.inner[record["path"]] = record


def packed(writes: Sequence[Write], references: Iterable[Reference], tape: Tape) -> tuple[Json, Json]:
    """Writes and references as a step record keeps them: what the tape holds already is left out.

    A reference is kept only where the value written is the value on the tape: `first` may have cut it.
    """
    up = [list(write) for write in writes]
    own: set[Part] = set()
    kept = []
    for reference in references:
        found = _value_at(writes, reference.at)
        if found == (effect_part(tape.effects[reference.effect], reference.part),):
            _put_at(up, reference.at, None, own)
            kept.append([list(reference.at), reference.effect, list(reference.part)])
    return up, kept


def references_to(step: int, writes: Sequence[Write], tape: Tape) -> list[Reference]:
    """Where the texts that a graph brought up stand on the tape, among the effects inside its step."""
    wanted = [(at, text) for at, text in _texts_of(writes) if len(text) >= WORTH_REFERRING]
    if not wanted:
        return []
    known: dict[str, tuple[str, Part]] = {}
    for key in sorted(key for key in tape.effects if key.startswith((f"{step}/", f"{step}~"))):
        for text, part in _texts_in(tape.effects[key]):
            known.setdefault(text, (key, part))
    return [Reference(at, *known[text]) for at, text in wanted if text in known]


def unpacked(step: Json, tape: Tape) -> list[Write]:
    """The writes of a step record, whole. Raises DamagedRecord when a referred effect is not there."""
    up = [list(write) for write in step.get("up", ())]
    own: set[Part] = set()
    for at, key, part in step.get("refs", ()):
        effect = tape.effects.get(key)
        if effect is None:
            raise DamagedRecord(f"step {step['n']} refers to `{key}`, which is not on the tape")
        _put_at(up, at, effect_part(effect, part), own)
    return [(name, value) for name, value in up]


def arrived(turn: Json) -> list[Write]:
    """What background jobs found that a `turn` record took in, in the order of their keys."""
    found = (job.get("writes", ()) for job in turn.get("jobs", ()))
    return [(name, value) for writes in found for name, value in writes]


def effect_part(effect: Json, part: Sequence[str | int]) -> Json:
    """A part of what an effect answered: `text` and `json` of a model's reply, `result` of all others."""
    head, *rest = part
    if head == "text":
        value: Json = effect["res"].get("text", "")
    elif head == "json":
        value = decode(effect["res"]["text"])
    else:
        value = effect["res"]
    for key in rest:
        value = value[key]
    return value


def called_tool(effect: Json) -> str | None:
    """The tool whose budget an effect used: not one that was answered from the memo, refused or cut short."""
    if effect["of"] != "tool" or "memo" in effect or "cut" in effect or "limit" in effect:
        return None
    error = effect.get("err")
    refused = error is not None and (error["class"] == "limit" or error["origin"] == "breaker")
    return None if refused else str(effect["tool"])


def _texts_of(writes: Sequence[Write]) -> Iterator[tuple[Part, str]]:
    """Texts that are written, alone or as items of an array, and where."""
    for index, (_, value) in enumerate(writes):
        if isinstance(value, str):
            yield (index, 1), value
        elif isinstance(value, list):
            yield from (((index, 1, at), item) for at, item in enumerate(value) if isinstance(item, str))


def _texts_in(effect: Json) -> Iterator[tuple[str, Part]]:
    """Texts that an effect answered, alone or under a key."""
    result = effect.get("res")
    if effect["of"] != "model":
        found: Json = result
        head = "result"
    else:
        text = (result or {}).get("text", "")
        yield text, ("text",)
        found, head = _decoded(text), "json"
    if isinstance(found, str):
        yield found, (head,)
    elif isinstance(found, dict):
        yield from ((item, (head, key)) for key, item in found.items() if isinstance(item, str))


def _decoded(text: str) -> Json:
    try:
        return decode(text) if text.startswith("{") else None
    except ValueError:
        return None


def _value_at(tree: Json, at: Sequence[str | int]) -> tuple[Json] | None:
    for key in at:
        if isinstance(tree, dict):
            if key not in tree:
                return None
        elif not isinstance(tree, list | tuple) or not isinstance(key, int) or key >= len(tree):
            return None
        tree = tree[key]
    return (tree,)


def _put_at(tree: Json, at: Sequence[str | int], value: Json, own: set[Part]) -> None:
    """Put a value at a place, copying the containers on the way, which others may hold; once, as `own` says."""
    for depth, key in enumerate(at[:-1], 1):
        place = tuple(at[:depth])
        if place not in own:
            own.add(place)
            inner = tree[key]
            tree[key] = dict(inner) if isinstance(inner, dict) else list(inner)
        tree = tree[key]
    tree[at[-1]] = value
