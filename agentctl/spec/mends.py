"""What would be right where a value has the wrong shape, in the writer's own words; and the text for it, when that is certain."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping
from typing import NamedTuple

from agentctl.json import Json
from agentctl.spec.finding import Keys
from agentctl.spec.types import TYPE_NAMES

_LONGEST = 90
_PLAIN = re.compile(
    r"-{0,2}[A-Za-z_./][\w./$-]*(?::[\w./$-]+)*(?: [\w./$-]+)*|\$?\d+(?:\.\d+)?(?:ms|s|m|h|d|B|KB|MB|GB|%)|\$\d+(?:\.\d+)?"
)
"""Texts that mean themselves without quotes, inside brackets too."""
_NO_TEXT = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"))
_NAME = re.compile(r"[A-Za-z_][\w-]*")
_WORDS = re.compile(r"[\w./=:@%+,-]+(?: [\w./=:@%+,-]+)*")
"""A command of plain words, which the shell would do nothing with."""
_TEMPLATE = re.compile(r"\$\{\{.*?\}\}")
_FILLED = "agentctl_fills_this_in"
"""Stands for a template while a command is taken apart."""
_OPERATOR = re.compile(r"[();<>|&]+")
_NO_SHELL = "list one program and its arguments, one by one; what needs a shell belongs into a script"
_EXPRESSIONS = frozenset(("Map.over", "Node.prompt", "Node.say", "Node.ask", "Agent.instructions"))
"""Where a list of one name is not that name."""
_OF_A_NODE = frozenset(
    ("then", "save", "prompt", "on_error", "on_timeout", "history", "timeout", "description")
)
"""Keys that are seldom the names of nodes."""
_TRUE = frozenset(("true", "yes", "on", "y", "1"))
_FALSE = frozenset(("false", "no", "off", "n", "0"))


class Mend(NamedTuple):
    """What would be right, and the text that certainly belongs in place of the value."""

    hint: str | None = None
    fix: str | None = None


def flow(value: Json) -> str:
    """A value as one writes it in a file, on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{flow(key)}: {flow(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NO_TEXT:
        return value
    return json.dumps(value, ensure_ascii=False)


def like_name(word: str) -> str | None:
    """The name nearest to a word that is none: my_desk for `my desk`."""
    slug = re.sub(r"[^\w-]+", "_", word.strip()).strip("_-")
    return slug if slug.isascii() and _NAME.fullmatch(slug) else None


def mend_type(value: Json, takes: list[str], place: str, keys: Keys, examples: list[Json]) -> Mend:
    """For a value of the wrong JSON type: `takes` are the right ones, `place` is what stands there in the schema."""
    mend = _by_place(value, place, keys) or _by_kind(value, takes, place)
    if mend is not None:
        return mend
    return Mend(as_in(value, keys, examples))


def as_in(value: Json, keys: Keys, examples: list[Json]) -> str | None:
    """An example of the language, the one most like the value."""
    alike = [one for one in examples if isinstance(one, list) == isinstance(value, list)]
    for example in (*alike, *examples):
        # an example too long to read is passed over
        name = f"{keys[-1]}: " if keys and isinstance(keys[-1], str) else ""
        if len(text := f"{name}{flow(example)}") <= _LONGEST:
            return f"as in `{text}`"
    return None


def _write(value: Json, *, certain: bool = True) -> Mend:
    text = flow(value)
    return Mend(f"write `{text}`", text if certain else None) if len(text) <= _LONGEST else Mend()


def _by_kind(value: Json, takes: list[str], place: str) -> Mend | None:
    """What a value of another type would be as one of those that are taken."""
    match value:
        case str() if takes == ["array"]:
            return _as_list(value)
        case str() if "number" in takes or "integer" in takes:
            return _as_number(value, takes)
        case str() | int() if takes == ["boolean"]:
            word = str(value).lower()
            known = word in _TRUE or word in _FALSE
            return _write(word in _TRUE) if known else Mend("write `true` or `false`")
        case bool() | float() if takes == ["string"]:
            return None
        case int() if takes == ["string"]:
            return Mend(f'write it as text: `"{value}"`')
        case [str(only)] if "string" in takes and "array" not in takes and _NAME.fullmatch(only):
            return None if place in _EXPRESSIONS else _write(only)
        case dict() if takes == ["array"] and place.endswith((".input", ".output")):
            return Mend(f"list the names: `{flow(list(value))}`; their types stand under `state:`")
        case dict() if takes == ["array"]:
            return None
        case [*names] if takes == ["object"] and names and all(isinstance(name, str) for name in names):
            return _named_list(names, place)
        case [dict(), *_] if takes == ["object"]:
            return _one_mapping(value) if "." not in place else _named_parts(value)
    return None


def _as_list(value: str) -> Mend | None:
    if "\n" in value or not value.strip():
        return None
    parts = [part.strip() for part in value.split(",")]
    if all(map(_NAME.fullmatch, parts)):
        return _write(parts)
    return _write([value], certain=_PLAIN.fullmatch(value) is not None and " " not in value)


def _as_number(value: str, takes: list[str]) -> Mend | None:
    found = re.fullmatch(r"\$?(\d+(?:_\d{3}|,\d{3})*)(\.\d+)?([kKmM]?)", value.strip())
    if found is None:
        return Mend(
            "write a whole number, like `3`" if "number" not in takes else "write a number, like `0.5`"
        )
    factor = {"": 1, "k": 1_000, "m": 1_000_000}[found[3].lower()]
    number = float(re.sub("[_,]", "", found[1]) + (found[2] or "")) * factor
    if number.is_integer():
        return _write(int(number))
    return _write(number) if "number" in takes else Mend("write a whole number")


def _named_list(names: list[str], place: str) -> Mend | None:
    if place in ("File.env", "File.stores"):
        return _write({name: {} for name in names})
    if place.endswith((".state", ".output", ".parameters")):
        return Mend(f"give each a type: `{flow(dict.fromkeys(names, 'string'))}`")
    if place.endswith((".args", ".input", ".set")):
        return Mend(f"give each a value: `{flow(dict.fromkeys(names, '…'))}`")
    if place == "Experiment.variants":
        return Mend(f"give each its weight: `{flow({name: {'weight': 1} for name in names})}`")
    return None


def _one_mapping(parts: list[Json]) -> Mend | None:
    if not all(isinstance(part, dict) for part in parts):
        return None
    whole = {key: value for part in parts for key, value in part.items()}
    return _write(whole) if len(whole) == sum(map(len, parts)) else None


def _named_parts(parts: list[Json]) -> Mend:
    first = parts[0]
    name = next((first[key] for key in ("name", "id", "key") if isinstance(first.get(key), str)), None)
    return Mend(f"no list, a mapping by name: `{name or 'NAME'}:`, and below it the rest without the `-`")


def _by_place(value: Json, place: str, keys: Keys) -> Mend | None:
    make = _PLACES.get(place)
    return None if make is None else make(value, keys)


def _model(value: Json, _: Keys) -> Mend | None:
    return _write({"model": value}) if isinstance(value, str) and "/" in value else None


def _tool(value: Json, _: Keys) -> Mend | None:
    if not isinstance(value, str):
        return None
    if re.fullmatch(r"[\w.]+:\w+", value):
        return _write({"python": value})
    return (
        _write({"http": value}) if value.startswith(("GET ", "POST ", "PUT ", "DELETE ", "PATCH ")) else None
    )


def _variable(value: Json, keys: Keys) -> Mend | None:
    if value is None:
        return Mend(f"write `{keys[-1]}: {{}}`")
    if value in ("secret", "required"):
        return _write({value: True})
    return Mend("its value comes from the environment; say `{secret: true}`, `{default: …}` or `{}`")


def _server(value: Json, _: Keys) -> Mend | None:
    if not isinstance(value, str):
        return Mend(f"write `{{command: {flow(value)}}}`") if isinstance(value, list) else None
    return (
        _write({"url": value})
        if "://" in value
        else _write({"command": value.split()}, certain=_is_plain(value))
    )


def _store(value: Json, keys: Keys) -> Mend | None:
    if value is None:
        return Mend(f"write `{keys[-1]}: {{}}`")
    return _write({"path": value}) if isinstance(value, str) and ("/" in value or "." in value) else None


def _node(value: Json, keys: Keys) -> Mend | None:
    if isinstance(value, str) and keys[-1] in _OF_A_NODE:
        return Mend(f"indent it further if this is the `{keys[-1]}` of the node above")
    return Mend(f"a node has a verb: `{{agent: {value}, then: end}}`") if isinstance(value, str) else None


def _do(value: Json, _: Keys) -> Mend | None:
    return Mend(f"say what it does: `{{agent: {value}}}`") if isinstance(value, str) else None


def _graph(value: Json, _: Keys) -> Mend | None:
    if isinstance(value, str):
        return Mend(
            "a graph is written here, with `start:` and `nodes:`; `include:` takes parts of other files"
        )
    return None


def _router(value: Json, keys: Keys) -> Mend | None:
    if isinstance(value, str):
        return Mend(f"a router chooses; a node goes straight there with `then: {value}`")
    return Mend("write `[{when: …, to: …}, {else: …}]`, or `{by: …, to: {…}}`")


def _arm(value: Json, _: Keys) -> Mend | None:
    return (
        Mend(f"write `{{when: …, to: {value}}}`, or `{{else: {value}}}`") if isinstance(value, str) else None
    )


def _then(value: Json, _: Keys) -> Mend | None:
    if isinstance(value, list) and len(value) > 1:
        return Mend(
            "a node goes to one place; a router decides between several, `parallel` runs several at once"
        )
    if isinstance(value, list) and value and isinstance(value[0], str):
        return _write(value[0])
    return Mend("name a node, a router, or `end`")


def _count_of(key: str, more: str = "") -> Callable[[Json, Keys], Mend | None]:
    def make(value: Json, _: Keys) -> Mend | None:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return Mend(f"write `{{{key}: {flow(value)}{more}}}`", None if more else flow({key: value}))

    return make


def _weight(value: Json, keys: Keys) -> Mend | None:
    if isinstance(value, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?) ?%", value.strip())):
        return Mend(f"write `{found[1]}`: weights are shares of their sum", found[1])
    return _by_kind(value, ["number"], "Variant.weight")


def _field(value: Json, _: Keys) -> Mend | None:
    return type_of_list(value) if isinstance(value, list) else None


def type_of_list(value: list[Json]) -> Mend:
    """For a list where a type is due: the values of an enum, what an array holds, or one of several types."""
    if not value:
        return Mend("write `array`, or `{enum: [...]}` with the values it may have")
    if all(isinstance(one, str) and one in TYPE_NAMES for one in value):
        return _write({"type": "array", "items": value[0]} if len(value) == 1 else {"type": value})
    if any(isinstance(one, dict | list) for one in value):
        return _write({"type": "array", "items": value[0]}, certain=False) if len(value) == 1 else Mend()
    return _write({"enum": value}, certain=False)


def _level(value: Json, _: Keys) -> Mend | None:
    return _write({"tools": value}) if isinstance(value, list) else None


def _expect(value: Json, _: Keys) -> Mend | None:
    return _write({"status": value}) if value in ("done", "failed", "limit", "waiting") else None


def _command(value: Json, _: Keys) -> Mend | None:
    return mend_command(value) if isinstance(value, str) else None


def mend_command(command: str) -> Mend:
    """The list of words that a command written as one text stands for, if no shell has more to do with it."""
    filled = _TEMPLATE.findall(command)
    plain = _TEMPLATE.sub(_FILLED, command)
    try:
        words = [*shlex.shlex(plain, posix=True, punctuation_chars=True)]
        parts = shlex.split(plain)
    except ValueError:
        return Mend(_NO_SHELL)
    if "\n" in command or not parts or any(_OPERATOR.fullmatch(word) for word in words):
        return Mend(_NO_SHELL)
    templates = iter(filled)
    found = [re.sub(_FILLED, lambda _: next(templates), part) for part in parts]
    mend = _write(found, certain=_is_plain(plain))
    return mend if mend.hint is not None else Mend("write a list: the program, then each argument by itself")


def _is_plain(command: str) -> bool:
    return _WORDS.fullmatch(command) is not None


def _http(value: Json, _: Keys) -> Mend | None:
    if not isinstance(value, dict) or not isinstance(url := value.get("url"), str):
        return None
    text = f"{str(value.get('method', 'GET')).upper()} {url}"
    return Mend(
        f"write `{text}`", text if set(value) <= {"method", "url"} and _PLAIN.fullmatch(text) else None
    )


def _answer(value: Json, _: Keys) -> Mend | None:
    if isinstance(value, str) and _NAME.fullmatch(value):
        return Mend("without `output` an agent answers text; else give each key a type: `{answer: string}`")
    return None


def _save(value: Json, _: Keys) -> Mend | None:
    return (
        Mend("name the field of `state` that it goes to")
        if not isinstance(value, str | list | dict)
        else None
    )


_PLACES: Mapping[str, Callable[[Json, Keys], Mend | None]] = {
    "Model": _model,
    "Tool": _tool,
    "Variable": _variable,
    "McpServer": _server,
    "Store": _store,
    "Node": _node,
    "MapWork": _do,
    "Graph": _graph,
    "File.routers.*": _router,
    "Graph.routers.*": _router,
    "Arm": _arm,
    "Node.then": _then,
    "Node.on_timeout": _then,
    "File.start": _then,
    "Graph.start": _then,
    "Node.save": _save,
    "Retry": _count_of("attempts"),
    "Breaker": _count_of("failures", ", cooldown: 60s"),
    "Context": _count_of("window"),
    "Variant": _count_of("weight"),
    "Variant.weight": _weight,
    "File.state.*": _field,
    "Graph.state.*": _field,
    "Price": _count_of("input", ", output: …"),
    "TierLevel": _level,
    "Expect": _expect,
    "Tool.command": _command,
    "McpServer.command": _command,
    "Tool.http": _http,
    "Agent.output": _answer,
}
"""By the mapping that is due, or by its owner and its key."""

_TIMES = {
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
}
_SIZES = {
    **dict.fromkeys(("b", "byte", "bytes"), "B"),
    **dict.fromkeys(("k", "kb", "kib"), "KB"),
    **dict.fromkeys(("m", "mb", "mib"), "MB"),
    **dict.fromkeys(("g", "gb", "gib"), "GB"),
}
_MONEY = frozenset(("", "$", "dollar", "dollars", "usd"))
_AMOUNT = re.compile(r"([^\d\s.,-]*)\s*(\d+(?:,\d{3})*(?:\.\d+)?)\s*([A-Za-z$%]*(?: cent)?)")


def mend_unit(word: str, value: Json) -> str | None:
    """What was certainly meant by a time, a size, an amount of money or a share that is written another way."""
    found = _AMOUNT.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        return None
    before, number, unit = found[1].lower(), found[2].replace(",", ""), found[3].lower()
    match word:
        case "Duration" | "Pause" if not before and unit in _TIMES:
            return f"{number}{_TIMES[unit]}"
        case "Size" if not before and unit in _SIZES:
            return f"{number}{_SIZES[unit]}"
        case "Money" if before in _MONEY and unit in _MONEY and (before or unit or "," in found[2]):
            return f"${number}"
        case "Tokens" if not before and unit in ("tok", "toks", "token", "tokens") and number.isdecimal():
            return f"{int(number)} tokens" if int(number) else None
        case "Share" if not before and unit in ("percent", "per cent", "pct"):
            return f"{number}%"
    return None
