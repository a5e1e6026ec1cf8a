"""Tools that are programs: real processes, and what is left of them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agentctl.errors import ToolError
from agentctl.graph.plan import CommandWork, ToolPlan
from agentctl.tools.call import ToolCaller
from agentctl.tools.command import CommandTools
from agentctl.tools.command_process import CommandProcess, Ended
from agentctl.tools.command_starter import CommandStarter
from tests.tools.kinds import SECRET, call_of, mask, tool_of
from tests.tools.processes import processes_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts processes in /proc")

Json = Any
ENV = {"TOKEN": SECRET, "PLACE": "Padua"}
DECLARED = "TOKEN: {secret: true}, PLACE: {}"
SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"
BREED = """
import os, signal, subprocess, sys, time
subprocess.Popen(["sleep", "600"])
subprocess.Popen(["sh", "-c", "sleep 600 & sleep 600"])
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    time.sleep(600)
os.wait()
open("bred", "w").close()
if sys.argv[1] == "hang":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
if sys.argv[1] == "crash":
    os.kill(os.getpid(), signal.SIGSEGV)
if sys.argv[1] == "kill group":
    os.killpg(0, signal.SIGKILL)
print("done", flush=True)
"""


def children() -> set[int]:
    """Our own, the dead that nobody has waited for among them."""
    return {int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with programs. Afterwards no process may be at work in it, and we have no child that we had not."""
    (tmp_path / "show.py").write_text(SHOW)
    (tmp_path / "breed.py").write_text(BREED)
    before = children()
    yield tmp_path
    left = processes_in(tmp_path)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert (left, children() - before) == ([], set())


async def answered(tool: ToolPlan, arguments: Json = None, key: str | None = None) -> Json:
    """One call on the path that every call takes, retries and checks included."""
    tools = CommandTools(ENV, mask)

    async def work(call: Json) -> Json:
        assert isinstance(tool.work, CommandWork)
        return await tools.call(tool.work, call)

    try:
        return (await ToolCaller(work, None).call(call_of(tool, arguments, key, {"thread": "t"}))).value
    finally:
        await tools.close()


def command(folder: Path, words: list[str], more: str = "") -> ToolPlan:
    text = f"command: {json.dumps(words)}, effect: read, timeout: 10s, retry: {{attempts: 1}}{more}"
    return tool_of(folder, text, DECLARED)


def ran(
    folder: Path, words: list[str], more: str = "", arguments: Json = None, key: str | None = None
) -> Json:
    return asyncio.run(answered(command(folder, words, more), arguments, key))


def failure(folder: Path, words: list[str], more: str = "", arguments: Json = None) -> ToolError:
    with pytest.raises(ToolError) as raised:
        ran(folder, words, more, arguments)
    assert SECRET not in raised.value.message
    return raised.value


def python(*words: str) -> list[str]:
    return [sys.executable, *words]


# --- what is run --------------------------------------------------------------------------------------------------

WORDS = ["a b", "$(id) `id` ; | > x", "", "-rf", "schön 🚀", "'\"\\", "a\nb", "*", "x" * 100_000]


@pytest.mark.parametrize("value", WORDS, ids=lambda value: value[:10])
def test_one_word_stays_one_word(folder: Path, value: str) -> None:
    words = python("show.py", "--", "${{ args.x }}", "is ${{ args.x }}!")
    shown = ran(folder, words, ", returns: array, max_result: 1MB", {"x": value})
    assert shown == ["--", value, f"is {value}!"]


def test_values_are_printed_as_in_every_text(folder: Path) -> None:
    words = python(
        "show.py", *(f"${{{{ args.{name} }}}}" for name in "abcd"), "${{ run.thread }}", "${{ env.PLACE }}"
    )
    given = {"a": 12.5, "b": [1, {"x": None}], "c": True, "d": None}
    assert ran(folder, words, ", returns: array", given) == [
        "12.5",
        '[1,{"x":null}]',
        "true",
        "null",
        "t",
        "Padua",
    ]


def test_it_runs_in_the_folder_of_its_file_with_little_around_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOMEBODYS_KEY", "not for programs")
    code = "import os, sys, json; print(json.dumps([os.getcwd(), sys.stdin.read(), dict(os.environ), os.getsid(0)]))"
    place, typed, env, session = ran(folder, python("-c", code), ", returns: array", key="k/1")
    assert (place, typed) == (str(folder), "")
    assert session != os.getsid(0)
    assert (env["TOKEN"], env["PLACE"], env["AGENTCTL_IDEMPOTENCY_KEY"]) == (SECRET, "Padua", "k/1")
    assert "SOMEBODYS_KEY" not in env
    assert set(env) <= {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"),
        *(*ENV, "AGENTCTL_IDEMPOTENCY_KEY"),
    }


