"""Python tools in worker processes: real processes, and what is left of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from agentctl.json import Json
from agentctl.tools import process
from agentctl.tools.worker import PythonCall, PythonToolError, WorkerPool
from tests.tools.processes import processes_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts processes in /proc")

TOOLS = '''
    import asyncio, json, os, signal, subprocess, sys, time
    from pathlib import Path

    CALLS = []

    def add(a, b=1):
        CALLS.append(a)
        return {"sum": a + b, "pid": os.getpid(), "calls": len(CALLS)}

    async def slowly(a):
        await asyncio.sleep(0.001)
        return [a, id(asyncio.get_running_loop())]

    def say(text):
        print(text)
        print(text, file=sys.stderr)
        os.write(1, b"raw " + text.encode())
        subprocess.run(["echo", "from a child"])
        return text

    def raises(text):
        raise LookupError(text)

    def exits():
        sys.exit("bye")

    def result(kind):
        return {
            "nan": lambda: {"x": [float("nan")]},
            "object": lambda: {"x": object()},
            "circle": circle,
            "surrogate": lambda: "\\ud800",
            "long": lambda: [2**64],
            "digits": lambda: ["9" * 30, 2**64 - 1, -(2**63)],
            "big": lambda: "x" * 10_000_000,
            "none": lambda: None,
        }[kind]()

    def circle():
        x = []
        x.append(x)
        return x

    def hang(marks):
        Path(marks).touch()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            try:
                time.sleep(60)
            except BaseException:
                pass

    def spin(marks):
        Path(marks).touch()
        import re
        re.match(r"(a+)+$", "a" * 40 + "b")  # holds the interpreter's lock

    async def swallow(marks):
        Path(marks).touch()
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass

    def breed(marks, then):
        """A child, a grandchild, and a daemon with a session of its own that ignores signals."""
        subprocess.Popen(["sleep", "600"])
        subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600"])
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
            os._exit(0)
        os.wait()
        Path(marks).touch()
        if then == "hang":
            time.sleep(600)
        if then == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        return then

    def die(how):
        print("last words", flush=True)
        os._exit(3) if how == "exit" else os.kill(os.getpid(), signal.SIGKILL)

    def stop_everything(marks):
        Path(marks).touch()
        os.killpg(0, signal.SIGSTOP)

    def kill_everything():
        os.killpg(0, signal.SIGKILL)

    def term_everything():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        return "alive"

    def come_back():
        return os.fork() == 0

    def given(x, idempotency_key=None, context=None):
        return [x, idempotency_key, context]

    def environment():
        return {"cwd": os.getcwd(), "stdin": sys.stdin.read(), "path": sys.path[0], "sid": os.getsid(0)}
'''
AMPLE = 10.0
"""Seconds in which anything that ends has ended."""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with tools.py. Afterwards no process may be at work in it."""
    (tmp_path / "tools.py").write_text(dedent(TOOLS))
    yield tmp_path
    left = processes_in(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def is_alive(pid: int) -> bool:
    """Whether a process has anything open still: a zombie has not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def in_pool(work: Callable[[WorkerPool], Awaitable[None]], **options: Json) -> None:
    async def main() -> None:
        pool = WorkerPool(**options)
        try:
            await work(pool)
        finally:
            await pool.close()

    asyncio.run(main())


async def call(
    pool: WorkerPool, folder: Path, function: str, timeout: float = AMPLE, **arguments: Json
) -> Json:
    spec = PythonCall(folder / "tools.py", function)
    return await pool.call(spec, arguments, timeout=timeout, max_result=256 * 1024)


async def fails(pool: WorkerPool, folder: Path, function: str, **arguments: Json) -> PythonToolError:
    with pytest.raises(PythonToolError) as caught:
        await call(pool, folder, function, **arguments)
    return caught.value


async def appears(file: Path) -> None:
    deadline = time.monotonic() + AMPLE
    while not file.exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def test_two_hundred_calls_reuse_one_worker(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        replies = [await call(pool, folder, "add", a=n) for n in range(200)]
        assert [reply["sum"] for reply in replies] == list(range(1, 201))
        assert len({reply["pid"] for reply in replies}) == 1
        assert replies[-1]["calls"] == 200

    in_pool(work)


def test_calls_at_the_same_time_have_a_worker_each_and_idle_ones_are_capped(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        replies = await asyncio.gather(*(call(pool, folder, "add", a=n) for n in range(4)))
        assert len({reply["pid"] for reply in replies}) == 4
        again = await asyncio.gather(*(call(pool, folder, "add", a=n) for n in range(2)))
        assert {reply["pid"] for reply in again} <= {reply["pid"] for reply in replies}

    in_pool(work, max_idle=2)


def test_async_functions_share_the_workers_one_loop(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        first, second = await call(pool, folder, "slowly", a=1), await call(pool, folder, "slowly", a=2)
        assert (first[0], second[0]) == (1, 2)
        assert first[1] == second[1]

    in_pool(work)


def test_what_a_tool_prints_is_heard_and_corrupts_nothing(folder: Path) -> None:
    heard: list[str] = []

    async def work(pool: WorkerPool) -> None:
        assert await call(pool, folder, "say", text="größer") == "größer"
        assert await call(pool, folder, "add", a=1)

    in_pool(work, on_output=heard.append)
    text = "".join(heard)
    assert text.count("größer") == 3
    assert "from a child" in text


def test_an_exception_is_told_with_its_traceback_apart(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        error = await fails(pool, folder, "raises", text="no such page")
        assert (error.error_class, error.message) == ("tool_failed", "LookupError: no such page")
        line = dedent(TOOLS).splitlines().index("    raise LookupError(text)") + 1
        assert error.details == f"{folder / 'tools.py'}:{line} in raises"
        assert len((await fails(pool, folder, "raises", text="x" * 10**6)).message) == 2_000
        assert (await fails(pool, folder, "exits")).message == "SystemExit: bye"
        assert "unexpected keyword argument 'z'" in (await fails(pool, folder, "add", a=1, z=2)).message
        assert (await call(pool, folder, "add", a=1))["calls"] == 1  # all in one worker

    in_pool(work)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nan", "the result is no JSON: it holds NaN or an infinity"),
        ("object", "the result is no JSON: Object of type object is not JSON serializable; return texts"),
        ("circle", "the result is no JSON: it contains itself"),
        ("surrogate", "the result holds text that is no Unicode"),
        ("long", "the result holds an integer of more than 64 bits"),
        ("big", "the result is 10,000,002 bytes, over its max_result of 262,144"),
    ],
)
def test_a_result_that_cannot_be_kept_is_refused(folder: Path, kind: str, message: str) -> None:
    async def work(pool: WorkerPool) -> None:
        error = await fails(pool, folder, "result", kind=kind)
        assert error.error_class == "tool_failed"
        assert error.message.startswith(message)
        assert await call(pool, folder, "result", kind="none") is None

    in_pool(work)


def test_a_large_result_within_its_bound_arrives_whole(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        spec = PythonCall(folder / "tools.py", "result")
        found = await pool.call(spec, {"kind": "big"}, timeout=AMPLE, max_result=20_000_000)
        assert found == "x" * 10_000_000
        assert await call(pool, folder, "result", kind="digits") == ["9" * 30, 2**64 - 1, -(2**63)]

    in_pool(work)


@pytest.mark.parametrize("function", ["hang", "spin", "swallow", "stop_everything"])
def test_a_tool_that_does_not_end_is_ended_within_its_timeout_and_a_second(
    folder: Path, function: str
) -> None:
    async def work(pool: WorkerPool) -> None:
        await call(pool, folder, "add", a=1)
        began = time.monotonic()
        error = await fails(pool, folder, function, timeout=0.2, marks=str(folder / "begun"))
        assert error.error_class == "timeout"
        assert error.message == "no answer within 0.2s, so it was ended"
        assert time.monotonic() - began < 1.2
        assert (folder / "begun").exists()
        assert processes_in(folder) == []
        assert (await call(pool, folder, "add", a=1))["calls"] == 1  # a new worker took its place

    in_pool(work)


@pytest.mark.parametrize("function", ["hang", "spin", "swallow"])
def test_a_cancelled_call_is_ended_before_its_caller_goes_on(folder: Path, function: str) -> None:
    async def work(pool: WorkerPool) -> None:
        marks = folder / "begun"
        caller = asyncio.create_task(call(pool, folder, function, marks=str(marks)))
        await appears(marks)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert processes_in(folder) == []

    in_pool(work)


def test_a_caller_cancelled_twice_still_leaves_nothing(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        marks = folder / "begun"
        caller = asyncio.create_task(call(pool, folder, "hang", marks=str(marks)))
        await appears(marks)
        caller.cancel()
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

    in_pool(work)


def test_a_call_cancelled_while_its_worker_starts_leaves_nothing(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        for turns in range(12):
            caller = asyncio.create_task(call(pool, folder, "add", a=1))
            for _ in range(turns):
                await asyncio.sleep(0)
            caller.cancel()
            with pytest.raises(asyncio.CancelledError):
                await caller
            assert processes_in(folder) == []

    in_pool(work)


@pytest.mark.parametrize("then", ["hang", "crash", "return"])
def test_children_and_daemons_of_a_tool_do_not_outlive_it(folder: Path, then: str) -> None:
    async def work(pool: WorkerPool) -> None:
        marks = folder / "bred"
        if then == "return":
            assert await call(pool, folder, "breed", marks=str(marks), then=then) == "return"
            assert len(processes_in(folder)) >= 6  # they live as long as the worker does
            return
        error = await fails(pool, folder, "breed", timeout=1.0, marks=str(marks), then=then)
        assert marks.exists()
        assert error.error_class == ("timeout" if then == "hang" else "tool_failed")
        assert processes_in(folder) == []

    in_pool(work)


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        ("die", {"how": "kill"}, "its worker was killed by SIGKILL before it answered"),
        ("die", {"how": "exit"}, "its worker exited with code 3 before it answered"),
        ("kill_everything", {}, "its worker was killed by SIGKILL before it answered"),
    ],
)
def test_a_worker_that_dies_in_mid_call_fails_that_call_only(
    folder: Path, function: str, arguments: Json, message: str
) -> None:
    async def work(pool: WorkerPool) -> None:
        error = await fails(pool, folder, function, **arguments)
        assert (error.error_class, error.message) == ("tool_failed", message)
        assert error.details == ("last words" if arguments else "")
        assert await call(pool, folder, "add", a=1)

    in_pool(work)


def test_a_worker_killed_from_outside_in_mid_call_is_said(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        marks = folder / "begun"
        caller = asyncio.create_task(fails(pool, folder, "hang", marks=str(marks)))
        await appears(marks)
        os.kill(max(processes_in(folder)), signal.SIGKILL)  # the child was started after its keeper
        assert (await caller).message == "its worker was killed by SIGKILL before it answered"

    in_pool(work)


def test_an_idle_worker_that_died_is_replaced_without_a_word(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        before = await call(pool, folder, "add", a=1)
        there = processes_in(folder)
        os.kill(before["pid"], signal.SIGKILL)
        while any(map(is_alive, there)):
            time.sleep(0.001)  # the loop stands still: it has heard nothing when the next call comes
        assert (await call(pool, folder, "add", a=1))["pid"] != before["pid"]

    in_pool(work)


def test_signals_to_the_whole_group_do_not_reach_the_keeper(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        assert await call(pool, folder, "term_everything") == "alive"
        assert await call(pool, folder, "term_everything") == "alive"

    in_pool(work)


def test_a_fork_that_comes_back_answers_for_nobody(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        for n in range(20):
            assert await call(pool, folder, "come_back") is False
            assert (await call(pool, folder, "add", a=n))["sum"] == n + 1

    in_pool(work)


def test_two_folders_may_each_have_a_tools_py_and_helpers(tmp_path: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        for _ in range(2):
            for name in ("a", "b"):
                assert await call(pool, tmp_path / name, "who") == [name, name]

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "helpers.py").write_text(f"NAME = '{name}'")
        (tmp_path / name / "tools.py").write_text(
            f"import helpers\ndef who():\n    from helpers import NAME\n    return ['{name}', NAME]\n"
        )
    in_pool(work)


def test_a_package_beside_the_graph_and_names_of_python_itself(tmp_path: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        async def ask(file: str, setup: str | None = None) -> Json:
            spec = PythonCall(tmp_path / file, "f", folder=tmp_path, setup=setup)
            return await pool.call(spec, {}, timeout=AMPLE, max_result=1000)

        assert await ask("pkg/tools.py") == ["pkg.tools", "beside"]
        assert await ask("pkg/__init__.py") == "package"
        assert await ask("json.py") == "mine"
        assert await ask("selectors.py", setup="email:f") == "chosen"  # asyncio needs the real one

    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("def f(): return 'package'")
    (tmp_path / "pkg" / "near.py").write_text("WORD = 'beside'")
    (tmp_path / "pkg" / "tools.py").write_text("from .near import WORD\ndef f(): return [__name__, WORD]")
    (tmp_path / "json.py").write_text("def f(): return 'mine'")
    (tmp_path / "selectors.py").write_text("async def f(): return 'chosen'")
    (tmp_path / "email.py").write_text("async def f(): pass")
    in_pool(work)


def test_setup_runs_once_in_a_worker_and_its_failure_is_said(tmp_path: Path) -> None:
    (tmp_path / "tools.py").write_text(
        "import os\nREADY = []\n"
        "async def prepare(): READY.append(os.getpid())\n"
        "def ready(): return READY\n"
        "def broken(): raise OSError('no weights')\n"
    )

    async def work(pool: WorkerPool) -> None:
        spec = PythonCall(tmp_path / "tools.py", "ready", setup="tools:prepare")
        replies = [await pool.call(spec, {}, timeout=AMPLE, max_result=1000) for _ in range(3)]
        assert len(replies[0]) == 1
        assert replies == [replies[0]] * 3
        assert await call(pool, tmp_path, "ready") == []  # without setup it is another worker
        spec = PythonCall(tmp_path / "tools.py", "ready", setup="tools:broken")
        with pytest.raises(PythonToolError, match="OSError: no weights") as caught:
            await pool.call(spec, {}, timeout=AMPLE, max_result=1000)
        assert caught.value.error_class == "tool_unavailable"

    in_pool(work)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_thing", "its module could not be loaded: ModuleNotFoundError: No module named"),
        ("def (", "its module could not be loaded: SyntaxError"),
        ("raise SystemExit(4)", "its module could not be loaded: SystemExit: 4"),
        ("import os; os._exit(4)", "its worker exited with code 4 while its module was loaded"),
        ("while True: pass", "its module was not loaded and set up within 0.5s"),
        ("x = 1", "the module has no `f`"),
    ],
)
def test_a_module_that_cannot_be_loaded_makes_the_tool_unavailable(
    tmp_path: Path, source: str, message: str
) -> None:
    (tmp_path / "tools.py").write_text(source)

    async def work(pool: WorkerPool) -> None:
        error = await fails(pool, tmp_path, "f")
        assert error.error_class == "tool_unavailable"
        assert error.message.startswith(message)

    # only the module that never ends is not given all the time a busy machine may need
    in_pool(work, start_timeout=0.5 if source.startswith("while") else AMPLE)
    assert processes_in(tmp_path) == []


def test_changed_code_is_served_by_a_new_worker(tmp_path: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        for version in ("one", "two two"):
            (tmp_path / "tools.py").write_text(f"def f(): return '{version}'")
            spec = PythonCall(tmp_path / "tools.py", "f", code=version)
            assert await pool.call(spec, {}, timeout=AMPLE, max_result=1000) == version

    in_pool(work)


def test_the_key_and_the_context_are_given_to_the_function(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        spec = PythonCall(folder / "tools.py", "given")
        found = await pool.call(
            spec, {"x": 1}, timeout=AMPLE, max_result=1000, idempotency_key="k", context={"run": "r"}
        )
        assert found == [1, "k", {"run": "r"}]
        assert await call(pool, folder, "given", x=1) == [1, None, None]

    in_pool(work)


def test_a_worker_has_a_session_of_its_own_its_folder_and_no_input(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        found = await call(pool, folder, "environment")
        assert found["cwd"] == found["path"] == str(folder)
        assert found["stdin"] == ""
        assert found["sid"] != os.getsid(0)  # so Ctrl-C in the terminal does not reach it

    in_pool(work)


def test_closing_the_pool_runs_atexit_handlers_and_fails_calls_under_way(folder: Path) -> None:
    (folder / "tools.py").open("a").write(
        "import atexit\natexit.register(lambda: Path('farewell').touch())\n"
    )

    async def work(pool: WorkerPool) -> None:
        await call(pool, folder, "add", a=1)
        marks = folder / "begun"
        caller = asyncio.create_task(fails(pool, folder, "hang", marks=str(marks)))
        await call(pool, folder, "add", a=1)
        await appears(marks)
        await pool.close()
        assert (await caller).error_class == "tool_failed"
        assert (await fails(pool, folder, "add", a=1)).message == "the workers are closed"

    in_pool(work)
    assert (folder / "farewell").exists()


PARENT = """
import asyncio, sys
from pathlib import Path
from agentctl.tools.worker import PythonCall, WorkerPool

async def main():
    pool = WorkerPool()
    folder = Path(sys.argv[1])

    def call(function, **arguments):
        spec = PythonCall(folder / "tools.py", function)
        return pool.call(spec, {"marks": str(folder / function)} | arguments, timeout=60, max_result=1000)

    await call("breed", then="return")
    await asyncio.gather(call("spin"), call("hang"))

asyncio.run(main())
"""


def test_a_killed_agentctl_takes_its_workers_and_their_daemons_along_within_a_second(folder: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(folder)])
    try:
        for name in ("breed", "spin", "hang"):
            asyncio.run(appears(folder / name))
        assert len(processes_in(folder)) >= 9  # two keepers, two children, four programs, a daemon
    finally:
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 1.0
    while processes_in(folder) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes_in(folder) == []


def test_a_killed_keeper_takes_the_child_along(folder: Path) -> None:
    async def work(pool: WorkerPool) -> None:
        marks = folder / "begun"
        caller = asyncio.create_task(fails(pool, folder, "spin", marks=str(marks)))
        await appears(marks)
        os.kill(min(processes_in(folder)), signal.SIGKILL)
        assert (await caller).message == "its worker was killed by SIGKILL before it answered"
        assert processes_in(folder) == []

    in_pool(work)


def test_the_worker_imports_nothing_of_agentctl_and_little_of_python() -> None:
    code = f"import json, sys; sys.path.insert(0, {str(Path(process.__file__).parent)!r}); import worker_main; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert loaded.isdisjoint(
        {"asyncio", "subprocess", "typing", "threading", "traceback", "inspect", "agentctl"}
    )
