"""Whether the faults and matchers in a file's tests are ones: they stand where any value may, so no type tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import get_args

from agentctl import units
from agentctl.errors import ErrorClass
from agentctl.json import Json
from agentctl.spec.fault import Fault, told
from agentctl.spec.finding import Keys
from agentctl.spec.nearest import nearest
from agentctl.spec.types import TYPE_NAMES
from agentctl.spec.wording import listed

FAULTS = ("$error", "$delay", "$drop_after")
"""What goes wrong, as a stub or under `faults`."""
MATCHERS = ("$contains", "$matches", "$any")
"""What an expected value may say instead of the value itself."""
_PARTIAL = ("state", "output", "calls", "events")
_ANY = "`{$any: true}` is any value that is there, `{$any: string}` one of that type"


def testing_faults(data: Json) -> Iterator[Fault]:
    """All that is wrong with the faults and matchers of a file; what is no mapping is left to the shape."""
    for name, test in _table(data, "tests"):
        for stubbed, value in _table(test, "stub"):
            if is_fault(value):
                yield from _fault(value, ("tests", name, "stub", stubbed))
        expected = test.get("expect") if isinstance(test, dict) else None
        for part in _PARTIAL:
            if isinstance(expected, dict) and part in expected:
                yield from _matchers(expected[part], ("tests", name, "expect", part))


def is_fault(value: Json) -> bool:
    """Whether a stub is meant as a fault, not as an answer."""
    return isinstance(value, dict) and any(isinstance(key, str) and key.startswith("$") for key in value)


def _fault(value: Mapping[str, Json], keys: Keys) -> Iterator[Fault]:
    known = next((key for key in FAULTS if key in value), None)
    for key, said in value.items():
        here = (*keys, key)
        if key in FAULTS:
            yield from _fault_value(key, said, here)
        elif key.startswith("$"):
            hint = f"`{key}` is a matcher; matchers stand under `expect`" if key in MATCHERS else None
            yield _unknown(key, here, "fault", FAULTS, hint)
        elif known is not None:
            message = f"{told(key)} stands beside `{known}`, and a fault has no answer"
            hint = "put the answer under `stub` and the fault under `faults`"
            yield Fault("S102", here, message, hint, at_key=True)


def _fault_value(key: str, said: Json, keys: Keys) -> Iterator[Fault]:
    if key == "$error" and said not in get_args(ErrorClass):
        classes = get_args(ErrorClass)
        meant = nearest(said, classes) if isinstance(said, str) else None
        hint = f"did you mean `{meant}`?" if meant else f"the classes are {listed(classes)}"
        yield Fault("S102", keys, f"{told(said)} is no class of errors", hint)
    elif key == "$delay":
        yield from _delay(said, keys)
    elif key == "$drop_after" and (not isinstance(said, int) or isinstance(said, bool) or said < 0):
        yield Fault("S102", keys, f"`$drop_after` takes a whole number from 0, and {told(said)} is none")


def _delay(said: Json, keys: Keys) -> Iterator[Fault]:
    try:
        units.seconds(said if isinstance(said, str) else told(said).strip("`"))
    except ValueError as error:
        message, _, hint = str(error).partition("; ")
        yield Fault("S106", keys, message, hint or None)


def _matchers(value: Json, keys: Keys) -> Iterator[Fault]:
    """Faults of the matchers inside an expected value."""
    if isinstance(value, dict):
        yield from _mapping(value, keys)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _matchers(item, (*keys, index))
    elif isinstance(value, str) and value in MATCHERS:
        hint, fix = (_ANY, "{$any: true}") if value == "$any" else (f"write `{{{value}: …}}`", None)
        yield Fault("S102", keys, f"`{value}` is a matcher, and this is the text of its name", hint, fix=fix)


def _mapping(value: Mapping[str, Json], keys: Keys) -> Iterator[Fault]:
    known = next((key for key in value if key in MATCHERS), None)
    for key, said in value.items():
        here = (*keys, key)
        if key in MATCHERS:
            yield from _matcher_value(key, said, here)
        elif key.startswith("$"):
            hint = (
                f"`{key}` is a fault; faults stand under `stub` and `faults`"
                if key in FAULTS
                else "`$ref` and the like belong to types"
                if key in ("$ref", "$defs")
                else None
            )
            yield _unknown(key, here, "matcher", MATCHERS, hint)
        else:
            yield from _matchers(said, here)
        if known not in (None, key):
            message = f"{told(key)} stands beside `{known}`, and a matcher stands alone"
            yield Fault("S102", here, message, "one matcher takes the place of one value", at_key=True)


def _matcher_value(key: str, said: Json, keys: Keys) -> Iterator[Fault]:
    if key == "$any":
        if said is not True and said not in TYPE_NAMES:
            yield Fault("S102", keys, f"`$any` takes true or a type name, not {told(said)}", _ANY)
    elif key == "$matches" and isinstance(said, str):
        from agentctl.spec.schema_parts import pattern_faults  # 40 ms, for files with patterns

        yield from pattern_faults(said, keys)
    elif said is None or (key == "$matches"):
        what = "a pattern" if key == "$matches" else "what must be in the value"
        yield Fault("S102", keys, f"`{key}` takes {what}, and {told(said)} is none")


def _unknown(key: str, keys: Keys, noun: str, known: tuple[str, ...], hint: str | None) -> Fault:
    meant = nearest(key, known)
    if hint is None:
        hint = f"did you mean `{meant}`?" if meant else f"the {noun}s are {listed(known)}"
    return Fault("S101", keys, f"unknown {noun} {told(key)}", hint, at_key=True)


def _table(owner: Json, key: str) -> Iterator[tuple[str, Json]]:
    table = owner.get(key) if isinstance(owner, dict) else None
    if isinstance(table, dict):
        yield from table.items()