def test_a_variable_that_is_no_text_reaches_it_as_it_is(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", os.fsdecode(b"/caf\xe9"))
    code = "import os; print(os.environb[b'HOME'])"
    assert ran(folder, python("-c", code), ", returns: string") == r"b'/caf\xe9'"


def test_a_program_of_the_project_is_named_by_its_path(folder: Path) -> None:
    script = folder / "bin" / "hello"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho hello $1\n")
    script.chmod(0o755)
    assert ran(folder, ["bin/hello", "${{ args.x }}"], "", {"x": "you"}) == "hello you"


def test_a_broken_pipe_ends_it_as_in_a_shell(folder: Path) -> None:
    assert ran(folder, ["sh", "-c", "yes | head -n 1"]) == "y"


# --- what comes back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("printed", "more", "value"),
    [
        ("two\nlines\n\n", "", "two\nlines\n"),
        ("", "", ""),
        ('{"a": [1]}', "", '{"a": [1]}'),
        ('{"a": [1]}', ", returns: {a: array}", {"a": [1]}),
        ("12\n", ", returns: integer", 12),
        ("yes\n", ", returns: {enum: [yes, no]}", "yes"),
    ],
)
def test_what_is_printed_is_a_text_or_the_json_that_is_due(
    folder: Path, printed: str, more: str, value: Json
) -> None:
    assert ran(folder, ["printf", "%s", printed], more) == value


def test_exit_codes_of_the_file_are_no_error(folder: Path) -> None:
    assert ran(folder, ["sh", "-c", "echo none; exit 1"], ", ok_codes: [0, 1]") == "none"
    assert "exited with code 1" in failure(folder, ["sh", "-c", "exit 1"], ", ok_codes: [0, 2]").message


FAILURES: list[tuple[list[str], str, str, str]] = [
    (["sh", "-c", "echo sorry >&2; echo x; exit 3"], "", "tool_failed", "`sh` exited with code 3: sorry"),
    (["sh", "-c", "echo why; exit 3"], "", "tool_failed", "exited with code 3: why"),
    (["sh", "-c", "echo $TOKEN >&2; exit 3"], "", "tool_failed", "exited with code 3: ***"),
    (["sh", "-c", "exit 137"], "", "tool_failed", "exited with code 137"),
    (["sh", "-c", "kill -SEGV $$"], "", "tool_failed", "was killed by SIGSEGV"),
    (["sh", "-c", "kill -KILL $$"], "", "tool_failed", "was killed by SIGKILL"),
    (["sh", "-c", "kill -KILL $PPID; sleep 600"], "", "tool_failed", "killed together with its keeper"),
    (["no-such-program-here"], "", "tool_unavailable", "there is no program `no-such-program-here`"),
    (["./missing"], "", "tool_unavailable", "No such file or directory"),
    (["./show.py"], "", "tool_unavailable", "Permission denied"),
    (["./no_format"], "", "tool_unavailable", "no line that begins with #!"),
    (["./no_interpreter"], "", "tool_unavailable", "No such file or directory"),
    (["."], "", "tool_unavailable", "there is no program `.`"),
    (["./"], "", "tool_unavailable", "Permission denied"),
    (["printf", "\\377"], "", "tool_failed", "printed 1 bytes that are no text in utf-8"),
    (["echo", "{no"], ", returns: object", "tool_failed", "printed what is no JSON"),
    (["yes"], "", "tool_failed", "printed more than its max_result of 262,144 bytes"),
    (["sh", "-c", "yes >&2 & sleep 0.2; exit 1"], "", "tool_failed", "exited with code 1: … y y"),
    (["echo", "four"], ", max_result: 4B", "tool_failed", "more than its max_result of 4 bytes"),
]


@pytest.mark.parametrize(
    ("words", "more", "error_class", "says"), FAILURES, ids=lambda value: str(value)[:30]
)
def test_what_goes_wrong_has_its_class(
    folder: Path, words: list[str], more: str, error_class: str, says: str
) -> None:
    for name, text in (("no_format", "echo hello"), ("no_interpreter", "#!/no/such/thing\n")):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    error = failure(folder, words, more)
    assert (error.error_class, says in error.message) == (error_class, True), error.message
    assert len(error.message) < 700


def test_an_argument_with_a_nul_is_refused(folder: Path) -> None:
    error = failure(folder, ["echo", "${{ args.x }}"], "", {"x": "a\0b"})
    assert (error.error_class, error.retryable) == ("tool_failed", False)
    assert "NUL" in error.message


def test_an_argument_that_is_too_long_is_told(folder: Path) -> None:
    error = failure(folder, ["echo", "${{ args.x }}"], "", {"x": "x" * 1_000_000})
    assert "the arguments of `echo` are too long" in error.message


