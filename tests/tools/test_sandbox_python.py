"""Sandboxed Python tools: what they may do, and what they try in vain, for real and from inside."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agentctl.errors import ToolError
from agentctl.graph.plan import SandboxPlan
from agentctl.json import Json
from agentctl.tools.python_call import PythonCall, PythonToolError
from agentctl.tools.worker import WorkerPool
from tests.tools.processes import processes_in

ESCAPES = Path(__file__).with_name("escapes.py")
MEGABYTE = 1024 * 1024
AMPLE = 30.0
"""Seconds in which anything that ends has ended."""
ABSTRACT = f"agentctl-test-{os.getpid()}"


def cannot_sandbox() -> str:
    """Why this machine has no sandbox; empty where it has one."""
    if sys.platform != "linux":
        return "the sandbox is Linux's"
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        (folder / "tools.py").write_text("def add(a, b): return a + b")
        outcome = outcomes(
            PythonCall(folder / "tools.py", "add", sandbox=SandboxPlan()), [({"a": 1, "b": 1})]
        )[0]
    return "" if outcome.result == 2 else f"this machine has no sandbox: {outcome.message}"


@dataclass
class Outcome:
    """How one call ended, and what its sandbox told."""

    result: Json = None
    error: PythonToolError | None = None
    told: list[dict[str, Json]] = field(default_factory=list)

    @property
    def message(self) -> str:
        return self.error.message if self.error else ""

    @property
    def whats(self) -> set[str]:
        return {each["what"] for each in self.told}


def outcomes(call: PythonCall, arguments: list[dict[str, Json]], **options: Json) -> list[Outcome]:
    """Of calls of one tool, one after the other, in a pool of their own; then nothing of them is left."""
    return asyncio.run(_outcomes([(call, each) for each in arguments], options))


async def _outcomes(calls: list[tuple[PythonCall, dict[str, Json]]], options: Json) -> list[Outcome]:
    pool, found = WorkerPool(), []
    try:
        for call, arguments in calls:
            outcome = Outcome()

            def tell(type_: str, data: dict[str, Json], outcome: Outcome = outcome) -> None:
                assert type_ == "sandbox.violation"
                outcome.told.append(data)

            try:
                outcome.result = await pool.call(
                    call, arguments, **{"timeout": AMPLE, "max_result": 64 * 1024, "tell": tell, **options}
                )
            except PythonToolError as error:
                outcome.error = error
            found.append(outcome)
    finally:
        await pool.close()
    return found


pytestmark = pytest.mark.skipif(bool(reason := cannot_sandbox()), reason=reason)


@dataclass(frozen=True)
class Field:
    """A project with a tool, and what lies around it."""

    project: Path
    aim: Mapping[str, Json]

    def call(self, function: str, **sandbox: Json) -> PythonCall:
        plan = SandboxPlan(
            time=1, memory=192 * MEGABYTE, read=(self.project / "granted",), write=(self.project / "out",)
        )
        return PythonCall(self.project / "tools.py", function, sandbox=replace(plan, **sandbox))

    def tried(self, function: str, arguments: dict[str, Json] | None = None, **sandbox: Json) -> Outcome:
        """The outcome of a call, after which the tool can still be called."""
        first, then = self.call(function, **sandbox), self.call("add", **sandbox)
        outcome, after = asyncio.run(_outcomes([(first, arguments or {}), (then, {"a": 40, "b": 2})], {}))
        assert after.result == 42, after.message
        assert processes_in(self.project) == []
        return outcome


@pytest.fixture
def field_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Field]:
    monkeypatch.setenv("AGENTCTL_SECRET", "swordfish")
    with laid_out(tmp_path) as found:
        yield found


@contextmanager
def laid_out(folder: Path) -> Iterator[Field]:
    """A project with a granted folder, a secret beside it, a process to look into and sockets that would answer."""
    project = folder / "project"
    for place in (project / "granted", project / "out"):
        place.mkdir(parents=True)
    shutil.copy(ESCAPES, project / "tools.py")
    for path in (folder / "secret", project / ".env", project / "granted" / "file"):
        path.write_text("swordfish")
    (project / "granted" / "link").symlink_to(folder / "secret")
    victim = subprocess.Popen(["sleep", "60"], env={"AGENTCTL_SECRET": "swordfish"})
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"\0{ABSTRACT}")
        unix.listen()
        try:
            yield Field(
                project,
                {
                    "secret": str(folder / "secret"),
                    "env": str(project / ".env"),
                    "outside": str(folder),
                    "file": str(project / "granted" / "file"),
                    "link": str(project / "granted" / "link"),
                    "out": str(project / "out"),
                    "victim": victim.pid,
                    "us": os.getpid(),
                    "port": tcp.getsockname()[1],
                },
            )
            assert victim.poll() is None, "the process outside was ended"
            assert (folder / "secret").read_text() == "swordfish"
        finally:
            victim.kill()
            victim.wait()


# --- attempts that fail, and the events that say so ---------------------------------------------------------------

Arguments = Callable[[Mapping[str, Json]], dict[str, Json]]
NOTHING: Arguments = lambda aim: {}  # noqa: E731
REFUSED: list[tuple[str, str, Arguments]] = [
    ("read", "files", lambda aim: {"path": aim["secret"]}),
    ("read", "files", lambda aim: {"path": aim["env"]}),
    ("read", "files", lambda aim: {"path": aim["link"]}),
    ("read", "files", lambda aim: {"path": "/etc/passwd"}),
    ("look", "files", lambda aim: {"path": aim["secret"]}),
    ("link_out", "files", lambda aim: {"path": aim["secret"], "into": aim["out"]}),
    ("write", "writes", lambda aim: {"path": aim["secret"]}),
    ("write", "writes", lambda aim: {"path": aim["file"]}),
    ("make_public", "writes", lambda aim: {"path": aim["file"]}),
    ("rewrite_own_code", "writes", NOTHING),
    ("remount", "namespaces", NOTHING),
    ("environments", "files", lambda aim: {"pid": aim["victim"]}),
    ("environments", "files", lambda aim: {"pid": aim["us"]}),
    ("processes", "files", NOTHING),
    ("memory_of", "secrets", lambda aim: {"pid": aim["us"]}),
    ("trace", "secrets", lambda aim: {"pid": aim["us"]}),
    ("connect", "network", lambda aim: {"family": "AF_INET", "address": ["127.0.0.1", aim["port"]]}),
    ("connect", "network", lambda aim: {"family": "AF_UNIX", "address": f"\0{ABSTRACT}"}),
    ("send", "network", lambda aim: {"port": aim["port"]}),
    ("netlink", "network", NOTHING),
    ("move_pair", "network", lambda aim: {"path": f"\0{ABSTRACT}"}),
    ("send_from_pair", "kernel", lambda aim: {"path": f"\0{ABSTRACT}"}),
    ("new_namespace", "namespaces", NOTHING),
    ("mount", "namespaces", NOTHING),
    ("memory_file", "memory", NOTHING),
    ("become", "kernel", lambda aim: {"uid": 0}),
    ("become", "kernel", lambda aim: {"uid": 65534}),
    ("starve_template", "signals", NOTHING),
    ("fork", "processes", NOTHING),
    ("vfork", "processes", NOTHING),
    ("shell", "processes", NOTHING),
    ("own_python", "processes", NOTHING),
    ("leave_daemon", "processes", NOTHING),
    ("use_memory", "memory", lambda aim: {"how": "objects"}),
    ("use_memory", "memory", lambda aim: {"how": "shared"}),
    ("flood", "output", NOTHING),
]


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Outcome, Outcome]]:
    """The outcome of each attempt, and of a call of the same tool after it; in one pool, for these are many."""
    with laid_out(tmp_path_factory.mktemp("field")) as found:
        calls: list[tuple[PythonCall, dict[str, Json]]] = []
        for function, _, arguments in REFUSED:
            calls.append((found.call(function), arguments(found.aim)))
            calls.append((found.call("add"), {"a": 40, "b": 2}))
        every = asyncio.run(_outcomes(calls, {}))
        assert processes_in(found.project) == []
        return list(zip(every[::2], every[1::2], strict=True))


@pytest.mark.parametrize(
    ("number", "what"),
    [(n, each[1]) for n, each in enumerate(REFUSED)],
    ids=[f"{f}-{w}" for f, w, _ in REFUSED],
)
def test_what_is_not_granted_is_refused_and_told(
    refusals: list[tuple[Outcome, Outcome]], number: int, what: str
) -> None:
    outcome, after = refusals[number]
    assert outcome.result is None
    assert outcome.error is not None
    assert what in outcome.whats, outcome.message
    assert not outcome.error.retryable
    assert after.result == 42, after.message


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
@pytest.mark.parametrize(
    ("function", "what"),
    [
        ("raw_socket", "network"),
        ("new_namespace_by_clone", "processes"),
        ("keys", "kernel"),
        ("uring", "kernel"),
        ("bpf", "kernel"),
        ("faults", "kernel"),
        ("filter_of_its_own", "kernel"),
        ("raw_in_x32", None),
        ("raw_in_32_bits", None),
    ],
)
def test_a_system_call_is_refused_by_its_number_too(field_: Field, function: str, what: str | None) -> None:
    outcome = field_.tried(function)
    assert outcome.result is None
    assert outcome.error is not None
    assert what is None or what in outcome.whats


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("kill", lambda aim: {"pid": aim["victim"], "number": signal.SIGKILL}),
        ("kill", lambda aim: {"pid": aim["us"], "number": 0}),
        ("kill_group", NOTHING),
        ("hard_link", lambda aim: {"path": aim["file"], "into": aim["out"]}),
        ("use_memory", lambda aim: {"how": "pipes"}),
        ("raise_limits", NOTHING),
        ("big_result", NOTHING),
        ("die", NOTHING),
        ("forge", lambda aim: {"frame": "Rno json"}),
        ("forge", lambda aim: {"frame": "E[]"}),
        ("forge", lambda aim: {"frame": "D{}"}),
        ("forge", lambda aim: {"frame": ""}),
    ],
)
def test_what_leads_nowhere_is_an_error_of_the_tool(
    field_: Field, function: str, arguments: Arguments
) -> None:
    outcome = field_.tried(function, arguments(field_.aim))
    assert outcome.result is None
    assert outcome.error is not None


def test_processor_time_is_bounded_in_python_in_c_and_where_its_signal_is_ignored(field_: Field) -> None:
    calls = [(field_.call(function), {}) for function in ("spin", "spin_in_c", "outlive_the_signal")]
    for outcome in asyncio.run(_outcomes(calls, {})):
        assert outcome.error is not None
        assert outcome.error.error_class == "timeout"
        assert "1s of processor time" in outcome.message
        assert outcome.whats == {"time"}


def test_nothing_of_ours_can_be_found_inside(field_: Field) -> None:
    assert field_.tried("list_folder", {"path": field_.aim["outside"]}).result == ["project"]
    assert "swordfish" not in str(field_.tried("environment").result)
    assert field_.tried("descriptors").result == []
    assert field_.tried("objects_of_ours").result == []
    assert field_.tried("type_ahead").result == []


def test_what_a_tool_hides_is_told_all_the_same(field_: Field) -> None:
    """A tool that catches what it was refused answers as it likes; the events are none of its business."""
    outcome = field_.tried("fork_bomb")
    assert outcome.result == 0
    assert outcome.told == [{"what": "processes", "tried": "clone"}]


def test_no_program_is_made_that_runs_as_its_owner(field_: Field) -> None:
    outcome = field_.tried("make_root_program", {"into": field_.aim["out"]})
    assert outcome.result == []
    assert "writes" in outcome.whats


def test_threads_and_its_own_folder_are_bounded(field_: Field) -> None:
    assert field_.tried("thread_bomb").result < 100
    assert field_.tried("fill_folder").result <= 64 * MEGABYTE


def test_signals_reach_nobody(field_: Field) -> None:
    assert field_.tried("kill_all").result == "sent"
    assert field_.tried("stop_template").result == "sent"


def test_who_kills_its_group_hits_the_call_alone(field_: Field) -> None:
    """The template goes on, which the ids in its namespace show; the keeper is of another group."""
    calls = [(field_.call(function), {}) for function in ("place", "kill_group", "place")]
    before, killed, after = asyncio.run(_outcomes(calls, {}))
    assert "killed by SIGKILL" in killed.message
    assert (before.result["pid"], after.result["pid"]) == (2, 4)


def test_a_flood_over_the_way_back_ends_the_call_alone(field_: Field) -> None:
    outcome = field_.tried("flood_back")
    assert outcome.error is not None


def test_the_time_of_a_call_ends_it_whatever_it_does(field_: Field) -> None:
    outcome = outcomes(field_.call("spin", time=60), [{}], timeout=0.5)[0]
    assert outcome.error is not None
    assert outcome.error.error_class == "timeout"
    assert processes_in(field_.project) == []


# --- code that runs as the module is loaded ---------------------------------------------------------------------------

FORGES = """
import os
for number in range(3, 16):
    try:
        os.write(number, bytes([0, 0, 0, 3]) + b"Ex!")
    except OSError:
        pass
