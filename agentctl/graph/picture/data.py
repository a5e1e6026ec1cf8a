"""The picture as data: the places of each graph and the ways between them. Every format is drawn from this.

`--format json` prints it: `{"v":1,"name","description","graphs":[…],"agents","tools","tiers","limits"}`, where a
graph is `{"id","name","description","input","output","places":[…],"ways":[…]}`. The first graph is the file's own,
with the id ""; the others are `graphs.NAME`. Keys are added, never renamed.

Ids are what `validate` calls a `path`, so they stay when other parts of the file change:
a place is `nodes.sort`, `routers.is_clear`, `start`, `end`, `limits.on_limit` (where a limit leads), or `?NAME` for a
name that a way leads to and nothing has; a way is the key that says where it goes, `nodes.sort.then`,
`nodes.fix.on_error.else`, `routers.by_desk.to.billing`, `routers.is_clear[0].to`, `start`. Those of a nested graph
begin with `graphs.NAME.`, a branch is `nodes.look.parallel.web`, the work of a map `nodes.judge_each.map.do`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Literal

from agentctl.json import Json

Kind = Literal[
    "start", "limit", "end", "unknown", "router", "agent", "tool", "graph", "map", "parallel", "ask", "set"
]
"""What a place is: a mark, a name that nothing has, a router, or a node by its verb."""

MARKS = ("start", "limit", "end")


@dataclass(frozen=True)
class Place:
    """Somewhere a run may be; also a branch of a `parallel`, or the work of a `map`, inside one."""

    id: str
    name: str
    kind: Kind
    says: str = ""
    """What it does, in a few words."""
    notes: tuple[str, ...] = ()
    """What bounds it: visits, tries, time."""
    inside: tuple[Place, ...] = ()
    graph: str = ""
    """The id of the graph of this file that it runs."""
    agents: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    """Tools it calls, or that its agent may call."""
    reached: bool = True
    """Whether some way from the start leads here."""
    stuck: bool = False
    """A node or a router that no way leaves."""
    details: Json = field(default_factory=dict)
    """Its keys as they are in the file."""


@dataclass(frozen=True)
class Way:
    """A way from one place to another; `rare` ones are taken when something goes wrong."""

    id: str
    source: str
    target: str
    label: str = ""
    rare: bool = False
    skips: bool = False
    """`on_error: skip`: on to where `then` leads, without a result."""


@dataclass(frozen=True)
class Graph:
    """One graph of the file."""

    id: str
    name: str
    places: tuple[Place, ...]
    ways: tuple[Way, ...]
    description: str = ""
    input: tuple[str, ...] = ()
    output: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """All of a file that a picture shows."""

    name: str
    graphs: tuple[Graph, ...]
    description: str = ""
    agents: Json = field(default_factory=dict)
    tools: Json = field(default_factory=dict)
    tiers: Json = field(default_factory=dict)
    limits: Json = field(default_factory=dict)


def as_json(picture: Picture) -> str:
    """The picture as one JSON object on one line."""
    from agentctl.json import encode

    return encode({"v": 1, **asdict(picture)}).decode() + "\n"