# --- what is left -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ["sleep", "600"],
        ["sh", "-c", "trap '' TERM INT HUP; while :; do sleep 600; done"],
        ["sh", "-c", "exec >&- 2>&-; sleep 600"],
        ["sh", "-c", "kill -STOP 0"],
        python("breed.py", "hang"),
    ],
)
def test_one_that_does_not_end_is_ended_with_all_that_came_of_it(folder: Path, words: list[str]) -> None:
    text = f"command: {json.dumps(words)}, effect: read, timeout: 700ms, retry: {{attempts: 1}}"
    began = time.monotonic()
    with pytest.raises(ToolError) as raised:
        asyncio.run(answered(tool_of(folder, text, DECLARED)))
    assert raised.value.error_class == "timeout"
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("then", ["end", "crash", "kill group"])
def test_nothing_of_it_outlives_its_end(folder: Path, then: str) -> None:
    if then == "end":
        assert ran(folder, python("breed.py", then)) == "done"
    else:
        assert "killed" in failure(folder, python("breed.py", then)).message
    assert (folder / "bred").exists()


def test_a_child_that_holds_the_output_open_is_not_waited_for(folder: Path) -> None:
    began = time.monotonic()
    assert ran(folder, ["sh", "-c", "sleep 600 & echo done"]) == "done"
    assert time.monotonic() - began < 5


def test_what_a_program_left_in_a_widened_pipe_is_read_to_its_end(folder: Path) -> None:
    """Where nobody had time to read before it ended, as on a busy machine."""
    code = "import fcntl, os; fcntl.fcntl(1, 1031, 1 << 20); os.write(1, b'x' * 300_000); open('done', 'w')"
    starter = CommandStarter()
    words = python("-c", code)
    order = {"program": sys.executable, "words": words, "env": dict(os.environ), "folder": str(folder)}

    async def ended() -> Ended:
        running = CommandProcess(starter, order, 1_000_000)
        while not (folder / "done").exists():
            time.sleep(0.01)  # the loop is held up, so that nothing is read
        time.sleep(0.3)
        try:
            return await running.ended()
        finally:
            await running.end()
            await starter.close()

    assert len(asyncio.run(ended()).stdout) == 300_000


def until(happens: Callable[[], bool]) -> Callable[[], Any]:
    async def wait() -> None:
        while not happens():
            await asyncio.sleep(0.01)

    return wait


def test_a_cancelled_call_leaves_nothing_behind(folder: Path) -> None:
    tool = command(folder, python("breed.py", "hang"))

    async def cancelled() -> None:
        call = asyncio.create_task(answered(tool))
        await until((folder / "bred").exists)()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert processes_in(folder) == []

    asyncio.run(cancelled())


def test_closing_ends_what_runs(folder: Path) -> None:
    tool = command(folder, python("breed.py", "hang"))
    assert isinstance(tool.work, CommandWork)
    work = tool.work

    async def closed() -> None:
        tools = CommandTools(ENV, mask)
        call = asyncio.create_task(tools.call(work, call_of(tool)))
        await until((folder / "bred").exists)()
        await tools.close()
        with pytest.raises(ToolError):
            await call
        assert processes_in(folder) == []

    asyncio.run(closed())


def test_a_killed_agentctl_leaves_nothing_behind(folder: Path) -> None:
    (folder / "graph.yaml").write_text(
        "agentctl: 1\nname: k\ntools:\n"
        f"  it: {{command: {json.dumps(python('breed.py', 'hang'))}, effect: read, timeout: 60s}}\n"
        "start: go\nnodes:\n  go: {tool: it, then: end}\n"
    )
    script = f"import agentctl; agentctl.load({str(folder / 'graph.yaml')!r}, store={str(folder / 's')!r}).run({{}})"
    running = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 30
    while not (folder / "bred").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    running.kill()
    running.wait()
    while processes_in(folder):
        assert time.monotonic() < deadline, "they live on"
        time.sleep(0.01)


def test_twenty_at_once_each_have_their_own_answer(folder: Path) -> None:
    tool = command(folder, ["echo", "${{ args.n }}"])
    assert isinstance(tool.work, CommandWork)
    work = tool.work

    async def together() -> list[Json]:
        tools = CommandTools(ENV, mask)
        calls = (tools.call(work, call_of(tool, {"n": n})) for n in range(20))
        try:
            return await asyncio.gather(*calls)
        finally:
            await tools.close()

    held = len(os.listdir("/proc/self/fd"))
    assert asyncio.run(together()) == [str(n) for n in range(20)]
    assert len(os.listdir("/proc/self/fd")) == held


def test_a_program_in_a_sandbox_is_given_no_secret_that_its_words_do_not_name(folder: Path) -> None:
    def given(more: str, words: str = "") -> str:
        text = f"command: [sh, -c, 'env', {words}], effect: read{more}"
        return " ".join(tool_of(folder, text, DECLARED).env)

    boxed = ", sandbox: {time: 2s}"
    assert given("") == "TOKEN PLACE"
    assert given(boxed) == "PLACE"
    assert given(boxed, '"${{ env.TOKEN }}"') == "TOKEN PLACE"
