"""Escapes that a sandboxed command tries, on the path of every call: each is stopped, and an event says so."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from agentctl.errors import ToolError
from agentctl.graph.plan import CommandWork
from agentctl.tools.command import CommandTools
from agentctl.tools.sandbox import proof
from tests.tools.kinds import call_of, mask, tool_of

Json = Any
PYTHON = shutil.which("python3", path="/usr/local/bin:/usr/bin") or ""
LIMITS = "time: 5s, memory: 64MB"
GRANTS = "files: {read: [./notes], write: [./out]}"


def _cannot() -> str:
    if sys.platform != "linux":
        return "sandboxes are Linux's"
    kept = asyncio.run(proof.prove("isolated"))
    return "" if kept.holds else f"this machine cannot isolate: {kept.why or dict(kept.broken)}"


CANNOT = _cannot()
pytestmark = [
    pytest.mark.skipif(bool(CANNOT), reason=CANNOT),
    pytest.mark.skipif(not PYTHON, reason="the attacks are written in the system's Python"),
]


@dataclass
class Attempt:
    """What became of a call."""

    value: Json = None
    error: ToolError | None = None
    violations: list[str] = field(default_factory=list)
    events: list[tuple[str, Json]] = field(default_factory=list)


@dataclass
class Desk:
    """A project with notes that are granted, a folder to write in, and a secret beside them."""

    folder: Path

    def run(
        self,
        *words: str,
        sandbox: str = f"{LIMITS}, {GRANTS}",
        more: str = "",
        isolate: bool = True,
        timeout: str = "20s",
    ) -> Attempt:
        asked = f", sandbox: {{{sandbox}}}" if sandbox else ""
        text = f"command: {json.dumps(list(words))}, effect: read, timeout: {timeout}{asked}{more}"
        tool = tool_of(self.folder, text)
        attempt = Attempt()

        def tell(type: str, data: dict[str, Json]) -> None:
            attempt.events.append((type, data))
            if type == "sandbox.violation":
                attempt.violations.append(data["what"])

        async def called() -> None:
            tools = CommandTools({}, mask, isolate=isolate)
            assert isinstance(tool.work, CommandWork)
            try:
                attempt.value = await tools.call(tool.work, replace(call_of(tool), tell=tell))
            except ToolError as error:
                attempt.error = error
            finally:
                await tools.close()

        asyncio.run(called())
        return attempt

    def python(self, code: str, **settings: Json) -> Attempt:
        return self.run(PYTHON, "-IS", "-c", code, **settings)

    @property
    def secret(self) -> Path:
        return self.folder / "secret"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    folder = tmp_path / "project"
    for name in ("notes", "out"):
        (folder / name).mkdir(parents=True)
    (folder / "notes" / "tea.md").write_text("tea is a leaf\n")
    (folder / "secret").write_text("hidden")
    (folder / "notes" / "link").symlink_to(folder / "secret")
    return Desk(folder)


def refused(attempt: Attempt, what: str, message: str = "") -> None:
    assert attempt.error is not None, f"it went through: {attempt.value!r}"
    assert what in attempt.violations, (attempt.error.message, attempt.events)
    assert message in attempt.error.message


def marked(token: str) -> list[int]:
    """The processes that have a word on their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if token.encode() in words:
            found.append(int(pid))
    return found


# --- what is granted ------------------------------------------------------------------------------------------------


def test_what_is_granted_is_there_under_the_words_of_the_file(desk: Desk) -> None:
    assert desk.run("grep", "-rn", "--", "tea", "notes").value == "notes/tea.md:1:tea is a leaf"
    assert desk.run("cat", str(desk.folder / "notes" / "tea.md")).value == "tea is a leaf"
    assert desk.run("sh", "-c", "echo kept > out/new; cat out/new; pwd").value == f"kept\n{desk.folder}"
    assert (desk.folder / "out" / "new").read_text() == "kept\n"


