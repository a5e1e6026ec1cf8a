"""Background jobs: each a log of its own, named by its key, with one turn for each time that it was asked for anew.

A job's turn begins with the state as the node that started it saw it. Its log is written as a thread's is, by one
writer at a time, so that a killed job goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from agentctl.engine.effects import Answer
from agentctl.engine.tape import Tape, unpacked
from agentctl.engine.turn import Turn
from agentctl.errors import StoreError, ThreadBusy
from agentctl.graph.background import BackgroundNode, background_nodes
from agentctl.graph.plan import AgentNode, Graph, GraphNode, Node, ToolNode
from agentctl.json import Json, digest
from agentctl.nodes.saving import worth_referring
from agentctl.nodes.turn import NodeResult, Place, Reference
from agentctl.state import Write
from agentctl.store.protocols import Head, ThreadLog, ThreadStore

JobStatus = Literal["queued", "started", "waiting", "done", "failed", "cancelled"]
"""`started`: somebody works on it, or was killed while he did. `waiting`: only a person can say how it goes on."""
_ENDS: Mapping[str, JobStatus] = {
    "done": "done",
    "failed": "failed",
    "limit": "failed",
    "abandoned": "cancelled",
}


@dataclass(frozen=True, slots=True)
class Job:
    """One job, as its log tells it."""

    key: str
    status: JobStatus
    began: Json
    """The record of its newest turn."""
    error: Json = None
    question: Json = None
    """What it waits for."""
    writes: Sequence[Write] = ()
    """What it found, once it is done."""
    steps: int = 0
    updated: float = 0.0
    """Unix seconds; 0 where no head says it."""

    @property
    def is_over(self) -> bool:
        return self.status in ("done", "failed", "cancelled")

    @property
    def thread(self) -> str:
        """The thread that started it."""
        return str(self.began["run"]["thread"])

    def as_json(self) -> dict[str, Json]:
        """One job of `jobs list --json`."""
        began = self.began
        return {
            "job": self.key,
            "status": self.status,
            "thread": self.thread,
            "turn": began["run"]["turn"],
            "node": began["job"]["at"],
            "graph": began["graph"],
            "tenant": began["run"]["tenant"],
            "created": began["job"]["created"],
            "updated": self.updated,
            "error": self.error,
            "question": self.question,
        }


class JobQueue:
    """The jobs of a project, kept in a thread store of their own."""

    def __init__(self, store: ThreadStore) -> None:
        self.store = store

    async def find(self, key: str) -> Job | None:
        """The job of a key, if it was ever asked for."""
        return _read(key, await self.store.read(key), await self.store.head(key))

    async def all(self, thread: str | None = None) -> list[Job]:
        """Every job, or those that a thread started, in the order of their keys."""
        found: list[Job] = []
        for head in await self.store.heads():
            if thread is None or head.of in ("", thread):
                job = _read(head.thread, await self.store.read(head.thread), head)
                if job is not None and (thread is None or job.thread == thread):
                    found.append(job)
        return sorted(found, key=lambda job: job.key)

    async def put(self, key: str, file: Graph, began: dict[str, Json], values: Json, state: str) -> None:
        """Ask for a job that is not there, or whose last turn brought nothing. It survives a power cut."""
        try:
            log = await self.store.open(key)
        except ThreadBusy:
            return  # somebody has just asked for it, or works on it
        try:
            before = _read(key, await log.read(), None)
            if before is not None and (not before.is_over or before.status == "done"):
                return
            turns, steps = (before.began["n"], before.steps) if before is not None else (0, 0)
            snapshot = {
                "kind": "snapshot",
                "n": steps,
                "file": file.digest,
                "turns": turns,
                "values": values,
                "digest": state,
            }
            await self.store.save_file(file.digest, file.recording)
            seq = await log.append([snapshot, {**began, "n": turns + 1, "steps": steps}], sync=True)
            await log.save_head(_head(log, seq, file, began))
        finally:
            await log.close()

    async def cancel(self, key: str) -> Job | None:
        """End a job that is not over; what it is now. Raises ThreadBusy when somebody works on it."""
        log = await self.store.open(key)
        try:
            job = _read(key, await log.read(), None)
            if job is None or job.is_over:
                return job
            await log.append([{"kind": "end", "status": "abandoned", "n": job.steps}], sync=True)
        finally:
            await log.close()
        return await self.find(key)


def _read(key: str, rows: Sequence[tuple[int, Json]], head: Head | None) -> Job | None:
    began: Json = None
    last: Json = None
    tape, steps = Tape(), 0
    writes: Sequence[Write] = ()
    for _, record in rows:
        tape.take(record)
        match record["kind"]:
            case "turn":
                began, last, tape, writes = record, None, Tape(), ()
            case "step":
                steps, writes = record["n"], unpacked(record, tape)
            case "resume" | "suspend" | "end":
                last = record
    if began is None:
        return None
    status = _status(last)
    return Job(
        key,
        status,
        began,
        error=last.get("error") if last is not None else None,
        question=last.get("question") if last is not None else None,
        writes=writes if status == "done" else (),
        steps=steps,
        updated=head.updated if head is not None else 0.0,
    )


def _status(last: Json) -> JobStatus:
    if last is None:
        return "queued"
    match last["kind"]:
        case "end":
            return _ENDS[last["status"]]
        case "suspend":
            return "waiting" if last["status"] == "waiting" else "queued"
        case _:
            return "started"


def _head(log: ThreadLog, seq: int, file: Graph, began: Mapping[str, Json]) -> Head:
    return Head(
        thread=log.thread,
        graph=file.name,
        digest=file.digest,
        tenant=began["run"]["tenant"],
        status="running",
        seq=seq,
        snapshot_seq=seq - 1,
        turn_seq=seq,
        created=began["job"]["created"],
        updated=time.time(),
        of=began["run"]["thread"],
    )


class Starter:
    """Starts the jobs of one graph's turns. See engine.turn.Jobs."""

    def __init__(self, queue: JobQueue, graph: Graph, options: Mapping[str, Json]) -> None:
        self.queue = queue
        self.graph = graph
        self.options = options
        self._nodes = {id(found.node): found for found in background_nodes(graph)}

    async def ask(self, turn: Turn, node: Node, about: Json) -> Answer:
        """Ask for the job, unless it is under way or done; what the tape keeps of it."""
        plan, found = node.background, self._nodes[id(node)]
        assert plan is not None
        run = turn.run
        key = digest([run["tenant"], run["thread"], plan.at, found.file.digest, about])
        job = await self.queue.find(key)
        if job is not None and job.status == "done":
            return {"res": {"job": key, "at": plan.at, "state": "done", "writes": list(job.writes)}}
        if job is None or job.is_over:
            began = self._began(turn, found, plan.at)
            await self.queue.put(key, found.file, began, turn.state.values, turn.state.digest)
        # what a graph inside another finds in a job has no later turn of that graph to arrive in
        applies = plan.applies and not turn.path
        return {"res": {"job": key, "at": plan.at, "state": "queued", "applies": applies}}

    def _began(self, turn: Turn, found: BackgroundNode, at: str) -> dict[str, Json]:
        return {
            "kind": "turn",
            "run": dict(turn.run),
            "inputs": {},
            "reset": [],
            "start": found.node.name,
            "graph": found.file.name,
            "path": str(self.graph.path),
            "digest": found.file.digest,
            "options": dict(self.options),
            "job": {"at": at, "created": time.time()},
        }


