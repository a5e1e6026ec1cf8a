"""What is wrong with the shape of a file, each thing once, where it is, without what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from itertools import islice

import jsonschema_rs

from agentctl import units
from agentctl.json import Json
from agentctl.spec.fault import Fault, told
from agentctl.spec.finding import Keys
from agentctl.spec.mends import as_in, like_name, mend_type, mend_unit
from agentctl.spec.nearest import nearest, sure_word
from agentctl.spec.other_words import elsewhere, other_key
from agentctl.spec.part import Choice
from agentctl.spec.schema import graph_schema, named_choices
from agentctl.spec.spot import spot
from agentctl.spec.wording import YAML_KINDS, listed

_UNITS: dict[str, Callable[[str], float]] = {
    "Duration": units.seconds,
    "Pause": units.seconds,
    "Size": units.size,
    "Money": units.dollars,
    "Tokens": units.tokens,
    "Share": partial(units.share_of, whole=100),
}
_NONE = {"Duration": "no time at all", "Size": "no room at all"}
"""What zero of a unit is, where it may not be zero."""
_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}
_TYPES = (("$defs", "TypeName"), ("$defs", "Field"))
_OFFER = len(("$defs", "Node", "allOf", 0, "then", "properties", "prompt", "type"))
"""The place of what a choice says again of a key's value, for editors."""
_NEEDED = {
    "a node": "`agent: NAME` asks a model, `tool: NAME` calls a tool, `ask:` a person, `set:` writes fields",
    "a tool": "`python: module:function`, `http: GET https://…`, `command: [program, argument]`, or another",
    "an arm": "write `{when: …, to: …}`, and `{else: …}` as the last",
    "a model": "name one with `model: provider/model`, or a group of them",
}
_TOO_MANY = {
    "a node": "one after the other in two nodes, or side by side in the branches of a `parallel`",
    "an arm": "`else` is an arm of its own, the last one",
    "a tool": "make two tools of it",
}
"""By the noun of a choice."""
_COMMANDS = ("Tool.command", "McpServer.command")
_MOST_FAULTS = 1_000
_SHORTENED = 3
"""Letters that a key which is cut short has at least."""
_MOST_LISTED = 12
"""Keys that a hint lists when none is near."""


def shape_faults(data: Json) -> list[Fault]:
    """Everything in which the data does not fit the schema."""
    faults: dict[tuple[str, Keys], Fault] = {}
    explained = (fault for error in _validator().iter_errors(data) for fault in _explain(error, data))
    for fault in islice(explained, _MOST_FAULTS):
        faults.setdefault((fault.code, fault.keys), fault)
    return list(_without_consequences(faults.values(), data))


def _without_consequences(faults: Iterable[Fault], data: Json) -> Iterator[Fault]:
    """The faults, with one for each router that is a lone arm, which is neither kind of router."""
    lone: set[Keys] = set()
    for fault in faults:
        if fault.keys[-1:] == ("else",) and _is_else_in_two(_at(data, fault.keys[:-1])):
            continue  # its target is told of
        router = _router_of(fault.keys)
        value = _at(data, router) if router else None
        if not isinstance(value, dict) or "when" not in value or "by" in value:
            yield fault
        elif router not in lone:
            lone.add(router)
            message = f"router `{router[-1]}` is a lone arm; a router by condition is a list of them"
            yield Fault("S102", router, message, "write `[{when: …, to: …}, {else: …}]`", at_key=True)


def _is_else_in_two(arm: Json) -> bool:
    """`else:` with nothing, and `to: NODE`."""
    return isinstance(arm, dict) and arm.get("else", "") is None and isinstance(arm.get("to"), str)


def _router_of(keys: Keys) -> Keys:
    """The router that a fault is in; empty when it is in none."""
    start = 2 if keys[:1] == ("graphs",) else 0
    return keys[: start + 2] if keys[start : start + 1] == ("routers",) and len(keys) > start + 1 else ()


@cache
def _validator() -> jsonschema_rs.Validator:
    # nothing of a schema is ever fetched
    return jsonschema_rs.validator_for(graph_schema(), validate_formats=True, offline=True)


def _explain(error: jsonschema_rs.ValidationError, data: Json) -> Iterator[Fault]:
    keys, where = _keys_in(data, error.instance_path), tuple(error.schema_path)
    value = _at(data, keys)
    if keys == ("agentctl",):
        return  # each file says its own version, which is checked as it is read
    if where[:2] in _TYPES or (len(where) == _OFFER and where[4:6] == ("then", "properties")):
        return  # told of where types are read, or at the key itself
    choice, owner = _choice_of(where)
    if choice is not None:
        here = keys[:owner] if owner else keys
        yield from _choice_faults(choice, _at(data, here), here)
        return
    # each kind has attributes of its own, which the stubs know by class only
    told_more: Json = error.kind
    match error.kind.name:
        case "additionalProperties":
            known = tuple(_at(graph_schema(), where[:-1])["properties"])
            for key in told_more.unexpected:
                yield unknown_key(key, keys, known, value)
        case "required":
            yield from _missing(told_more.property, value, keys, _at(graph_schema(), where[:-1]))
        case "propertyNames":
            yield from _bad_keys(value, keys, where)
        case kind:
            yield _bad_value(kind, value, keys, where, error.message)


