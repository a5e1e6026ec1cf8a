"""The entry point: help, versions, exit codes, and failures that are messages."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from agentctl.cli.main import run
from agentctl.cli.verbs import VERBS, load
from agentctl.errors import AgentctlError, CannotRun, UsageError
from tests.cli.shell import COMMAND, PATIENCE, ROOT, agentctl, environment

Failing = Callable[[BaseException], None]


def test_help_costs_little_more_than_typer_and_imports_nothing_heavy() -> None:
    script = """
import sys
from agentctl.cli.main import run
code = run(["--help"])
heavy = {"openai", "xllamacpp", "pydantic", "jsonschema", "jsonschema_rs", "rich", "jinja2", "asyncio"}
print("loaded:", sorted(heavy & set(sys.modules)), code)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.endswith("loaded: [] 0\n")
    for verb in VERBS:
        assert f"\n  {verb} " in done.stdout

    # the best of a few: what a busy machine adds is no cost of ours
    pairs = []
    for _ in range(8):
        pairs.append((cpu(*COMMAND, "--help"), cpu(sys.executable, "-c", "import typer")))
        ours, bare = (min(times) for times in zip(*pairs, strict=True))
        if ours < 1.5 * bare:
            return
    pytest.fail(f"{ours:.3f}s of processor time against {bare:.3f}s")


def cpu(*command: str) -> float:
    """Seconds of processor time, which say more than the clock on a machine that does other things as well."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment(), stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_in_the_table_is_there_and_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert load(verb).name == verb
    assert run([verb, "--help"]) == 0
    assert f"agentctl {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["rum"], "error: there is no verb `rum`; did you mean `run`?"),
        (["explain", "E410", "--foo"], "error: no such option: --foo"),
        (["validate"], "error: missing argument"),
        (["validate", "x.yaml", "--format", "xml"], "error: invalid value for '--format'"),
        (["threads"], "error: missing command"),
        (["replay"], "error: say which thread to replay, or --all"),
        (["resume", "T", "--answer", "yes"], "error: --answer `yes`: write key=value"),
        (["resume", "T", "--assume", "maybe", "x"], "error: --assume maybe x: write"),
        (["resume", "T", "--assume", "done", "x", "--result", "{"], "error: --result `{` is no JSON"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_exit_2_with_one_error_and_a_hint(
    args: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(args) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(says)
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("args", [["run", "x\udcff.yaml"], ["threads", "show", "\udcff"]])
def test_an_argument_that_is_no_text_is_wrong_usage(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(args) == 2
    assert "is not UTF-8" in capsys.readouterr().err


def test_a_message_holds_nothing_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "\x1b]0;title\x07.yaml"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_nothing_at_all_is_answered_with_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    assert "Usage: agentctl" in capsys.readouterr().err


def test_the_version_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("agentctl ")


@pytest.mark.parametrize(
    ("failure", "code", "says"),
    [
        (KeyError("x"), 70, "error: a fault in agentctl itself: KeyError: 'x'"),
        (AgentctlError("bad state"), 70, "error: a fault in agentctl itself: AgentctlError: bad state"),
        (UsageError("no", hint="yes"), 2, "error: no\nhint: yes"),
        (CannotRun("no key"), 3, "error: no key"),
        (OSError(28, "No space left on device", "x"), 3, "error: x: no space left on device"),
        (PermissionError(13, "Permission denied", "x"), 2, "error: x: permission denied"),
        (KeyboardInterrupt(), 130, ""),
        (typer.Exit(5), 5, ""),
    ],
)
def test_every_failure_has_its_exit_code_and_no_traceback(
    failure: BaseException, code: int, says: str, capsys: pytest.CaptureFixture[str], failing: Failing
) -> None:
    failing(failure)
    assert run(["schema"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(says)
    assert bool(shown.err) == bool(says)
    assert "Traceback" not in shown.err


def test_a_traceback_is_shown_when_it_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, failing: Failing
) -> None:
    failing(KeyError("x"))
    monkeypatch.setenv("AGENTCTL_DEBUG", "1")
    assert run(["schema"]) == 70
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "error: a fault in agentctl itself" in shown


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Makes the verb `schema` raise."""

    def replace(failure: BaseException) -> None:
        app = typer.Typer()

        @app.command()
        def schema() -> None:
            raise failure

        monkeypatch.setitem(sys.modules, "agentctl.cli.verb_schema", SimpleNamespace(app=app))

    return replace


def test_a_reader_that_goes_away_ends_the_command_without_a_word() -> None:
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [*COMMAND, "models", "list"], env=environment(), stdout=writer, stderr=subprocess.PIPE, text=True
    )
    os.close(writer)
    os.close(reader)
    _, said = process.communicate(timeout=PATIENCE)
    assert (process.returncode, said) == (141, "")


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_a_standard_stream_that_is_closed_is_no_fault_and_no_file_takes_its_place(
    tmp_path: Path, closed: tuple[int, ...]
) -> None:
    (tmp_path / "graph.yaml").write_text(
        "agentctl: 1\nname: x\noutput: [a]\nstate: {a: {type: string, default: there}}\n"
        "start: one\nnodes: {one: {set: {a: here}, then: end}}\n"
    )
    done = subprocess.run(
        [*COMMAND, "run", "graph.yaml", "--thread", "t"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: [os.close(number) for number in closed],  # type: ignore[func-returns-value]
    )
    assert done.returncode == 0
    assert (done.stdout == "here\n") == (1 not in closed)
    assert agentctl("replay", "t", cwd=tmp_path).returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full is a Linux thing")
def test_an_answer_that_cannot_be_written_is_an_error() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "models", "list"],
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr.startswith("error: ")
    assert "no space left on device" in done.stderr


def test_colours_are_for_terminals_and_never_under_no_color(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> str:
        run(["rum"])
        return capsys.readouterr().err

    assert "\x1b" not in said()
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[1;31merror:" in said()
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in said()


def test_the_shell_completes_verbs_and_threads(tmp_path: Path) -> None:
    done = agentctl(
        cwd=tmp_path, _AGENTCTL_COMPLETE="complete_bash", COMP_WORDS="agentctl re", COMP_CWORD="1"
    )
    assert done.stdout.split() == ["resume", "replay"]
    done = agentctl(
        cwd=tmp_path, _AGENTCTL_COMPLETE="complete_bash", COMP_WORDS="agentctl replay ", COMP_CWORD="2"
    )
    assert (done.returncode, done.stdout.strip()) == (0, "")


def test_the_module_and_the_script_are_one_command() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert 'agentctl = "agentctl.__main__:main"' in text
    assert typer.__version__ < "0.29"


def test_a_line_that_is_no_utf_8_is_a_turn_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "graph.yaml").write_text(
        "agentctl: 1\nname: x\ninput: [said]\noutput: [said]\nstate: {said: string}\n"
        'start: one\nnodes: {one: {set: {said: "${{ state.said }}!"}, then: end}}\n'
    )
    done = subprocess.run(
        [*COMMAND, "chat", "graph.yaml"],
        cwd=tmp_path,
        env=environment(),
        input=b"caf\xe9\n",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout.decode()) == (0, "caf\ufffd!\n"), done.stderr
