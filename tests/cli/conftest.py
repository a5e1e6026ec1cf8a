"""What holds for every test of the command line."""

from __future__ import annotations

import os

import pytest

from tests.cli.shell import OURS


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the machine changes what a command in this process answers."""
    for name in [name for name in os.environ if name.startswith(OURS)]:
        monkeypatch.delenv(name)
