"""Python tools inside agentctl: as in a worker, but for the kill."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from textwrap import dedent

import pytest

from agentctl.json import Json
from agentctl.tools.in_process import InProcessTools
from agentctl.tools.python_call import PythonCall, PythonToolError

TOOLS = """
    import asyncio, sys, threading, time
    import helpers
    import pkg.deep
    READY = []
    KEPT = {"list": [1]}

    async def prepare(): READY.append(1)
    def who():
        from helpers import NAME      # a late import
        return [helpers.NAME, NAME, pkg.deep.NAME, len(READY), threading.current_thread().name]
    def kept(): return KEPT
    async def cancelled(marks):
        try:
            await asyncio.sleep(60)
        finally:
            open(marks, "w").close()
    async def swallow():
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                pass
    def hang(): time.sleep(60)
    def raises(): raise LookupError("no such page")
    def stops(): raise StopIteration(3)
    async def exits(): sys.exit("bye")
    def times_out(): raise TimeoutError("the server's own")
    def nan(): return float("nan")
    def given(idempotency_key=None, context=None): return [idempotency_key, context]
"""


def write(folder: Path, name: str) -> None:
    (folder / "pkg").mkdir(parents=True)
    (folder / "tools.py").write_text(dedent(TOOLS))
    (folder / "helpers.py").write_text(f"NAME = '{name}'")
    (folder / "pkg" / "__init__.py").write_text("")
    (folder / "pkg" / "deep.py").write_text("from helpers import NAME\nfrom . import __name__ as package")


async def call(
    tools: InProcessTools,
    folder: Path,
    function: str,
    timeout: float = 10,
    setup: str | None = None,
    **given: Json,
) -> Json:
    spec = PythonCall(folder / "tools.py", function, setup=setup)
    return await tools.call(spec, given, timeout=timeout, max_result=1000)


def with_tools(work: Callable[[InProcessTools], Awaitable[None]]) -> None:
    asyncio.run(work(InProcessTools()))  # type: ignore[arg-type]


def test_two_folders_keep_their_modules_apart_and_setup_runs_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, name)

    async def work(tools: InProcessTools) -> None:
        before = set(sys.modules)
        calls = [call(tools, tmp_path / name, "who", setup="tools:prepare") for name in ("a", "b", "a")]
        replies = await asyncio.gather(*calls)
        assert [reply[:4] for reply in replies] == [[name, name, name, 1] for name in ("a", "b", "a")]
        assert replies[0][4] == "tool who"
        assert (await call(tools, tmp_path / "a", "who"))[3] == 0  # without setup it is another module
        assert {
            name for name in set(sys.modules) - before if not name.startswith("_agentctl_tools_")
        } == set()
        assert str(tmp_path / "a") not in sys.path

    with_tools(work)


def test_a_result_is_a_copy(tmp_path: Path) -> None:
    write(tmp_path / "a", "a")

    async def work(tools: InProcessTools) -> None:
        first = await call(tools, tmp_path / "a", "kept")
        first["list"].append(2)
        assert await call(tools, tmp_path / "a", "kept") == {"list": [1]}

    with_tools(work)


@pytest.mark.parametrize(
    ("function", "error_class", "message"),
    [
        ("raises", "tool_failed", "LookupError: no such page"),
        ("stops", "tool_failed", "RuntimeError: StopIteration: 3"),
        ("exits", "tool_failed", "SystemExit: bye"),
        ("times_out", "tool_failed", "TimeoutError: the server's own"),
        ("nan", "tool_failed", "the result is no JSON: it holds NaN or an infinity"),
        ("nothing", "tool_unavailable", "the module has no `nothing`"),
    ],
)
def test_failures_are_those_of_a_worker(
    tmp_path: Path, function: str, error_class: str, message: str
) -> None:
    write(tmp_path / "a", "a")

    async def work(tools: InProcessTools) -> None:
        with pytest.raises(PythonToolError) as caught:
            await call(tools, tmp_path / "a", function)
        assert (caught.value.error_class, caught.value.message) == (error_class, message)
        if function == "raises":
            line = dedent(TOOLS).splitlines().index('def raises(): raise LookupError("no such page")') + 1
            assert caught.value.details == f"{tmp_path / 'a' / 'tools.py'}:{line} in raises"

    with_tools(work)


def test_an_async_function_is_cancelled_when_its_time_is_over(tmp_path: Path) -> None:
    write(tmp_path / "a", "a")

    async def work(tools: InProcessTools) -> None:
        with pytest.raises(PythonToolError, match=r"no answer within 0\.05s"):
            await call(tools, tmp_path / "a", "cancelled", timeout=0.05, marks=str(tmp_path / "ended"))
        assert (tmp_path / "ended").exists()

    with_tools(work)


@pytest.mark.parametrize("cancels", [False, True])
def test_one_that_swallows_its_cancellation_is_ended_all_the_same(tmp_path: Path, cancels: bool) -> None:
    write(tmp_path / "a", "a")

    async def work(tools: InProcessTools) -> None:
        if not cancels:
            with pytest.raises(PythonToolError, match=r"no answer within 0\.05s"):
                await call(tools, tmp_path / "a", "swallow", timeout=0.05)
            return
        caller = asyncio.create_task(call(tools, tmp_path / "a", "swallow", timeout=60))
        await asyncio.sleep(0.1)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

    began = time.monotonic()
    with_tools(work)
    assert time.monotonic() - began < 20, "neither the call nor the end of the loop waits for it"


def test_the_key_and_the_context_are_given(tmp_path: Path) -> None:
    write(tmp_path / "a", "a")

    async def work(tools: InProcessTools) -> None:
        spec = PythonCall(tmp_path / "a" / "tools.py", "given")
        found = await tools.call(spec, {}, timeout=9, max_result=99, idempotency_key="k", context=[1])
        assert found == ["k", [1]]

    with_tools(work)


@pytest.mark.parametrize("source", ["import no_such_thing", "raise SystemExit(3)", "def ("])
def test_a_module_that_cannot_be_loaded_makes_the_tool_unavailable_until_it_is_mended(
    tmp_path: Path, source: str
) -> None:
    (tmp_path / "tools.py").write_text(source)

    async def work(tools: InProcessTools) -> None:
        with pytest.raises(PythonToolError, match="its module could not be loaded") as caught:
            await call(tools, tmp_path, "f")
        assert caught.value.error_class == "tool_unavailable"
        (tmp_path / "tools.py").write_text("def f(): return 'mended, and of another length'")
        assert (await call(tools, tmp_path, "f")).startswith("mended")

    with_tools(work)


def test_a_thread_that_hangs_does_not_keep_agentctl_from_exiting(tmp_path: Path) -> None:
    write(tmp_path / "a", "a")
    code = f"""
import asyncio
from pathlib import Path
from agentctl.tools.in_process import InProcessTools
from agentctl.tools.python_call import PythonCall, PythonToolError

async def main():
    try:
        await InProcessTools().call(PythonCall(Path({str(tmp_path / "a" / "tools.py")!r}), "hang"), {{}}, timeout=0.1, max_result=9)
    except PythonToolError as error:
        print(error.error_class)

asyncio.run(main())
"""
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.returncode) == ("timeout\n", 0)
    assert time.monotonic() - began < 10
