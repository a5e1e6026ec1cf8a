"""The entry point: one app, and every failure turned into a message and an exit code."""

from __future__ import annotations

import gc
import os
import signal
import sys
from io import TextIOWrapper
from typing import Annotated

import typer
from typer._click import Command
from typer._click.exceptions import NoArgsIsHelpError
from typer.exceptions import TyperException
from typer.main import get_command

from agentctl.cli.streams import complain, complain_about
from agentctl.cli.verbs import VerbGroup
from agentctl.errors import AgentctlError, UsageError

OUR_FAULT = 70
INTERRUPTED = 130
BROKEN_PIPE = 141
"""128 + SIGPIPE: whoever read our output has gone."""
_REFUSED = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError)


def main(args: list[str] | None = None) -> None:
    """Run one verb and exit with its code. No traceback unless AGENTCTL_DEBUG is set."""
    # what loading modules allocates stays: looking through it for garbage is a tenth of the start of `validate`
    gc.set_threshold(50_000)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A model may write what the terminal's encoding, or UTF-8 itself, cannot say.
            stream.reconfigure(errors="backslashreplace")
    code = _flushed(run(sys.argv[1:] if args is None else args))
    # All is done: a Ctrl-C from here on ends the process, and draws no traceback out of its last moments.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(code)


def _open_closed_streams() -> None:
    """Point a standard stream that was closed before we began at nothing.

    Else the next file to be opened takes its number, and what is printed is written into a database.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - as long as the process


def run(args: list[str]) -> int:
    """The exit code of a command line."""
    try:
        _check_text(args)
        result = command()(args, prog_name="agentctl", standalone_mode=False)
    except BaseException as failure:  # noqa: BLE001 - the last place that can turn a failure into a message
        return _said(failure)
    return result if isinstance(result, int) else 0


def _check_text(args: list[str]) -> None:
    """Raises UsageError for an argument that is no text: it could name nothing that is recorded."""
    for arg in args:
        if not arg.isascii() and arg.encode("utf-8", "replace").decode() != arg:
            shown = arg.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            raise UsageError(
                f"the argument `{shown}` is not UTF-8", hint="write it, or name the file, in UTF-8"
            )


def command() -> Command:
    """The root command, with none of its verbs loaded."""
    app = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)
    names = {"help_option_names": ["-h", "--help"]}
    app.callback(cls=VerbGroup, no_args_is_help=True, context_settings=names)(_root)
    return get_command(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from agentctl.cli.version import our_version

        typer.echo(f"agentctl {our_version()}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Declare a system of agents in YAML; check it, run it, replay it."""


def _said(failure: BaseException) -> int:
    """Say what went wrong on stderr; the exit code."""
    if os.environ.get("AGENTCTL_DEBUG"):
        import traceback

        traceback.print_exception(failure)
    match failure:
        case AgentctlError() if failure.exit_code != OUR_FAULT:
            return complain_about(failure)
        case NoArgsIsHelpError():
            typer.echo(failure.format_message(), err=True)
            return 2
        case TyperException():
            return _complained(*_usage(failure), 2)
        case BrokenPipeError():
            return BROKEN_PIPE
        case SystemExit(code=code):
            # Typer answers a broken pipe with exit 1 of its own.
            broken = isinstance(failure.__context__, BrokenPipeError)
            return BROKEN_PIPE if broken else code if isinstance(code, int) else 1
        case KeyboardInterrupt():
            return INTERRUPTED
        case typer.Abort():
            return _complained("stopped at the prompt", None, INTERRUPTED)
        case OSError():
            refused = isinstance(failure, _REFUSED)
            return _complained(_os_message(failure), "set AGENTCTL_DEBUG=1 to see where", 2 if refused else 3)
        case _:
            message = f"a fault in agentctl itself: {type(failure).__name__}: {failure}"
            return _complained(message, "set AGENTCTL_DEBUG=1 to see the traceback", OUR_FAULT)


def _usage(failure: TyperException) -> tuple[str, str | None]:
    """A usage error in our way: lower case, no full stop, and where help is to be had."""
    text = failure.format_message().rstrip(".")
    context = getattr(failure, "ctx", None)
    hint = f"`{context.command_path} --help` shows what it takes" if context else None
    return text[:1].lower() + text[1:], hint


def _os_message(failure: OSError) -> str:
    what = (failure.strerror or str(failure)).lower()
    return f"{failure.filename}: {what}" if failure.filename else what


def _complained(message: str, hint: str | None, code: int) -> int:
    complain("error", message)
    if hint:
        complain("hint", hint)
    return code


def _flushed(code: int) -> int:
    """The exit code once stdout is written out; what cannot be written is not passed over."""
    if sys.stdout is None:
        return code
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_stdout()
        return code or BROKEN_PIPE
    except OSError as failure:
        _forget_stdout()
        return _complained(f"cannot write to stdout: {_os_message(failure)}", None, 3)
    if code == BROKEN_PIPE:
        _forget_stdout()
    return code


def _forget_stdout() -> None:
    """Point stdout at nothing, so that the interpreter's own flush at exit does not fail as well."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
