"""What `agentctl doctor` says of the sandbox: every profile and guarantee, what is lacking, and the mend."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from agentctl.cli.sandbox_view import sandbox_lines
from agentctl.tools.sandbox import proof, trial
from agentctl.tools.sandbox.profiles import GIVEN, GUARANTEES, Profile
from agentctl.tools.sandbox.proof import Proof
from tests.cli.shell import here

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def unprotected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which Python tools cannot be kept from the network, and which has no bubblewrap."""

    async def attack(profile: Profile) -> trial.Broken:
        return {"network": "connected over TCP"} if profile == "restricted" else {}

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(proof, "attack", attack)
    monkeypatch.setattr(proof, "find_bubblewrap", lambda: None)
    monkeypatch.setattr(proof, "_refusal_of_namespaces", lambda: "")


@pytest.mark.usefixtures("unprotected")
def test_the_table_has_a_mark_for_each_guarantee_of_each_profile(tmp_path: Path, capsys: Captured) -> None:
    shown = here(capsys, "doctor", cwd=tmp_path).stdout.splitlines()
    assert max(map(len, shown[shown.index("") :])) <= 80
    rows = {line[2:].rstrip("✓✗· "): line.split()[-3:] for line in shown if line.startswith("  ")}
    assert rows["opens no connection"] == ["·", "✗", "✗"]
    assert rows["memory is bounded"] == ["✓", "✓", "✗"]
    assert [rows[says] for says in GUARANTEES.values()]
    text = "\n".join(shown)
    assert "✗ restricted: connected over TCP" in text
    assert "✗ isolated: bubblewrap (bwrap) is not installed" in text
    assert "mend: install bubblewrap (apt install bubblewrap" in text


@pytest.mark.usefixtures("unprotected")
def test_the_same_as_json(tmp_path: Path, capsys: Captured) -> None:
    shown = json.loads(here(capsys, "doctor", "--json", cwd=tmp_path).stdout)["sandbox"]
    assert list(shown) == ["process", "restricted", "isolated"]
    assert {name: each["ok"] for name, each in shown.items()} == {
        "process": True,
        "restricted": False,
        "isolated": False,
    }
    assert shown["process"]["guarantees"]["files"] is None
    assert shown["restricted"]["broken"] == {"network": "connected over TCP"}
    assert shown["isolated"]["guarantees"] == dict.fromkeys(GUARANTEES, False)
    assert "bubblewrap" in shown["isolated"]["mend"]


def test_a_machine_that_keeps_everything_is_told_no_mend() -> None:
    text = "\n".join(sandbox_lines([Proof(profile, {}) for profile in GIVEN], colour=False))
    assert "✗" not in text
    assert "mend" not in text
    assert "\x1b" not in text
    assert "\x1b[32m✓" in "\n".join(sandbox_lines([Proof("process", {})], colour=True))
