"""`load`: from a path to a graph that can run; the one place where concrete parts meet."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Self, TypeVar

from agentctl.assembly.completing import Completing
from agentctl.assembly.environment import Environment, read_environment
from agentctl.assembly.limits import with_limits
from agentctl.assembly.sharing import Open, Sharing
from agentctl.assembly.world import LiveWorld, memo_secret
from agentctl.check.check import check
from agentctl.engine.jobs import Job, JobQueue
from agentctl.engine.outcome import Outcome
from agentctl.engine.session import Request, Session
from agentctl.engine.watch import Stop
from agentctl.engine.working import JobWorker
from agentctl.engine.world import Ask
from agentctl.errors import UsageError
from agentctl.events import Sink
from agentctl.graph.background import background_nodes
from agentctl.graph.compile import compile_graph
from agentctl.graph.plan import Graph, Served, single_models
from agentctl.graph.tiers import with_approvals
from agentctl.ids import new_uuid
from agentctl.json import Json, unsayable
from agentctl.models.calling import ProviderPool
from agentctl.sinks.jsonl import JsonLinesSink
from agentctl.spec.document import Document, part_refused, read_document
from agentctl.spec.finding import Finding
from agentctl.store.folder import (
    find_store,
    open_breakers,
    open_jobs,
    open_memo,
    open_thread_store,
    prepare_jobs,
    prepare_store,
)
from agentctl.store.protocols import ThreadStore

T = TypeVar("T")
Durability = Literal["normal", "full"]
"""`full` syncs every step, so that it survives a power cut too."""


class InvalidGraph(UsageError):
    """A file with errors; `findings` are all of them."""

    exit_code = 1

    def __init__(self, findings: Sequence[Finding]) -> None:
        first = findings[0]
        more = f" (and {len(findings) - 1} more)" if len(findings) > 1 else ""
        super().__init__(f"{first.file.name}:{first.span.line}:{first.span.column}: {first.message}{more}")
        self.findings = tuple(findings)


def load(
    path: str | Path,
    *,
    store: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    models: Mapping[str, str] | None = None,
    limits: Mapping[str, Json] | None = None,
    approve: Sequence[str] = (),
    durability: Durability = "normal",
    sandbox: Literal["process"] | None = None,
) -> LoadedGraph:
    """Check and compile a graph file.

    `store` is the folder for threads (by default the nearest `.agentctl` upward, else one is made in the working
    directory); `env` adds to the process's environment; `models` replaces models by name (`default` for
    agents without one); `limits` replaces keys of `limits:`; the tools of `approve` need no person's yes, which
    is recorded. With `sandbox="process"`, which is recorded too, tools with a `sandbox` are kept to its limits
    of time, memory and processes only. Raises InvalidGraph, UsageError, CannotRun.
    """
    document = read_document(Path(path))
    return from_document(
        document,
        store=store,
        env=env,
        models=models,
        limits=limits,
        approve=approve,
        durability=durability,
        sandbox=sandbox,
    )


def from_document(
    document: Document,
    *,
    store: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    models: Mapping[str, str] | None = None,
    limits: Mapping[str, Json] | None = None,
    approve: Sequence[str] = (),
    durability: Durability = "normal",
    sandbox: Literal["process"] | None = None,
) -> LoadedGraph:
    """As `load`, for a document already read."""
    errors = [finding for finding in check(document) if finding.severity == "error"]
    if errors:
        raise InvalidGraph(errors)
    if document.spec is None:
        raise part_refused(document.path)

    def compiled(served: Served) -> Graph:
        graph = compile_graph(document, models=models, served=served)
        return with_approvals(with_limits(graph, limits or {}), approve)

    graph = compiled({})
    _check_models(graph, models or {})
    options: dict[str, Json] = {"models": dict(models or {}), "limits": dict(limits or {})}
    if approve:
        options["approve"] = sorted(approve)
    if sandbox is not None:
        options["sandbox"] = sandbox
    environment = read_environment(document.spec, env, graph.files)
    folder = Path(store) if store else None
    return LoadedGraph(graph, environment, options, folder, durability, completing=Completing(compiled))


@dataclass(frozen=True)
class LoadedGraph:
    """A graph ready to run. Every method has an `a…` twin for use inside a running event loop.

    Models stay warm from one run to the next, until `close` or the end of a `with`.
    """

    graph: Graph
    environment: Environment
    options: Mapping[str, Json] = field(default_factory=dict)
    store: Path | None = None
    durability: Durability = "normal"
    providers: ProviderPool = field(default_factory=ProviderPool)
    sharing: Sharing = field(default_factory=Sharing)
    completing: Completing | None = None
    """What MCP servers say of their tools is compiled in once they are asked."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.aclose()

    def close(self) -> None:
        """As `aclose`, from synchronous code."""
        _wait(self.aclose())

    async def aclose(self) -> None:
        """Let the models go; the next run starts them again."""
        await self.providers.close()

    def run(self, inputs: Mapping[str, Json] | None = None, **settings: Json) -> Outcome:
        """As `arun`, from synchronous code."""
        return _wait(self.arun(inputs, **settings))

    def resume(self, thread: str, **settings: Json) -> Outcome:
        """As `aresume`, from synchronous code."""
        return _wait(self.aresume(thread, **settings))

    async def arun(
        self,
        inputs: Mapping[str, Json] | None = None,
        *,
        thread: str | None = None,
        tenant: str = "",
        sinks: Sequence[Sink] = (),
        answer: Ask | None = None,
        cache: bool = True,
        stop: Stop | None = None,
        abandon: bool = False,
    ) -> Outcome:
        """Run one turn. A given `thread` is continued, or begun under that name.

        `answer` is asked when a node asks a person; without it the turn is suspended with status `waiting`.
        Raises UsageError for inputs that do not fit and ThreadBusy when another process writes the thread; what goes
        wrong inside the turn is in the outcome.
        """
        given = dict(inputs or {})
        self.check_inputs(given, new=thread is None)
        request = Request(inputs=given, tenant=tenant, abandon=abandon, options=self.options)
        async with self._session(sinks, answer, cache) as session:
            return await session.run(thread or new_uuid(), request, stop)

    async def aresume(
        self,
        thread: str,
        *,
        answers: Mapping[str, Json] | None = None,
        assume: Mapping[str, Json] | None = None,
        accept_changes: bool = False,
        sinks: Sequence[Sink] = (),
        answer: Ask | None = None,
        cache: bool = True,
        stop: Stop | None = None,
    ) -> Outcome:
        """Go on with a suspended turn.

        `answers` are answers by question id; `assume` says of a write whose outcome is unknown `retry`, or
        `{"done": result}`. Raises UsageError when there is nothing to resume or the file changed where the turn
        goes on.
        """
        request = Request(
            answers=answers or {}, assume=assume or {}, accept_changes=accept_changes, options=self.options
        )
        async with self._session(sinks, answer, cache) as session:
            return await session.resume(thread, request, stop)

    def work(self, thread: str | None = None, **settings: Json) -> list[Job]:
        """As `awork`, from synchronous code."""
        return _wait(self.awork(thread, **settings))

    async def awork(
        self,
        thread: str | None = None,
        *,
        only: Sequence[str] | None = None,
        assume: Mapping[str, Json] | None = None,
        accept_changes: bool = False,
        sinks: Sequence[Sink] = (),
        cache: bool = True,
        stop: Stop | None = None,
    ) -> list[Job]:
        """Work on background jobs until they are done: those that a thread started, or those of the keys in `only`.

        Returns those that were tried. Their results arrive at the start of the thread's next turn.
        """
        async with self._session(sinks, None, cache) as session:
            worker = JobWorker(
                session.graph,
                session.jobs,
                session.world,
                session.sinks,
                session.secrets,
                stop,
                assume or {},
                accept_changes,
            )
            return await worker.work(thread, only)

    @property
    def has_background(self) -> bool:
        """Whether a turn can start jobs."""
        return next(background_nodes(self.graph), None) is not None

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the store and the tools' workers from one run to the next, as runs at the same time do."""
        async with self.sharing.use(self._open):
            yield

    def missing_models(self) -> list[str]:
        """Embedded models that the graph uses and this machine has not got yet."""
        from agentctl.models import catalogue

        singles = (s for model in self.graph.models.values() for s in single_models(model).values())
        local = any(model.provider == "local" and model.file is None for model in singles)
        if not local or os.environ.get(catalogue.FILE_VARIABLE) or catalogue.installed(catalogue.LOCAL):
            return []
        return [catalogue.LOCAL.name]

    def check_inputs(self, inputs: Mapping[str, Json], *, new: bool) -> None:
        """Raises UsageError for one that does not exist or does not fit, and on a new thread for one that is missing."""
        graph = self.graph
        known = ", ".join(graph.input) or "none"
        for name, value in inputs.items():
            if name not in graph.input:
                raise UsageError(f"`{name}` is no input of {graph.name}", hint=f"its inputs are: {known}")
            problem = unsayable(value) or graph.fields[name].check(value)
            if problem is not None:
                raise UsageError(f"input `{name}` cannot hold this: {problem}")
        if not new:
            return
        for name in graph.input:
            field = graph.fields[name]
            if name not in inputs and not field.has_default and field.reduce == "last":
                raise UsageError(f"the input `{name}` is missing", hint=f"give it: -i {name}=…")

    @asynccontextmanager
    async def _session(
        self, sinks: Sequence[Sink], answer: Ask | None, cache: bool
    ) -> AsyncIterator[Session]:
        async with self.sharing.use(self._open) as shared:
            world = shared.world.seen_by(answer, cache=cache)
            await world.prepare()
            graph, served = self.graph, await world.served()
            if self.completing is not None:
                graph = self.completing.completed(graph, served)
            yield Session(
                graph,
                shared.store,
                world,
                sinks=[*shared.sinks, *sinks],
                secrets=self.environment.secrets,
                jobs=JobQueue(shared.jobs),
            )

    def _open(self) -> Open:
        folder = prepare_store(self.store or find_store(Path.cwd()) or Path.cwd() / ".agentctl")
        memo = open_memo(folder) if self._remembers() else None
        known = self.environment
        world = LiveWorld(
            self.graph,
            known.values,
            self.providers,
            memo,
            memo_secret(folder),
            secrets=known.secrets,
            folder=folder,
            breakers=open_breakers(folder) if self._has_breakers() else None,
            sandboxed="sandbox" not in self.options,
        )
        sinks = (JsonLinesSink(folder / "events.jsonl"),) if self.graph.jsonl else ()
        return Open(
            open_thread_store(folder, durability=self.durability), self._open_jobs(folder), world, sinks
        )

    def _open_jobs(self, folder: Path) -> ThreadStore:
        if self.has_background:
            prepare_jobs(folder)
        return open_jobs(folder, durability=self.durability)

    def _has_breakers(self) -> bool:
        return any(tool.breaker is not None for tool in self.graph.tools.values())

    def _remembers(self) -> bool:
        return any(tool.cache is not None for tool in self.graph.tools.values())


def _check_models(graph: Graph, given: Mapping[str, str]) -> None:
    """Refuse to replace a model that the graph has not got: the run would quietly use the one it was to replace."""
    known = {**graph.models, **graph.data.get("models", {})}
    for name in given if known else ():
        if name not in known:
            used = ", ".join(f"`{other}`" for other in known)
            raise UsageError(f"{graph.name} has no model `{name}`", hint=f"its models are: {used}")


def _wait(work: Coroutine[None, None, T]) -> T:
    """Run to the end from synchronous code. Raises UsageError inside a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    work.close()
    raise UsageError("an event loop is running here", hint="await the method's twin: `arun`, `aresume`")
