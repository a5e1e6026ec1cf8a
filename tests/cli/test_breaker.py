"""A breaker between runs: what one process has seen fail, the next neither calls nor shows its model."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from tests.cli.shell import Running, Terminal, agentctl, wait_until

GRAPH = """
agentctl: 1
name: desk
output: [answer]
state: {{answer: {{type: string, default: ""}}}}
models: {{default: {{model: scripted/script.yaml}}}}
tools:
  look: {{python: "tools:look", effect: read, retry: {{attempts: 1}}, breaker: {breaker}}}
  dig: {{python: "tools:dig", effect: read}}
agents: {{guide: {{tools: [look, dig]}}}}
start: ask
nodes:
  ask: {{agent: guide, prompt: go, save: answer, then: end}}
"""
SCRIPT = """
- {when: go, call: {tool: look}}
- {else: true, say: "{last}"}
"""
TOOLS = """
import os
import time

def look() -> str:
    if os.path.exists("down"):
        raise OSError("the shelf is empty")
    if os.path.exists("slow"):
        os.rename("slow", "trying")
        time.sleep(25)
    return "seen"

def dig() -> str:
    return "dug"
"""


def project(folder: Path, breaker: str) -> None:
    (folder / "graph.yaml").write_text(GRAPH.format(breaker=breaker))
    (folder / "script.yaml").write_text(SCRIPT)
    (folder / "tools.py").write_text(TOOLS)


def test_what_one_run_saw_fail_the_next_does_not_show_its_model(tmp_path: Path) -> None:
    project(tmp_path, "{failures: 1, cooldown: 1h}")
    (tmp_path / "down").touch()
    first = agentctl("run", "graph.yaml", cwd=tmp_path)
    assert first.stdout.startswith("error: ")
    assert "warning: look: 1 failure in a row, so it is not called for 1h; the last: " in first.stderr
    (tmp_path / "down").unlink()
    log = tmp_path / "asked"
    second = agentctl("run", "graph.yaml", cwd=tmp_path, AGENTCTL_SCRIPTED_LOG=str(log))
    assert second.stdout == "error: there is no tool `look`; you may call: dig\n"
    assert [json.loads(line)["tools"] for line in log.read_text().splitlines()] == [["dig"], ["dig"]]
    for thread in ("@last", "@-2"):
        replayed = agentctl("replay", thread, cwd=tmp_path)
        assert replayed.returncode == 0, replayed.stdout


def test_at_a_terminal_it_is_a_line_that_the_breaker_opened(tmp_path: Path) -> None:
    project(tmp_path, "{failures: 1}")
    (tmp_path / "down").touch()
    terminal = Terminal("run", "graph.yaml", cwd=tmp_path)
    terminal.wait_for("look: 1 failure in a row, so it is not called for 1m; the last: ")
    assert terminal.exit_code() == 0


def test_a_trial_whose_run_is_killed_is_made_by_the_next_run(tmp_path: Path) -> None:
    project(tmp_path, "{failures: 1, cooldown: 1ms}")
    (tmp_path / "down").touch()
    agentctl("run", "graph.yaml", cwd=tmp_path)
    (tmp_path / "down").rename(tmp_path / "slow")
    trying = Running("run", "graph.yaml", cwd=tmp_path)
    wait_until((tmp_path / "trying").exists)
    log = tmp_path / "asked"
    agentctl("run", "graph.yaml", cwd=tmp_path, AGENTCTL_SCRIPTED_LOG=str(log))
    assert json.loads(log.read_text().splitlines()[0])["tools"] == ["dig"]
    os.kill(trying.process.pid, signal.SIGKILL)
    trying.process.wait()
    assert agentctl("run", "graph.yaml", cwd=tmp_path).stdout == "seen\n"
