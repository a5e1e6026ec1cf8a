"""What a turn came to, in one line."""

from __future__ import annotations

from dataclasses import dataclass

from agentctl.events import Event
from agentctl.sinks.wording import count, duration, money, tokens


@dataclass(slots=True)
class Tally:
    """Counts the calls of a turn as its events go by."""

    model_calls: int = 0
    tool_calls: int = 0
    from_memo: int = 0
    recorded: int = 0

    def add(self, event: Event) -> None:
        if event.type not in ("model.ended", "tool.ended"):
            return
        if event.data.get("recorded"):
            self.recorded += 1
        elif event.type == "model.ended":
            self.model_calls += 1
        elif event.data.get("memo"):
            self.from_memo += 1
        else:
            self.tool_calls += 1

    def summary(self, ended: Event, *, named: bool = True) -> str:
        """The line that ends a turn, from its `run.ended`; `named` adds the thread's id."""
        data = ended.data
        parts = [str(data["status"]), count(data["steps"], "step"), count(self.model_calls, "model call")]
        parts.append(count(self.tool_calls, "tool call"))
        if self.from_memo:
            parts.append(f"{self.from_memo} from memo")
        if self.recorded:
            parts.append(f"{self.recorded} from the tape")
        parts += [tokens(data["usage"]), f"cost {money(data['cost'])}", duration(data["seconds"])]
        return " · ".join([*parts, f"thread {ended.facts.thread}"] if named else parts)
