"""The Python functions that a file names, each read once, from its source; nothing of them is run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agentctl.spec.document import Document
from agentctl.spec.finding import Keys

if TYPE_CHECKING:
    from agentctl.spec.functions import PythonFunction
    from agentctl.spec.python_source import Modules, UnreadableSource


class Functions:
    """The functions of a document; those of one that variants change are `known` in part from the one they change."""

    def __init__(self, document: Document, known: Functions | None = None) -> None:
        self._document = document
        self._found: dict[tuple[Path, str], PythonFunction | UnreadableSource] = known._found if known else {}
        self._modules: Modules | None = known._modules if known else None
        # a file that was read from a recording has no folder to look in
        self._can_look = document.path.is_file()

    def folder(self, keys: Keys) -> Path:
        """Where the modules lie that are named at some keys: beside the file that names them."""
        return self._document.value(keys)[0].parent

    def find(self, reference: str, keys: Keys) -> PythonFunction | UnreadableSource | None:
        """The function `module:function` that is named at some keys, or why it cannot be read; None when there is no
        looking."""
        if not self._can_look:
            return None
        place = (self.folder(keys), reference)
        if place not in self._found:
            self._found[place] = self._read(*place)
        return self._found[place]

    def of_tool(self, tool: str, reference: str) -> PythonFunction | None:
        """The function of a tool of the file, when it can be read; when it cannot, T516 says so."""
        found = self.find(reference, ("tools", tool, "python"))
        return None if found is None or isinstance(found, Exception) else found

    def _read(self, folder: Path, reference: str) -> PythonFunction | UnreadableSource:
        # needed by files with Python tools only
        from agentctl.spec.functions import read_function
        from agentctl.spec.python_source import Modules, UnreadableSource

        self._modules = self._modules or Modules()
        try:
            return read_function(folder, reference, self._modules)
        except UnreadableSource as error:
            return error
