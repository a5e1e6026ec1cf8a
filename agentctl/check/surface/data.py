"""The surface of a file: what its tools may do to the world and who may call them, as data with a digest to sign off."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from agentctl.check.flow import FileModel, mapping, names_in, read_flow, text, texts_in
from agentctl.check.tools.calls import Call, Thing
from agentctl.check.tools.tooling import Tier, Tooling
from agentctl.json import Json, canonical, digest
from agentctl.spec.finding import Keys
from agentctl.spec.overlay import variants_of
from agentctl.spec.types import fields_schema
from agentctl.units import seconds, size

VERSION = 1
"""Of the form. It is part of what is signed: a later form is looked at anew."""

_MOST_WORDS = 100_000
_ENV = re.compile(r"""\benv(?:\.|\[\s*["'])([A-Za-z_]\w*)""")
_ANNOTATIONS = frozenset(("title", "description", "default", "examples", "deprecated", "$comment"))
_TABLES = ("properties", "patternProperties", "$defs")
"""Where the keys of a schema are names, and not words of JSON Schema."""


def surface_of(file: FileModel) -> Json:
    """The surface: plain data that says the same however the file is laid out, ordered, commented or split up.

    `tools` has each tool that touches the world, itself or through graphs and agents: what it is and does, who may
    call it. `graphs` says who runs the graphs in between, `tiers` and `by` how a tier is chosen and bounded,
    `variants` what each variant would change in all this. What is not said, or empty, is left out.
    """
    surface = _plain_surface(file)
    variants: dict[str, dict[str, Json]] = {}
    for experiment, name, varied in varied_files(file):
        if changed := _changes(surface, _plain_surface(varied)):
            variants.setdefault(experiment, {})[name] = changed
    return _said({"v": VERSION, **surface, "variants": variants})


def varied_files(file: FileModel) -> Iterator[tuple[str, str, FileModel]]:
    """The file with each variant in place, by experiment and variant."""
    for experiment, names in variants_of(file.data).items():
        for name in names:
            yield experiment, name, read_flow(file.document.overlaid({experiment: name}))


def digest_of(surface: Json) -> str:
    """What stands for a surface in `events.surface`: 32 hex digits."""
    return digest(surface)


def signed_digest(file: FileModel) -> str | None:
    """The digest that was signed off in the file."""
    return text(file.section("events").get("surface"))


def places_of(file: FileModel, surface: Json) -> Mapping[str, tuple[Path, int]]:
    """Where each tool of the surface stands: its file and line. No part of what is signed."""
    places: dict[str, tuple[Path, int]] = {}
    for name in surface.get("tools", {}):
        path, span = file.document.key(("tools", name))
        places[name] = path, span.line
    return places


def _plain_surface(file: FileModel) -> dict[str, Json]:
    """The surface without its variants."""
    tooling = Tooling(file)
    callers = tooling.callers
    touching = _touching(tooling)
    return {
        "by": text(file.section("tiers").get("by")),
        "tiers": _said({name: _tier(file, tooling, name) for name in tooling.tiers}),
        "tools": {
            name: _said({**_tool(file, tooling, name), **_callers(callers.get(("tool", name), ()))})
            for name in tooling.tools
            if ("tool", name) in touching
        },
        "graphs": {
            name: _callers(callers.get(("graph", name), ()))
            for name in file.nested
            if ("graph", name) in touching
        },
    }


def _touching(tooling: Tooling) -> set[Thing]:
    """The graphs, agents and tools that touch the world, themselves or through others."""
    waiting: list[Thing] = [("tool", name) for name in tooling.tools if tooling.touches_world(name)]
    found = set(waiting)
    while waiting:
        for call in tooling.callers.get(waiting.pop(), ()):
            if call.caller not in found:
                found.add(call.caller)
                waiting.append(call.caller)
    return found


def _tool(file: FileModel, tooling: Tooling, name: str) -> dict[str, Json]:
    """What a tool is, does and reaches, and what each tier makes of it."""
    spec = tooling.tools[name]
    parameters = spec.get("parameters")
    return {
        "kind": tooling.kind(name),
        "effect": tooling.effect(name),
        "reaches": _said(_reaches(file, spec)),
        "env": _env(file, spec),
        "arguments": _arguments(parameters) if isinstance(parameters, dict) else None,
        "sandbox": _sandbox(spec["sandbox"]) if "sandbox" in spec else None,
        "cache": _measured(spec.get("cache"), seconds),
        "idempotency_key": spec.get("idempotency_key"),
        "max_calls": spec.get("max_calls"),
        "tiers": {
            tier.name: word
            for tier in ({} if _are_many(tooling) else tooling.tiers).values()
            if (word := _in_tier(tier, name)) is not None
        },
    }


def _tier(file: FileModel, tooling: Tooling, name: str) -> dict[str, Json]:
    """What a tier says of all its tools; where there are too many of them, what it says of each, as it is written."""
    bound = {"max_calls": tooling.tiers[name].max_calls}
    if not _are_many(tooling):
        return _said(bound)
    level = mapping(mapping(file.section("tiers").get("levels"))[name])
    listed = {part: sorted(names_in(level.get(part))) for part in ("tools", "approve", "deny")}
    return _said({**bound, "extends": level.get("extends"), **listed})


def _are_many(tooling: Tooling) -> bool:
    """Whether a word about each tool in each tier would be too much."""
    return len(tooling.tools) * len(tooling.tiers) > _MOST_WORDS


def _in_tier(tier: Tier, tool: str) -> str | None:
    """What a tier makes of a tool: `deny` before `approve` before `offer`; None when it has it not."""
    if tool in tier.deny:
        return "deny"
    if tool not in tier.tools:
        return None
    return "approve" if tool in tier.approve else "offer"


def _reaches(file: FileModel, spec: Mapping[str, Json]) -> dict[str, Json]:
    """The part of the world that a tool asks, and what it asks of it."""
    match spec:
        case {"python": str(function)}:
            in_process = spec.get("in_process")
            return {"function": function, "setup": spec.get("setup"), "in_process": in_process}
        case {"http": str(line)}:
            method, _, address = line.strip().partition(" ")
            asked = {"method": method.upper(), "address": address.strip()}
            return {**asked, "query": spec.get("query"), "body": spec.get("body")}
        case {"command": list(command)}:
            return {"command": command}
        case {"mcp": str(named)}:
            server, _, tool = named.partition("/")
            found = mapping(file.section("mcp").get(server))
            parts = {part: found.get(part) for part in ("command", "url")}
            return {"server": server, "tool": tool or None, **parts}
        case {"store": str(store)}:
            found = mapping(file.section("stores").get(store))
            parts = {part: found.get(part) for part in ("path", "url")}
            return {"store": store, "operation": spec.get("operation"), **parts}
        case _:
            return {kind: spec[kind] for kind in ("graph", "agent") if kind in spec}


def _env(file: FileModel, spec: Mapping[str, Json]) -> dict[str, Json]:
    """The variables that a tool, its server or its store is given: whether they are secret, or what they are unless set."""
    server = (text(spec.get("mcp")) or "").partition("/")[0]
    store = text(spec.get("store")) or ""
    used = [spec, file.section("mcp").get(server), file.section("stores").get(store)]
    names = {name for part in texts_in(used) for name in _ENV.findall(part)}
    declared = {name: mapping(file.section("env").get(name)) for name in names}
    return {
        name: {"secret": True} if variable.get("secret") else _said({"default": variable.get("default")})
        for name, variable in declared.items()
    }


def _arguments(parameters: Mapping[str, Json]) -> Json:
    """The schema of the arguments, without what only describes them."""
    try:
        return _bare(fields_schema(parameters))
    except (ValueError, TypeError):
        return parameters  # no type, which is said elsewhere


def _bare(schema: Json) -> Json:
    if isinstance(schema, list):
        return [_bare(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Json] = {}
    for key, part in schema.items():
        if key in _TABLES and isinstance(part, dict):
            found[key] = {name: _bare(one) for name, one in part.items()}
        elif key == "required":
            found[key] = sorted(names_in(part))
        elif key == "enum" and isinstance(part, list):
            found[key] = sorted(part, key=canonical)
        elif key not in _ANNOTATIONS:
            found[key] = part if key == "const" else _bare(part)
    return found


def _sandbox(sandbox: Json) -> Json:
    if not isinstance(sandbox, dict):
        return sandbox
    files = sandbox.get("files")
    return {
        **sandbox,
        **_said(
            {
                "time": _measured(sandbox.get("time"), seconds),
                "memory": _measured(sandbox.get("memory"), size),
                "files": {kind: sorted(names_in(paths)) for kind, paths in files.items()}
                if isinstance(files, dict)
                else files,
            }
        ),
    } or True


def _measured(value: Json, read: Callable[[str], float]) -> Json:
    """A duration or a size as a number, so that 60s is 1m."""
    try:
        number = read(value) if isinstance(value, str) else value
    except ValueError:
        return value
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _callers(calls: Sequence[Call]) -> dict[str, Json]:
    """Who calls a tool or runs a graph: agents that list it, nodes that are the author's own act, tools made of it."""
    found: dict[str, set[str]] = {"agents": set(), "nodes": set(), "tools": set()}
    for call in calls:
        kind, name = call.caller
        if kind == "graph":
            found["nodes"].add(_node(call.keys))
        else:
            found[f"{kind}s"].add(name)
    return {kind: sorted(names) for kind, names in found.items() if names}


def _node(keys: Keys) -> str:
    """A node by its name, after that of the graph it stands in: `pay`, `check_facts/tally`."""
    return f"{keys[1]}/{keys[3]}" if keys[0] == "graphs" else str(keys[1])


def _changes(surface: Mapping[str, Json], varied: Mapping[str, Json]) -> Json:
    """What differs in the second: of each section the entries, of each entry the keys; None for what is gone."""
    changed: dict[str, Json] = {}
    for key in dict.fromkeys((*surface, *varied)):
        before, after = surface.get(key), varied.get(key)
        if before != after:
            is_table = isinstance(before, dict) and isinstance(after, dict)
            changed[key] = _changes(mapping(before), mapping(after)) if is_table else after
    return changed


def _said(entries: Mapping[str, Json]) -> dict[str, Json]:
    """The entries that say something."""
    return {key: value for key, value in entries.items() if value not in (None, False, [], {})}