async def start_job(turn: Turn, place: Place, node: Node) -> NodeResult:
    """Start a node's job and go on; one that is done already saves at once. Raises NodeError, ExpressionError."""
    plan = node.background
    assert plan is not None
    if turn.tier_error is not None:
        raise turn.tier_error
    about = _inputs(turn, node) if plan.key is None else {"key": plan.key(turn.names)}
    asked = digest([plan.at, about])
    was_known = turn.effects.known(place) is not None
    record = await turn.effects.perform(place, "job", asked, partial(_ask, turn, node, about), shown=about)
    found = record["res"]
    if found["state"] != "done":
        if found["applies"]:
            turn.open_jobs[found["job"]] = plan.at
        turn.events.publish(
            "job.queued", turn.step, place.path, job=found["job"], node=plan.at, recorded=was_known
        )
        return NodeResult()
    turn.open_jobs.pop(found["job"], None)
    turn.events.publish("job.applied", turn.step, place.path, job=found["job"], node=plan.at)
    return _saved(place, found["writes"])


async def _ask(turn: Turn, node: Node, about: Json) -> Answer:
    if turn.jobs is None:
        raise StoreError("there is no queue for background jobs")
    return await turn.jobs.ask(turn, node, about)


def _inputs(turn: Turn, node: Node) -> Json:
    """What a node is given; of what reads the state as it goes, the whole state."""
    names = turn.names
    match node:
        case ToolNode(args=args):
            return args(names)
        case GraphNode(input=given):
            return given(names)
        case AgentNode(prompt=prompt, history=None) if prompt is not None:
            instructions = node.agent.instructions
            return {
                "prompt": prompt(names),
                "instructions": None if instructions is None else instructions(names),
            }
        case _:
            return turn.state.values


def _saved(place: Place, writes: Json) -> NodeResult:
    references = tuple(
        Reference((index, 1), place.key, ("result", "writes", index, 1))
        for index, (_, value) in enumerate(writes)
        if worth_referring(value)
    )
    return NodeResult([(name, value) for name, value in writes], references)
