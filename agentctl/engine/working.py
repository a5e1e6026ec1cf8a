"""Working on background jobs: each is driven as a turn is, over its own log, beside a few others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from agentctl.engine.changes import refuse_changes
from agentctl.engine.effects import Effects
from agentctl.engine.executor import Executor
from agentctl.engine.history import History, Pending
from agentctl.engine.jobs import Job, JobQueue, Starter
from agentctl.engine.keeper import Keeper
from agentctl.engine.reading import history_in
from agentctl.engine.session import Request, make_outcome, make_turn
from agentctl.engine.steps import Passage
from agentctl.engine.watch import Stop, Watch
from agentctl.engine.world import World
from agentctl.errors import ThreadBusy, UsageError
from agentctl.events import EventStream, Sink, TurnFacts
from agentctl.graph.background import BackgroundNode, background_nodes, job_graph
from agentctl.graph.plan import Graph, Tier
from agentctl.json import Json
from agentctl.store.protocols import Head, ThreadLog


@dataclass(slots=True)
class JobWorker:
    """Works on the jobs of one graph, with the world that its turns have."""

    graph: Graph
    queue: JobQueue
    world: World
    sinks: Sequence[Sink] = ()
    secrets: Sequence[str] = ()
    stop: Stop | None = None
    assume: Mapping[str, Json] = field(default_factory=dict)
    """See engine.session.Request."""
    accept_changes: bool = False

    async def work(self, thread: str | None = None, only: Sequence[str] | None = None) -> list[Job]:
        """Work on the jobs that a thread started, or on those of some keys, and on the jobs that these start.

        Returns those that were tried, as they are now: some may be left, because of a stop, a person who is to be
        asked, a changed file, or another process that works on them.
        """
        tried: dict[str, None] = {}
        known = {job.key for job in await self.queue.all(thread)} if only is not None else set()
        while not self._is_stopped():
            wanted = [job for job in await self.queue.all(thread) if not job.is_over and job.key not in tried]
            if only is not None:
                wanted = [job for job in wanted if job.key in only or job.key not in known]
            if not wanted:
                break
            tried |= dict.fromkeys(job.key for job in wanted)
            await self._side_by_side(wanted)
        found = [await self.queue.find(key) for key in tried]
        for sink in self.sinks:
            await sink.settle()
        return [job for job in found if job is not None]

    def _is_stopped(self) -> bool:
        return self.stop is not None and self.stop.requested

    async def _side_by_side(self, jobs: Sequence[Job]) -> None:
        waiting = iter(jobs)

        async def some() -> None:
            for job in waiting:
                if self._is_stopped():
                    return
                await self._one(job)

        most = self.graph.limits.background.concurrency
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(most, len(jobs))):
                    group.create_task(some())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _one(self, job: Job) -> None:
        """Work on a job until it is over or left; another process that works on it is left alone."""
        events = self._events(job)
        try:
            log = await self.queue.store.open(job.key)
        except ThreadBusy:
            return
        try:
            found = await self._node(job)
            graph = job_graph(found, self.graph.limits)
            history = await history_in(self.queue.store, job.key, graph)
            if history.pending is not None:
                tier = _tier(job, found.file)
                await self._drive(job, graph, tier, log, history, history.pending, events)
        except UsageError as error:
            _tell(events, job, "job.left", error={"message": error.message, "hint": error.hint})
        finally:
            await log.close()

    async def _node(self, job: Job) -> BackgroundNode:
        """The node of a job. Raises UsageError where its file changed so that the job cannot go on."""
        at = job.began["job"]["at"]
        nodes = list(background_nodes(self.graph))
        same = [found for found in nodes if found.node.background and found.node.background.at == at]
        for found in same:
            if found.file.digest == job.began["digest"]:
                return found
        if not same:
            raise UsageError(
                f"the job's node `{at}` is not in the file any more, or does not run in the background",
                hint=f"bring it back, or give the job up: agentctl jobs cancel {job.key}",
            )
        [found, *_] = same
        recording = await self.queue.store.load_file(job.began["digest"])
        refuse_changes(found.file, recording, found.node.name, accept=self.accept_changes)
        if not at.startswith("nodes.") and not self.accept_changes:
            raise UsageError(
                f"the file changed around the job's node `{at}`",
                hint="bring it back, or go on with the new file: add --accept-changes",
            )
        return found

    async def _drive(
        self,
        job: Job,
        graph: Graph,
        tier: Tier | None,
        log: ThreadLog,
        history: History,
        pending: Pending,
        events: EventStream,
    ) -> None:
        began = pending.began
        record = {
            "kind": "resume",
            "at": time.time(),
            "step": history.steps + 1,
            "path": str(graph.path),
            "digest": graph.digest,
            "options": began["options"],
            "changed": history.file != graph.digest,
        }
        if record["changed"]:
            await self.queue.store.save_file(graph.digest, graph.recording)
        pending.tape.take(record)
        await log.append([record])
        head = await self.queue.store.head(log.thread) or Head(thread=log.thread)
        keeper = Keeper(log, head, graph, turn_seq=history.turn_seq)
        passage = Passage(pending.next, pending.elapsed, pending.limit, pending.failure, history.updates)
        watch = Watch(self.stop)
        effects = Effects(pending.tape, keeper, watch, live=True, secrets=self.secrets)
        turn = make_turn(
            graph, history.state, effects, pending, Request(assume=self.assume), self.world, self.sinks
        )
        turn.step = history.steps
        turn.jobs = Starter(self.queue, self.graph, began["options"])
        turn.tier, turn.events = tier, events
        _tell(events, job, "job.started")
        try:
            ended = await Executor(turn, passage).drive()
            await keeper.end(turn, passage, ended, make_outcome(turn, passage, ended))
        finally:
            watch.close()
        kinds = {"done": "job.done", "waiting": "job.waiting", "interrupted": "job.left"}
        said: dict[str, Json] = {"error": ended.error} if ended.error is not None else {}
        if ended.question is not None:
            said["question"] = ended.question.as_json()
        _tell(events, job, kinds.get(ended.status, "job.failed"), **said)

    def _events(self, job: Job) -> EventStream:
        """The events of a job: its run is a part of the one that started it."""
        run = job.began["run"]
        facts = TurnFacts(
            run=f"{run['id']}:{job.key[:12]}",
            thread=run["thread"],
            turn=run["turn"],
            graph=self.graph.name,
            digest=self.graph.digest,
            tenant=run["tenant"],
            tier=run["tier"],
        )
        return EventStream(facts, self.sinks)


def _tier(job: Job, file: Graph) -> Tier | None:
    """A job keeps the tier of the node that started it. Raises UsageError when the file has it no more."""
    if file.tiers is None:
        return None
    name = job.began["run"]["tier"]
    if name not in file.tiers.levels:
        raise UsageError(f"the job began in tier `{name}`, which the file has not got")
    return file.tiers.levels[name]


def _tell(events: EventStream, job: Job, type: str, **data: Json) -> None:
    events.publish(type, 0, "", job=job.key, node=job.began["job"]["at"], **data)
