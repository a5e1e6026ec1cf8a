"""agentctl: declare a system of agents in YAML; check it, run it, replay it.

import agentctl
outcome = agentctl.load("graph.yaml").run({"who": "Ada"})
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agentctl.assembly import LoadedGraph, Outcome, ReplayReport, Stop, areplay, load, replay

__all__ = ["LoadedGraph", "Outcome", "ReplayReport", "Stop", "areplay", "load", "replay"]


def __getattr__(name: str) -> object:
    # `agentctl --help` imports this package: the engine is loaded when it is asked for
    if name in __all__:
        from agentctl import assembly

        return getattr(assembly, name)
    raise AttributeError(f"module `agentctl` has no `{name}`")
