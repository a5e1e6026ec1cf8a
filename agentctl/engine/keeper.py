"""The writing side of a turn: its records go to the thread's log, and its head says where the log stands."""

from __future__ import annotations

import time
from collections.abc import Sequence

from agentctl.engine.executor import Ended
from agentctl.engine.outcome import Outcome
from agentctl.engine.steps import Passage
from agentctl.engine.turn import Turn
from agentctl.graph.plan import Graph
from agentctl.json import Json
from agentctl.store.protocols import Head, ThreadLog


class Keeper:
    """The thread's log, with its head kept up to date where that saves reading later."""

    def __init__(self, log: ThreadLog, head: Head, graph: Graph, *, turn_seq: int) -> None:
        self.log = log
        self.head = head
        self.graph = graph
        self.turn_seq = turn_seq
        self.snapshot_seq = head.snapshot_seq

    async def append(self, records: Sequence[Json], *, sync: bool = False) -> int:
        """See Log; a snapshot, always the last of its records, is noted in the head."""
        last = await self.log.append(records, sync=sync)
        record = records[-1]
        if record["kind"] == "snapshot":
            self.snapshot_seq = last
            await self.save("running", self.head.turns, record["n"])
        return last

    async def save(self, status: Json, turns: int, steps: int, outcome: Outcome | None = None) -> None:
        head = self.head
        usage = outcome.usage if outcome else None
        cost = outcome.cost if outcome else 0.0
        self.head = Head(
            thread=head.thread,
            graph=self.graph.name,
            digest=self.graph.digest,
            tenant=head.tenant,
            status=status,
            seq=self.log.seq,
            snapshot_seq=self.snapshot_seq,
            turn_seq=self.turn_seq,
            turns=turns,
            steps=steps,
            input_tokens=head.input_tokens + (usage.input if usage else 0),
            output_tokens=head.output_tokens + (usage.output if usage else 0),
            cost=None if head.cost is None or cost is None else head.cost + cost,
            created=head.created,
            updated=time.time(),
            variants=head.variants,
            of=head.of,
        )
        await self.log.save_head(self.head)

    async def end(self, turn: Turn, passage: Passage, ended: Ended, outcome: Outcome) -> None:
        """Write how the passage stopped, synced."""
        if ended.status in ("waiting", "interrupted"):
            record: dict[str, Json] = {"kind": "suspend", "status": ended.status, "at": time.time()}
            if ended.question is not None:
                record["question"] = ended.question.as_json()
        else:
            record = {"kind": "end", "status": ended.status, "n": turn.step, "digest": turn.state.digest}
        record["t"] = round(passage.elapsed, 3)
        if ended.error is not None:
            record["error"] = ended.error
        await self.log.append([record], sync=True)
        over = record["kind"] == "end"
        await self.save(ended.status, turn.run["turn"], turn.step, outcome if over else None)