def test_a_grant_that_is_a_link_is_what_it_led_to_when_the_run_began(desk: Desk, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere"
    real.mkdir()
    (real / "a").write_text("far")
    (desk.folder / "far").symlink_to(real)
    assert desk.run("cat", "far/a", sandbox=f"{LIMITS}, files: {{read: [./far]}}").value == "far"


def test_a_folder_that_was_made_a_link_meanwhile_grants_nothing_new(desk: Desk) -> None:
    tool = tool_of(desk.folder, f"command: [cat, notes/x], effect: read, sandbox: {{{LIMITS}, {GRANTS}}}")

    async def swapped() -> ToolError:
        tools = CommandTools({}, mask)
        tools.prepare(tool)
        (desk.folder / "notes").rename(desk.folder / "old")
        (desk.folder / "notes").symlink_to("/etc")
        assert isinstance(tool.work, CommandWork)
        try:
            with pytest.raises(ToolError, match="is not what it was when the run began") as raised:
                await tools.call(tool.work, call_of(tool))
            return raised.value
        finally:
            await tools.close()

    assert asyncio.run(swapped()).error_class == "tool_unavailable"


def test_a_program_of_the_project_runs_although_its_folder_is_not_granted(desk: Desk) -> None:
    program = desk.folder / "hello.sh"
    program.write_text("#!/bin/sh\necho hello; ls\n")
    program.chmod(0o755)
    assert desk.run("./hello.sh").value == "hello\nhello.sh\nnotes\nout"


def test_its_home_and_its_temporary_files_are_its_own_and_gone_with_it(desk: Desk) -> None:
    said = desk.run(
        "sh", "-c", "echo $HOME $TMPDIR; ls -A $HOME; echo x > $HOME/x; echo y > /tmp/agentctl-y; id -un"
    )
    assert said.value == "/tmp/home /tmp\nuser"
    assert not Path("/tmp/agentctl-y").exists()


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["secret", "notes/link", "notes/../secret", "~/.agentctl-secret"])
def test_no_file_is_read_that_is_not_granted(desk: Desk, path: str) -> None:
    home = Path.home() / ".agentctl-secret"
    if path.startswith("~"):
        home.write_text("hidden")
        path = str(home)
    try:
        attempt = desk.run("cat", path)
    finally:
        home.unlink(missing_ok=True)
    refused(attempt, "files", "No such file or directory")
    assert attempt.error is not None
    assert not attempt.error.retryable


@pytest.mark.parametrize(
    "path", ["notes/new", "notes/tea.md", "/usr/agentctl-was-here", "/etc/agentctl-was-here"]
)
def test_nothing_is_written_that_is_not_granted(desk: Desk, path: str) -> None:
    attempt = desk.run("sh", "-c", f"echo x > {path}")
    assert attempt.error is not None
    assert "writes" in attempt.violations or "nonexistent" in attempt.error.message
    assert not (desk.folder / path).is_file() or (desk.folder / path).read_text() == "tea is a leaf\n"


def test_a_hard_link_leads_nowhere_else(desk: Desk) -> None:
    attempt = desk.run("sh", "-c", "ln secret out/s || ln notes/tea.md out/t")
    assert attempt.error is not None
    assert os.listdir(desk.folder / "out") == []


