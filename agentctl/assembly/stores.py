"""The stores of a graph, opened when first used: their folders, their embedders, and what must be installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from agentctl.errors import CannotRun
from agentctl.graph.plan import ModelPlan, StorePlan
from agentctl.models.calling import ModelSettings, ProviderPool

if TYPE_CHECKING:
    from agentctl.store.documents.documents import Documents, Embedder


class Stores:
    """Documents by store; each is opened once and kept until `close`."""

    def __init__(
        self, project: Path | None, providers: ProviderPool, settings: Callable[[ModelPlan], ModelSettings]
    ) -> None:
        """`project` is the folder `.agentctl`, for stores that name no folder of their own."""
        self._project = project
        self._providers = providers
        self._settings = settings
        self._open: dict[str, Documents] = {}

    def get(self, store: StorePlan) -> Documents:
        """The documents of a store. Raises CannotRun for a missing package or key."""
        if store.name not in self._open:
            self.check(store)
            from agentctl.store.documents.documents import REEMBED, Documents

            again = os.environ.get(REEMBED, "") not in ("", "0")
            self._open[store.name] = Documents(self._folder(store), self._embedder(store), reembed=again)
        return self._open[store.name]

    def check(self, store: StorePlan) -> None:
        """Raises CannotRun where a call would: for a package that is not installed, or a key."""
        needed = ["apsw", "sqlite_vec", *(["static_model"] if store.embeds else [])]
        missing = [name for name in needed if find_spec(name) is None]
        if missing:
            raise CannotRun(
                f"stores.{store.name} needs {' and '.join(missing)}, which is not installed",
                hint="pip install 'agentctl[stores]'"
                + (
                    ", or name a provider's model: `embed: openai/MODEL`" if "static_model" in missing else ""
                ),
            )
        if store.model is not None:
            self._settings(store.model)

    async def close(self) -> None:
        """Let go of the files."""
        while self._open:
            _, documents = self._open.popitem()
            await documents.close()

    def _folder(self, store: StorePlan) -> Path:
        if store.folder is not None:
            return store.folder
        assert self._project is not None, "only a rehearsal has no project, and it opens no store"
        return self._project / "stores" / store.name

    def _embedder(self, store: StorePlan) -> Embedder | None:
        if store.model is not None:
            from agentctl.models.embedding import ProviderEmbedder

            return ProviderEmbedder(self._providers, self._settings(store.model))
        if store.embeds:
            from agentctl.models.static_embedding import StaticEmbedder

            return StaticEmbedder()
        return None
