"""One writer's passage over a thread: begin a turn or take one up, drive it, and leave the log in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentctl.engine.budget import Budget
from agentctl.engine.changes import refuse_changes
from agentctl.engine.effects import Effects
from agentctl.engine.executor import Ended, Executor
from agentctl.engine.history import History, Pending
from agentctl.engine.jobs import Job, JobQueue, Starter
from agentctl.engine.keeper import Keeper
from agentctl.engine.masking import Mask
from agentctl.engine.nesting import Nesting
from agentctl.engine.outcome import Outcome
from agentctl.engine.reading import history_in
from agentctl.engine.steps import Passage
from agentctl.engine.tape import arrived
from agentctl.engine.turn import Turn
from agentctl.engine.watch import Stop, Watch
from agentctl.engine.world import World
from agentctl.errors import NodeError, UsageError
from agentctl.events import EventStream, Sink, TurnFacts
from agentctl.graph.plan import END, Graph
from agentctl.ids import new_uuid
from agentctl.json import Json
from agentctl.state import State, Trimmed
from agentctl.store.memory import MemoryThreadStore
from agentctl.store.protocols import Head, ThreadLog, ThreadStore


@dataclass(frozen=True, slots=True)
class Request:
    """What a turn is begun, or taken up, with."""

    inputs: Mapping[str, Json] = field(default_factory=dict)
    tenant: str = ""
    answers: Mapping[str, Json] = field(default_factory=dict)
    assume: Mapping[str, Json] = field(default_factory=dict)
    abandon: bool = False
    """End a suspended turn instead of refusing to begin a new one."""
    accept_changes: bool = False
    options: Mapping[str, Json] = field(default_factory=dict)
    """What the graph was compiled with (models, limits); a replay compiles it so again."""


class Session:
    """The one writer of one thread, with the graph it runs and the world its effects reach."""

    def __init__(
        self,
        graph: Graph,
        store: ThreadStore,
        world: World,
        *,
        sinks: Sequence[Sink] = (),
        secrets: Sequence[str] = (),
        jobs: JobQueue | None = None,
    ) -> None:
        self.jobs = JobQueue(MemoryThreadStore()) if jobs is None else jobs
        self.graph = graph
        self.store = store
        self.world = world
        self.sinks = sinks
        self.secrets = secrets

    async def run(self, thread: str, request: Request, stop: Stop | None = None) -> Outcome:
        """Begin a turn and drive it. Raises UsageError when another turn is suspended, ThreadBusy, StoreError."""
        log = await self.store.open(thread)
        try:
            history = await history_in(self.store, log.thread, self.graph)
            while history.pending is not None:
                history = await self._settle_pending(log, history, request, stop)
            return await self._begin(log, history, request, stop)
        finally:
            await log.close()

    async def resume(self, thread: str, request: Request, stop: Stop | None = None) -> Outcome:
        """Go on with the suspended turn. Raises UsageError when there is none, or when its file changed."""
        log = await self.store.open(thread)
        try:
            history = await history_in(self.store, log.thread, self.graph)
            if history.pending is None:
                raise UsageError(
                    f"thread {thread} has no turn to resume: its last one is over",
                    hint=f"begin a new turn on it: agentctl run FILE --thread {thread}",
                )
            return await self._take_up(log, history, history.pending, request, stop)
        finally:
            await log.close()

    async def _settle_pending(
        self, log: ThreadLog, history: History, request: Request, stop: Stop | None
    ) -> History:
        """Make room for a new turn: the old one is abandoned, or its deadline has passed and it goes on."""
        pending = history.pending
        assert pending is not None
        overdue = pending.deadline is not None and pending.deadline <= self.world.now()
        if request.abandon:
            end = {"kind": "end", "status": "abandoned", "n": history.steps}
            await log.append([end], sync=True)
        elif overdue:
            await self._take_up(log, history, pending, Request(options=request.options), stop)
        else:
            raise pending_refusal(log.thread, pending)
        return await history_in(self.store, log.thread, self.graph)

    async def _begin(self, log: ThreadLog, history: History, request: Request, stop: Stop | None) -> Outcome:
        run = self._run_names(log.thread, history.turns + 1, request.tenant)
        state = history.state
        reset = [name for name in self.graph.output if self.graph.fields[name].reduce == "last"]
        reset = [name for name in reset if name not in self.graph.input]
        before = (dict(state.values), state.digest)
        jobs_before = dict(history.jobs)
        inputs = Mask(self.secrets)(dict(request.inputs))
        over = await self._jobs_over(history)
        try:
            trimmed = state.begin(reset, inputs, arrived({"jobs": over}))
        except NodeError as error:
            raise UsageError(f"input {error.message}") from error
        for name in self.graph.input:
            if name not in state.values:
                raise UsageError(f"the input `{name}` is missing", hint=f"give it: -i {name}=…")
        record = {
            "kind": "turn",
            "n": history.turns + 1,
            "steps": history.steps,
            "run": run,
            "inputs": inputs,
            "reset": reset,
            "start": self.graph.start,
            "graph": self.graph.name,
            "path": str(self.graph.path),
            "digest": self.graph.digest,
            "options": dict(request.options),
        }
        if over:
            record["jobs"] = over
        await self.store.save_file(self.graph.digest, self.graph.recording)
        head = await self.store.head(log.thread) or Head(
            thread=log.thread, created=time.time(), tenant=request.tenant
        )
        records: list[Json] = [record]
        if history.file not in ("", self.graph.digest):
            # the updates before this are folded by other types, which need not be read again
            records.insert(0, _snapshot_between(history, self.graph.digest, *before, jobs_before))
        seq = await log.append(records)
        keeper = Keeper(log, head, self.graph, turn_seq=seq)
        if len(records) == 2:
            keeper.snapshot_seq = seq - 1
        history.turns += 1
        passage = Passage(self.graph.start, updates=history.updates)
        pending = Pending(record, self.graph.start)
        return await self._drive(keeper, history, pending, passage, request, stop, trimmed)

    async def _take_up(
        self, log: ThreadLog, history: History, pending: Pending, request: Request, stop: Stop | None
    ) -> Outcome:
        options = dict(request.options)
        changed = (history.file, pending.options) != (self.graph.digest, options)
        if history.file != self.graph.digest:
            recording = await self.store.load_file(history.file)
            refuse_changes(self.graph, recording, pending.next, accept=request.accept_changes)
            await self.store.save_file(self.graph.digest, self.graph.recording)
        if pending.next not in (END, *self.graph.nodes, *self.graph.routers):
            raise UsageError(
                f"the suspended turn would go on at `{pending.next}`, which the file has no more",
                hint="bring it back, or give the turn up: run with --abandon",
            )
        record = {
            "kind": "resume",
            "at": time.time(),
            "step": history.steps + 1,
            "path": str(self.graph.path),
            "digest": self.graph.digest,
            "options": options,
            "changed": changed,
        }
        pending.tape.take(record)
        await log.append([record])
        head = await self.store.head(log.thread) or Head(thread=log.thread, created=time.time())
        keeper = Keeper(log, head, self.graph, turn_seq=history.turn_seq)
        passage = Passage(pending.next, pending.elapsed, pending.limit, pending.failure, history.updates)
        return await self._drive(keeper, history, pending, passage, request, stop)

    async def _drive(
        self,
        keeper: Keeper,
        history: History,
        pending: Pending,
        passage: Passage,
        request: Request,
        stop: Stop | None,
        trimmed: Sequence[Trimmed] = (),
    ) -> Outcome:
        await keeper.save("running", history.turns, history.steps)
        watch = Watch(stop)
        effects = Effects(pending.tape, keeper, watch, live=True, secrets=self.secrets)
        turn = make_turn(self.graph, history.state, effects, pending, request, self.world, self.sinks)
        turn.step, turn.open_jobs = history.steps, history.jobs
        turn.jobs = Starter(self.jobs, self.graph, request.options)
        resumed = pending.used is not None or pending.suspended is not None or bool(pending.tape.effects)
        inputs = pending.began["inputs"]
        turn.events.publish(
            "run.resumed" if resumed else "run.started", **({} if resumed else {"inputs": inputs})
        )
        if not resumed:
            _tell_of_jobs(turn, pending.began.get("jobs", ()), trimmed)
        try:
            ended = await Executor(turn, passage).drive()
            outcome = make_outcome(turn, passage, ended)
            await keeper.end(turn, passage, ended, outcome)
        finally:
            watch.close()
        _publish_end(turn, outcome)
        await turn.events.settle()
        if ended.refused is not None:
            raise ended.refused
        return outcome

    async def _jobs_over(self, history: History) -> list[Json]:
        """The background jobs of the thread that are over, in the order of their keys, with what each found."""
        over: list[Json] = []
        for key, at in sorted(history.jobs.items()):
            job = await self.jobs.find(key)
            if job is not None and not job.is_over:
                continue
            over.append({"job": key, "at": at, **_found_by(job, history.state)})
            del history.jobs[key]
        return over

    def _run_names(self, thread: str, turn: int, tenant: str) -> dict[str, Json]:
        names: dict[str, Json] = {
            "id": "",
            "thread": thread,
            "turn": turn,
            "tenant": tenant,
            "tier": "",
            "variants": {},
            "uuid": new_uuid(),
            "now": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.world.now())),
        }
        template = self.graph.run_id
        names["id"] = names["uuid"] if template is None else str(template({"run": names}))
        return names


def make_turn(
    graph: Graph,
    state: State,
    effects: Effects,
    pending: Pending,
    request: Request,
    world: World | None,
    sinks: Sequence[Sink],
) -> Turn:
    """A turn at the point where its records leave it."""
    run = pending.began["run"]
    facts = TurnFacts(
        run=run["id"],
        thread=run["thread"],
        turn=run["turn"],
        graph=graph.name,
        digest=graph.digest,
        tenant=run["tenant"],
    )
    limits = graph.limits
    budget = Budget.for_graph(limits, graph.nodes[limits.on_limit] if limits.on_limit else None)
    if pending.used is not None:
        budget.restore(pending.used, pending.visits, pending.calls_of)
    budget.reserved = budget.reserved and pending.limit is None
    return Turn(
        graph=graph,
        state=state,
        effects=effects,
        events=EventStream(facts, sinks),
        budget=budget,
        run=run,
        world=world,
        answers=request.answers,
        assume=request.assume,
        inside=Nesting(),
        slots=asyncio.Semaphore(max(0, limits.concurrency - 1)),
    )


def make_outcome(turn: Turn, passage: Passage, ended: Ended) -> Outcome:
    """What a passage came to."""
    budget = turn.budget
    over = ended.status in ("done", "limit")
    return Outcome(
        thread=turn.run["thread"],
        run=turn.run["id"],
        turn=turn.run["turn"],
        status=ended.status if ended.reason != "cannot" else "failed",
        output={name: turn.state.shown.get(name) for name in turn.graph.output} if over else {},
        steps=budget.nodes,
        usage=budget.usage,
        cost=budget.cost,
        exit_code=ended.exit_code,
        model_calls=budget.model_calls,
        tool_calls=budget.tool_calls,
        memo_hits=budget.memo_hits,
        seconds=passage.elapsed,
        error=ended.error,
        question=ended.question,
    )


def _snapshot_between(
    history: History, file: str, values: Mapping[str, Json], digest: str, jobs: Mapping[str, str]
) -> dict[str, Json]:
    record: dict[str, Json] = {
        "kind": "snapshot",
        "n": history.steps,
        "file": file,
        "turns": history.turns,
        "values": dict(values),
        "digest": digest,
    }
    if jobs:
        record["jobs"] = dict(jobs)
    return record


def pending_refusal(thread: str, pending: Pending) -> UsageError:
    """Why no new turn is begun beside one that is not over."""
    return UsageError(
        f"thread {thread} has a turn that is not over ({_state_of(pending)})",
        hint=f"go on with it: agentctl resume {thread}; or give it up: add --abandon",
    )


def _state_of(pending: Pending) -> str:
    if pending.suspended is None:
        return "its process was killed"
    return str(pending.suspended["status"])


def _found_by(job: Job | None, state: State) -> dict[str, Json]:
    """What a job that is over brings to a state, as the `turn` record keeps it."""
    if job is None:
        return {"error": {"class": "server", "message": "the job is not in the store any more"}}
    if job.status != "done":
        return {"error": job.error or {"class": "refused", "message": "the job was cancelled"}}
    try:
        return {"writes": state.prepare(job.writes)}
    except KeyError as missing:
        message = f"there is no field {missing} for what the job found"
    except NodeError as error:
        message = error.message
    return {"error": {"class": "bad_answer", "message": message}}


def _tell_of_jobs(turn: Turn, jobs: Sequence[Json], trimmed: Sequence[Trimmed]) -> None:
    """Publish what became of the jobs that a turn takes in."""
    for job in jobs:
        if "error" in job:
            turn.events.publish("job.lost", turn.step, job=job["job"], node=job["at"], error=job["error"])
        else:
            turn.events.publish("job.applied", turn.step, job=job["job"], node=job["at"])
    for one in trimmed:
        turn.events.publish("context.trimmed", turn.step, field=one.field, dropped=one.dropped)


def _publish_end(turn: Turn, outcome: Outcome) -> None:
    shown = outcome.as_json()
    keys = ("status", "output", "steps", "usage", "cost", "error")
    turn.events.publish("run.ended", turn.step, **{key: shown[key] for key in keys}, seconds=outcome.seconds)