"""
"""A module that writes a reply of its own making to whatever leads out."""


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("open({secret!r}).read()", "FileNotFoundError"),
        ("import os; os.fork()", "PermissionError"),
        ("import socket; socket.socket()", "PermissionError"),
        (
            "import threading, time; threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
            "thread",
        ),
        ("held = [bytearray(10**6) for _ in range(1000)]", "192MB of memory"),
        (FORGES, "could not be read"),
        ("import nowhere_to_be_found", "ModuleNotFoundError"),
    ],
)
def test_a_module_is_confined_before_it_is_loaded(field_: Field, code: str, what: str) -> None:
    source = code.format(secret=field_.aim["secret"]) + "\ndef add(a): return a\n"
    (field_.project / "tools.py").write_text(source)
    outcome = outcomes(field_.call("add"), [{"a": 1}])[0]
    assert outcome.error is not None
    assert what in outcome.message
    assert outcome.result is None


def test_a_module_sees_those_it_imports_and_no_other_file_beside_it(field_: Field) -> None:
    (field_.project / "parts").mkdir()
    (field_.project / "parts" / "__init__.py").write_text("")
    (field_.project / "parts" / "inner.py").write_text("VALUE = 7")
    (field_.project / "other.py").write_text("VALUE = 8")
    source = "import os\nfrom parts import inner\ndef seen(): return [inner.VALUE, sorted(os.listdir(os.path.dirname(__file__)))]"
    (field_.project / "tools.py").write_text(source)
    outcome = outcomes(field_.call("seen"), [{}])[0]
    assert outcome.result == [7, ["granted", "out", "parts", "tools.py"]]


def test_setup_runs_once_and_its_work_is_in_every_call(field_: Field) -> None:
    source = """
        import os, time
        MADE = []
        async def prepare():
            open("scratch", "w").close()
            MADE.append(os.getpid())
        def made():
            MADE.append(0)
            return [len(MADE), os.listdir(".")]
    """
    (field_.project / "tools.py").write_text("\n".join(line[8:] for line in source.splitlines()))
    call = replace(field_.call("made"), setup="tools:prepare")
    assert [each.result for each in outcomes(call, [{}, {}])] == [[2, []], [2, []]]


# --- what a tool may do -----------------------------------------------------------------------------------------------


def test_ordinary_work_goes_on_as_ever(field_: Field) -> None:
    assert field_.tried("work").result == [42, 55, "e3b0", True]
    assert field_.tried("add_slowly", {"a": 2}).result == 3
    call = field_.call("given")
    assert outcomes(call, [{}], idempotency_key="k", context={"thread": "t"})[0].result == [
        "k",
        {"thread": "t"},
    ]


def test_calls_leave_nothing_to_each_other(field_: Field) -> None:
    first, second = outcomes(field_.call("leave_file"), [{"content": "a"}, {"content": "b"}])
    assert (first.result, second.result) == ([], [])
    one, two = (each.result for each in outcomes(field_.call("place"), [{}, {}]))
    assert (
        one | {"pid": 0} == two | {"pid": 0} == {"cwd": "/private", "pid": 0, "there": [], "home": "/private"}
    )
    assert one["pid"] != two["pid"]


def test_what_is_granted_can_be_used(field_: Field) -> None:
    assert field_.tried("read", {"path": field_.aim["file"]}).result == "swordfish"
    made = field_.project / "out" / "made"
    assert field_.tried("write", {"path": str(made)}).result == "written"
    assert made.read_text() == "escaped"
    assert made.stat().st_uid == os.getuid()
    reach = {"family": "AF_INET", "address": ["127.0.0.1", field_.aim["port"]]}
    assert field_.tried("connect", reach, network=True).result == "connected"
    names = {"family": "AF_UNIX", "address": f"\0{ABSTRACT}"}
    assert field_.tried("connect", names, network=True).result is None


def test_a_grant_may_be_a_link_and_leads_where_it_led_when_the_call_began(field_: Field) -> None:
    (field_.project / "notes").symlink_to(field_.project / "granted")
    sandbox = {"read": (field_.project / "notes",)}
    outcome = field_.tried("read", {"path": str(field_.project / "notes" / "file")}, **sandbox)
    assert outcome.result == "swordfish"


def test_a_grant_that_became_a_link_is_refused_and_one_that_was_renewed_is_seen_anew(field_: Field) -> None:
    notes, call = field_.project / "granted", field_.call("read")
    arguments = {"path": str(notes / "file")}

    async def tries() -> list[str]:
        pool, found = WorkerPool(), []
        try:
            for change in (lambda: None, renew, plant):
                change()
                try:
                    found.append(await pool.call(call, arguments, timeout=AMPLE, max_result=1024))
                except ToolError as error:
                    found.append(error.message)
        finally:
            await pool.close()
        return found

    def renew() -> None:
        shutil.rmtree(notes)
        notes.mkdir()
        (notes / "file").write_text("renewed")

    def plant() -> None:
        shutil.rmtree(notes)
        (field_.project.parent / "file").write_text("swordfish")
        notes.symlink_to(field_.project.parent)

    before, renewed, planted = asyncio.run(tries())
    assert (before, renewed) == ("swordfish", "renewed")
    assert "is not what it was when the run began" in planted


def test_a_grant_that_is_not_there_is_said(field_: Field) -> None:
    outcome = asyncio.run(_refusal(field_.call("add", read=(field_.project / "nowhere",))))
    assert "nowhere" in outcome
    assert "is not there" in outcome


async def _refusal(call: PythonCall) -> str:
    pool = WorkerPool()
    try:
        await pool.call(call, {"a": 1}, timeout=AMPLE, max_result=1024)
    except Exception as error:  # noqa: BLE001 - its message is what is looked at
        return str(error)
    finally:
        await pool.close()
    return ""


def test_bounds_alone_hold_where_the_run_asks_for_no_more(field_: Field) -> None:
    bounded = lambda function: replace(field_.call(function), bounded_only=True)  # noqa: E731
    assert outcomes(bounded("add"), [{"a": 1}])[0].result == 2
    spun = outcomes(bounded("spin"), [{}])[0]
    assert spun.error is not None
    assert (spun.error.error_class, spun.whats) == ("timeout", {"time"})
    assert outcomes(bounded("use_memory"), [{"how": "objects"}])[0].whats == {"memory"}
    assert outcomes(bounded("use_memory_of_many"), [{}])[0].whats == {"memory"}
    assert outcomes(bounded("breed"), [{}])[0].whats == {"processes"}
    assert outcomes(bounded("flood"), [{}])[0].whats == {"output"}
    assert "swordfish" not in str(outcomes(bounded("environment"), [{}])[0].result)
    place = outcomes(bounded("place"), [{}])[0].result
    assert place["there"] == []
    assert not Path(place["cwd"]).exists()


# --- other users, and machines that cannot -----------------------------------------------------------------------------


def test_an_ordinary_user_has_the_same_sandbox() -> None:
    """As root is another user than most: attacks that depend on who one is, tried again as somebody else."""
    python = _python_for_others()
    if os.geteuid() != 0 or shutil.which("setpriv") is None or python is None:
        pytest.skip("needs root, setpriv and a Python that others may run")
    done = _run([*("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"), python], "report()")
    assert json.loads(done) == {
        "work": [42, 55, "e3b0", True],
        "fork_bomb": 0,
        "threads are bounded": True,
        "read": "files",
        "write": "writes",
        "memory_of": "secrets",
        "written": 65534,
    }


def test_where_no_namespace_can_be_made_nothing_runs() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    limit = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    words = ["unshare", "-Ur", "sh", "-c", limit, "sh", sys.executable]
    message = json.loads(_run(words, "report_refusal()"))
    assert "its sandbox cannot be made on this machine" in message


def report() -> None:
    """What happens to some attempts, as JSON; run by another user."""
    with tempfile.TemporaryDirectory() as made, laid_out(Path(made).resolve()) as found:
        made_file = found.project / "out" / "made"
        told = {"work": found.tried("work").result, "fork_bomb": found.tried("fork_bomb").result}
        told["threads are bounded"] = found.tried("thread_bomb").result < 100
        for function, aim in (("read", "secret"), ("write", "file")):
            told[function] = ", ".join(found.tried(function, {"path": found.aim[aim]}).whats)
        told["memory_of"] = ", ".join(found.tried("memory_of", {"pid": os.getpid()}).whats)
        found.tried("write", {"path": str(made_file)})
        told["written"] = made_file.stat().st_uid
    print(json.dumps(told))


def report_refusal() -> None:
    with tempfile.TemporaryDirectory() as made, laid_out(Path(made).resolve()) as found:
        print(json.dumps(outcomes(found.call("add"), [{"a": 1}])[0].message))


def _run(words: list[str], call: str) -> str:
    """What a function of this module prints when another process runs it."""
    folders = [
        str(ESCAPES.parent.parent.parent),
        *(path for path in sys.path if path.endswith("site-packages")),
    ]
    code = f"from tests.tools import test_sandbox_python as t; t.{call}"
    env = {
        "PATH": os.environ["PATH"],
        "HOME": "/",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": ":".join(folders),
    }
    done = subprocess.run([*words, "-c", code], env=env, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _python_for_others() -> str | None:
    for program in (sys.executable, "/usr/bin/python3"):
        command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", program, "-c"]
        said = subprocess.run(
            [*command, "import os, sys; print(os.access(sys.executable, os.X_OK) and sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if said.stdout.strip() == str(sys.version_info[:2]):
            return program
    return None
