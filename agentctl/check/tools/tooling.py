"""What each tool does to the world, what runs which tools, and what each tier offers. Built once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from functools import cached_property, reduce
from operator import or_
from typing import Literal

from msgspec import Struct

from agentctl.check.flow import FileModel, mapping, names_in, text
from agentctl.check.tools.calls import Call, Thing, calls_of
from agentctl.check.tools.name_sets import NameSet
from agentctl.json import Json
from agentctl.spec.store_tools import EFFECTS as STORE_EFFECTS

Effect = Literal["pure", "read", "write"]
_WEIGHT: Mapping[Effect, int] = {"pure": 0, "read": 1, "write": 2}
OWN_KINDS = ("python", "http", "command", "mcp", "store")
"""Kinds that touch the world themselves; `graph` and `agent` do it through others."""


class Tier(Struct, frozen=True):
    """A tier with all that it extends."""

    name: str
    tools: NameSet
    approve: NameSet
    deny: NameSet
    max_calls: int | None

    @property
    def offered(self) -> NameSet:
        """What a model of this tier may call, if its agent lists it."""
        return self.tools - self.deny


class Tooling:
    """The tools of a file, with what follows from graphs, agents and tiers."""

    def __init__(self, file: FileModel) -> None:
        self._file = file

    @cached_property
    def tools(self) -> Mapping[str, Mapping[str, Json]]:
        """The tools by name, those that are mappings."""
        return dict(self._file.entries("tools"))

    @cached_property
    def calls(self) -> Mapping[Thing, tuple[Call, ...]]:
        """What each graph, agent and tool calls straight away."""
        found: dict[Thing, list[Call]] = {}
        for call in calls_of(self._file):
            found.setdefault(call.caller, []).append(call)
        return {thing: tuple(calls) for thing, calls in found.items()}

    @cached_property
    def tiers(self) -> Mapping[str, Tier]:
        """The tiers by name, what they extend taken in; a circle (T531) is cut where it closes."""
        levels = mapping(self._file.section("tiers").get("levels"))
        index = {name: place for place, name in enumerate(self._file.section("tools"))}
        found: dict[str, Tier] = {}
        for name in levels:
            way: dict[str, None] = {}
            at: str | None = name
            while at is not None and at in levels and at not in way and at not in found:
                way[at] = None
                at = text(mapping(levels[at]).get("extends"))
            base = found.get(at or "")
            for level in reversed(way):
                base = found[level] = _tier(level, mapping(levels[level]), base, index)
        return {name: found[name] for name in levels}

    def kind(self, tool: str) -> str | None:
        """python, http, command, mcp, store, graph or agent."""
        return next(
            (kind for kind in (*OWN_KINDS, "graph", "agent") if kind in self.tools.get(tool, {})), None
        )

    def effect(self, tool: str) -> Effect:
        """What a tool does: as it says; else by its operation, or the worst of what it reaches; else `write`."""
        spec = self.tools.get(tool, {})
        said = next((effect for effect in _WEIGHT if effect == spec.get("effect")), None)
        if said is not None:
            return said
        match self.kind(tool):
            case "store":
                return STORE_EFFECTS.get(str(spec.get("operation")), "write")
            case "graph" if self.is_of_another_file(tool):
                return "write"  # nothing is known of it
            case "graph" | "agent":
                return self._effects_reached.get(("tool", tool), "pure")
            case _:
                return "write"

    def is_of_another_file(self, tool: str) -> bool:
        """Whether a tool runs a graph that stands in a file of its own."""
        graph = text(self.tools.get(tool, {}).get("graph"))
        return graph is not None and graph.endswith((".yaml", ".yml"))

    def touches_world(self, tool: str) -> bool:
        """Whether a tool touches the world itself; a graph in another file is taken to do so."""
        return self.kind(tool) in OWN_KINDS or self.is_of_another_file(tool)

    def reaching(self, tools: Iterable[str]) -> Mapping[Thing, str]:
        """Each thing that may come to call one of these tools, with the first such; the tools themselves, too."""
        found: dict[Thing, str] = {("tool", name): name for name in tools}
        waiting = deque(found)
        while waiting:
            thing = waiting.popleft()
            for call in self.callers.get(thing, ()):
                if call.caller not in found and self._may_be_called(call):
                    found[call.caller] = found[thing]
                    waiting.append(call.caller)
        return found

    @cached_property
    def said_writes(self) -> Mapping[Thing, str]:
        """Each thing that may come to write, as the file says, with the tool: one that says nothing is T507's business."""
        return self.reaching(
            name
            for name, tool in self.tools.items()
            if self.effect(name) == "write" and ("effect" in tool or self.kind(name) == "store")
        )

    @cached_property
    def callers(self) -> Mapping[Thing, tuple[Call, ...]]:
        """What calls each graph, agent and tool straight away."""
        found: dict[Thing, list[Call]] = {}
        for calls in self.calls.values():
            for call in calls:
                found.setdefault(call.callee, []).append(call)
        return {thing: tuple(calls) for thing, calls in found.items()}

    @cached_property
    def _effects_reached(self) -> Mapping[Thing, Effect]:
        """The worst that each thing may come to do through tools of its own kinds."""
        own = [name for name in self.tools if self.touches_world(name)]
        found: dict[Thing, Effect] = {}
        for effect in ("pure", "read", "write"):
            found.update(dict.fromkeys(self.reaching(n for n in own if self.effect(n) == effect), effect))
        return found

    def _may_be_called(self, call: Call) -> bool:
        """A model can call only what some tier offers."""
        is_of_model = call.caller[0] == "agent" and call.callee[0] == "tool"
        return not is_of_model or self._offered is None or call.callee[1] in self._offered

    @cached_property
    def _offered(self) -> NameSet | None:
        """What the tiers offer; None where there are none, and each agent has all that it lists."""
        if "tiers" not in self._file.data:
            return None
        offered = [tier.offered for tier in self.tiers.values()]
        return reduce(or_, offered) if offered else NameSet({})


def _tier(name: str, level: Mapping[str, Json], base: Tier | None, index: Mapping[str, int]) -> Tier:
    tools, approve, deny = (
        NameSet.of(names_in(level.get(part)), index) for part in ("tools", "approve", "deny")
    )
    most = level.get("max_calls")
    max_calls = most if isinstance(most, int) else None
    if base is None:
        return Tier(name, tools, approve, deny, max_calls)
    max_calls = base.max_calls if max_calls is None else max_calls
    return Tier(name, base.tools | tools, base.approve | approve, base.deny | deny, max_calls)
