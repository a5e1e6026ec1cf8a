"""Tools of MCP servers over stdio: real servers, good ones and bad ones."""

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

from agentctl.errors import CannotRun, ToolError
from agentctl.graph.plan import McpWork
from tests.tools.kinds import SECRET
from tests.tools.mcp_desk import SERVED, Desk, faulty
from tests.tools.processes import processes_in

Json = Any


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One server of the SDK, and whoever asks it."""
    desk = Desk(tmp_path_factory.mktemp("served"))
    yield desk
    desk.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def heard(desk: Desk) -> list[Json]:
    file = desk.folder / "heard.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- what the server says -----------------------------------------------------------------------------------------


def test_parameters_description_and_identity_are_the_servers(served: Desk) -> None:
    tool = served.plan(SERVED, "mcp: server/wrapped, effect: read")
    assert tool.description == "A text, which the SDK sends as structured content too."
    assert tool.parameters["properties"]["text"]["type"] == "string"
    assert isinstance(tool.work, McpWork)
    assert tool.work.identity == ("served", "1.2.3")
    assert tool.check_arguments({"text": "a"}) == []
    assert tool.check_arguments({"text": 1, "more": 2}) == [
        "`text` must be a text, got 1",
        "`more` is not known here; known is `text`",
    ]


def test_the_files_description_and_parameters_win(served: Desk) -> None:
    tool = served.plan(
        SERVED, "mcp: server/echo, effect: read, description: Mine., parameters: {text: {enum: [a, b]}}"
    )
    assert tool.description == "Mine."
    assert tool.check_arguments({"text": "c"}) != []
    assert served.call(tool, {"text": "a"}) == "a"


@pytest.mark.parametrize(
    ("tool", "said", "hint"),
    [
        ("mcp: server/ecko", "the MCP server `server` has no tool `ecko`", "did you mean `echo`?"),
        ("mcp: server/xyz", "has no tool `xyz`", "its tools are: `echo`"),
        ("mcp: server/echo, parameters: {txt: string}", "it has no `txt` (did you mean `text`?)", "leave"),
        ("mcp: server/echo, parameters: {}", "it needs `text`", "leave"),
        ("mcp: server/echo, parameters: {text: string?}", "it always needs `text`", "leave"),
        ("mcp: server/echo, parameters: {text: integer}", "`text` is string there and integer here", "leave"),
        (
            "mcp: server/pay, effect: read",
            "`server` changes things, says the server (readOnlyHint: false)",
            "effect: write",
        ),
    ],
    ids=lambda value: value[:40],
)
def test_a_difference_between_file_and_server_is_refused(
    served: Desk, tool: str, said: str, hint: str
) -> None:
    with pytest.raises(CannotRun) as refused:
        served.plan(SERVED, tool)
    assert said in refused.value.message
    assert refused.value.message.startswith("tools.it: ")
    assert hint in str(refused.value.hint)


def test_a_server_that_was_not_there_is_looked_at_when_it_is_called(desk: Desk) -> None:
    tool = desk.plan(SERVED, "mcp: server/pay, effect: read, parameters: {amount: integer}", ask=False)
    with pytest.raises(ToolError, match="changes things, says the server") as refused:
        desk.call(tool, {"amount": 1})
    assert (refused.value.error_class, refused.value.retryable) == ("refused", False)
    assert heard(desk) == []


def test_a_promise_to_change_nothing_is_not_trusted(served: Desk) -> None:
    assert served.plan(SERVED, "mcp: server/echo").effect == "write"


def test_a_schema_of_an_old_draft_is_read_as_it_was_meant(desk: Desk) -> None:
    tool = desk.plan(faulty("old"), "mcp: server/it, effect: read")
    assert tool.check_arguments({"n": [1, "a"], "when": "2026-01-31"}) == []
    assert tool.check_arguments({"n": ["a", 1]}) != []
    assert tool.check_arguments({"n": [1], "when": "soon"}) != []


def test_a_schema_that_points_elsewhere_is_never_fetched(desk: Desk) -> None:
    with pytest.raises(CannotRun, match="the schema cannot be used"):
        desk.plan(faulty("fetches"), "mcp: server/it, effect: read")


def test_tools_on_later_pages_are_found(desk: Desk) -> None:
    assert desk.call(desk.plan(faulty("pages"), "mcp: server/it, effect: read"), {"n": 1}) == "fine"


# --- what it answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tool", "arguments", "answer"),
    [
        ("mcp: server/echo", {"text": '{"a": 1}'}, '{"a": 1}'),
        ("mcp: server/echo, returns: {a: integer}", {"text": '{"a": 1}'}, {"a": 1}),
        ("mcp: server/wrapped", {"text": "plain"}, "plain"),
        ("mcp: server/wrapped, returns: {result: string}", {"text": "plain"}, {"result": "plain"}),
        ("mcp: server/point", {"x": 1}, {"x": 1, "y": 2}),
        ("mcp: server/point, returns: string", {"x": 1}, '{\n  "x": 1,\n  "y": 2\n}'),
        ("mcp: server/picture", {}, "Look:\n[an image, image/png, 400 bytes]"),
        ("mcp: server/long", {"size": 200_000}, "x" * 200_000),
    ],
    ids=str,
)
def test_a_result_comes_whole_and_as_returns_asks_for_it(
    served: Desk, tool: str, arguments: Json, answer: Json
) -> None:
    assert served.call(served.plan(SERVED, f"{tool}, effect: read"), arguments) == answer


def test_a_result_over_max_result_is_refused(served: Desk) -> None:
    tool = served.plan(SERVED, "mcp: server/long, effect: read, max_result: 1KB")
    with pytest.raises(ToolError, match="over its max_result") as refused:
        served.call(tool, {"size": 2000})
    assert (refused.value.error_class, refused.value.retryable) == ("tool_failed", False)


def test_many_calls_are_under_way_over_one_session(served: Desk) -> None:
    wait = served.plan(SERVED, "mcp: server/wait, effect: read")

    async def many() -> float:
        await served.acall(wait, {"seconds": 0})
        began = time.monotonic()
        assert (
            await asyncio.gather(*(served.acall(wait, {"seconds": 1}) for _ in range(20))) == ["waited"] * 20
        )
        return time.monotonic() - began

    assert served.runner.run(many()) < 10, "one after the other they take 20 s"


def test_a_key_is_in_the_meta_and_an_argument_that_no_model_is_asked_for(served: Desk) -> None:
    tool = served.plan(SERVED, "mcp: server/pay, idempotency_key: '${{ args.amount }}'")
    assert list(tool.parameters["properties"]) == ["amount"]
    assert served.call(tool, {"amount": 5}, key="key-5") == "paid"
    [said] = [each for each in heard(served) if "key" in each]
    assert said["key"] == "key-5"
    assert said["meta"]["agentctl/idempotency_key"] == "key-5"


def test_a_server_has_its_own_env_and_no_more_of_ours(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OURS", "not for servers")
    tool = desk.plan(
        f"{SERVED}, env: {{MINE: 'x${{{{ env.TOKEN }}}}'}}", "mcp: server/environment, effect: read"
    )
    seen = desk.call(tool)
    assert (seen["MINE"], seen["PATH"]) == (f"x{SECRET}", os.environ["PATH"])
    assert not {"OURS", "TOKEN"} & set(seen)
    assert seen["cwd"] == str(desk.folder)
    assert tool.env == ("TOKEN",)


# --- what goes wrong ----------------------------------------------------------------------------------------------


def test_a_tool_that_fails_says_so_without_secrets(served: Desk, capfd: pytest.CaptureFixture[str]) -> None:
    tool = served.plan(SERVED, "mcp: server/fails, effect: read")
    with pytest.raises(ToolError) as failed:
        served.call(tool, {"secret": SECRET})
    assert (failed.value.error_class, failed.value.retryable) == ("tool_failed", False), "it is an answer"
    assert "no luck with ***" in failed.value.message
    assert capfd.readouterr().err == "", "what a server prints is not for our screen"


@pytest.mark.parametrize(
    ("wrong", "error_class", "said", "again"),
    [
        ("unknown-raised", "tool_unavailable", "it has no tool `it` any more", False),
        ("unknown-flagged", "tool_unavailable", "it has no tool `it` any more", False),
        ("unknown-said", "tool_unavailable", "it has no tool `it` any more", False),
        ("hangs", "timeout", "no answer within 0.3s", True),
        ("flood", "timeout", "no answer within 0.3s", True),
        ("chatter-only", "timeout", "it prints what is no message: DEBUG got a call", True),
        ("garbage", "server", "it sent what is no message", True),
        ("malformed", "server", "it answered what is no result of a tool", True),
        ("untrue", "server", "what its own output schema does not allow: `n` must be", True),
        ("nan", "tool_failed", "it holds NaN", False),
    ],
)
def test_each_fault_has_its_class(desk: Desk, wrong: str, error_class: str, said: str, again: bool) -> None:
    timeout = "300ms" if error_class == "timeout" else "20s"
    tool = desk.plan(faulty(wrong), f"mcp: server/it, effect: read, timeout: {timeout}")
    with pytest.raises(ToolError) as failed:
        desk.call(tool, {"n": 1})
    assert (failed.value.error_class, failed.value.retryable) == (error_class, again)
    assert said in failed.value.message


def test_a_line_without_end_ends_its_server(desk: Desk) -> None:
    tool = desk.plan(faulty("endless"), "mcp: server/it, effect: read, timeout: 60s")
    with pytest.raises(ToolError, match="it sent a line of more than 16,777,216 bytes, so it was ended"):
        desk.call(tool, {"n": 1})
    until(lambda: not processes_in(desk.folder))


def test_what_a_server_prints_beside_its_messages_is_passed_over(desk: Desk) -> None:
    assert desk.call(desk.plan(faulty("chatter"), "mcp: server/it, effect: read"), {"n": 1}) == "fine"


def test_a_server_that_dies_fails_its_calls_and_is_started_again(desk: Desk) -> None:
    dies = desk.plan(SERVED, "mcp: server/dies, effect: read")

    async def both() -> list[Json]:
        other = asyncio.create_task(desk.acall(dies, {"secret": SECRET}))
        return await asyncio.gather(desk.acall(dies, {"secret": SECRET}), other, return_exceptions=True)

    for failed in desk.runner.run(both()):
        assert isinstance(failed, ToolError)
        assert (failed.error_class, failed.retryable) == ("tool_unavailable", True)
        assert "it ended before it answered (it was killed by SIGKILL); it said last: " in failed.message
        assert "my last words: ***" in failed.message
    echo = desk.plan(SERVED, "mcp: server/echo, effect: read")
    assert desk.call(echo, {"text": "back"}) == "back"


def test_a_call_is_told_how_its_server_ended_though_another_starts_it_anew(desk: Desk) -> None:
    dies = desk.plan(SERVED, "mcp: server/dies, effect: read")

    async def stubborn(pause: float) -> list[str]:
        said = []
        for _ in range(2):
            with pytest.raises(ToolError) as raised:
                await desk.acall(dies, {"secret": SECRET})
            said.append(raised.value.message)
            await asyncio.sleep(pause)
        return said

    async def all_of_them() -> list[list[str]]:
        return await asyncio.gather(*(stubborn(pause) for pause in (0, 0, 0.01, 0.03)))

    for said in desk.runner.run(all_of_them()):
        assert [each for each in said if "ended" not in each and "SIGKILL" not in each] == []


def test_a_server_that_was_killed_between_two_calls_is_started_for_the_second(desk: Desk) -> None:
    tool = desk.plan(faulty("none"), "mcp: server/it, effect: read")
    [first] = _servers(desk.folder)
    os.kill(first, signal.SIGKILL)
    until(lambda: not _servers(desk.folder))
    desk.runner.run(asyncio.sleep(0.1))
    assert desk.call(tool, {"n": 1}) == "fine"
    assert _servers(desk.folder) not in ([], [first])


def test_a_server_that_hangs_is_started_again_when_it_is_silent_to_a_ping_too(desk: Desk) -> None:
    tool = desk.plan(faulty("hangs"), "mcp: server/it, effect: read, timeout: 1s")
    first = _servers(desk.folder)
    for _ in range(2):
        with pytest.raises(ToolError, match="no answer within 1s"):
            desk.call(tool, {"n": 1})
    assert _servers(desk.folder) not in ([], first)


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
def test_a_call_that_is_given_up_ends_at_once_and_the_server_is_told(served: Desk, how: str) -> None:
    seconds = 500 if how == "cancelled" else 501
    timeout = "60s" if how == "cancelled" else "500ms"
    tool = served.plan(SERVED, f"mcp: server/wait, effect: read, timeout: {timeout}")

    async def give_up() -> float:
        task = asyncio.create_task(served.acall(tool, {"seconds": seconds}))
        while {"began": seconds} not in heard(served):
            await asyncio.sleep(0.02)
        began = time.monotonic()
        if how == "cancelled":
            task.cancel()
        with pytest.raises((asyncio.CancelledError, ToolError)):
            await task
        return time.monotonic() - began

    assert served.runner.run(give_up()) < 5
    served.runner.run(asyncio.sleep(0.1))
    until(lambda: {"cancelled": seconds} in heard(served))
    assert served.call(tool, {"seconds": 0}) == "waited", "the session lives on"


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (faulty("exits"), "(it exited with code 3); it said last: cannot find my settings"),
        (faulty("mute"), "it did not answer within 1s"),
        ("command: [no-such-program-here]", "there is no program `no-such-program-here`"),
        ("command: [/etc/hostname]", "cannot be started"),
        ("command: [echo, hello]", "it ended before it was ready (it exited)"),
    ],
    ids=["exits", "mute", "no program", "no executable", "no server"],
)
def test_a_server_that_cannot_be_used_stops_the_run_before_it_begins(
    tmp_path: Path, server: str, said: str
) -> None:
    desk = Desk(tmp_path, patience=1)
    try:
        with pytest.raises(CannotRun) as refused:
            desk.plan(server, "mcp: server/it, effect: read")
        assert refused.value.message.startswith("mcp.server cannot be used: ")
        assert said in refused.value.message
        assert processes_in(tmp_path) == []
    finally:
        desk.close()


# --- nothing is left behind ---------------------------------------------------------------------------------------


def test_what_a_server_leaves_behind_is_ended_with_it(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tool = desk.plan(faulty("leaves"), "mcp: server/it, effect: read")
    assert desk.call(tool, {"n": 1}) == "left one behind"
    assert len(processes_in(tmp_path)) == 3, "a keeper, the server and what it left"
    desk.close()
    assert processes_in(tmp_path) == []


def test_a_server_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tool = desk.plan(faulty("hangs"), "mcp: server/it, effect: read, timeout: 200ms")
    with pytest.raises(ToolError):
        desk.call(tool, {"n": 1})
    began = time.monotonic()
    desk.close()
    assert time.monotonic() - began < 10
    assert processes_in(tmp_path) == []


def test_a_server_that_is_still_starting_is_ended_too(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tool = desk.plan(faulty("mute"), "mcp: server/it, effect: read, timeout: 30s", ask=False)

    async def give_up() -> None:
        task = asyncio.create_task(desk.acall(tool, {"n": 1}))
        while not _servers(tmp_path):
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait([task])

    desk.runner.run(give_up())
    desk.close()
    assert processes_in(tmp_path) == []


def test_servers_end_with_an_agentctl_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom tests.tools.mcp_desk import Desk, faulty\n"
        "desk = Desk(Path(sys.argv[1]))\n"
        "tool = desk.plan(faulty('leaves'), 'mcp: server/it, effect: read')\n"
        "desk.call(tool, {'n': 1})\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parent.parent.parent
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    until(lambda: not processes_in(tmp_path))


def test_servers_end_with_a_keeper_that_is_killed(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    tool = desk.plan(faulty("leaves"), "mcp: server/it, effect: read")
    desk.call(tool, {"n": 1})
    [server] = _servers(tmp_path)
    [keeper] = [
        pid
        for pid in processes_in(tmp_path)
        if f"\nPPid:\t{pid}\n" in Path(f"/proc/{server}/status").read_text()
    ]
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not _servers(tmp_path))
    desk.close()


def _servers(folder: Path) -> list[int]:
    """Servers that run, without their keepers, the dead and what they left."""
    found = []
    for pid in processes_in(folder):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.endswith(b"mcp_faulty.py") for word in words) and b"-c" not in words:
            found.append(pid)
    return found
