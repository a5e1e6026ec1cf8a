"""Tool calls under way, so that the end of one finds its beginning."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentctl.events import Event
from agentctl.json import Json
from agentctl.sinks.sentences import tool_call, tool_outcome

Place = tuple[str, int, str, str]
"""Path, try of the node, tool, and which call of that place it is."""


@dataclass(frozen=True, slots=True)
class EndedCall:
    """A call that is over, told."""

    said: str
    """The tool, its arguments in short, and what became of the call."""
    is_good: bool
    result: Json
    """None when there is none to show."""


@dataclass(slots=True)
class OpenCalls:
    """Calls by place: those of one reply run side by side. Times in seconds."""

    begun: dict[Place, Event] = field(default_factory=dict)
    hits: dict[Place, Json] = field(default_factory=dict)

    def add(self, event: Event, longest: int = 80) -> EndedCall | None:
        """Take `tool.started`, `memo.hit` or `tool.ended`; a call that has ended, its arguments cut to `longest`."""
        if event.type not in ("tool.started", "memo.hit", "tool.ended"):
            return None
        data = event.data
        place = (event.path, event.attempt, str(data["tool"]), str(data.get("call", "")))
        if event.type == "tool.started":
            self.begun[place] = event
        elif event.type == "memo.hit":
            self.hits[place] = data
        else:
            begun, memo = self.begun.pop(place, None), self.hits.pop(place, None)
            said = f"{tool_call(begun.data if begun else data, longest)} · {tool_outcome(data, memo)}"
            return EndedCall(said, bool(data.get("ok", True)), data.get("result"))
        return None

    def under_way(self) -> list[Event]:
        return list(self.begun.values())