def unknown_key(key: str, keys: Keys, known: tuple[str, ...], value: Json = None) -> Fault:
    """A key that the language does not have, with the one that was meant; `value` is what it stands in."""
    meant = _meant_key(key, known)
    place = elsewhere(spot(keys).owner, key)
    hint = f"did you mean `{meant}`?" if meant else place
    if ":" in key:
        hint = "write a space after the `:`"
    elif hint is None and len(known) <= _MOST_LISTED:
        hint = f"the keys here are {listed([f'`{name}`' for name in known])}"
    taken = value if isinstance(value, dict) else {}
    fix = sure_word(key, known) if meant and meant not in taken and other_key(key, known) is None else None
    return Fault("S101", (*keys, key), f"unknown key {told(key)}", hint, at_key=True, fix=fix)


def _meant_key(key: str, known: tuple[str, ...]) -> str | None:
    """The key that an unknown one was meant for: what other tools call so, or the nearest."""
    return other_key(key, known) or nearest(key, known) or _in_full(key, known)


def _in_full(key: str, known: tuple[str, ...]) -> str | None:
    """The one key that begins like this: `description` for `desc`."""
    longer = [word for word in known if word.startswith(key)] if len(key) >= _SHORTENED else []
    return longer[0] if len(longer) == 1 else None


def _missing(key: str, value: Json, keys: Keys, schema: Json) -> Iterator[Fault]:
    """A key that is not there; unless one that is there looks like a slip of it."""
    known = schema.get("properties") or graph_schema()["properties"]
    if key == "agentctl" or key in _slips(value, known):
        return
    yield Fault("S104", keys, f"`{key}` is missing", _example_of((*keys, key)), at_key=True)


def _example_of(keys: Keys) -> str | None:
    """What a key that is not there would look like."""
    return as_in(None, keys, spot(keys).examples)


def _slips(value: Json, known: Iterable[str]) -> set[str | None]:
    """The keys that unknown ones were meant for."""
    words = tuple(known)
    return {_meant_key(key, words) for key in islice(value, _MOST_FAULTS) if key not in words}


def _choice_of(where: Keys) -> tuple[Choice | None, int]:
    """The choice whose rules an error is about; and -1 when the error is at one of the keys, not the mapping."""
    if len(where) < 3 or where[0] != "$defs" or where[2] not in ("anyOf", "allOf"):
        return None, 0
    return named_choices().get(str(where[1])), -1 if where[-2] == "properties" else 0


def _choice_faults(choice: Choice, value: Json, keys: Keys) -> Iterator[Fault]:
    chosen = [key for key in value if key in choice.keys]
    slips = _slips(value, (*choice.keys, *choice.belonging))
    names = [f"`{key}`" for key in choice.keys]
    if not chosen:
        if slips.isdisjoint(choice.keys):
            message = f"{choice.noun} needs a {choice.kind}: {listed(names, 'or')}"
            others = {elsewhere(spot(keys).owner, key) for key in value if isinstance(key, str)}
            hint = next((other for other in others if other), None) or _NEEDED.get(choice.noun)
            yield Fault("S103", keys, message, hint, at_key=True)
        return
    if len(chosen) > 1:
        both = listed([f"`{key}`" for key in chosen])
        hint = _TOO_MANY.get(choice.noun)
        yield Fault(
            "S103",
            (*keys, chosen[1]),
            f"{choice.noun} has one {choice.kind}, and this has {both}",
            hint,
            at_key=True,
        )
        return
    for key in value:
        owners = choice.belonging.get(key, (chosen[0],))
        if chosen[0] not in owners:
            belongs = listed([f"`{owner}`" for owner in owners], "or")
            message = f"`{key}` goes with {belongs}, not with `{chosen[0]}`"
            hint = f"write `else: {value[key]}`" if _is_else_in_two(value) else None
            yield Fault("S103", (*keys, key), message, hint, at_key=True)
    for key in choice.needs.get(chosen[0], ()):
        if key not in value and key not in slips:
            message = f"`{key}` is missing: `{chosen[0]}` needs it"
            yield Fault("S104", keys, message, _example_of((*keys, key)), at_key=True)


def _bad_keys(value: Json, keys: Keys, where: Keys) -> Iterator[Fault]:
    """Names that are none; all of them, for the schema tells of them one by one."""
    word = str(where[1])
    fits = jsonschema_rs.validator_for(graph_schema()["$defs"][word])
    for key in value:
        if fits.is_valid(key):
            continue
        if word == "Name":
            yield Fault("S102", (*keys, key), f"{told(key)} is no name", _name_hint(key), at_key=True)
        else:
            classes = graph_schema()["$defs"][word]["examples"]
            meant = nearest(key, classes)
            hint = f"did you mean `{meant}`?" if meant else f"the classes are {listed(classes)}"
            fix = sure_word(key, classes) if meant not in value else None
            yield Fault(
                "S101", (*keys, key), f"{told(key)} is no class of errors", hint, at_key=True, fix=fix
            )


