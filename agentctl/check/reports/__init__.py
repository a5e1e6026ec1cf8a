"""Reports: one result in each format there is, a small module each."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from agentctl.check.reports.result import Result


def report(result: Result, format: str) -> str:
    """The result as a whole document, without colours: of the format `x` by the module `x`.

    Text, concise, jsonl and github say nothing when there is nothing to say.
    """
    module = import_module(f"agentctl.check.reports.{format}")
    write: Callable[[Result], str] = getattr(module, f"as_{format}")
    return write(result)
