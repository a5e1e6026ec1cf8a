"""What agents may ask for: the models behind a name, the calls of one answer, and what is surely spent."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from msgspec import Struct

from agentctl.check.facts import Facts
from agentctl.check.flow import Work, mapping, names_in, summary_of, text
from agentctl.check.groups import DEFAULT, OWN_MODELS
from agentctl.check.runs.limits import ATTEMPTS, MANY, MAX_TURNS, attempts_of
from agentctl.check.runs.steps import plus
from agentctl.check.tools.calls import agent_thing
from agentctl.check.tools.tooling import Tier
from agentctl.json import Json
from agentctl.spec.finding import Keys

CORRECTIONS = 2
"""How often an answer of the wrong shape is asked for again."""


class Model(Struct, frozen=True):
    """One model that is no group."""

    name: str
    keys: Keys
    """Its entry in `models`, or where a group names a `provider/model`; empty for one that an agent names."""
    spec: Mapping[str, Json]
    is_free: bool

    @property
    def dearest(self) -> float | None:
        """US dollars for a million of its dearest tokens; None when nobody has said."""
        price = mapping(self.spec.get("price"))
        prices = [part for part in price.values() if isinstance(part, int | float)]
        return max(prices) if prices else 0.0 if self.is_free else None


class Spending:
    """The agents of a file as a tier sees them; None is every tool that an agent lists."""

    def __init__(self, facts: Facts, tier: Tier | None = None) -> None:
        self._file = facts.file
        self._groups = facts.groups
        self._tooling = facts.tooling
        self._tier = tier

    def models(self, agent: Mapping[str, Json]) -> tuple[Model, ...]:
        """The models that may answer for an agent, each once; unknown names are M601's business."""
        ends = self._groups.ends(text(agent.get("model")) or DEFAULT)
        return tuple(model for name, keys in ends if (model := self._model(name, keys)) is not None)

    def offered(self, agent: Mapping[str, Json]) -> tuple[str, ...]:
        """The tools that an agent's model may call."""
        tools = (name for name in names_in(agent.get("tools")) if name in self._tooling.tools)
        return tuple(name for name in tools if self._tier is None or name in self._tier.offered)

    def model_calls(self, agent: Mapping[str, Json], *, has_history: bool = False) -> int:
        """Requests for one answer: replies, each as often as its model is tried, by every member of a group.

        A model answers within `max_turns` replies, or in its first one when it has no tools; an answer of the
        wrong shape is asked for twice again. A summary of the history may come before.
        """
        said = agent.get("max_turns")
        turns = (said if isinstance(said, int) else MAX_TURNS) if self.offered(agent) else 1
        tries = self._tries.get(text(agent.get("model")) or DEFAULT, ATTEMPTS)
        calls = (turns + CORRECTIONS) * tries
        summary = summary_of(agent) if has_history else {}
        writer = self._file.agent_named(text(summary.get("agent")) or "")
        return calls + (self.model_calls(writer) if writer is not None else 0)

    def tool_calls(self, agent: Mapping[str, Json]) -> int | None:
        """Tool calls for one answer; None when only the turn's limit bounds them: a reply may hold any number."""
        total: int | None = 0
        for name in self.offered(agent):
            most = self._tooling.tools[name].get("max_calls")
            total = plus(total, most if isinstance(most, int) else None)
        tier = None if self._tier is None else self._tier.max_calls
        bounds = [bound for bound in (total, tier) if bound is not None]
        return min(bounds, default=None)

    def surely_pays(self, agent: Mapping[str, Json]) -> bool:
        """Whether every answer of an agent costs money."""
        models = self.models(agent)
        return bool(models) and all(model.dearest for model in models)

    @cached_property
    def agents(self) -> Mapping[str, Mapping[str, Json]]:
        """Every agent by the name that calls have for it."""
        return {agent_thing(keys)[1]: agent for keys, agent in self._file.agents_in_place}

    @cached_property
    def keys_of_agents(self) -> Mapping[str, Keys]:
        """Where each of them stands."""
        return dict(zip(self.agents, (place for place, _ in self._file.agents_in_place), strict=True))

    @cached_property
    def reached(self) -> frozenset[tuple[str, str]]:
        """The graphs, agents and tools that a turn may come to use, its jobs among them."""
        seen = {("graph", "")}
        waiting = [("graph", "")]
        while waiting:
            thing = waiting.pop()
            agent = self.agents.get(thing[1], {}) if thing[0] == "agent" else {}
            offered = self.offered(agent)
            following = [call.callee for call in self._tooling.calls.get(thing, ())]
            summary = text(summary_of(agent).get("agent"))
            following += [("agent", summary)] if summary is not None else []
            for to in following:
                if to not in seen and (thing[0] != "agent" or to[0] != "tool" or to[1] in offered):
                    seen.add(to)
                    waiting.append(to)
        return frozenset(seen)

    @cached_property
    def models_used(self) -> tuple[tuple[Model, Keys], ...]:
        """The models that may be used, each with where it is: its entry, or the agent that names it in passing."""
        found: dict[str, tuple[Model, Keys]] = {}
        for name, agent in self.agents.items():
            if ("agent", name) in self.reached:
                for model in self.models(agent):
                    found.setdefault(model.name, (model, model.keys or (*self.keys_of_agents[name], "model")))
        return tuple(found.values())

    def _model(self, name: str, keys: Keys) -> Model | None:
        """A model that is no group, named at `keys`; None when there is no such model, which M601 says."""
        spec, reference = self._groups.models.get(name), self._groups.reference(name)
        if spec is None and not self._groups.is_known(reference):
            return None
        is_free = reference.partition("/")[0] in OWN_MODELS
        return Model(name, keys if spec is None else ("models", name), spec or {}, is_free)

    @cached_property
    def _tries(self) -> Mapping[str, int]:
        """Requests for one reply, of each model and group of the file."""
        found: dict[str, int] = {}
        for name in self._groups.inside_out:
            spec = self._groups.models.get(name, {})
            members = [found.get(member, ATTEMPTS) for member, _ in self._groups.members(name)]
            if "model" in spec or not spec:
                found[name] = attempts_of(spec, ATTEMPTS)
            else:
                found[name] = max(members, default=0) if "choose" in spec else min(sum(members), MANY)
        return found


def agent_calls(facts: Facts, spending: Spending, work: Work) -> int:
    """The model calls of one try of a piece of work itself."""
    agent = facts.file.agent_of(work) if work.verb == "agent" else None
    return 0 if agent is None else spending.model_calls(agent, has_history="history" in work.data)


def tool_calls(facts: Facts, spending: Spending, work: Work) -> int | None:
    """The tool calls of one try of a piece of work itself."""
    agent = facts.file.agent_of(work) if work.verb == "agent" else None
    return spending.tool_calls(agent) if agent is not None else int(work.verb == "tool")
