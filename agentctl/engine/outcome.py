"""What became of a turn."""

from __future__ import annotations

from dataclasses import dataclass, field

from agentctl.engine.signals import Question
from agentctl.json import Json
from agentctl.messages import Usage
from agentctl.store.protocols import Status


@dataclass(frozen=True, slots=True)
class Outcome:
    """A turn that ended or was suspended. `cost` is in US dollars, None when some call had no price."""

    thread: str
    run: str
    turn: int
    status: Status
    output: dict[str, Json]
    steps: int
    usage: Usage
    cost: float | None
    exit_code: int
    model_calls: int = 0
    tool_calls: int = 0
    memo_hits: int = 0
    seconds: float = 0.0
    variants: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: dict[str, Json] | None = None
    question: Question | None = None

    def as_json(self) -> dict[str, Json]:
        """The last line of `run --json` (version 1)."""
        usage = self.usage
        return {
            "v": 1,
            "thread": self.thread,
            "run": self.run,
            "turn": self.turn,
            "status": self.status,
            "output": self.output,
            "steps": self.steps,
            "usage": {
                "input": usage.input,
                "output": usage.output,
                "cached": usage.cached,
                "reasoning": usage.reasoning,
            },
            "cost": self.cost,
            "variants": self.variants,
            "warnings": list(self.warnings),
            "error": self.error,
            "model_calls": self.model_calls,
            "tool_calls": self.tool_calls,
            "memo_hits": self.memo_hits,
            "question": self.question.as_json() if self.question else None,
        }
