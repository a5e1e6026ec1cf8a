"""The house is in order: formatted, linted, typed, its layers one-way, its schema equal to its types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent


@pytest.mark.parametrize(
    "command",
    [
        ["ruff", "format", "--check", "."],
        ["ruff", "check", "."],
        ["mypy", "--strict"],
        ["lint-imports"],
    ],
    ids=lambda command: " ".join(command),
)
def test_the_code_passes(command: list[str]) -> None:
    done = subprocess.run(
        [BIN / command[0], *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


HEAVY = {"openai", "xllamacpp", "apsw", "static_model", "pydantic", "mcp", "scipy", "langgraph"}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["validate", "examples/hello/graph.yaml"], ["replay", "--help"]],
    ids=" ".join,
)
def test_light_verbs_import_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
sys.argv = ["agentctl", *{arguments!r}]
try:
    from agentctl.cli.main import main
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print("heavy:", sorted({HEAVY!r} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip().endswith("heavy: []"), done.stdout + done.stderr