def _name_hint(word: Json) -> str:
    like = like_name(word) if isinstance(word, str) else None
    rule = "a name has letters, digits, `_` and `-`, and no digit first"
    return f"{rule}: `{like}`" if like else rule


def _bad_value(kind: str, value: Json, keys: Keys, where: Keys, message: str) -> Fault:
    schema = _at(graph_schema(), where[:-1])
    word = str(where[1]) if where[0] == "$defs" and len(where) == 3 else _word_of(schema)
    if word in _UNITS and value is not None:
        return _bad_unit(word, value, keys)
    name = f"`{keys[-1]}`" if keys and isinstance(keys[-1], str) else "an item"
    if kind == "type":
        return _bad_type(value, keys, name, _listed_types(schema["type"]))
    if kind == "enum":
        options = schema["enum"]
        meant = nearest(value, options) if isinstance(value, str) else None
        hint = f"did you mean `{meant}`?" if meant else None
        fix = sure_word(value, options) if isinstance(value, str) else None
        if isinstance(value, list) and len(value) == 1 and value[0] in options:
            hint, fix = f"write `{value[0]}`", str(value[0])
        message = f"{name} takes {listed([told(one) for one in options], 'or')}, not {told(value)}"
        return Fault("S102", keys, message, hint, fix=fix)
    if kind in _BOUNDS:
        return Fault("S102", keys, f"{name} takes {_BOUNDS[kind]} {schema[kind]}, and {told(value)} is not")
    if word == "Name":
        return Fault("S102", keys, f"{told(value)} is no name", _name_hint(value))
    return Fault("S102", keys, f"{name}: {message}")


def _bad_type(value: Json, keys: Keys, name: str, types: list[str]) -> Fault:
    takes = listed([YAML_KINDS[one] for one in types], "or")
    if not keys:
        return Fault("S102", keys, f"a file is a mapping of keys, and this is {YAML_KINDS[_kind(value)]}")
    here = spot(keys)
    hint, fix = mend_type(value, types, here.place, keys, here.examples)
    if isinstance(value, str) and here.place in _COMMANDS:
        return Fault("X07", keys, "the command is one text, and no shell takes it apart", hint, fix=fix)
    if value is None:  # there is no word to put something in place of
        return Fault("S102", keys, f"{name} is empty; it takes {takes}", hint)
    return Fault(
        "S102", keys, f"{name} takes {takes}, and {told(value)} is {YAML_KINDS[_kind(value)]}", hint, fix=fix
    )


def _bad_unit(word: str, value: Json, keys: Keys) -> Fault:
    try:
        amount = _UNITS[word](value if isinstance(value, str) else told(value).strip("`"))
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        fix = mend_unit(word, value)
        if word == "Duration" and isinstance(value, int) and not isinstance(value, bool):
            hint = f"say of what: `{value}s`, `{value}m`, `{value}h` …"
        return Fault("S106", keys, message, hint if fix is None else f"write `{fix}`", fix=fix)
    if amount == 0 and word in _NONE:
        return _none_at_all(word, value, keys)
    return Fault("S106", keys, f"{told(value)} is no {word.lower()}", f'write it as text: "{value}"')


def _none_at_all(word: str, value: Json, keys: Keys) -> Fault:
    """For a time or a size of zero, with which nothing could be done."""
    message = f"`{keys[-1]}: {value}` leaves {_NONE[word]}"
    if keys[-1] == "cache":
        return Fault("S106", keys, message, "write `false` to keep no answer", fix="false")
    return Fault("S106", keys, message, as_in(None, keys, spot(keys).examples))


def _word_of(schema: Json) -> str:
    """The word with a unit that a value may be written as besides a number."""
    return str(schema.get("then", {}).get("$ref", "")).rpartition("/")[2] if isinstance(schema, dict) else ""


def _listed_types(type: Json) -> list[str]:
    return type if isinstance(type, list) else [type]


def _kind(value: Json) -> str:
    match value:
        case bool():
            return "boolean"
        case str():
            return "string"
        case int() | float():
            return "number"
        case dict():
            return "object"
        case list():
            return "array"
        case _:
            return "null"


def _keys_in(data: Json, path: Iterable[str | int]) -> Keys:
    """The keys of a path in which jsonschema-rs has made an index of a mapping's key, `"1"` or `"01"`."""
    keys: list[str | int] = []
    for step in path:
        if isinstance(data, dict) and isinstance(step, int):
            step = next(key for key in data if key.isdecimal() and int(key) == step)
        keys.append(step)
        data = data[step]
    return tuple(keys)


def _at(data: Json, keys: Keys) -> Json:
    for key in keys:
        data = data[key]
    return data
