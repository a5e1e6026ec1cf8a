"""A graph completed by what the MCP servers of its tools say of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agentctl.graph.plan import Graph, Served


@dataclass(slots=True)
class Completing:
    """Compiles a graph again when its servers say something new, and not for every run."""

    compile: Callable[[Served], Graph]
    _served: Served | None = None
    _graph: Graph | None = None

    def completed(self, graph: Graph, served: Served) -> Graph:
        """The graph itself where it has no servers. Raises CannotRun where file and server do not agree."""
        if not served:
            return graph
        if self._graph is None or served != self._served:
            self._graph, self._served = self.compile(served), served
        return self._graph
