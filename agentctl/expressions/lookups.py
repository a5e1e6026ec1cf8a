"""What is said of a name or a field that is not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agentctl.expressions.types import BOOLEAN, INTEGER, described, fields_of, surely_not
from agentctl.expressions.words import list_of
from agentctl.json import Json
from agentctl.spec.nearest import nearest

LOOP_TYPES: Mapping[str, Json] = {
    "index": INTEGER,
    "index0": INTEGER,
    "revindex": INTEGER,
    "revindex0": INTEGER,
    "length": INTEGER,
    "first": BOOLEAN,
    "last": BOOLEAN,
}

_ELSEWHERE = {
    "env": "`env` may be read in models, tools, mcp, stores and events only",
    "args": "`args` may be read in a tool only",
    "item": "`item` may be read inside a `map` without `as` only",
    "index": "`index` may be read inside a `map` only; in a `for` it is `loop.index`",
    "loop": "`loop` is there inside a `for` only",
    "state": "`state` may not be read here",
    "run": "`run` may not be read here",
}

Said = tuple[str, str | None]
"""A message and its hint."""


@dataclass(frozen=True, slots=True)
class Step:
    """One look-up: its key, None when it is worked out, where that stands, and where the whole so far ends."""

    key: str | int | None
    offset: int
    length: int
    end: int


def unknown_name(name: str, scope: Mapping[str, Json], local: Iterable[str], step: str | None = None) -> Said:
    """For a name that is not in scope; `step` is what is looked up in it."""
    fields = fields_of(scope.get("state", {}))
    message = f"unknown name `{name}`"
    if name == "else":
        return message, "the last arm is `else: NODE`, without `when`"
    if name in fields_of(scope.get("env", {})):
        return message, f"did you mean `env.{name}`?"
    if name in fields:
        return message, field_meant(name)
    if name == "env":
        what = f"`env.{step}`" if step else "a variable of the environment"
        return f"{what} would get into a prompt or the state, and be kept", _ELSEWHERE[name]
    if name in _ELSEWHERE:
        return message, _ELSEWHERE[name]
    if near := nearest(name, [*scope, *local]):
        return message, f"did you mean `{near}`?"
    if near := nearest(name, fields):
        return message, f"did you mean `state.{near}`?"
    return message, f"there are {list_of([*scope, *local])}" if scope else None


def field_meant(name: str) -> str:
    """The hint for a name that is a field's."""
    return f"did you mean `state.{name}`?"


def no_field(whole: str, key: str | int | None, type: Json, code: str) -> Said:
    """`whole`, of a known type, has no `key`."""
    said = f"`{whole}`" if whole else "an item"
    if surely_not(type, "object"):
        return f"{said} is {described(type)} and has no `{key}`", None
    fields = fields_of(type)
    near = nearest(key, fields) if isinstance(key, str) else None
    known = f"did you mean `{near}`?" if near else f"it has {list_of(fields)}" if fields else None
    if code == "E412" and whole == "env":
        return f"`env.{key}` is not declared", known if near else f"add `{key}` under `env:`"
    if code == "E413" and whole == "args":
        return f"the tool has no parameter `{key}`", known
    return f"{said} has no field `{key}`", known
