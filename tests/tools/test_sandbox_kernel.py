"""The single walls of a Python tool's sandbox, each tried without the others: by path, as in a template."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentctl.tools.sandbox import kernel

FOLDER = Path(kernel.__file__).parent
TRIES = """
import json, os, socket, sys
sys.path.insert(0, {folder!r})
import kernel
assert not [name for name in sys.modules if name.startswith("agentctl")]
def tried(attempt):
    try:
        attempt()
    except OSError as error:
        return error.errno
    return "done"
{code}
print(json.dumps(found))
"""


def ended_with(code: str) -> dict[str, object]:
    """What is found in a process of its own."""
    words = [sys.executable, "-ISc", TRIES.format(folder=str(FOLDER), code=code)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if "landlock_create_ruleset" in done.stderr:
        pytest.skip("this kernel has no Landlock")
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are system calls of Linux")


def test_landlock_alone_keeps_to_what_is_granted(tmp_path: Path) -> None:
    for name in ("read", "write"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("there")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "read" / "link").symlink_to(tmp_path / "secret")
    code = f"""
os.chdir({str(tmp_path)!r})
kernel.forbid_new_privileges()
read = kernel.READ_FILE | kernel.READ_DIR
kernel.restrict_files({{"read": read, "write": read | kernel.CHANGE}}, network=False)
found = {{
    "read": tried(lambda: open("read/file").close()),
    "write": tried(lambda: open("write/new", "w").close()),
    "secret": tried(lambda: open("secret").close()),
    "link": tried(lambda: open("read/link").close()),
    "into read": tried(lambda: open("read/new", "w").close()),
    "cut": tried(lambda: os.truncate("read/file", 0)),
    "list": tried(lambda: os.listdir(".")),
    "out": tried(lambda: os.rename("write/file", "moved")),
    "pipe": tried(lambda: os.mkfifo("write/pipe")),
    "program": tried(lambda: os.execv("/bin/true", ["true"])),
}}
found["connect"] = tried(lambda: socket.create_connection(("127.0.0.1", 1), 1))
"""
    found = ended_with(code)
    allowed = {name for name, outcome in found.items() if outcome == "done"}
    assert allowed == {"read", "write", "pipe"}
    refusals = {name: outcome for name, outcome in found.items() if name not in {*allowed, "connect", "cut"}}
    assert set(refusals.values()) <= {13, 18}  # EACCES, EXDEV
    assert (tmp_path / "read" / "file").read_text() == "there"


def test_what_a_process_gave_up_it_does_not_get_back() -> None:
    code = """
kernel.drop_capabilities()
with open("/proc/self/status") as file:
    status = dict(line.split(":\\t") for line in file.read().splitlines() if ":\\t" in line)
found = {name: status[name] for name in ("CapEff", "CapPrm", "CapInh", "CapBnd", "NoNewPrivs")}
"""
    none = {"CapEff": "0" * 16, "CapPrm": "0" * 16, "CapInh": "0" * 16, "NoNewPrivs": "1"}
    found = ended_with(code)
    bounding = found.pop("CapBnd")
    assert found == none
    if os.geteuid() == 0:
        assert bounding == "0" * 16


def test_a_link_put_into_a_path_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    code = f"""
found = {{
    "real": tried(lambda: kernel.open_real({str(tmp_path / "real")!r})),
    "link": tried(lambda: kernel.open_real({str(tmp_path / "link")!r})),
}}
"""
    assert ended_with(code) == {"real": "done", "link": 40}  # ELOOP
