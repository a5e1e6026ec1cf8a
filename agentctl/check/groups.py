"""The models of a file and their groups, however deep and wide: each group is looked at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from agentctl.check.flow import FileModel, members_of, text
from agentctl.json import Json
from agentctl.spec.finding import Keys

DEFAULT = "default"
"""The model of agents that name none; where the file has no such entry, it is `local`."""
OWN_MODELS = frozenset(("local", "scripted"))
"""Models that every file has: they run on this machine and cost nothing."""


class Groups:
    """The entries of `models:`, and what agents and groups name beside them."""

    def __init__(self, file: FileModel) -> None:
        self.models: Mapping[str, Mapping[str, Json]] = dict(file.entries("models"))

    def members(self, name: str) -> tuple[tuple[str, Keys], ...]:
        """The members of a group as it lists them, each with where it stands; none of what is no group."""
        return tuple(members_of(self.models.get(name, {}), ("models", name)))

    def is_known(self, name: str) -> bool:
        """Whether there is such a model; M601 says where there is not."""
        return name in self.models or name in OWN_MODELS or "/" in name

    def reference(self, name: str) -> str:
        """`provider/model` of a model that is no group, or a model that every file has."""
        spec = self.models.get(name)
        if spec is None:
            return "local" if name == DEFAULT else name
        return text(spec.get("model")) or ""

    def ends(self, name: str) -> Iterator[tuple[str, Keys]]:
        """The models that may answer for a name, each once, with where a group names it: () for the name itself."""
        waiting: list[tuple[str, Keys]] = [(name, ())]
        seen: set[str] = set()
        while waiting:
            one, keys = waiting.pop()
            if one not in seen:
                seen.add(one)
                if not self._is_group(one):
                    yield one, keys
                waiting += reversed(self.members(one))

    @cached_property
    def inside_out(self) -> tuple[str, ...]:
        """Every entry and every member, members before their groups; a circle (M604) is cut where it closes."""
        done: dict[str, None] = {}
        begun: set[str] = set()
        waiting = list(reversed(list(self.models)))
        while waiting:
            one = waiting[-1]
            begun.add(one)
            new = [member for member, _ in self.members(one) if member not in begun]
            if new:
                waiting += reversed(new)
            else:
                done.setdefault(waiting.pop())
        return tuple(done)

    def _is_group(self, name: str) -> bool:
        return name in self.models and "model" not in self.models[name]
