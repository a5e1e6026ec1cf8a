"""Which agentctl this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def our_version() -> str:
    """The installed version; `unknown` in a source tree that is not installed."""
    try:
        return version("agentctl")
    except PackageNotFoundError:
        return "unknown"
