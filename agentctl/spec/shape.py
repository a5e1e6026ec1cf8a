"""Whether a file's data has the shape of the language; what is wrong is told by `explain`."""

from __future__ import annotations

from itertools import chain, islice

import msgspec

from agentctl.json import Json
from agentctl.spec.fault import Fault
from agentctl.spec.include import VERSION
from agentctl.spec.model import FileSpec
from agentctl.spec.testing_shape import testing_faults
from agentctl.spec.type_shape import type_faults

MOST_FAULTS = 1_000
"""More of one file help nobody."""


def read_spec(data: Json, *, is_part: bool) -> tuple[FileSpec | None, list[Fault]]:
    """The data as types, None for a part and for what does not fit; and what does not fit."""
    faults = list(islice(chain(type_faults(data), testing_faults(data)), MOST_FAULTS))
    try:
        spec = _convert(data, is_part=is_part)
    except msgspec.ValidationError as error:
        # the schema says the same as the types, and tells all that is wrong; it costs an import
        from agentctl.spec.explain_shape import shape_faults

        found = {(fault.code, fault.keys): fault for fault in (*faults, *shape_faults(data))}
        if not found and data.get("agentctl") == VERSION:
            # were the schema ever wider than the types, nothing would be told of what the types refuse
            return None, [Fault("S102", (), str(error).lower())]
        return None, list(found.values())
    return None if faults or is_part else spec, faults


def _convert(data: Json, *, is_part: bool) -> FileSpec:
    said = {key: value for key, value in data.items() if not key.startswith("x-")}
    if is_part and "start" not in said:
        said = {"name": "part", "start": "end", "nodes": {}, **said}
    return msgspec.convert(said, FileSpec)
