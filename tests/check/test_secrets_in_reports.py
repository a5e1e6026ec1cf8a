"""A value that a file calls a key or a password is told by no report, whatever its finding is about."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SECRET = "abcd1234efgh5678"
HEAD = "agentctl: 1\nname: h\nstart: a\nnodes:\n  a: {ask: x, then: end}\n"
LEAKS = {
    "where a mapping belongs": f"env: {{API_KEY: {SECRET}}}\n",
    "below its name": f"env:\n  API_KEY:\n    {SECRET}\n",
    "as a block": f"models:\n  api_key: >-\n    {SECRET}\n",
}


@pytest.mark.parametrize("format", ["text", "json", "github", "sarif", "junit", "diff"])
def test_no_report_tells_a_secret(format: str, tmp_path: Path) -> None:
    for number, text in enumerate(LEAKS.values()):
        (tmp_path / f"{number}.yaml").write_text(HEAD.replace("then: end", "then: edn", number % 2) + text)
    how = ["--fix", "--diff"] if format == "diff" else ["--format", format]
    ran = subprocess.run(
        [sys.executable, "-m", "agentctl", "validate", *how, *sorted(str(p) for p in tmp_path.iterdir())],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert ran.returncode == 1, ran.stderr
    assert SECRET not in ran.stdout + ran.stderr
