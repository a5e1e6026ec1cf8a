"""What no test takes: nodes, arms of routers, arms of errors. A test without a route takes every way it may take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from msgspec import Struct

from agentctl.check.flow import END, Graph, Target, Work, text
from agentctl.check.testing.trial import Testing, Trial
from agentctl.check.testing.walk import Known, Step, Walk, common
from agentctl.spec.finding import Keys

_MOST_STEPS = 300_000
"""Ways followed for all tests together. When there are more, nothing is said rather than half of it."""
_ADD = "add a test that goes there, and say so in its `route`"


class Untaken(Struct, frozen=True):
    """One thing that no test takes, and its word."""

    keys: Keys
    message: str
    hint: str = _ADD
    at_key: bool = False


def untaken(testing: Testing) -> Iterator[Untaken]:
    """Everything that no test takes, but for arms that lead to a node which is listed itself."""
    taken = _Taken(testing)
    for trial in testing.trials:
        taken.add(trial)
        if taken.steps > _MOST_STEPS:
            return
    for graph in testing.file.graphs:
        nodes = {name for name in graph.nodes if (graph.name, name) in taken.nodes}
        if graph.name and not nodes:
            yield Untaken(graph.keys, f"no test comes to graph `{graph.name}`", at_key=True)
            continue
        for name, node in graph.nodes.items():
            if name not in nodes:
                yield Untaken(node.keys, f"no test takes node `{name}`", at_key=True)
        for target in graph.targets:
            if target.kind in ("arm", "on_error", "on_timeout") and target.keys not in taken.arms:
                if target.name in graph.nodes and target.name not in nodes:
                    continue
                if target.kind == "arm" or target.owner in nodes:
                    yield Untaken(target.keys, f"no test takes {_worded(target)}")


def _worded(target: Target) -> str:
    if target.kind == "arm":
        return f"this arm of router `{target.owner}`, to `{target.name}`"
    return f"`{target.kind}: {target.name}` of node `{target.owner}`"


class _Taken:
    """What tests take, gathered one by one."""

    def __init__(self, testing: Testing) -> None:
        self._testing = testing
        self.nodes: set[tuple[str, str]] = set()
        self.arms: set[Keys] = set()
        self.steps = 0

    def add(self, trial: Trial) -> None:
        """Follow a test, and every graph it comes to."""
        walk = Walk(self._testing, trial, trial.graph)
        names = self._explore(walk) if trial.route is None else self._follow(walk, trial.route)
        entered = {trial.graph.name}
        waiting = [*self._graphs_of(walk, names)]
        while waiting:
            graph = waiting.pop()
            if graph.name not in entered:
                entered.add(graph.name)
                inner = Walk(self._testing, trial, graph)
                waiting += self._graphs_of(inner, self._explore(inner))

    def _follow(self, walk: Walk, route: tuple[str, ...]) -> set[str]:
        """The very way that a route tells. An arm of an error counts only where nothing else leads there."""
        ways, failing = [*walk.begin()], list[Step]()
        for name in route:
            steps = [step for step in ways if step.to == name] or [
                step for step in failing if step.to == name
            ]
            self._take(steps)
            if name not in walk.graph.nodes:
                break
            self.nodes.add((walk.graph.name, name))
            known = common([step.known for step in steps]) or {}
            ways = [*walk.from_node(name, known)]
            failing = [*walk.from_node(name, known, failing=True)]
        self._take(step for step in ways if step.to == END)
        return {name for name in route if name in walk.graph.nodes}

    def _explore(self, walk: Walk) -> set[str]:
        """Every way that may be taken, until nothing new is learnt."""
        known: dict[str, Known] = {}
        waiting: deque[str] = deque()
        self._learn(walk, walk.begin(), known, waiting)
        last = walk.graph.last_node if walk.trial.status == "limit" else None
        if last is not None and last.node not in known:
            known[last.node] = {}
            waiting.append(last.node)
        while waiting:
            name = waiting.popleft()
            self._learn(walk, walk.from_node(name, known[name]), known, waiting)
        self.nodes.update((walk.graph.name, name) for name in known)
        return set(known)

    def _learn(self, walk: Walk, steps: Iterable[Step], known: dict[str, Known], waiting: deque[str]) -> None:
        for step in steps:
            self.steps += 1
            self._take([step])
            if step.to not in walk.graph.nodes:
                continue
            old = known.get(step.to)
            new = step.known if old is None else common([old, step.known])
            if new is not None and new != old:
                known[step.to] = new
                waiting.append(step.to)

    def _take(self, steps: Iterable[Step]) -> None:
        for step in steps:
            self.arms.update(target.keys for target in step.by)

    def _graphs_of(self, walk: Walk, names: Iterable[str]) -> Iterator[Graph]:
        """The graphs that nodes run, where nothing stands in for them."""
        for name in names:
            if not walk.is_stubbed("node", name):
                for work in walk.graph.nodes[name].walk():
                    yield from self._graphs_of_work(walk, work)

    def _graphs_of_work(self, walk: Walk, work: Work) -> Iterator[Graph]:
        file, name = walk.testing.file, work.name_of("graph") if work.verb == "graph" else None
        if work.verb == "tool" and not walk.is_stubbed("tool", work.name_of("tool")):
            tool = file.section("tools").get(work.name_of("tool") or "")
            name = text(tool.get("graph")) if isinstance(tool, dict) else None
        if name is not None and name in file.nested:
            yield file.nested[name]