# --- other processes --------------------------------------------------------------------------------------------------


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same user, with a secret in its environment."""
    running = subprocess.Popen(["sleep", "60"], env={"TOKEN": "agentctl-victims-secret", "PATH": os.defpath})
    yield running
    running.kill()
    running.wait()


def test_no_other_process_is_seen_and_its_environment_is_not_read(
    desk: Desk, victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AGENTCTL_OWN_SECRET", "agentctl-own-secret")
    found = desk.python(
        "import os\nfor p in filter(str.isdigit, os.listdir('/proc')):\n"
        "  print(open(f'/proc/{p}/comm').read().strip())\n"
        "  try: print('secret' in open(f'/proc/{p}/environ').read())\n  except OSError: print(False)"
    )
    assert found.value.splitlines() == ["bwrap", "False", "python3", "False"] or (
        "True" not in found.value and found.value.count("\n") == 3
    )
    refused(desk.run("cat", f"/proc/{victim.pid}/environ"), "files")


def test_signals_reach_no_process_outside(desk: Desk, victim: subprocess.Popen[bytes]) -> None:
    script = f"kill -9 {victim.pid}; a=$?; kill -9 $PPID; kill -9 {os.getpid()}; kill -9 -1; exit $a"
    refused(desk.run("sh", "-c", script), "signals", "No such process")
    assert victim.poll() is None


def test_no_process_is_left_behind(desk: Desk) -> None:
    token = f"agentctl-left-{os.getpid()}"
    attempt = desk.python(
        "import os, sys, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n"
        f"    os.execv('{PYTHON}', ['{PYTHON}', '-c', 'import time; time.sleep(60)', '{token}'])\n"
        "  os._exit(0)\nos.wait(); print('left one')"
    )
    assert attempt.value == "left one"
    assert marked(token) == []


# --- the network and the kernel ---------------------------------------------------------------------------------------

SOCKETS = {
    "tcp": "s.socket(s.AF_INET, s.SOCK_STREAM).connect(('127.0.0.1', {port}))",
    "udp": "s.socket(s.AF_INET, s.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
    "unix path": "s.socket(s.AF_UNIX).connect('{path}')",
    "abstract": "s.socket(s.AF_UNIX).connect('\\0{name}')",
    "raw": "s.socket(s.AF_PACKET, s.SOCK_RAW)",
    "netlink": "s.socket(s.AF_NETLINK, s.SOCK_RAW)",
}


@pytest.fixture
def listeners(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Json]]:
    name = f"agentctl-test-{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.chdir(desk.folder / "notes")
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as placed,
        socket.socket(socket.AF_UNIX) as named,
    ):
        placed.bind("s")
        placed.listen()
        named.bind("\0" + name)
        named.listen()
        yield {"port": tcp.getsockname()[1], "path": "notes/s", "name": name}


@pytest.mark.parametrize("kind", SOCKETS)
def test_no_connection_is_opened(desk: Desk, listeners: dict[str, Json], kind: str) -> None:
    attack = "import socket as s; " + SOCKETS[kind].format(**listeners)
    refused(desk.python(attack), "network", "Operation not permitted")
    assert desk.python(attack, sandbox="").error is None or kind == "raw", "the attack itself is broken"


def test_with_the_network_only_the_internet_is_reached(desk: Desk, listeners: dict[str, Json]) -> None:
    asked = f"{LIMITS}, {GRANTS}, network: true"
    assert (
        desk.python("import socket as s; " + SOCKETS["tcp"].format(**listeners), sandbox=asked).error is None
    )
    for kind in ("unix path", "abstract"):
        attempt = desk.python("import socket as s; " + SOCKETS[kind].format(**listeners), sandbox=asked)
        assert attempt.error is not None
        assert "Address family not supported" in attempt.error.message


CALLS = {
    "user namespace": ("namespaces", "unshare(0x10000000)"),
    "mount namespace": ("namespaces", "unshare(0x20000)"),
    "mount": ("namespaces", "mount(b'none', b'/tmp', b'tmpfs', 0, None)"),
    "ptrace": ("kernel", "ptrace(0, 0, 0, 0)"),
    "bpf": ("kernel", "syscall(321 if machine == 'x86_64' else 280, 0, 0, 0)"),
    "keyctl": ("kernel", "syscall(250 if machine == 'x86_64' else 219, 0, 0, 0)"),
    "io_uring": ("kernel", "syscall(425, 8, 0)"),
    "terminal input": ("kernel", "ioctl(0, 0x5412, b'x')"),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_kernel_refuses_what_no_program_needs(desk: Desk, name: str) -> None:
    what, code = CALLS[name]
    attempt = desk.python(
        "import ctypes, os, platform\nlibc = ctypes.CDLL(None, use_errno=True); machine = platform.machine()\n"
        f"if libc.{code} == 0: raise SystemExit('it went through')\n"
        f"word = {'bpf' if what == 'kernel' else 'unshare'!r}\n"
        "raise SystemExit(f'{word}: {os.strerror(ctypes.get_errno())}')"
    )
    refused(attempt, what, "Operation not permitted")


def test_a_clone_into_new_namespaces_is_refused_too(desk: Desk) -> None:
    attempt = desk.run("unshare", "--user", "--map-root-user", "true")
    refused(attempt, "namespaces")


# --- what is bounded --------------------------------------------------------------------------------------------------


def test_an_endless_loop_is_ended_when_its_time_is_used(desk: Desk) -> None:
    attempt = desk.run("sh", "-c", "while :; do :; done", sandbox="time: 300ms, memory: 64MB")
    refused(attempt, "time", "went over its limit of 0.3s of processor time")
    assert attempt.error is not None
    assert (attempt.error.error_class, attempt.error.retryable) == ("timeout", False)


def test_a_loop_in_many_processes_uses_one_time(desk: Desk) -> None:
    script = "for i in 1 2 3 4; do (while :; do :; done) & done; wait"
    refused(desk.run("sh", "-c", script, sandbox="time: 500ms, memory: 64MB"), "time")


MEMORY = {
    "its own": "x = [b'x' * 2**20 for _ in range(200)]",
    "one piece": "x = b'x' * 200 * 2**20",
    "shared": "import mmap, time\nm = mmap.mmap(-1, 200 * 2**20)\n"
    "for i in range(0, len(m), 4096): m[i] = 1\ntime.sleep(5)",
    "of many": "import os, time\nfor _ in range(4):\n  if os.fork() == 0:\n    x = b'x' * 30 * 2**20; time.sleep(10)\n"
    "time.sleep(10)",
}


@pytest.mark.parametrize("kind", MEMORY)
def test_more_memory_than_is_granted_is_not_had(desk: Desk, kind: str) -> None:
    refused(desk.python(MEMORY[kind]), "memory", "went over its limit of 64MB of memory")


@pytest.mark.parametrize("place", ["/tmp/x", "/dev/shm/x", "/dev/x", "/x"])
def test_files_in_memory_are_bounded_like_memory(desk: Desk, place: str) -> None:
    attempt = desk.run("sh", "-c", f"head -c 100000000 /dev/zero > {place}; wc -c < {place}")
    assert attempt.value is None or int(attempt.value or 0) <= 64 * 2**20


def test_a_fork_bomb_is_ended(desk: Desk) -> None:
    attempt = desk.python(
        "import os, sys, time\nfor n in range(400):\n  if os.fork() == 0: time.sleep(20); os._exit(0)\n"
        "print('all are there', flush=True); time.sleep(20)"
    )
    assert attempt.error is not None
    # the kernel refuses it to a user, the keeper ends it for root
    assert "processes" in attempt.violations or "BlockingIOError" in attempt.error.message


def test_a_flood_is_ended(desk: Desk) -> None:
    refused(desk.run("yes"), "output", "printed more than its max_result of 262,144 bytes")


def test_one_that_does_not_end_is_ended_at_its_timeout(desk: Desk) -> None:
    attempt = desk.run("sh", "-c", "trap '' TERM; sleep 60 & wait", timeout="500ms")
    assert attempt.error is not None
    assert attempt.error.error_class == "timeout"


# --- the failure of what is sandboxed ---------------------------------------------------------------------------------


def test_its_own_failure_stays_its_own(desk: Desk) -> None:
    for script, said in (
        ("echo sorry >&2; exit 3", "`sh` exited with code 3: sorry"),
        ("kill -SEGV $$", "SIGSEGV"),
    ):
        attempt = desk.run("sh", "-c", script)
        assert attempt.error is not None
        assert said in attempt.error.message
        assert attempt.violations == []
        assert "no network" in str(attempt.error.hint)


def test_what_cannot_be_started_inside_is_unavailable(desk: Desk) -> None:
    attempt = desk.run("./notes/tea.md")
    assert attempt.error is not None
    assert attempt.error.error_class == "tool_unavailable"


# --- the profile `process` --------------------------------------------------------------------------------------------


def test_without_isolation_the_limits_are_still_kept(desk: Desk) -> None:
    assert desk.run("cat", "secret", isolate=False).value == "hidden"
    refused(desk.python(MEMORY["its own"], isolate=False), "memory")
    loop = desk.run("sh", "-c", "while :; do :; done", sandbox="time: 300ms, memory: 64MB", isolate=False)
    refused(loop, "time")


def test_a_daemon_of_a_command_that_killed_its_keeper_is_ended(desk: Desk) -> None:
    token = f"agentctl-daemon-{os.getpid()}"
    attempt = desk.python(
        "import os, signal, sys, time\nif os.fork() == 0:\n  os.setsid()\n  if os.fork() == 0:\n"
        f"    os.execv('{PYTHON}', ['{PYTHON}', '-c', 'import time; time.sleep(60)', '{token}'])\n"
        f"  os._exit(0)\nos.wait()\n"
        f"while not any('{token}' in open(f'/proc/{{p}}/cmdline').read() for p in os.listdir('/proc')"
        " if p.isdigit() and os.path.exists(f'/proc/{p}/cmdline')): time.sleep(0.01)\n"
        "os.kill(os.getppid(), signal.SIGKILL); time.sleep(60)",
        sandbox="",
    )
    assert attempt.error is not None
    assert "killed together with its keeper" in attempt.error.message
    assert marked(token) == []


def test_a_command_that_stops_its_keeper_is_ended_all_the_same(desk: Desk) -> None:
    began = time.monotonic()
    attempt = desk.run("sh", "-c", "kill -STOP $PPID; exec sleep 60", sandbox="", timeout="500ms")
    assert attempt.error is not None
    assert attempt.error.error_class == "timeout"
    assert time.monotonic() - began < 60


def test_a_command_that_kills_the_starter_harms_no_later_call(desk: Desk) -> None:
    script = "kill -9 $(cut -d' ' -f4 /proc/$PPID/stat); echo done"
    tool = tool_of(desk.folder, f"command: [sh, -c, {json.dumps(script)}], effect: read")

    async def twice() -> list[Json]:
        tools = CommandTools({}, mask)
        assert isinstance(tool.work, CommandWork)
        try:
            return [await tools.call(tool.work, call_of(tool)) for _ in range(2)]
        finally:
            await tools.close()

    assert asyncio.run(twice()) == ["done", "done"]


def test_a_terminal_cannot_be_typed_into(desk: Desk) -> None:
    ours, theirs = os.openpty()
    try:
        attempt = desk.run("sh", "-c", f"echo x > /dev/tty || echo x > {os.ttyname(theirs)}")
    finally:
        os.close(ours)
        os.close(theirs)
    assert attempt.error is not None
