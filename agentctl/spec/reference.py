"""The key reference, made from the types: `python -m agentctl.spec.reference` writes docs/keys.md."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from agentctl.json import Json
from agentctl.spec.part import Choice
from agentctl.spec.schema import graph_schema, named_choices
from agentctl.spec.wording import YAML_KINDS, listed
from agentctl.spec.words import WORDS

KEYS_FILE = Path(__file__).parents[2] / "docs" / "keys.md"
COMMAND = "python -m agentctl.spec.reference"


@dataclass(frozen=True)
class Key:
    """One key of the language."""

    name: str
    takes: str
    """Its type in words."""
    need: str
    """`needed`, the default as it is written, or nothing."""
    goes_with: tuple[str, ...]
    """The verbs or kinds it belongs to; empty when it belongs to all."""
    meaning: str
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Place:
    """A mapping of the language: where it stands, and its keys."""

    title: str
    paths: tuple[str, ...]
    """`nodes.NAME`; the first is the shortest."""
    meaning: str
    choice: Choice | None
    keys: tuple[Key, ...]


@cache
def places() -> tuple[Place, ...]:
    """Every mapping of the language, the file first, then in the order of its keys."""
    return tuple(_place(name, paths) for name, paths in _found().items())


def entries(path: str) -> tuple[tuple[str, Key], ...]:
    """The keys at a path like `limits.recursion` or `tools.find.effect`, each with its full path; names are any."""
    wanted = path.strip().split(".")
    found = []
    for place in places():
        for key in place.keys:
            at = next((at for at in paths_of(place, key) if _fits(at.split("."), wanted)), None)
            if at is not None:
                found.append((at, key))
    return tuple(found)


def key_paths() -> tuple[str, ...]:
    """The full path of every key."""
    return tuple(path for place in places() for key in place.keys for path in paths_of(place, key))


def keys_text() -> str:
    """The reference as it is written to its file."""
    parts = [
        "# Every key",
        f"Made from the types by `{COMMAND}`. A key that is not here does not exist; in a file, keys that begin "
        "with `x-` are yours. NAME is a name of your own. `agentctl explain limits.recursion` shows one key.",
        *(_section(place) for place in places()),
        _words_section(),
    ]
    return "\n\n".join(parts) + "\n"


def paths_of(place: Place, key: Key) -> Iterator[str]:
    """Where a key of a mapping stands, the shortest path first."""
    for path in place.paths:
        yield f"{path}.{key.name}" if path else key.name


def _fits(path: list[str], wanted: list[str]) -> bool:
    return len(path) == len(wanted) and all(
        have in ("NAME", "FIELD", word) for have, word in zip(path, wanted, strict=True)
    )


def _found() -> dict[str, list[str]]:
    """Each mapping by its name in the schema, with the paths where it stands; what holds itself is not gone into."""
    found: dict[str, list[str]] = {"File": [""]}
    waiting: deque[tuple[str, str, tuple[str, ...]]] = deque([("File", "", ("File",))])
    while waiting:
        name, path, within = waiting.popleft()
        for key, schema in _keys_schema(name).items():
            here = f"{path}.{key}" if path else key
            for inner, at in _inside(schema, here):
                paths = found.setdefault(inner, [])
                if at not in paths and inner not in within:
                    paths.append(at)
                    waiting.append((inner, at, (*within, inner)))
    return found


def _inside(schema: Json, path: str) -> Iterator[tuple[str, str]]:
    """The mappings that a value may be or hold, with their paths."""
    if not isinstance(schema, dict):
        return
    reference = schema.get("$ref", "").rpartition("/")[2]
    if reference and reference not in WORDS:
        yield reference, path
    for part in (schema.get("then"), *schema.get("allOf", ())):
        yield from _inside(part, path)
    yield from _inside(schema.get("items"), f"{path}[]")
    yield from _inside(schema.get("additionalProperties"), f"{path}.{_any_name(path)}")


def _any_name(path: str) -> str:
    return "FIELD" if path.endswith("state") else "NAME"


def _definition(name: str) -> Json:
    return graph_schema() if name == "File" else graph_schema()["$defs"][name]


def _keys_schema(name: str) -> Mapping[str, Json]:
    definition = _definition(name)
    if "then" not in definition or "allOf" in definition or name == "File":
        return dict(definition["properties"])
    # a state field: what is said of a key once it is clear that it is a type
    return {
        key: {**definition["then"]["properties"].get(key, {}), **part}
        for key, part in definition["properties"].items()
    }


def _place(name: str, paths: list[str]) -> Place:
    definition, choice = _definition(name), named_choices().get(name)
    needed = ("agentctl", "name", "start", "nodes") if name == "File" else definition.get("required", ())
    keys = tuple(
        _key(key, schema, key in needed, () if choice is None else choice.belonging.get(key, ()))
        for key, schema in _keys_schema(name).items()
    )
    return Place(name, tuple(paths), definition["description"].replace("\n", " "), choice, keys)


def _key(name: str, schema: Json, needed: bool, owners: tuple[str, ...]) -> Key:
    meaning = schema["description"]
    for owner in owners:
        meaning = meaning.removeprefix(f"{owner}: ")
    meaning = meaning[:1].upper() + meaning[1:]
    default = _written(schema["default"]) if "default" in schema else ""
    examples = tuple(_written(example) for example in schema["examples"])
    return Key(name, _takes(schema), "needed" if needed else default, owners, meaning, examples)


def _takes(schema: Json) -> str:
    """The type of a value in words."""
    if "enum" in schema:
        return listed([_written(value) for value in schema["enum"]], "or")
    if "const" in schema:
        return _written(schema["const"])
    told = _referred(schema)
    types = schema.get("type", [])
    for kind in [types] if isinstance(types, str) else types:
        if kind not in told:
            told[kind] = _kind_told(kind, schema)
    return listed(list(told.values()), "or") or "anything"


def _referred(schema: Json) -> dict[str, str]:
    """What is said by reference, by the JSON type it is for."""
    told: dict[str, str] = {}
    for part in (schema, *schema.get("allOf", ())):
        then = part.get("then") or part
        kind = part.get("if", {}).get("type", "string")
        if "$ref" in then:
            name = then["$ref"].rpartition("/")[2]
            told[kind if name in WORDS else "object"] = name
        elif "enum" in then and part is not then:
            told[kind] = listed([_written(value) for value in then["enum"]], "or")
    return told


def _kind_told(kind: str, schema: Json) -> str:
    if kind == "array" and "items" in schema:
        return f"a list of {_takes(schema['items'])}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"a mapping to {_takes(schema['additionalProperties'])}"
    bounds = [
        f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema
    ]
    return " ".join([YAML_KINDS[kind], *(bounds if kind in ("integer", "number") else ())])


def _written(value: Json) -> str:
    """A value as it may be written in a file, on one line."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _section(place: Place) -> str:
    parts = [f"## {place.title}", _where(place)]
    if place.choice is not None:
        parts.append(
            f"Needs one {place.choice.kind}: {listed([f'`{key}`' for key in place.choice.keys], 'or')}."
        )
    rows = ["| key | takes | default | goes with | meaning | example |", "|---|---|---|---|---|---|"]
    rows += [_row(key) for key in place.keys]
    return "\n\n".join([*parts, "\n".join(rows)])


def _where(place: Place) -> str:
    paths = [f"`{path}`" for path in place.paths if path]
    return f"{place.meaning} At {listed(paths)}." if paths else place.meaning


def _row(key: Key) -> str:
    need = key.need if key.need in ("", "needed") else _code(key.need)
    owners = ", ".join(_code(owner) for owner in key.goes_with)
    examples = " · ".join(_code(example) for example in key.examples)
    cells = (_code(key.name), key.takes, need, owners, key.meaning, examples)
    return f"| {' | '.join(cell if cell.startswith('`') else _escaped(cell) for cell in cells)} |"


def _code(text: str) -> str:
    return f"`{_escaped(text)}`"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _words_section() -> str:
    rows = ["| word | what it is | examples |", "|---|---|---|"]
    for name, word in WORDS.items():
        shown = " · ".join(_code(str(example)) for example in (word.choices or word.examples))
        rows.append(f"| {name} | {word.description} | {shown} |")
    return "\n\n".join(
        [
            "## Words",
            "What `takes` names: words with units, and names of things of the file.",
            "\n".join(rows),
        ]
    )


if __name__ == "__main__":
    KEYS_FILE.write_text(keys_text(), encoding="utf-8")
