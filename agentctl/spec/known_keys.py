"""Which keys the language has at a place, told from its types."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

from agentctl.spec.finding import Keys
from agentctl.spec.model import FileSpec
from agentctl.spec.part import Part

_Kind = object
"""A type as it is written in the language's types: a part, `list[…]`, `dict[…]`, a union of such."""


def known_keys(keys: Keys) -> tuple[str, ...]:
    """The keys that a mapping at this place of a file may have; none where names are free, or there is no mapping.

    `("agents", "lead")` gives model, instructions, tools and the others, `("agents",)` none.
    """
    kinds: list[_Kind] = [FileSpec]
    for key in keys:
        kinds = [inner for kind in kinds for inner in _inside(kind, key)]
    return tuple(dict.fromkeys(name for kind in kinds for part in _flat(kind) for name in _keys_of(part)))


def _inside(kind: _Kind, key: str | int) -> Iterator[_Kind]:
    for one in _flat(kind):
        fields, table = _keys_of(one), list if isinstance(key, int) else dict
        if key in fields:
            yield fields[str(key)]
        elif get_origin(one) is table:
            yield get_args(one)[-1]


def _flat(kind: _Kind) -> Iterator[_Kind]:
    if get_origin(kind) in (Union, UnionType):
        for one in get_args(kind):
            yield from _flat(one)
    else:
        yield kind


def _keys_of(kind: _Kind) -> dict[str, _Kind]:
    return _fields(kind) if isinstance(kind, type) and issubclass(kind, Part) else {}


@cache
def _fields(part: type[Part]) -> dict[str, _Kind]:
    hints = get_type_hints(part)
    names = zip(part.__struct_fields__, part.__struct_encode_fields__, strict=True)
    return {key: hints[name] for name, key in names}
