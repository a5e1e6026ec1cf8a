"""The surface of a file as a table for people, as wide as their terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from agentctl.check.reports.masking import fit_to_show
from agentctl.json import Json, encode

_HEADINGS = ("TOOL", "EFFECT", "WHAT IT REACHES", "WHO MAY CALL IT")
_EFFECTS = ("write", "read", "pure")
_GAP = 2
_LEAST = 12
"""Columns of the two wide cells, however narrow the terminal."""
_WORD = re.compile(r"\$\{\{.*?\}\}/?|\s+|(?:(?!\$\{\{)[^\s/])+/?|/")
_INDENT = "  "
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
_SIZES = ((1024**3, "GB"), (1024**2, "MB"), (1024, "KB"))


def as_table(surface: Json, places: Mapping[str, str], width: int) -> str:
    """A row for each tool, those that write first; below them the graphs in between, and what variants change.

    `places` says where each tool stands, `graph.yaml:40`; `width` counts the columns there are.
    """
    tools = mapping_of(surface, "tools")
    if not tools:
        return "no tool touches the world\n"
    names = sorted(tools, key=lambda name: (_EFFECTS.index(tools[name]["effect"]), name))
    rows = [
        (
            [name, *([places[name]] if name in places else [])],
            [tools[name]["effect"]],
            [*_reaches(name, tools[name])],
            [*_callers(tools[name], has_tiers="by" in surface)],
        )
        for name in names
    ]
    lines = [*_table(rows, width)]
    lines += _section("TIERS", _tiers(surface), width)
    lines += _section("GRAPHS IN BETWEEN", _graphs(surface), width)
    lines += _section("WHAT VARIANTS CHANGE", _variants(surface), width)
    return "\n".join(lines).rstrip("\n") + "\n"


def mapping_of(surface: Json, key: str) -> Mapping[str, Json]:
    """A section of the surface; empty when it has none."""
    found: Mapping[str, Json] = surface.get(key) or {}
    return found


def _reaches(name: str, tool: Mapping[str, Json]) -> Iterator[str]:
    """What a tool asks of the world, and what holds it back."""
    yield _target(name, tool.get("reaches") or {})
    for part in ("query", "body"):
        if part in (tool.get("reaches") or {}):
            yield f"{part}: {encode(tool['reaches'][part]).decode()}"
    if arguments := mapping_of(tool, "arguments").get("properties"):
        yield f"takes {', '.join(sorted(arguments))}"
    if tool.get("env"):
        yield "given " + ", ".join(
            f"{variable} (secret)" if mapping_of(tool["env"], variable).get("secret") else variable
            for variable in sorted(tool["env"])
        )
    if tool.get("sandbox"):
        yield f"sandbox: {_sandbox(tool['sandbox'])}"
    if tool.get("cache"):
        yield "kept for ever" if tool["cache"] is True else f"kept {_duration(tool['cache'])}"
    if tool.get("idempotency_key"):
        yield f"key: {tool['idempotency_key']}"
    if tool.get("max_calls"):
        yield f"at most {tool['max_calls']} calls a turn"


def _target(name: str, reaches: Mapping[str, Json]) -> str:
    match reaches:
        case {"function": function}:
            where = " in our own process" if reaches.get("in_process") else ""
            return f"Python {function}{where}"
        case {"method": method, "address": address}:
            return f"{method} {address}"
        case {"server": server}:
            started = " ".join(reaches["command"]) if "command" in reaches else reaches.get("url", "")
            return f"{reaches.get('tool', name)} of MCP server {server}: {started}"
        case {"command": command}:
            return " ".join(command)
        case {"store": store}:
            return f"{reaches.get('operation')} in store {store}"
        case _:
            return " ".join(f"{kind} {value}" for kind, value in reaches.items())


def _callers(tool: Mapping[str, Json], *, has_tiers: bool) -> Iterator[str]:
    """The agents that list a tool, the tiers that let them call it, and the nodes that call it by themselves."""
    agents, tiers = tool.get("agents", []), mapping_of(tool, "tiers")
    by_word = {word: [tier for tier in tiers if tiers[tier] == word] for word in ("offer", "approve", "deny")}
    if not agents:
        yield "no agent lists it"
    elif has_tiers and not (by_word["offer"] or by_word["approve"]):
        yield f"{_named('agent', agents)}, but no tier has it"
    else:
        yield _named("agent", agents)
    if by_word["offer"]:
        yield f"in {_named('tier', by_word['offer'])}"
    if by_word["approve"]:
        yield f"in {_named('tier', by_word['approve'])} when a person approves"
    if by_word["deny"]:
        yield f"never in {_named('tier', by_word['deny'])}"
    if tool.get("nodes"):
        yield _named("node", tool["nodes"])


def _tiers(surface: Json) -> Iterator[str]:
    if "by" in surface:
        yield f"chosen by {surface['by']}"
    for name, tier in sorted(mapping_of(surface, "tiers").items()):
        parts = [f"{part} {tier[part]}" for part in ("extends",) if part in tier]
        parts += [f"{part} {', '.join(tier[part])}" for part in ("tools", "approve", "deny") if part in tier]
        parts += [f"at most {tier['max_calls']} tool calls a turn"] if "max_calls" in tier else []
        yield f"{name}: {'; '.join(parts)}"


def _graphs(surface: Json) -> Iterator[str]:
    for name, graph in sorted(mapping_of(surface, "graphs").items()):
        runs = [_named(kind[:-1], graph[kind]) for kind in ("nodes", "tools", "agents") if kind in graph]
        yield f"{name}: run by {', '.join(runs) or 'nothing'}"


def _variants(surface: Json) -> Iterator[str]:
    for experiment, variants in sorted(mapping_of(surface, "variants").items()):
        for variant, sections in sorted(variants.items()):
            for section, entries in sorted(sections.items()):
                changes = entries.items() if isinstance(entries, dict) else [(section, entries)]
                for name, change in sorted(changes):
                    yield f"{experiment} {variant}: {_changed(name, change)}"


def _changed(name: str, change: Json) -> str:
    if change is None:
        return f"{name} is gone"
    if not isinstance(change, dict):
        return f"{name} {change}"
    parts = [
        f"{key} {', '.join(value)}"
        if isinstance(value, list) and all(isinstance(one, str) for one in value)
        else f"no {key}"
        if value is None
        else f"{key} {value if isinstance(value, str) else encode(value).decode()}"
        for key, value in sorted(change.items())
    ]
    return f"{name} has {'; '.join(parts)}"


def _named(kind: str, names: Sequence[str]) -> str:
    return f"{kind if len(names) == 1 else f'{kind}s'} {', '.join(names)}"


def _sandbox(sandbox: Json) -> str:
    if not isinstance(sandbox, dict):
        return "as it comes"
    files = sandbox.get("files")
    parts = [
        _duration(sandbox["time"]) if "time" in sandbox else "",
        _size(sandbox["memory"]) if "memory" in sandbox else "",
        ("network" if sandbox["network"] else "no network") if "network" in sandbox else "",
        "no files" if files == "none" else "",
        *(f"{kind} {', '.join(paths)}" for kind, paths in (files if isinstance(files, dict) else {}).items()),
    ]
    return ", ".join(part for part in parts if part)


def _duration(value: Json) -> str:
    """Seconds in the largest unit that says them in whole numbers."""
    if not isinstance(value, int):
        return f"{value}s"
    return next(f"{value // unit}{word}" for unit, word in _UNITS if value % unit == 0)


def _size(value: Json) -> str:
    unit = next(((unit, word) for unit, word in _SIZES if isinstance(value, int) and value % unit == 0), None)
    return f"{value // unit[0]}{unit[1]}" if unit else f"{value}B"


def _table(rows: Sequence[tuple[list[str], ...]], width: int) -> Iterator[str]:
    """Rows of cells of several lines each, wrapped to the width."""
    first = min(max(len(line) for row in rows for line in row[0]), max(_LEAST, width // 4))
    rest = max(2 * _LEAST, width - first - len("effect") - 3 * _GAP)
    widths = (first, len("effect"), rest - rest // 2, rest // 2)
    yield _line(_HEADINGS, widths)
    for row in rows:
        cells = [[*_wrapped(cell, width)] for cell, width in zip(row, widths, strict=True)]
        for place in range(max(map(len, cells))):
            yield _line([cell[place] if place < len(cell) else "" for cell in cells], widths)
        yield ""


def _section(heading: str, lines: Iterable[str], width: int) -> Iterator[str]:
    body = [part for line in lines for part in _wrapped([line], width - 2)]
    if body:
        yield heading
        yield from (f"  {line}" for line in body)
        yield ""


def _wrapped(lines: Iterable[str], width: int) -> Iterator[str]:
    """The lines, broken between words, after a slash and around `${{ }}`, and elsewhere only where nothing else helps."""
    for line in lines:
        shown = ""
        for word in _WORD.findall(fit_to_show(line)):
            if shown.strip() and len(shown) + len(word.rstrip()) > width:
                yield shown.rstrip()
                shown, word = _INDENT, word.lstrip()
            while len(shown) + len(word) > width and word.strip():
                room = width - len(shown)
                yield shown + word[:room]
                shown, word = _INDENT, word[room:]
            shown += word
        yield shown.rstrip()


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    gap = " " * _GAP
    return gap.join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
