"""Tool calls under way, so that the end of one finds its beginning."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentctl.events import Event
from agentctl.json import Json
from agentctl.sinks.sentences import tool_call, tool_outcome


@dataclass(slots=True)
class OpenCalls:
    """Calls by place and tool, ended in the order they began; times in seconds."""

    begun: dict[tuple[str, str], list[Event]] = field(default_factory=dict)
    hits: dict[tuple[str, str], list[Json]] = field(default_factory=dict)

    def add(self, event: Event) -> str | None:
        """Take `tool.started`, `memo.hit` or `tool.ended`; the line of a call that has ended."""
        if event.type not in ("tool.started", "memo.hit", "tool.ended"):
            return None
        place = (event.path, str(event.data["tool"]))
        if event.type == "tool.started":
            self.begun.setdefault(place, []).append(event)
        elif event.type == "memo.hit":
            self.hits.setdefault(place, []).append(event.data)
        else:
            return self._ended(place, event.data)
        return None

    def under_way(self) -> list[Event]:
        return [event for events in list(self.begun.values()) for event in events]

    def _ended(self, place: tuple[str, str], data: Json) -> str:
        begun, hits = self.begun.get(place), self.hits.get(place)
        memo = hits.pop(0) if hits and data.get("memo") else None
        said = tool_call(begun.pop(0).data if begun else data)
        return f"{said} · {tool_outcome(data, memo)}"
